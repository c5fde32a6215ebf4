"""The graph of one asset in plain Python: the specification, and what serves unbuilt.

See `screening.exposure_graph` for the rules; ``screening.compiled.graph`` does the same faster.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from sakk.core import exposure_batch
from sakk.core.exposure import ISSUANCE, place_of
from sakk.core.tracing import moved

GRAINS_MAX = 1 << 58
HELD_MAX = (1 << 64) - 1
ZERO = bytes(20)
ISSUER = place_of(ISSUANCE)
_NEVER = -1


class Held(NamedTuple):
    """What an address holds, in grains: in all, and of each part (its place, grains)."""

    grains: int
    parts: tuple[tuple[int, int], ...]


class Trace(NamedTuple):
    """What a walk found, in grains.

    ``parts``: (place of the category, grains, of them over one transfer). ``paths``: (place,
    hops of (address, row of the transfer), grains), heaviest first.
    """

    total: int
    parts: tuple[tuple[int, int, int], ...]
    unknown: int
    is_cut: bool
    edges_read: int
    paths: tuple[tuple[int, tuple[tuple[bytes, int], ...], int], ...]


class Limits(NamedTuple):
    """What a walk may read, and say."""

    hops_max: int = 5
    edges_max: int = 20_000
    hub_edges_max: int = 5_000
    paths_max: int = 20


@dataclass(slots=True)
class _Node:
    """An address: what it holds, and its transfers by number, oldest first."""

    address: bytes
    place: int | None = None
    grains: int = 0
    parts: dict[int, int] = field(default_factory=dict)
    arriving: list[int] = field(default_factory=list)
    leaving: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Edge:
    sender: _Node
    receiver: _Node
    grains: int
    timestamp: int
    row: int


@dataclass(slots=True)
class _Step:
    """An address that a walk reached: how much leads here, and the heaviest way here.

    ``bound``: the newest transfer that led here (forward: the oldest).
    """

    node: _Node
    grains: int
    bound: int
    parent: "_Step | None" = None
    via: int = _NEVER
    heaviest: int = 0


@dataclass(slots=True)
class _Found:
    """What a walk has found so far."""

    parts: dict[int, list[int]] = field(default_factory=dict)
    unknown: int = 0
    is_cut: bool = False
    read: int = 0
    hits: list[tuple[_Step, int, int]] = field(default_factory=list)


class ReferenceGraph:
    """One asset's transfers; the interface is ``sakk.screening.exposure_graph.Graph``."""

    def __init__(self, grain: int = 1) -> None:
        self._grain = grain
        self._nodes: dict[bytes, _Node] = {ZERO: _Node(ZERO, ISSUER)}
        self._edges: list[_Edge] = []
        self._rows = 0
        self._settled = 0
        self._is_stale = False
        self._too_large: list[int] = []
        self._overfilling: list[int] = []

    @property
    def row_count(self) -> int:
        return self._rows

    @property
    def edge_count(self) -> int:
        return len(self._edges)

    @property
    def address_count(self) -> int:
        return len(self._nodes) - 1

    @property
    def skipped(self) -> int:
        return len(self._too_large) + len(self._overfilling)

    @property
    def state_bytes(self) -> int:
        return 1_000 * len(self._nodes)  # about what CPython takes

    @property
    def edge_bytes(self) -> int:
        return 200 * len(self._edges)

    def append(self, payload: bytes) -> bytes:
        new: list[bytes] = []
        for transfer in exposure_batch.transfers(payload):
            row = self._rows
            self._rows += 1
            ends = []
            for address in (transfer.sender, transfer.receiver):
                node = self._nodes.get(address)
                if node is None:
                    node = self._nodes[address] = _Node(address)
                    new.append(address)
                ends.append(node)
            grains = transfer.units // self._grain
            if grains >= GRAINS_MAX:
                self._too_large.append(row)
            elif grains and ends[0] is not ends[1]:
                number = len(self._edges)
                self._edges.append(_Edge(ends[0], ends[1], grains, transfer.timestamp, row))
                ends[0].leaving.append(number)
                ends[1].arriving.append(number)
        return b"".join(new)

    def label(self, address: bytes, place: int | None) -> bool:
        node = self._nodes.get(address)
        if node is None or address == ZERO or node.place == place:
            return False
        node.place = place
        self._is_stale = True
        return True

    def settle(self, *, undoable: bool = True) -> None:
        if self._is_stale:
            self._restart()
        for number in range(self._settled, len(self._edges)):
            self._move(number)
        self._settled = len(self._edges)

    def _restart(self) -> None:
        """Forget what everybody holds: it is counted again from the first transfer."""
        for node in self._nodes.values():
            node.grains = 0
            node.parts = {}
        self._settled = 0
        self._overfilling = []
        self._is_stale = False

    def _move(self, number: int) -> None:
        edge = self._edges[number]
        sender, receiver = edge.sender, edge.receiver
        if receiver.address != ZERO and receiver.grains + edge.grains > HELD_MAX:
            self._overfilling.append(edge.row)
            return
        if sender.place is None:
            sender.grains = max(sender.grains, edge.grains)
            places = sorted(sender.parts)
            shares = moved([sender.parts[place] for place in places], sender.grains, edge.grains)
            carried = {place: part for place, part in zip(places, shares, strict=True) if part}
            for place, part in carried.items():
                sender.parts[place] -= part
                if not sender.parts[place]:
                    del sender.parts[place]
            sender.grains -= edge.grains
        else:
            carried = {sender.place: edge.grains}
            sender.grains = max(0, sender.grains - edge.grains)
        if receiver.address != ZERO:
            receiver.grains += edge.grains
        if receiver.place is None:
            for place, part in carried.items():
                receiver.parts[place] = receiver.parts.get(place, 0) + part

    def truncate(self, row: int) -> None:
        while self._edges and self._edges[-1].row >= row:
            edge = self._edges.pop()
            edge.sender.leaving.pop()
            edge.receiver.arriving.pop()
        self._too_large = [each for each in self._too_large if each < row]
        self._rows = min(self._rows, row)
        if self._settled > len(self._edges):
            self._restart()
            self.settle()

    def held(self, address: bytes) -> Held | None:
        node = self._nodes.get(address)
        if node is None or address == ZERO:
            return None
        parts = node.parts if node.place is None else {node.place: node.grains}
        return Held(
            node.grains, tuple(sorted((place, part) for place, part in parts.items() if part))
        )

    def transfers_of(
        self, address: bytes, *, leaving: bool, limit: int
    ) -> list[tuple[bytes, int, bool]]:
        node = self._nodes.get(address)
        if node is None:
            return []
        numbers = node.leaving if leaving else node.arriving
        edges = [self._edges[number] for number in reversed(numbers)][:limit]
        others = [edge.receiver if leaving else edge.sender for edge in edges]
        return [
            (other.address, edge.row, other.place is not None)
            for other, edge in zip(others, edges, strict=True)
        ]

    def walk(self, address: bytes, *, forward: bool, since: int, limits: Limits) -> Trace:
        found = _Found()
        root = self._nodes.get(address)
        if root is None or address == ZERO:
            return Trace(0, (), 0, False, 0, ())
        steps = [_Step(root, 0, _NEVER if forward else len(self._edges))]
        total = 0
        for hop in range(1, limits.hops_max + 1):
            following: dict[bytes, _Step] = {}
            for step in steps:
                arrived = self._read(step, found, forward, since, limits, is_root=hop == 1)
                weight = sum(self._edges[number].grains for number in arrived)
                if hop == 1:
                    total = step.grains = weight
                if not weight:
                    found.unknown += step.grains
                    continue
                self._divide(step, arrived, weight, following, found, forward, is_direct=hop == 1)
            steps = list(following.values())
        found.unknown += sum(step.grains for step in steps)
        return Trace(
            total,
            tuple((place, *grains) for place, grains in sorted(found.parts.items())),  # type: ignore[misc]
            found.unknown,
            found.is_cut,
            found.read,
            tuple(self._paths(found, forward, limits.paths_max)),
        )

    def _read(
        self,
        step: _Step,
        found: _Found,
        forward: bool,
        since: int,
        limits: Limits,
        *,
        is_root: bool,
    ) -> list[int]:
        """The transfers that may have led here, newest first; none where the limits forbid it."""
        numbers = step.node.leaving if forward else step.node.arriving
        if not is_root and len(numbers) >= limits.hub_edges_max:
            found.is_cut = True
            return []
        read: list[int] = []
        for number in reversed(numbers):
            if forward and number <= step.bound:
                break
            if found.read == limits.edges_max:
                found.is_cut = True
                return read if is_root else []
            found.read += 1
            if not forward and number >= step.bound:
                continue
            if self._edges[number].timestamp < since:
                break
            read.append(number)
        return read

    def _divide(
        self,
        step: _Step,
        arrived: list[int],
        weight: int,
        following: dict[bytes, _Step],
        found: _Found,
        forward: bool,
        *,
        is_direct: bool,
    ) -> None:
        running = before = 0
        for number in arrived:
            edge = self._edges[number]
            running += edge.grains
            reached = step.grains * running // weight
            share, before = reached - before, reached
            if not share:
                continue
            other = edge.receiver if forward else edge.sender
            if other.place is not None:
                part = found.parts.setdefault(other.place, [0, 0])
                part[0] += share
                part[1] += share if is_direct else 0
                found.hits.append((step, number, share))
                continue
            there = following.get(other.address)
            if there is None:
                there = following[other.address] = _Step(other, 0, number)
            there.grains += share
            there.bound = min(there.bound, number) if forward else max(there.bound, number)
            if share > there.heaviest:
                there.parent, there.via, there.heaviest = step, number, share

    def _paths(
        self, found: _Found, forward: bool, paths_max: int
    ) -> Iterator[tuple[int, tuple[tuple[bytes, int], ...], int]]:
        heaviest = sorted(range(len(found.hits)), key=lambda place: (-found.hits[place][2], place))
        for place in heaviest[:paths_max]:
            step, number, share = found.hits[place]
            edge = self._edges[number]
            other = edge.receiver if forward else edge.sender
            assert other.place is not None
            hops = [(other.address, edge.row)]
            while step.parent is not None:
                hops.append((step.node.address, self._edges[step.via].row))
                step = step.parent
            yield other.place, tuple(reversed(hops)), share
