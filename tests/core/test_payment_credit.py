"""What pays a payment without a chain: who may, at which rate, and what follows."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.test_payment import EXPIRY, START, USDC, intent, quote

from sakk.core.account import PaymentPolicy
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.money import Rate
from sakk.core.payment import Contribution, assess
from sakk.core.payment_credit import (
    PaymentCredit,
    check_payable,
    coin_rate,
    goes_back,
    units_for,
    value_of,
)

POLICY = PaymentPolicy()


def test_only_what_is_asked_for_is_paid() -> None:
    check_payable(intent(), now=START)
    with pytest.raises(UnexpectedState, match="succeeded"):
        check_payable(intent(status="succeeded"), now=START)
    with pytest.raises(UnexpectedState, match="over"):
        check_payable(intent(), now=EXPIRY + timedelta(seconds=1))


def test_a_coin_is_worth_what_its_quote_says_and_its_own_currency_itself() -> None:
    assert coin_rate(intent(), "usd", coin_decimals=2) == Rate(1, 1)
    rate = coin_rate(intent(), "usdc", coin_decimals=6)
    assert (units_for(2_500, rate), value_of(25_000_000, rate, due=2_500)) == (25_000_000, 2_500)
    assert value_of(19_999, rate, due=2_500) == 1
    with pytest.raises(ParameterInvalid, match="usd, usdc"):
        coin_rate(intent(), "eth", coin_decimals=18)


def test_what_pays_all_that_is_due_is_worth_exactly_that() -> None:
    """Whatever the coin's rate rounds to."""
    third = coin_rate(
        intent(quotes=[quote(rate=Rate(100, 3 * 10**6)).to_document()]), "usdc", coin_decimals=2
    )
    units = units_for(2_500, third)
    assert value_of(units, third, due=2_500) == 2_500
    assert value_of(units - 1, third, due=2_500) < 2_500


@pytest.mark.parametrize(
    ("credited", "held", "tokens", "posted", "status", "received", "takes"),
    [
        (0, 500, 0, True, "requires_action", 0, False),
        (0, 500, 20_000_000, False, "processing", 0, False),
        (0, 500, 20_000_000, True, "processing", 2_000, True),
        (0, 2_500, 0, True, "processing", 0, True),
        (500, 0, 20_000_000, True, "succeeded", 2_500, False),
        (2_500, 0, 0, True, "succeeded", 2_500, False),
        # More than all: what is held was promised, and counts before anything has succeeded.
        (0, 500, 25_000_000, True, "processing", 2_500, True),
        (0, 500, 19_000_000, True, "requires_action", 1_900, False),
    ],
)
def test_what_is_held_counts_with_the_rest(
    credited: int, held: int, tokens: int, posted: bool, status: str, received: int, takes: bool
) -> None:
    paid = [Contribution(USDC, tokens, posted, 0)] if tokens else []
    found = assess(intent(amount_credited=credited, amount_held=held), paid, policy=POLICY)
    assert (found.status, found.amount_received, found.takes_held) == (status, received, takes)


@given(st.integers(1, 10_000), st.lists(st.integers(1, 2_000), max_size=6))
def test_what_goes_back_to_a_card_in_any_steps_is_what_it_paid(
    value: int, steps: list[int]
) -> None:
    of = sum(steps) + 1
    part = PaymentCredit(
        id="gcm_1",
        payment_intent="pi_1",
        kind="gift_card",
        value=value,
        status="posted",
        created=START,
    )
    before = total = 0
    for units in [*steps, 1]:
        gone = goes_back(intent(), part, units=units, before=before, of=of)
        assert gone >= 0
        total += gone
        before += units
    assert total == value
    for ended in ("succeeded", "canceled"):
        assert goes_back(intent(status=ended), part, units=of, before=0, of=of) == 0
