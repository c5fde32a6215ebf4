"""Refunds, as rules: the cap in two units, what one refund takes, what its payout says of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.networks import a_token

from sakk.core import chart, ids, money
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.money import UNITS_MAX, Rate
from sakk.core.network import Asset
from sakk.core.payment import Quote
from sakk.core.payout import PayoutStatus
from sakk.core.payout_posting import hold_posting
from sakk.core.refund import (
    FailureReason,
    Given,
    Refund,
    RefundStatus,
    Share,
    carrier,
    choose,
    coin_rate,
    grain,
    is_claimable,
    of_credit,
    outcome,
    payout_id,
    public,
    remaining,
    sent_units,
    suspended,
    token_units,
    total_fee,
)

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NETWORK = "eip155:84532"
USDC = f"{NETWORK}/erc20:0x{'aa' * 20}"
ADDRESS = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
# Cents for one unit of a coin of six decimals that is worth a dollar.
PAR = Rate(1, 10_000)
RATES = {"usdc": PAR, "usdt": PAR, "eurc": Rate(7, 60_000)}
GRAINS = {"usdc": 1, "usdt": 1, "eurc": 1}
IDENTIFIER = ids.encode("re", 7)


def refund(**changes: Any) -> Refund:
    row = Refund(
        id=IDENTIFIER,
        account_id="acct_1",
        livemode=False,
        payment_intent="pi_1",
        payin=None,
        source="balance",
        amount=2_500,
        currency="usd",
        decimals=2,
        coin="usdc",
        coin_amount=25_000_000,
        coin_decimals=6,
        status="requires_action",
        hold="held",
        metadata={"order": "7"},
        created=MOMENT,
    )
    return replace(row, **changes)


def asset(decimals: int = 6, name: str = USDC) -> Asset:
    return a_token(
        name,
        network=NETWORK,
        contract="0x" + "aa" * 20,
        decimals=decimals,
        sweep_minimum=1,
        created=MOMENT,
    )


def take(
    arrived: dict[str, int],
    *,
    received: int,
    given: tuple[Given, ...] = (),
    amount: int | None = None,
    coin: str | None = None,
    rates: dict[str, Rate] = RATES,
    grains: dict[str, int] = GRAINS,
) -> Share:
    cap = remaining(received, arrived, given)
    return choose(cap, amount=amount, coin=coin, rates=rates, grains=grains)


USDC_25 = {"usdc": 25_000_000}
BOTH = {"usdc": 15_000_000, "usdt": 10_000_000}


@pytest.mark.parametrize(
    ("arrived", "given", "amount", "coin", "expected"),
    [
        (USDC_25, (), None, None, Share(2_500, "usdc", 25_000_000)),
        (USDC_25, (), 1_000, None, Share(1_000, "usdc", 10_000_000)),
        (USDC_25, (), None, "usdc", Share(2_500, "usdc", 25_000_000)),
        # To the last unit, whatever a cent does not see.
        ({"usdc": 25_000_007}, (), None, None, Share(2_500, "usdc", 25_000_007)),
        (
            {"usdc": 25_000_007},
            (Given(1_000, "usdc", 10_000_000),),
            1_500,
            None,
            Share(1_500, "usdc", 15_000_007),
        ),
        # In another coin of the balance, by its own locked rate, rounded down.
        (USDC_25, (), None, "eurc", Share(2_500, "eurc", 21_428_571)),
        (USDC_25, (), 1_000, "usdt", Share(1_000, "usdt", 10_000_000)),
        # After a part in another coin the rest is what the payment's own unit leaves.
        (
            USDC_25,
            (Given(1_000, "usdt", 10_000_000),),
            None,
            None,
            Share(1_500, "usdc", 15_000_000),
        ),
        # Of several coins the one that has most left and enough of it.
        (BOTH, (), 1_200, None, Share(1_200, "usdc", 12_000_000)),
        (
            BOTH,
            (Given(1_200, "usdc", 12_000_000),),
            1_000,
            None,
            Share(1_000, "usdt", 10_000_000),
        ),
        (BOTH, (), None, "usdt", Share(1_000, "usdt", 10_000_000)),
        (BOTH, (Given(1_000, "usdt", 10_000_000),), None, None, Share(1_500, "usdc", 15_000_000)),
    ],
)
def test_what_a_refund_takes(
    arrived: dict[str, int],
    given: tuple[Given, ...],
    amount: int | None,
    coin: str | None,
    expected: Share,
) -> None:
    assert take(arrived, received=2_500, given=given, amount=amount, coin=coin) == expected


@pytest.mark.parametrize(
    ("arrived", "options", "error", "param"),
    [
        (USDC_25, {"amount": 2_501}, ParameterInvalid, "amount"),
        (USDC_25, {"received": 0}, UnexpectedState, None),
        ({}, {"received": 0}, UnexpectedState, None),
        (USDC_25, {"given": (Given(2_500, "usdc", 25_000_000),)}, UnexpectedState, None),
        # A reorganisation took more than what is left.
        (USDC_25, {"given": (Given(3_000, "usdc", 30_000_000),)}, UnexpectedState, None),
        (USDC_25, {"coin": "doge"}, ParameterInvalid, "currency"),
        (BOTH, {}, ParameterInvalid, "currency"),
        (BOTH, {"amount": 1_600}, ParameterInvalid, "currency"),
        (BOTH, {"amount": 1_600, "coin": "usdc"}, ParameterInvalid, "amount"),
        ({"doge": 1}, {}, UnexpectedState, None),
        (USDC_25, {"amount": 1, "rates": {"usdc": Rate(2, 1)}}, ParameterInvalid, "amount"),
        (USDC_25, {"amount": 1, "grains": {"usdc": 10**6}}, ParameterInvalid, "amount"),
        (
            USDC_25,
            {"coin": "usdt", "rates": {"usdt": Rate(1, UNITS_MAX)}},
            ParameterInvalid,
            "amount",
        ),
    ],
)
def test_what_a_refund_can_not_take(
    arrived: dict[str, int], options: dict[str, Any], error: type[Exception], param: str | None
) -> None:
    with pytest.raises(error) as caught:
        take(arrived, **{"received": 2_500, **options})
    assert getattr(caught.value, "param", None) == param


@given(data=st.data())
def test_no_sequence_of_refunds_exceeds_what_arrived(data: st.DataObject) -> None:
    """In the intent's unit, in each coin, and in what the coins are worth; to zero if all is."""
    coins = data.draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=2, unique=True))
    number = st.integers(1, 10**12)
    rates = {coin: Rate(data.draw(number), data.draw(number)) for coin in "abc"}
    arrived = {coin: data.draw(st.integers(0, 10**24)) for coin in coins}
    received = sum(money.convert_down(units, rates[coin]) for coin, units in arrived.items())
    grains = {coin: 10 ** data.draw(st.integers(0, 2)) for coin in "abc"}
    earlier: list[Given] = []
    for _ in range(data.draw(st.integers(1, 8))):
        cap = remaining(received, arrived, earlier)
        amount = data.draw(st.none() | st.integers(1, max(1, cap.amount + 1)))
        coin = data.draw(st.none() | st.sampled_from("abc"))
        try:
            share = choose(cap, amount=amount, coin=coin, rates=rates, grains=grains)
        except (ParameterInvalid, UnexpectedState):
            continue
        assert 0 < share.amount <= cap.amount
        assert share.coin_amount > 0
        assert share.coin_amount % grains[share.coin] == 0
        assert share.coin_amount <= cap.coins.get(share.coin, UNITS_MAX)
        if cap.sole is None or share.amount < cap.amount:
            # Never worth more than it says; the last one of a sole coin gives all that is left.
            rate = rates[share.coin]
            assert share.coin_amount * rate.numerator <= share.amount * rate.denominator
        earlier.append(Given(share.amount, share.coin, share.coin_amount))
    assert sum(each.amount for each in earlier) <= received
    for coin, units in arrived.items():
        assert sum(each.coin_amount for each in earlier if each.coin == coin) <= units
    after = remaining(received, arrived, earlier)
    if len(arrived) == 1 and after.amount == 0 and earlier and set(grains.values()) == {1}:
        [(coin, units)] = arrived.items()
        if {each.coin for each in earlier} == {coin}:
            assert sum(each.coin_amount for each in earlier) == units


