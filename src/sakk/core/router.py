"""Where an order goes: it is split over venues by their books, fees, limits, latency and minima.

A book is levels, best first, each dearer than the one before it: convex. So for a set of venues
that all take part, giving each its minimum and then always taking the cheapest unit after its fee
is the best there is; and since venues are few, every set of them is tried. As much as can be had
within the limit comes first, then the least that it costs, then fewer venues, then the quicker
ones. Sums are whole numbers until the end: nothing is rounded while ways are compared.

What was decided is written down in words beside it: every venue with what it was given, or why not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Any, Final

from sakk.core import rate
from sakk.core.rate import MILLION

# All sets of so many venues are tried.
VENUES_MAX: Final = 8
LEVELS_MAX: Final = 100
FEE_PPM_MAX: Final = 100_000


class Side(StrEnum):
    """What is done with the base currency."""

    buy = "buy"
    sell = "sell"


@dataclass(frozen=True, slots=True)
class Level:
    """So many of the base's smallest units can be had at a price, in ``rate.SCALE``-ths."""

    price: int
    units: int


@dataclass(frozen=True, slots=True)
class Book:
    """What a venue offers on one side now, best level first. ``minimum`` in the base's units."""

    venue: str
    levels: tuple[Level, ...]
    fee_ppm: int
    latency_ms: int
    minimum: int

    def __post_init__(self) -> None:
        if not 0 <= self.fee_ppm <= FEE_PPM_MAX or self.minimum < 0 or self.latency_ms < 0:
            raise ValueError(f"{self.venue}: a fee, a minimum or a latency is out of range")
        if len(self.levels) > LEVELS_MAX or any(
            each.price <= 0 or each.units <= 0 for each in self.levels
        ):
            raise ValueError(f"{self.venue}: a level without a price or without units, or too many")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An order: ``limit`` is the worst price after the fee, in ``rate.SCALE``-ths."""

    side: Side
    units: int
    limit: int
    latency_ms_max: int


@dataclass(frozen=True, slots=True)
class Child:
    """What one venue is given: so many units, and no worse than ``price`` before its fee."""

    venue: str
    units: int
    price: int


class Why(StrEnum):
    """Why a venue has a part of an order, or none."""

    chosen = "chosen"
    slow = "slow"
    nothing = "nothing"
    minimum = "minimum"
    dearer = "dearer"


@dataclass(frozen=True, slots=True)
class Told:
    """What was decided of a venue. ``price``: no worse than that before its fee, in
    ``rate.SCALE``-ths; of one that is dearer its best; None where it offers nothing."""

    venue: str
    why: Why
    units: int
    price: int | None
    fee_ppm: int
    latency_ms: int
    minimum: int


@dataclass(frozen=True, slots=True)
class Route:
    """What was decided, and why, a line a venue; ``left``: units that nobody offers so."""

    children: tuple[Child, ...]
    left: int
    told: tuple[Told, ...]
    latency_ms_max: int

    @property
    def reasons(self) -> list[str]:
        """The same in words."""
        return [_words(each, self.latency_ms_max) for each in self.told]


@dataclass(frozen=True, slots=True)
class _Step:
    """Units of one venue at one price; ``cost`` for each of them after the fee, less is better."""

    cost: int
    venue: str
    price: int
    units: int


def route(wanted: Wanted, books: Sequence[Book]) -> Route:
    """Split an order; ValueError for more venues than can be compared, or two of one name."""
    names = [each.venue for each in books]
    if len(books) > VENUES_MAX or len(set(names)) != len(names):
        raise ValueError(f"at most {VENUES_MAX} venues, each with a name of its own")
    usable: list[Book] = []
    why_not: dict[str, Why] = {}
    for book in sorted(books, key=lambda each: (each.latency_ms, each.venue)):
        reason = _unusable(wanted, book)
        if reason is None:
            usable.append(book)
        else:
            why_not[book.venue] = reason
    best: tuple[tuple[int, int, int, int], list[_Step]] | None = None
    for count in range(len(usable) + 1):
        for chosen in combinations(usable, count):
            taken = _fill(wanted, chosen)
            if taken is None:
                continue
            filled = sum(step.units for step in taken)
            cost = sum(step.cost * step.units for step in taken)
            score = (-filled, cost, count, sum(book.latency_ms for book in chosen))
            if best is None or score < best[0]:
                best = (score, taken)
    assert best is not None, "no venue at all is a way"
    children = _children(best[1])
    by_venue = {each.venue: each for each in children}
    told = [
        _told(wanted, book, by_venue.get(book.venue), why_not.get(book.venue))
        for book in sorted(books, key=lambda each: each.venue)
    ]
    return Route(children, wanted.units + best[0][0], tuple(told), wanted.latency_ms_max)


def _cost(side: Side, price: int, fee_ppm: int) -> int:
    """What a unit costs after the fee, in millionths of a price; a sale's is below zero."""
    if side is Side.buy:
        return price * (MILLION + fee_ppm)
    return -price * (MILLION - fee_ppm)


