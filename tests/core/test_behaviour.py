"""Each method on its own, with numbers worked by hand."""

import pytest

from sakk.core.behaviour import (
    Counted,
    Peel,
    WindowKey,
    band,
    is_fast,
    passed_through_ppm,
    peel_length,
    with_itself,
)
from sakk.core.screening import Direction


@pytest.mark.parametrize(
    ("counted", "count_min", "units_min", "fast"),
    [
        (Counted(5, 100), 5, None, True),
        (Counted(4, 100), 5, None, False),
        (Counted(4, 100), None, 100, True),
        (Counted(4, 99), None, 100, False),
        (Counted(4, 100), 5, 100, True),
        (Counted(4, 99), 5, 100, False),
        # More rows than are read: at least so much, so it can not be said that it is less.
        (Counted(10_000, 99, is_cut=True), None, 100, True),
        (Counted(4, 99), None, None, False),
    ],
)
def test_velocity(
    counted: Counted, count_min: int | None, units_min: int | None, fast: bool
) -> None:
    assert is_fast(counted, count_min=count_min, units_min=units_min) is fast


@pytest.mark.parametrize(
    ("threshold", "width_ppm", "expected"),
    [
        (10_000, 100_000, (9_000, 10_000)),  # 10 % below 10,000
        (10_000, 1_000_000, (0, 10_000)),
        (999, 100_000, (900, 999)),  # a tenth of 999 is 99 and a bit
        (1_000, 1, (1_000, 1_000)),  # narrower than a unit: nothing lies in it
    ],
)
def test_just_below_a_threshold(threshold: int, width_ppm: int, expected: tuple[int, int]) -> None:
    assert band(threshold, width_ppm=width_ppm) == expected


@pytest.mark.parametrize(
    ("units_in", "units_out", "share"),
    [
        (1_000, 1_000, 1_000_000),
        (1_000, 950, 950_000),  # 95 % of what came went on
        (950, 1_000, 950_000),
        (10, 1_000, 10_000),  # paid out of an old balance
        (0, 1_000, 0),
        (0, 0, 0),
        (3, 2, 666_666),  # rounded down
    ],
)
def test_pass_through(units_in: int, units_out: int, share: int) -> None:
    assert passed_through_ppm(units_in=units_in, units_out=units_out) == share


def peel(units_in: int, units_on: int) -> Peel:
    return Peel("0x", units_in, units_on)


@pytest.mark.parametrize(
    ("chain", "length"),
    [
        ([], 0),
        # 1,000 → 950 → 910 → 880: each keeps at most a twentieth.
        ([peel(910, 880), peel(950, 910), peel(1_000, 950)], 3),
        # The second keeps a tenth, twice as much as is allowed: the chain ends before it.
        ([peel(900, 880), peel(1_000, 900), peel(1_000, 990)], 1),
        # All of it is passed on: forwarding, no peeling.
        ([peel(900, 900), peel(1_000, 990)], 0),
        # More went on than came over the chain: other money was added.
        ([peel(900, 901)], 0),
        # Exactly a twentieth counts.
        ([peel(1_000, 950)], 1),
    ],
)
def test_peel_chain(chain: list[Peel], length: int) -> None:
    assert peel_length(chain, peel_max_ppm=50_000) == length


def test_a_window_has_one_name() -> None:
    whole = WindowKey(Direction.incoming, "account", 3_600)
    assert whole.name == "incoming/account/3600"
    assert whole._replace(low=9, high=10).name == "incoming/account/3600/9-10"
    assert whole._replace(low=0, high=10).name == "incoming/account/3600/0-10"


@pytest.mark.parametrize(
    ("key", "direction", "amount", "expected"),
    [
        (WindowKey("outgoing", "account", 60), "outgoing", 5, Counted(3, 15)),
        (WindowKey("outgoing", "account", 60), "outgoing", None, Counted(3, 10)),
        (WindowKey("incoming", "account", 60), "outgoing", 5, Counted(2, 10)),
        (WindowKey("outgoing", "account", 60, 5, 6), "outgoing", 5, Counted(3, 15)),
        (WindowKey("outgoing", "account", 60, 6, 9), "outgoing", 5, Counted(2, 10)),
        (WindowKey("outgoing", "account", 60, 1, 5), "outgoing", 5, Counted(2, 10)),
    ],
)
def test_what_is_asked_about_before_it_is_there_counts_itself(
    key: WindowKey, direction: str, amount: int | None, expected: Counted
) -> None:
    assert with_itself(Counted(2, 10), key, direction=direction, amount=amount) == expected