@pytest.mark.parametrize(
    ("left", "amount", "rate", "expected"),
    [
        (5_000_000, None, PAR, (500, 5_000_000)),
        # All of it, to the last unit, also when asked for by what it is worth.
        (5_000_007, None, PAR, (500, 5_000_007)),
        (5_000_007, 500, PAR, (500, 5_000_007)),
        (5_000_007, 200, PAR, (200, 2_000_000)),
    ],
)
def test_what_a_refund_takes_of_suspense(
    left: int, amount: int | None, rate: Rate, expected: tuple[int, int]
) -> None:
    assert suspended(left, amount=amount, rate=rate) == expected


@pytest.mark.parametrize(
    ("left", "amount", "rate", "error"),
    [
        (0, None, PAR, UnexpectedState),
        (5_000_000, 501, PAR, ParameterInvalid),
        (5_000, None, PAR, ParameterInvalid),
        (3, 1, Rate(2, 1), ParameterInvalid),
    ],
)
def test_what_a_refund_can_not_take_of_suspense(
    left: int, amount: int | None, rate: Rate, error: type[Exception]
) -> None:
    with pytest.raises(error):
        suspended(left, amount=amount, rate=rate)


def test_what_a_refund_takes_of_a_credit() -> None:
    assert (of_credit(5, amount=None), of_credit(5, amount=5), of_credit(5, amount=1)) == (5, 5, 1)
    with pytest.raises(ParameterInvalid):
        of_credit(5, amount=6)
    with pytest.raises(UnexpectedState):
        of_credit(0, amount=None)