def _steps(wanted: Wanted, book: Book) -> list[_Step]:
    """The levels of a book that are within the limit, cheapest first."""
    worst = _cost(wanted.side, wanted.limit, 0)
    steps = [
        _Step(_cost(wanted.side, level.price, book.fee_ppm), book.venue, level.price, level.units)
        for level in book.levels
    ]
    return sorted((step for step in steps if step.cost <= worst), key=lambda step: step.cost)


def _unusable(wanted: Wanted, book: Book) -> Why | None:
    if book.latency_ms > wanted.latency_ms_max:
        return Why.slow
    offered = sum(step.units for step in _steps(wanted, book))
    if not offered:
        return Why.nothing
    if min(offered, wanted.units) < book.minimum:
        return Why.minimum
    return None


def _fill(wanted: Wanted, chosen: Sequence[Book]) -> list[_Step] | None:
    """The best that can be had of these venues, each with its minimum; None where that is no way.

    Of equal costs the quicker venue comes first: ``chosen`` is in that order, and sorting keeps it.
    """
    if sum(max(book.minimum, 1) for book in chosen) > wanted.units:
        return None
    taken: list[_Step] = []
    rest: list[_Step] = []
    for book in chosen:
        need = max(book.minimum, 1)
        for step in _steps(wanted, book):
            now = min(need, step.units)
            if now:
                taken.append(_Step(step.cost, step.venue, step.price, now))
                need -= now
            if step.units > now:
                rest.append(_Step(step.cost, step.venue, step.price, step.units - now))
    left = wanted.units - sum(step.units for step in taken)
    for step in sorted(rest, key=lambda step: step.cost):
        if not left:
            break
        now = min(left, step.units)
        taken.append(_Step(step.cost, step.venue, step.price, now))
        left -= now
    return taken


def _children(steps: Iterable[_Step]) -> tuple[Child, ...]:
    """One order a venue, at the worst of its prices."""
    units: dict[str, int] = {}
    worst: dict[str, _Step] = {}
    for step in steps:
        units[step.venue] = units.get(step.venue, 0) + step.units
        if step.venue not in worst or step.cost > worst[step.venue].cost:
            worst[step.venue] = step
    return tuple(Child(venue, units[venue], worst[venue].price) for venue in sorted(units))


def _told(wanted: Wanted, book: Book, child: Child | None, why_not: Why | None) -> Told:
    units, price, why = 0, None, why_not or Why.dearer
    if child is not None:
        units, price, why = child.units, child.price, Why.chosen
    else:
        steps = _steps(wanted, book)
        price = steps[0].price if steps else None
    return Told(book.venue, why, units, price, book.fee_ppm, book.latency_ms, book.minimum)


def _words(told: Told, latency_ms_max: int) -> str:
    price = "" if told.price is None else rate.write_price(told.price)
    match told.why:
        case Why.chosen:
            said = (
                f"{told.units} units at {price} or better, its fee {told.fee_ppm} ppm,"
                f" {told.latency_ms} ms"
            )
        case Why.slow:
            said = (
                f"left out, too slow: {told.latency_ms} ms, of which {latency_ms_max} are allowed"
            )
        case Why.nothing:
            said = "left out, it offers nothing within the limit"
        case Why.minimum:
            said = f"left out, its minimum of {told.minimum} units is more than can be had of it"
        case Why.dearer:
            said = (
                f"left out, {price} and {told.fee_ppm} ppm are no better than what the others gave"
            )
    return f"{told.venue}: {said}"


def document(found: Route) -> dict[str, Any]:
    """The route as it is kept with its order."""
    return {
        "children": [
            {"venue": each.venue, "units": each.units, "price": rate.write_price(each.price)}
            for each in found.children
        ],
        "left": found.left,
        "reasons": found.reasons,
        "venues": [
            {
                "venue": each.venue,
                "why": each.why.value,
                "units": each.units,
                "price": None if each.price is None else rate.write_price(each.price),
                "fee_ppm": each.fee_ppm,
                "latency_ms": each.latency_ms,
                "minimum": each.minimum,
            }
            for each in found.told
        ],
    }
