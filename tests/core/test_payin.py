"""Pay-ins, as rules: what a transfer is, where its units go, and the postings that follow."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.test_payment import EXPIRY, LATE, ON_TIME, START, USDC, USDT, intent, quote

from sakk.core import chart
from sakk.core.account import PaymentPolicy
from sakk.core.chart import TransferCode
from sakk.core.payin import (
    Allocation,
    Match,
    PayIn,
    PayInRole,
    allocate,
    credited_amount,
    is_moved,
    match_payment,
    postings,
    public,
    quarantine_postings,
    reversal_postings,
    seizure_postings,
)
from sakk.core.posting import Posting, reversed_postings

UNIT = "test/usdc"
OTHER = "eip155:84532/erc20:0x" + "cc" * 20
QUOTES = [quote(USDC), quote(USDT)]
DEPOSIT = chart.custody(USDC, "deposit")
BRIDGE, BRIDGE_OUT = chart.conversion_asset(USDC), chart.conversion_currency(USDC, UNIT)
OWED = chart.merchant("acct_1", "available", UNIT)


def payin(units: int = 25_000_000, **changes: Any) -> PayIn:
    row = PayIn(
        id="pin_1",
        account_id="acct_1",
        livemode=False,
        network="eip155:84532",
        asset=USDC,
        currency="usdc",
        decimals=6,
        token_amount=units,
        amount=units,
        address="0x" + "cd" * 20,
        sender="0x" + "ef" * 20,
        tx_hash="0x1",
        log_index=0,
        block_number=1,
        block_hash="0x2",
        block_timestamp=ON_TIME,
        status="confirmed",
        role="payment",
        created=START,
    )
    return replace(row, **changes)


@pytest.mark.parametrize(
    ("asset", "status", "at", "late", "counted_before", "match"),
    [
        (USDC, "requires_action", ON_TIME, "accept", False, Match(PayInRole.payment, True, None)),
        (USDT, "processing", ON_TIME, "suspense", False, Match(PayInRole.payment, True, None)),
        # By its block's time it was paid in time, whatever the intent says by now.
        (USDC, "expired", ON_TIME, "suspense", False, Match(PayInRole.payment, True, None)),
        (USDC, "expired", LATE, "accept", False, Match(PayInRole.payment, True, "late")),
        (USDC, "requires_action", LATE, "accept", False, Match(PayInRole.payment, True, "late")),
        (USDC, "expired", LATE, "credit", False, Match(PayInRole.late, False, "late")),
        (USDC, "expired", LATE, "refund_due", False, Match(PayInRole.late, False, "late")),
        (USDC, "requires_action", LATE, "suspense", False, Match(PayInRole.late, False, "late")),
        (USDC, "succeeded", ON_TIME, "accept", False, Match(PayInRole.finished, False, "finished")),
        (USDC, "canceled", LATE, "accept", False, Match(PayInRole.finished, False, "finished")),
        # Mined again after a reorganisation.
        (USDC, "succeeded", ON_TIME, "accept", True, Match(PayInRole.payment, True, None)),
        (USDC, "expired", LATE, "suspense", True, Match(PayInRole.payment, True, "late")),
        (OTHER, "requires_action", ON_TIME, "accept", False, None),
        (OTHER, "succeeded", LATE, "accept", True, None),
    ],
)
def test_match(
    asset: str, status: str, at: int, late: Any, counted_before: bool, match: Match | None
) -> None:
    found = match_payment(
        asset=asset,
        block_timestamp=at,
        intent=intent(status=status),
        quotes=QUOTES,
        policy=PaymentPolicy(late=late),
        counted_before=counted_before,
    )
    assert found == (match or Match(PayInRole.wrong_asset, False, "wrong_asset"))


def test_last_second_is_in_time() -> None:
    assert int(EXPIRY.timestamp()) == ON_TIME


@pytest.mark.parametrize(
    ("role", "policy", "credit", "reason"),
    [
        ("customer", {}, True, None),
        ("treasury", {}, True, None),
        ("late", {"late": "credit"}, True, "late"),
        ("late", {"late": "accept"}, True, "late"),
        ("late", {"late": "refund_due"}, False, "late_refund_due"),
        ("late", {"late": "suspense"}, False, "late"),
        ("finished", {"finished": "credit"}, True, "finished"),
        ("finished", {"finished": "refund_due"}, False, "finished_refund_due"),
        ("finished", {"finished": "suspense"}, False, "finished"),
        ("wrong_asset", {"wrong_asset": "credit"}, True, "wrong_asset"),
        ("wrong_asset", {"wrong_asset": "refund_due"}, False, "wrong_asset_refund_due"),
        ("wrong_asset", {"wrong_asset": "suspense"}, False, "wrong_asset"),
        ("unlisted", {}, False, "unlisted"),
        (None, {}, False, "unlisted"),
        ("excessive", {}, False, "excessive"),
        ("lost", {}, False, "address_lost"),
    ],
)
def test_allocation_by_role(
    role: str | None, policy: dict[str, Any], credit: bool, reason: str | None
) -> None:
    units = 25_000_000
    found = allocate(
        payin(role=role),
        policy=PaymentPolicy(**policy),
        intent=None,
        quotes=[],
        paid_before=[],
    )
    assert found == Allocation(units if credit else 0, 0 if credit else units, reason)


@pytest.mark.parametrize(
    ("units", "before", "excess"),
    [
        (25_000_000, [], 0),
        (10_000_000, [], 0),
        (25_000_001, [], 1),
        (15_000_000, [(USDC, 10_000_000)], 0),
        (20_000_000, [(USDC, 10_000_000)], 5_000_000),
        (20_000_000, [(USDT, 10_000_000)], 5_000_000),
        (20_000_000, [(USDC, 5_000_000), (USDT, 5_000_000)], 5_000_000),
        (7, [(USDC, 25_000_000)], 7),
        (7, [(USDC, 30_000_000)], 7),
        (7, [(USDT, 30_000_000)], 7),
        # 0.015 USDT are worth 1 cent, rounded down: 24.99 are still asked for.
        (25_000_000, [(USDT, 15_000)], 10_000),
    ],
)
def test_excess_goes_where_the_policy_says(
    units: int, before: list[tuple[str, int]], excess: int
) -> None:
    def decide(over: Any, reason: str | None) -> Allocation:
        return allocate(
            payin(units, reason=reason),
            policy=PaymentPolicy(over=over),
            intent=intent(),
            quotes=QUOTES,
            paid_before=before,
        )

    for over in ("accept", "credit"):
        assert decide(over, "late") == Allocation(units, 0, "over" if excess else "late")
    expected = Allocation(units - excess, excess, "over_refund_due" if excess else None)
    assert decide("refund_due", None) == expected


@pytest.mark.parametrize(("refunded", "excess"), [(0, 10_000_000), (1_000, 0), (999, 10_000)])
def test_what_went_back_is_asked_for_again(refunded: int, excess: int) -> None:
    found = allocate(
        payin(25_000_000),
        policy=PaymentPolicy(over="refund_due"),
        intent=intent(),
        quotes=QUOTES,
        paid_before=[(USDC, 10_000_000)],
        refunded=refunded,
    )
    assert (found.credit_units, found.suspense_units) == (25_000_000 - excess, excess)


@pytest.mark.parametrize(
    ("units", "asset_decimals", "currency_decimals", "result"),
    [
        (25_000_000, 6, 6, (25_000_000, 0)),
        (25, 0, 6, (25_000_000, 0)),
        (25 * 10**18 + 1, 18, 6, (25_000_000, 1)),
        (10**12 - 1, 18, 6, (0, 10**12 - 1)),
        (26, 0, 0, (26, 0)),
    ],
)
def test_credited_amount(
    units: int, asset_decimals: int, currency_decimals: int, result: tuple[int, int]
) -> None:
    found = credited_amount(
        units, asset_decimals=asset_decimals, currency_decimals=currency_decimals
    )
    assert found == result


def book(row: PayIn, asset_decimals: int = 6, source: str = "custody") -> list[Posting]:
    return postings(row, asset_decimals=asset_decimals, currency_decimals=6, source=source)


def test_a_fee_is_a_transfer_beside_the_credit_and_a_reversal_gives_it_back() -> None:
    booked = book(payin(credit_units=25_000_000, fee=350_000))
    owed = chart.merchant("acct_1", "available", "test/usdc")
    earned = chart.fee_revenue("test/usdc")
    bridge = chart.conversion_currency(USDC, "test/usdc")
    code = TransferCode.payin_reversed
    assert booked[-1] == Posting(owed, earned, 350_000, TransferCode.payin_fee)
    undo = reversal_postings(booked)
    assert undo[0] == Posting(earned, bridge, 350_000, code)
    assert undo[1] == Posting(owed, bridge, 24_650_000, code)
    assert len(undo) == 3
    # A fee that took all of it leaves nothing for the merchant to give back.
    whole = reversal_postings(book(payin(credit_units=25_000_000, fee=25_000_000)))
    assert [each.debit for each in whole[:1]] == [earned]
    assert len(whole) == 2
    # Of what was refunded before the chain undid it the fee is charged, and goes back at once.
    again = book(payin(credit_units=25_000_000, fee=350_000, fee_returned=350_000))
    assert again[-1] == Posting(earned, owed, 350_000, TransferCode.fee_returned)
    assert again[:-1] == booked
    free = book(payin(credit_units=25_000_000))
    assert reversal_postings(free) == reversed_postings(free, code)


def test_postings_of_a_credit() -> None:
    row = payin(credit_units=25_000_000, suspense_units=0)
    assert book(row) == [
        Posting(DEPOSIT, BRIDGE, 25_000_000, TransferCode.payin),
        Posting(BRIDGE_OUT, OWED, 25_000_000, TransferCode.payin),
    ]


def test_postings_of_credit_dust_and_suspense() -> None:
    row = payin(30 * 10**18 + 7, credit_units=25 * 10**18 + 7, suspense_units=5 * 10**18)
    assert book(row, 18) == [
        Posting(DEPOSIT, BRIDGE, 25 * 10**18, TransferCode.payin),
        Posting(BRIDGE_OUT, OWED, 25_000_000, TransferCode.payin),
        Posting(DEPOSIT, chart.dust(USDC), 7, TransferCode.payin_dust),
        Posting(DEPOSIT, chart.suspense(USDC), 5 * 10**18, TransferCode.payin_suspense),
    ]


def test_postings_of_nothing_but_dust() -> None:
    row = payin(7, credit_units=7, suspense_units=0)
    assert book(row, 18) == [Posting(DEPOSIT, chart.dust(USDC), 7, TransferCode.payin_dust)]


def test_postings_of_nothing_but_suspense() -> None:
    row = payin(7, credit_units=0, suspense_units=7)
    assert book(row) == [Posting(DEPOSIT, chart.suspense(USDC), 7, TransferCode.payin_suspense)]


def test_postings_of_a_release_come_out_of_quarantine() -> None:
    row = payin(credit_units=20_000_000, suspense_units=5_000_000)
    quarantine = chart.quarantine(USDC)
    assert book(row, source="quarantine") == [
        Posting(quarantine, BRIDGE, 20_000_000, TransferCode.payin_released),
        Posting(BRIDGE_OUT, OWED, 20_000_000, TransferCode.payin_released),
        Posting(quarantine, chart.suspense(USDC), 5_000_000, TransferCode.payin_suspense),
    ]


def test_postings_of_the_treasury_are_the_operators_equity() -> None:
    row = payin(9, role="treasury", account_id=None, credit_units=9)
    hot, equity = chart.custody(USDC, "hot"), chart.equity_operator(USDC)
    assert book(row) == [Posting(hot, equity, 9, TransferCode.treasury_funded)]
    quarantine = chart.quarantine(USDC)
    assert quarantine_postings(row) == [Posting(hot, quarantine, 9, TransferCode.payin_quarantined)]
    assert book(row, source="quarantine") == [
        Posting(quarantine, equity, 9, TransferCode.treasury_funded)
    ]


@pytest.mark.parametrize(
    ("role", "reason", "place", "left"),
    [
        ("vault", None, "cold", None),
        ("treasury", "moved_from_cold", "hot", "cold"),
        ("treasury", "moved_from_hot", "hot", "hot"),
        ("vault", "moved_from_hot", "cold", "hot"),
        ("vault", "moved_from_cold", "cold", "cold"),
    ],
)
def test_what_moves_between_the_operators_own_places_is_no_new_money(
    role: str, reason: str | None, place: chart.Custody, left: chart.Custody | None
) -> None:
    row = payin(9, role=role, account_id=None, credit_units=9, reason=reason)
    equity = chart.equity_operator(row.asset)
    legs = postings(row, asset_decimals=6, currency_decimals=6)
    assert is_moved(row) is (left is not None)
    code = TransferCode.treasury_funded if left is None else TransferCode.treasury_moved
    expected = [Posting(chart.custody(row.asset, place), equity, 9, code)]
    if left is not None:
        expected.append(Posting(equity, chart.custody(row.asset, left), 9, code))
    assert legs == expected


def test_quarantine_keeps_all_of_it() -> None:
    assert quarantine_postings(payin(9)) == [
        Posting(DEPOSIT, chart.quarantine(USDC), 9, TransferCode.payin_quarantined)
    ]


def test_what_is_seized_leaves_quarantine_for_nobody_here() -> None:
    quarantine, seized = chart.quarantine(USDC), chart.seized(USDC)
    assert seized.name == f"seized:{USDC}#{USDC}"
    assert seizure_postings(payin(9)) == [Posting(quarantine, seized, 9, TransferCode.payin_seized)]


@given(
    units=st.integers(1, 2**128 - 1),
    part=st.integers(0, 100),
    asset_decimals=st.integers(0, 24),
    currency_decimals=st.integers(0, 18),
)
def test_custody_takes_every_unit_and_a_reversal_gives_all_of_them_back(
    units: int, part: int, asset_decimals: int, currency_decimals: int
) -> None:
    credit = units * part // 100
    row = payin(units, credit_units=credit, suspense_units=units - credit)
    booked = postings(row, asset_decimals=asset_decimals, currency_decimals=currency_decimals)
    assert sum(each.amount for each in booked if each.debit == DEPOSIT) == units
    owed = sum(each.amount for each in booked if each.credit == OWED)
    assert owed * 10**asset_decimals <= credit * 10**currency_decimals
    totals: dict[str, int] = {}
    for each in [*booked, *reversed_postings(booked, TransferCode.payin_reversed)]:
        totals[each.debit.name] = totals.get(each.debit.name, 0) + each.amount
        totals[each.credit.name] = totals.get(each.credit.name, 0) - each.amount
    assert set(totals.values()) == {0}


def test_public_tells_a_merchant_nothing_of_a_hold() -> None:
    row = payin(status="held", reason="screening_block", screening="scr_1", reviewed=True)
    merchant, operator = public(row, operator=False), public(row, operator=True)
    assert (merchant["status"], merchant["reason"], merchant["screening"]) == (
        "under_review",
        None,
        None,
    )
    assert (operator["status"], operator["reason"], operator["screening"]) == (
        "held",
        "screening_block",
        "scr_1",
    )
    assert merchant["amount_decimal"] == "25.000000"


@pytest.mark.parametrize(
    ("status", "reason", "shown"),
    [
        ("held", "screening_block", ("under_review", None)),
        ("held", "asset_not_listed", ("under_review", None)),
        ("returned", "late", ("declined", None)),
        ("seized", "screening_review", ("declined", None)),
        ("released", "screening_block", ("released", None)),
        ("released", "late", ("released", "late")),
        ("posted", None, ("posted", None)),
    ],
)
def test_what_a_merchant_reads_of_an_end(
    status: str, reason: str | None, shown: tuple[str, str | None]
) -> None:
    told = public(payin(status=status, reason=reason), operator=False)
    assert (told["status"], told["reason"]) == shown


def test_public_of_a_token_on_no_list() -> None:
    row = payin(2**256 - 1, amount=None, decimals=None, currency=None, suspense_units=3)
    shown = public(row, operator=False)
    assert (shown["amount"], shown["amount_decimal"]) == (None, None)
    assert shown["token_amount"] == str(2**256 - 1)
    assert shown["suspense_units"] == "3"
    assert public(payin(reason="late"), operator=False)["reason"] == "late"