def test_a_coins_rate_is_the_quotes() -> None:
    # A token of 18 decimals, a coin of six: a cent is 10,000 units of the coin.
    quote = Quote(NETWORK, USDC, "0x", "usdc", 18, 1, Rate(1, 10**16), "")
    rate = coin_rate(quote, coin_decimals=6)
    assert money.convert_down(25_000_000, rate) == 2_500


def test_the_finest_token_sets_the_grain() -> None:
    assert grain([asset(2), asset(4)], coin_decimals=6) == 100
    assert grain([asset(18)], coin_decimals=6) == 1


@pytest.mark.parametrize(
    ("changes", "token", "expected"),
    [
        ({}, asset(), 25_000_000),
        ({}, asset(18), 25 * 10**18),
        ({"coin_amount": 25_000_001}, asset(2), None),
        ({"coin_amount": UNITS_MAX}, asset(18), None),
        # What stands in suspense goes back as it came.
        ({"source": "suspense", "asset": USDC, "token_amount": 7}, asset(), 7),
        ({"source": "suspense", "asset": USDC, "token_amount": 7}, asset(name="other"), None),
    ],
)
def test_the_units_that_are_sent(
    changes: dict[str, Any], token: Asset, expected: int | None
) -> None:
    assert token_units(refund(**changes), token) == expected


