"""Behaviour: what a transfer looks like beside others that were seen here.

Each method is a question to the operator's own rows, asked for many transfers at once
(`sakk.store.behaviour`), and a pure rule over the answer. Thresholds stand in the screening rules,
each with its limit here. The transfer itself is always among what is counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

PPM: Final = 1_000_000
WINDOW_SECONDS_MAX: Final = 31 * 86_400
# So many rows are read at most for one count; what goes beyond is known to be at least that.
ROWS_READ_MAX: Final = 10_000

Per = Literal["account", "counterparty"]


class WindowKey(NamedTuple):
    """Which transfers are counted: of one direction, in the last ``seconds``, ``per`` whom.

    ``direction`` as in `sakk.core.screening.Direction`.

    ``low`` and ``high``: only amounts from ``low`` to below ``high``, in the smallest unit of the
    transfer's own currency; None for all.
    """

    direction: str
    per: Per
    seconds: int
    low: int | None = None
    high: int | None = None

    @property
    def name(self) -> str:
        """As it stands among a screening's facts."""
        band = "" if self.low is None and self.high is None else f"/{self.low or 0}-{self.high}"
        return f"{self.direction}/{self.per}/{self.seconds}{band}"


@dataclass(frozen=True, slots=True)
class Counted:
    """How many, and how many units of the transfer's currency. ``is_cut``: at least so much."""

    count: int
    units: int
    is_cut: bool = False


def with_itself(counted: Counted, key: WindowKey, *, direction: str, amount: int | None) -> Counted:
    """Count a transfer that is asked about before there is a row of it."""
    units = amount or 0
    if key.direction != direction or not (key.low or 0) <= units:
        return counted
    if key.high is not None and units >= key.high:
        return counted
    return Counted(counted.count + 1, counted.units + units, counted.is_cut)


def is_fast(counted: Counted, *, count_min: int | None, units_min: int | None) -> bool:
    """Velocity: so many transfers, or so much, in the window. What was cut counts as enough."""
    by_count = count_min is not None and counted.count >= count_min
    by_units = units_min is not None and (counted.units >= units_min or counted.is_cut)
    return by_count or by_units


def band(threshold: int, *, width_ppm: int) -> tuple[int, int]:
    """Structuring: the amounts that lie just below a threshold, from ``low`` to below ``high``.

    FinCEN's structuring (31 CFR 1010.314): several amounts kept below a limit that asks questions.
    """
    return threshold - threshold * width_ppm // PPM, threshold


def passed_through_ppm(*, units_in: int, units_out: int) -> int:
    """Pass-through: how much of what came in went out at once, or of what went out had just come.

    The smaller of the two by the larger, in millionths: 0 when nothing came in, 1,000,000 when
    exactly as much went out. A merchant who pays out of an old balance is near 0.
    """
    larger = max(units_in, units_out)
    return min(units_in, units_out) * PPM // larger if larger else 0


class Peel(NamedTuple):
    """One address of a chain: what came in over the chain, and what went on to the next."""

    address: str
    units_in: int
    units_on: int


def peel_length(chain: Sequence[Peel], *, peel_max_ppm: int) -> int:
    """Peel chain: over how many addresses in a row the money went on almost whole.

    Nearest first. An address belongs to the chain when it passed on all but a little
    (``peel_max_ppm`` at most, and not nothing: all of it is plain forwarding) of what it got; the
    first that does not ends it. Möser, Böhme and Breuker (2013) describe the pattern.
    """
    length = 0
    for hop in chain:
        peeled = hop.units_in - hop.units_on
        if not 0 < peeled * PPM <= hop.units_in * peel_max_ppm:
            break
        length += 1
    return length
