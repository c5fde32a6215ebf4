"""Gas prices, as rules: what is offered, within which caps, and how much more the next time."""

import pytest

from sakk.core.gas_price import (
    GWEI,
    PRIORITY_FEE_FLOOR_WEI,
    Caps,
    Fees,
    FeesAboveCap,
    Reward,
    in_coins,
    is_enough,
    next_base_fee,
    quote,
    raised,
    tip,
    with_headroom,
)

FLOOR = PRIORITY_FEE_FLOOR_WEI


def busy(*wei: int) -> list[Reward]:
    return [Reward(each, busy=True) for each in wei]


def idle(*wei: int) -> list[Reward]:
    return [Reward(each, busy=False) for each in wei]


@pytest.mark.parametrize(
    ("rewards", "cap", "given"),
    [
        ([], 50 * GWEI, FLOOR),
        (idle(0, 0, 0, 0), 50 * GWEI, FLOOR),
        (busy(GWEI, 3 * GWEI, 2 * GWEI), 50 * GWEI, 2 * GWEI),
        (busy(GWEI, 3 * GWEI, 2 * GWEI) + idle(0, 0, 0, 0), 50 * GWEI, 2 * GWEI),
        (busy(1, 1, 1), 50 * GWEI, FLOOR),
        (busy(90 * GWEI), 50 * GWEI, 50 * GWEI),
        (busy(GWEI), 3, 3),
        # One bribe in an otherwise quiet history moves nothing.
        (busy(GWEI, GWEI, GWEI, 10**15), 50 * GWEI, GWEI),
        # A chain without tips shows it in several blocks with transactions.
        (busy(0, 0), 50 * GWEI, FLOOR),
        (busy(0, 0, 0), 50 * GWEI, 0),
        (busy(0, 0, 0) + idle(7, 7), 50 * GWEI, 0),
    ],
)
def test_the_tip_is_the_median_within_floor_and_cap(
    rewards: list[Reward], cap: int, given: int
) -> None:
    assert tip(rewards, cap=cap) == given


@pytest.mark.parametrize(
    ("base", "blocks", "highest"),
    [(0, 6, 0), (1, 1, 2), (8, 1, 9), (9, 1, 11), (800, 2, 1_013), (10**9, 0, 10**9)],
)
def test_headroom_is_rounded_up_in_every_block(base: int, blocks: int, highest: int) -> None:
    assert with_headroom(base, blocks=blocks) == highest


def test_six_full_blocks_in_a_row_are_covered() -> None:
    base = highest = 7 * GWEI + 3
    for _ in range(6):
        base = next_base_fee(base, gas_used=30_000_000, gas_limit=30_000_000)
    assert 2 * highest < base <= with_headroom(highest)


@pytest.mark.parametrize(
    ("base", "used", "limit", "following"),
    [
        (1_000, 15, 30, 1_000),
        (1_000, 30, 30, 1_125),
        (1_000, 0, 30, 875),
        (1, 30, 30, 2),
        (1_000, 16, 30, 1_008),
        (0, 0, 30, 0),
        (1_000, 0, 0, 875),
    ],
)
def test_the_next_base_fee(base: int, used: int, limit: int, following: int) -> None:
    assert next_base_fee(base, gas_used=used, gas_limit=limit) == following


def test_a_quote_has_headroom_below_the_cap() -> None:
    found = quote(10 * GWEI, busy(GWEI), Caps())
    assert found == Fees(with_headroom(10 * GWEI) + GWEI, GWEI, 10 * GWEI)
    assert found.needed == 11 * GWEI
    assert quote(10 * GWEI, busy(GWEI), Caps(12 * GWEI)).max_fee_per_gas == 12 * GWEI
    assert quote(10 * GWEI, busy(GWEI), Caps(11 * GWEI)).max_fee_per_gas == 11 * GWEI


def test_above_the_cap_there_is_no_quote() -> None:
    with pytest.raises(FeesAboveCap, match="11000000000 wei per gas, the cap is 10999999999") as no:
        quote(10 * GWEI, busy(GWEI), Caps(11 * GWEI - 1))
    assert no.value.transient


def test_fees_are_told_in_coins() -> None:
    assert in_coins(2_100_000 * GWEI) == "0.002100000000000000"
    assert in_coins(0) == "0.000000000000000000"


@pytest.mark.parametrize(
    ("offered", "now", "enough"),
    [
        (Fees(21, 1, 10), Fees(21, 1, 10), True),
        (Fees(21, 1, 10), Fees(41, 1, 20), True),
        (Fees(21, 1, 10), Fees(43, 1, 21), False),
        (Fees(21, 1, 10), Fees(23, 2, 10), False),
        (Fees(21, 3, 10), Fees(41, 1, 20), True),
        (Fees(20, 0, 10), Fees(41, 0, 20), True),
    ],
)
def test_when_an_offer_still_stands(offered: Fees, now: Fees, enough: bool) -> None:
    assert is_enough(offered, now) is enough


@pytest.mark.parametrize(
    ("offered", "now", "caps", "following"),
    [
        # What is needed now, where that is more than the least.
        ((2_000, 1_000), (9_000, 3_000), (10_000, 5_000), (9_000, 3_000)),
        # The least that nodes take: a tenth of the maximum, an eighth of the tip, rounded up.
        ((2_001, 1_001), (1, 1), (10_000, 5_000), (2_202, 1_127)),
        # Strictly more, however small.
        ((1, 0), (1, 0), (10, 10), (2, 1)),
        # The maximum is never below the tip.
        ((100, 100), (1, 1), (1_000, 1_000), (113, 113)),
        ((100, 10), (20, 90), (1_000, 1_000), (110, 90)),
        # At most the caps, and never less than nodes demand.
        ((2_000, 1_000), (9_000, 1_000), (2_200, 5_000), (2_200, 1_125)),
        ((2_000, 1_000), (9_000, 1_000), (2_199, 5_000), None),
        ((2_000, 1_000), (9_000, 1_000), (9_000, 1_124), None),
        ((2_000, 1_000), (9_000, 1_000), (9_000, 1_125), (9_000, 1_125)),
    ],
)
def test_a_replacement_offers_more(
    offered: tuple[int, int],
    now: tuple[int, int],
    caps: tuple[int, int],
    following: tuple[int, int] | None,
) -> None:
    found = raised(Fees(*offered, 1), Fees(*now, 7), Caps(*caps))
    assert found == (None if following is None else Fees(*following, 7))