def test_the_payout_that_carries_it_has_its_number_and_holds_the_same_before_it_is_aimed() -> None:
    row = refund()
    payout = carrier(row)
    assert payout.id == payout_id(row) == ids.encode("po", 7)
    assert (payout.purpose, payout.amount, payout.currency, payout.fee) == (
        "refund",
        25_000_000,
        "usdc",
        0,
    )
    aimed = replace(row, network=NETWORK, asset=USDC, token_amount=25_000_000, destination=ADDRESS)
    assert hold_posting(carrier(aimed)) == hold_posting(payout)
    assert hold_posting(payout).debit == chart.merchant("acct_1", "available", "test/usdc")
    assert carrier(aimed).destination == ADDRESS


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"status": "pending"}, False),
        ({"claimed_at": MOMENT}, False),
        ({"claim_expires_at": None}, False),
        ({"claim_expires_at": MOMENT}, False),
    ],
)
def test_who_may_still_claim(changes: dict[str, Any], expected: bool) -> None:
    row = replace(refund(claim_expires_at=MOMENT + timedelta(seconds=1)), **changes)
    assert is_claimable(row, MOMENT) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("requested", (RefundStatus.pending, None)),
        ("screened", (RefundStatus.pending, None)),
        ("approved", (RefundStatus.pending, None)),
        ("signed", (RefundStatus.pending, None)),
        ("broadcast", (RefundStatus.pending, None)),
        ("unknown", (RefundStatus.pending, None)),
        ("confirmed", (RefundStatus.pending, None)),
        ("posted", (RefundStatus.succeeded, None)),
        ("rejected", (RefundStatus.failed, FailureReason.declined)),
        ("failed", (RefundStatus.failed, FailureReason.transfer_failed)),
        ("canceled", (RefundStatus.canceled, None)),
    ],
)
def test_a_refund_follows_its_payout(status: str, expected: Any) -> None:
    assert outcome(replace(carrier(refund()), status=status)) == expected


def test_every_status_of_a_payout_is_followed() -> None:
    for status in PayoutStatus:
        outcome(replace(carrier(refund()), status=status.value))


def test_what_is_shown() -> None:
    expires_at = MOMENT + timedelta(days=30)
    shown = public(refund(claim_expires_at=expires_at, payout="po_1"), operator=False)
    assert (shown["object"], shown["amount"], shown["amount_decimal"]) == ("refund", 2_500, "25.00")
    assert (shown["sent_currency"], shown["sent_amount_decimal"]) == ("usdc", "25.000000")
    assert shown["next_action"] == {
        "type": "claim",
        "claim": {"expires_at": int(expires_at.timestamp()), "url": None},
    }
    assert (shown["destination"], shown["token_amount"], shown["payout"]) == (None, None, None)
    linked = public(refund(claim_expires_at=expires_at), operator=False, claim_url="https://x")
    assert linked["next_action"]["claim"]["url"] == "https://x"


def test_what_the_operator_sees_besides() -> None:
    row = refund(
        status="pending",
        payout="po_1",
        network=NETWORK,
        asset=USDC,
        token_amount=25_000_000,
        destination=ADDRESS,
    )
    shown = public(row, operator=True)
    assert shown["payout"] == "po_1"
    assert shown["next_action"] is None
    assert shown["token_amount"] == "25000000"
    assert shown["destination"] == {
        "network": NETWORK,
        "address": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    }


@pytest.mark.parametrize(
    ("fee", "mode", "sent", "debited_mode"),
    [
        (0, "merchant", 25_000_000, "sender"),
        (700_000, "merchant", 25_000_000, "sender"),
        (700_000, "payer", 24_300_000, "receiver"),
        # Not known before it is known on which network it is sent.
        (None, "payer", 25_000_000, "receiver"),
    ],
)
def test_who_bears_the_fee(fee: int | None, mode: str, sent: int, debited_mode: str) -> None:
    row = refund(fee=fee, fee_mode=mode)
    assert (sent_units(row), token_units(row, asset())) == (sent, sent)
    payout = carrier(row)
    assert (payout.amount, payout.fee, payout.fee_mode) == (25_000_000, fee or 0, debited_mode)
    shown = public(row, operator=False)
    assert (shown["fee"], shown["fee_mode"], shown["sent_amount"]) == (fee, mode, sent)
    assert shown["fee_decimal"] == (None if fee is None else money.format_decimal(fee, 6))


def test_a_payers_fee_that_leaves_nothing_can_not_be_sent() -> None:
    assert token_units(refund(fee=25_000_000, fee_mode="payer"), asset()) is None
    assert token_units(refund(fee=25_000_001, fee_mode="payer"), asset()) is None


def test_a_fee_is_what_a_token_can_carry() -> None:
    assert total_fee(7, 5, asset(6), coin_decimals=6) == 12
    # A token of two decimals carries ten thousand units of a coin of six at least.
    assert total_fee(7, 5, asset(2), coin_decimals=6) == 10_000
    assert total_fee(0, 0, asset(2), coin_decimals=6) == 0
