"""The router against every way there is, on books small enough to try them all."""

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sakk.core import router as rules
from sakk.core.rate import MILLION, SCALE
from sakk.core.router import Book, Child, Level, Side, Wanted


def book(
    venue: str, *levels: tuple[int, int], fee_ppm: int = 0, latency_ms: int = 10, minimum: int = 0
) -> Book:
    made = tuple(Level(price * SCALE // 100, units) for price, units in levels)
    return Book(venue, made, fee_ppm, latency_ms, minimum)


def order(units: int, *, side: Side = Side.buy, limit: int = 200) -> Wanted:
    return Wanted(side, units, limit * SCALE // 100, 100)


@pytest.mark.parametrize(
    ("wanted", "books", "children", "left"),
    [
        (order(10), [], [], 10),
        # The cheaper one first, then the dearer for the rest.
        (order(10), [book("a", (100, 6)), book("b", (101, 9))], [("a", 6, 100), ("b", 4, 101)], 0),
        # What is cheaper before the fee is dearer after it.
        (order(5), [book("a", (100, 9), fee_ppm=20_000), book("b", (101, 9))], [("b", 5, 101)], 0),
        # Levels of both in turn, and a limit beyond which nothing is taken.
        (
            order(10, limit=103),
            [book("a", (100, 2), (102, 2), (104, 9)), book("b", (101, 3))],
            [("a", 4, 102), ("b", 3, 101)],
            3,
        ),
        # Whoever buys dearest, when we sell.
        (
            order(10, side=Side.sell, limit=90),
            [book("a", (99, 4), (95, 4)), book("b", (97, 4))],
            [("a", 6, 95), ("b", 4, 97)],
            0,
        ),
        (order(4, side=Side.sell, limit=98), [book("a", (97, 4))], [], 4),
        # A minimum for which the cheaper one gives way, and one that is not worth it.
        (
            order(10),
            [book("a", (100, 8)), book("b", (101, 9), minimum=5)],
            [("a", 5, 100), ("b", 5, 101)],
            0,
        ),
        (order(4), [book("a", (100, 9)), book("b", (99, 9), minimum=5)], [("a", 4, 100)], 0),
        (
            order(10),
            [book("a", (100, 10)), book("b", (100, 10), latency_ms=5)],
            [("b", 10, 100)],
            0,
        ),
        (order(10), [book("a", (100, 10), latency_ms=101)], [], 10),
    ],
)
def test_an_order_is_split(
    wanted: Wanted, books: list[Book], children: list[tuple[str, int, int]], left: int
) -> None:
    found = rules.route(wanted, books)
    assert found.children == tuple(
        Child(venue, units, price * SCALE // 100) for venue, units, price in children
    )
    assert found.left == left
    assert len(found.reasons) == len(books)


def test_the_choice_is_told_in_words() -> None:
    found = rules.route(
        order(10, limit=105),
        [
            book("best", (100, 20)),
            book("dear", (104, 20), fee_ppm=500),
            book("empty"),
            book("picky", (99, 20), minimum=11),
            book("slow", (90, 20), latency_ms=500),
        ],
    )
    assert list(found.reasons) == [
        "best: 10 units at 1 or better, its fee 0 ppm, 10 ms",
        "dear: left out, 1.04 and 500 ppm are no better than what the others gave",
        "empty: left out, it offers nothing within the limit",
        "picky: left out, its minimum of 11 units is more than can be had of it",
        "slow: left out, too slow: 500 ms, of which 100 are allowed",
    ]
    assert rules.document(found)["children"] == [{"venue": "best", "units": 10, "price": "1"}]


@pytest.mark.parametrize(
    "changes",
    [{"fee_ppm": -1}, {"fee_ppm": rules.FEE_PPM_MAX + 1}, {"minimum": -1}, {"latency_ms": -1}],
)
def test_a_book_that_is_none(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        book("a", (100, 1), **changes)
    for levels in (((0, 1),), ((1, 0),), ((1, 1),) * (rules.LEVELS_MAX + 1)):
        with pytest.raises(ValueError, match="a level without"):
            book("a", *levels)


def test_venues_are_few_and_named() -> None:
    for names in ("aa", "abcdefghi"):
        with pytest.raises(ValueError, match="at most 8 venues"):
            rules.route(order(1), [book(name, (100, 1)) for name in names])


VENUES = st.builds(
    lambda levels, fee, minimum: (levels, fee, minimum),
    st.lists(st.tuples(st.integers(95, 105), st.integers(1, 3)), min_size=1, max_size=2),
    st.sampled_from([0, 5_000, 20_000]),
    st.integers(0, 4),
)


@settings(max_examples=60)
@given(st.lists(VENUES, min_size=1, max_size=3), st.integers(1, 9), st.sampled_from(Side))
def test_no_other_way_is_better(
    venues: list[tuple[list[tuple[int, int]], int, int]], units: int, side: Side
) -> None:
    """Every division of an order over venues is tried: none has more, or as much for less."""
    books = [
        book(str(place), *sorted(levels, reverse=side is Side.sell), fee_ppm=fee, minimum=minimum)
        for place, (levels, fee, minimum) in enumerate(venues)
    ]
    wanted = order(units, side=side, limit=101 if side is Side.buy else 98)
    found = rules.route(wanted, books)
    given_to = {child.venue: child.units for child in found.children}
    scores = [
        _score(wanted, books, shares)
        for shares in product(range(units + 1), repeat=len(books))
        if sum(shares) <= units
    ]
    best = max(score for score in scores if score is not None)
    assert _score(wanted, books, [given_to.get(each.venue, 0) for each in books]) == best
    assert sum(given_to.values()) + found.left == units


def _score(wanted: Wanted, books: list[Book], shares: Sequence[int]) -> tuple[int, int] | None:
    """How much, and (below zero) for what; None for a division that a venue does not take."""
    total = cost = 0
    for each, share in zip(books, shares, strict=True):
        if share and share < each.minimum:
            return None
        left = share
        for level in each.levels:
            sign = 1 if wanted.side is Side.buy else -1
            price = sign * level.price * (MILLION + sign * each.fee_ppm)
            taken = min(left, level.units) if price <= sign * wanted.limit * MILLION else 0
            cost += taken * price
            left -= taken
        if left:
            return None
        total += share
    return total, -cost
