"""Split bills: shares sum to the bill, whatever is asked."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core.bill import Bill, Share, public, shares_of
from sakk.core.errors import ParameterInvalid

from .test_money_request import REQUEST


@given(
    amount=st.integers(1, 10**30),
    weights=st.lists(st.integers(1, 10**6), min_size=1, max_size=20),
    fixed=st.lists(st.integers(1, 10**6), max_size=5),
    own=st.none() | st.integers(0, 10**6),
    own_weight=st.integers(0, 10**6),
)
def test_shares_sum_to_the_bill(
    amount: int, weights: list[int], fixed: list[int], own: int | None, own_weight: int
) -> None:
    asked = [Share("@a", weight=each) for each in weights] + [Share("@b", each) for each in fixed]
    try:
        mine, theirs = shares_of(amount, asked, own_amount=own, own_weight=own_weight)
    except ParameterInvalid:
        # Only where too little is left for one of them.
        assert amount - sum(fixed) - (own or 0) < (sum(weights) + own_weight) * 2
        return
    assert mine + sum(theirs) == amount
    assert theirs[len(weights) :] == fixed
    assert mine == own if own is not None else mine >= 0


@pytest.mark.parametrize(
    ("amount", "shares", "own_amount", "own_weight", "divided"),
    [
        (100, [Share("@a"), Share("@b")], None, 1, (34, [33, 33])),
        (100, [Share("@a"), Share("@b")], 0, 1, (0, [50, 50])),
        (100, [Share("@a", 30), Share("@b")], None, 0, (0, [30, 70])),
        (100, [Share("@a", 100)], None, 1, (0, [100])),
        (100, [Share("@a", 60)], 40, 1, (40, [60])),
    ],
)
def test_how_it_is_divided(
    amount: int,
    shares: list[Share],
    own_amount: int | None,
    own_weight: int,
    divided: tuple[int, list[int]],
) -> None:
    assert shares_of(amount, shares, own_amount=own_amount, own_weight=own_weight) == divided


@pytest.mark.parametrize(
    ("amount", "shares", "own_amount", "param"),
    [
        (100, [Share("@a", 101)], None, "shares"),
        (100, [Share("@a", 50)], 40, "shares"),
        (1, [Share("@a"), Share("@b")], None, "shares[0]"),
        (100, [Share("@a", 100), Share("@b")], None, "shares[1]"),
    ],
)
def test_what_can_not_be_divided(
    amount: int, shares: list[Share], own_amount: int | None, param: str
) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        shares_of(amount, shares, own_amount=own_amount, own_weight=1)
    assert caught.value.param == param


def test_what_is_shown() -> None:
    bill = Bill(
        id="bill_1",
        account_id="acct_1",
        livemode=False,
        amount=150,
        own_share=50,
        currency="usdc",
        decimals=6,
        note=None,
        metadata={},
        created=datetime(2026, 1, 2, tzinfo=UTC),
    )
    shown = public(bill, [REQUEST])
    assert (shown["amount_open"], shown["amount_paid"], len(shown["shares"])) == (100, 0, 1)
