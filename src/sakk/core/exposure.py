"""Exposure: of the money that an address received or sent, which part leads to whom.

An exposure divides a whole number of atomic token units into parts, a category each, and what is
not known. They sum to the total exactly; `carry` says how a division rounds. What cannot be
resolved is ``unknown``, never clean. Methods are in `core.tracing`; what is kept per asset, and
its height, in `screening.exposure`.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sakk.core.label import CATEGORY_ORDER, Category

# Coins that the token's contract made, or took out of the world: a transfer from or to zero.
ISSUANCE = "issuance"
ZERO_ADDRESS = "0x" + "0" * 40
# A label that names a person or nothing in particular ends no way: money is followed through it.
TRANSPARENT = frozenset({Category.other})
# What a part may be, worst first: an address with several labels counts as the first of them.
PART_CATEGORIES: tuple[str, ...] = (
    *(category.value for category in CATEGORY_ORDER if category not in TRANSPARENT),
    ISSUANCE,
)
_PLACES = {category: place for place, category in enumerate(PART_CATEGORIES)}

PPM = 1_000_000


class Way(StrEnum):
    """Where the money came from, or where it went."""

    source = "source"
    destination = "destination"


class Method(StrEnum):
    """How the parts were found.

    ``walk``: backward or forward over the transfers, hop by hop. ``haircut``: what stands on the
    address now, mixed in proportion. ``fifo``: the same, first in first out.
    """

    walk = "walk"
    haircut = "haircut"
    fifo = "fifo"


class BatchKind(StrEnum):
    """What a batch of transfers is: read from the chain, imported, or the undoing of what was read.

    An undone batch takes what was followed above its block back; what was imported stays.
    """

    followed = "followed"
    imported = "imported"
    undone = "undone"


@dataclass(frozen=True, slots=True)
class Part:
    """Units that lead to one category; of them ``direct_units`` over one transfer alone.

    A haircut keeps no distance: its ``direct_units`` are 0.
    """

    category: str
    units: int
    direct_units: int = 0

    def __post_init__(self) -> None:
        if self.category not in _PLACES:
            raise ValueError(f"no category of a part: {self.category!r}")
        if not 0 <= self.direct_units <= self.units:
            raise ValueError("direct units are a part of the units, and neither is below zero")


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a path: the transaction, and the address that it leads to."""

    address: str
    tx_hash: str


@dataclass(frozen=True, slots=True)
class Path:
    """Evidence: the hops from the address in question to one that a list names, nearest first.

    ``units`` came (or went) over the last hop's transfer; where several ways lead to it, the hops
    are the heaviest of them.
    """

    category: str
    entity: str | None
    list: str | None
    hops: tuple[Hop, ...]
    units: int


@dataclass(frozen=True, slots=True)
class Exposure:
    """What is known of an address's money in one token, at a height and a lists version.

    ``height`` is the number of the last batch of transfers that counted. ``is_cut``: more was
    there than the limits let be read; the rest is in ``unknown_units``, or before the newest.
    """

    network: str
    asset: str
    address: str
    direction: Way
    total_units: int
    parts: tuple[Part, ...]
    unknown_units: int
    height: int
    paths: tuple[Path, ...] = ()
    lists_version: int = 0
    method: Method = Method.walk
    is_cut: bool = False

    def __post_init__(self) -> None:
        if sum(part.units for part in self.parts) + self.unknown_units != self.total_units:
            raise ValueError("the parts and the unknown do not sum to the total")
        if self.unknown_units < 0:
            raise ValueError("unknown units are not below zero")

    def units_of(self, categories: Iterable[str]) -> int:
        """Units that lead to any of these categories."""
        wanted = frozenset(categories)
        return sum(part.units for part in self.parts if part.category in wanted)

    def share_ppm(self, categories: Iterable[str]) -> int:
        """Their share in millionths, rounded up: what is there is never shown as nothing."""
        return ppm(self.units_of(categories), self.total_units)

    @property
    def unknown_ppm(self) -> int:
        """The share that nothing is known of, in millionths, rounded up; all of nothing is none."""
        return ppm(self.unknown_units, self.total_units)


def chain_hash(
    previous: bytes,
    *,
    height: int,
    kind: BatchKind,
    blocks: tuple[int, int],
    count: int,
    payload: bytes,
) -> bytes:
    """A batch's hash: SHA-256 over the hash before it, its head in text, and its payload."""
    head = f"{height} {kind.value} {blocks[0]} {blocks[1]} {count}\n"
    return hashlib.sha256(previous + head.encode() + payload).digest()


def ppm(units: int, total: int) -> int:
    """A share in millionths, rounded up; 0 of a total of 0."""
    return -(-units * PPM // total) if total else 0


def category_of_labels(categories: Iterable[str]) -> str | None:
    """As what an address with these labels counts: the worst that ends a way, or None."""
    found = [category for category in categories if category in _PLACES]
    return min(found, key=_PLACES.__getitem__, default=None)


def place_of(category: str) -> int:
    """The category's place in `PART_CATEGORIES`, by which compiled code knows it."""
    return _PLACES[category]


def carry(units: int, weights: Sequence[int]) -> list[int]:
    """Divide units in proportion to weights, exactly.

    Each share is the difference of two running quotients, rounded down: what one division leaves
    over is carried into the next, so that the shares sum to ``units`` and none is off by one or
    more. The order of the weights decides who gets the odd unit. ValueError where there is no
    weight to divide by.
    """
    total = sum(weights)
    if total <= 0 or min(weights) < 0:
        raise ValueError("weights are not below zero, and one is above it")
    shares, before, running = [], 0, 0
    for weight in weights:
        running += weight
        reached = units * running // total
        shares.append(reached - before)
        before = reached
    return shares


def parts_of(units: dict[str, int], direct: dict[str, int] | None = None) -> tuple[Part, ...]:
    """Parts in the order of `PART_CATEGORIES`, without empty ones."""
    return tuple(
        Part(category, units[category], (direct or {}).get(category, 0))
        for category in PART_CATEGORIES
        if units.get(category)
    )


def to_public(exposure: Exposure) -> dict[str, Any]:
    """The API's object ``exposure``. The operator's alone: it would tip a suspect off."""
    return {
        "object": "exposure",
        "network": exposure.network,
        "asset": exposure.asset,
        "address": exposure.address,
        "direction": exposure.direction.value,
        "method": exposure.method.value,
        "total_amount": str(exposure.total_units),
        "parts": [
            {
                "category": part.category,
                "amount": str(part.units),
                "direct_amount": str(part.direct_units),
                "share_ppm": ppm(part.units, exposure.total_units),
            }
            for part in exposure.parts
        ],
        "unknown_amount": str(exposure.unknown_units),
        "unknown_ppm": exposure.unknown_ppm,
        "paths": [_path(path) for path in exposure.paths],
        "is_cut": exposure.is_cut,
        "height": exposure.height,
        "lists_version": exposure.lists_version,
    }


def _path(path: Path) -> dict[str, Any]:
    return {
        "category": path.category,
        "entity": path.entity,
        "list": path.list,
        "amount": str(path.units),
        "hops": [{"address": hop.address, "tx_hash": hop.tx_hash} for hop in path.hops],
    }
