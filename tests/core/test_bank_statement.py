from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from sakk.core import chart
from sakk.core.bank_payment import BankPayment
from sakk.core.bank_statement import (
    BankLine,
    BankStatement,
    Neighbour,
    Outcome,
    ReadLine,
    ReadStatement,
    digest_of,
    fault_of,
    is_next,
    opening_postings,
    order_of,
    outcome_of,
    postings,
    public,
    public_line,
    sums,
)
from sakk.core.chart import TransferCode
from sakk.core.posting import Posting

DAY = date(2026, 11, 26)
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
UNIT = "test/eur"
LINES = (
    ReadLine(booking_date=DAY, value_date=DAY, units=500),
    ReadLine(booking_date=DAY, value_date=DAY, units=-200),
)
READ = ReadStatement(
    account="DE89370400440532013000",
    reference="S1",
    number=7,
    from_date=DAY,
    to_date=DAY,
    currency="eur",
    opening_units=1_000,
    closing_units=1_300,
    lines=LINES,
)
LINE = BankLine(
    id="bl_1",
    livemode=False,
    bank_account="ba_1",
    statement="bst_1",
    number=1,
    currency="eur",
    decimals=2,
    booking_date=DAY,
    value_date=DAY,
    units=500,
    end_to_end_id=None,
    bank_reference=None,
    remittance=None,
    creditor_reference=None,
    counterparty_name=None,
    counterparty_iban=None,
    counterparty_bic=None,
    code=None,
    return_code=None,
    is_reversal=False,
    status="new",
    created=NOW,
)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({"closing_units": 1_301}, "closes with 1301"),
        ({"opening_units": 999}, "opens with 999"),
        ({"lines": LINES[:1]}, "its lines come to 500"),
        ({"lines": (*LINES, replace(LINES[0], units=0))}, "moves nothing"),
        ({"from_date": date(2026, 11, 27)}, "from 2026-11-27"),
        # Within the day a bank tells no closing balance.
        ({"closing_units": 0, "is_intraday": True}, None),
    ],
)
def test_what_can_not_be_right(changes: dict[str, Any], fault: str | None) -> None:
    found = fault_of(replace(READ, **changes))
    assert found is None if fault is None else found is not None and fault in found


def test_copies_have_one_digest() -> None:
    assert sums(LINES) == (500, 200)
    copy = replace(READ, reference="other", number=None, lines=LINES[::-1])
    assert digest_of(copy) == digest_of(READ)
    assert digest_of(replace(READ, to_date=date(2026, 11, 27))) != digest_of(READ)
    assert digest_of(replace(READ, lines=LINES[:1])) != digest_of(READ)
    one, other = (replace(READ, is_intraday=True, reference=each) for each in ("1", "2"))
    assert digest_of(one) != digest_of(other)
    assert order_of(DAY, None) < order_of(DAY, 1) < order_of(date(2026, 11, 27), None)


def beside(number: int | None, opening: int, closing: int, day: date = DAY) -> Neighbour:
    return Neighbour(number=number, to_date=day, opening_units=opening, closing_units=closing)


@pytest.mark.parametrize(
    ("number", "before", "after", "balance", "fits"),
    [
        (7, None, None, 1_000, True),
        (7, None, None, 0, False),
        (7, beside(6, 0, 1_000), None, 0, True),
        (7, beside(6, 0, 999), None, 1_000, False),
        # The sixth has not come, though the balances agree.
        (7, beside(5, 0, 1_000), None, 0, False),
        (7, beside(None, 0, 1_000), None, 0, True),
        (None, beside(5, 0, 1_000), None, 0, True),
        # Banks count from 1 again in a new year.
        (1, beside(251, 0, 1_000, date(2025, 12, 31)), None, 0, True),
        (7, beside(6, 0, 1_000), beside(8, 1_300, 0), 0, True),
        (7, beside(6, 0, 1_000), beside(8, 1_000, 0), 0, False),
    ],
)
def test_what_comes_next(
    number: int | None,
    before: Neighbour | None,
    after: Neighbour | None,
    balance: int,
    fits: bool,
) -> None:
    found = is_next(
        1_000, 1_300, number=number, to_date=DAY, before=before, after=after, balance=balance
    )
    assert found is fits


PAYMENT = BankPayment(
    id="bp_1",
    account_id="acct_1",
    livemode=False,
    payout="po_1",
    bank_account="ba_1",
    destination="ba_2",
    file="bf_1",
    number=1,
    units=500,
    currency="eur",
    decimals=2,
    end_to_end_id="PO1",
    execution_date=DAY,
    status="sent",
    created=NOW,
)


@pytest.mark.parametrize(
    ("line", "status", "account", "outcome"),
    [
        ({"units": -500}, "sent", None, Outcome.payment),
        ({"units": -500}, "ordered", None, Outcome.payment),
        ({"units": -499}, "accepted", None, Outcome.suspense),
        ({"units": 500, "return_code": "AC04"}, "booked", None, Outcome.returned),
        ({"units": 500, "is_reversal": True}, "booked", None, Outcome.returned),
        ({"units": 499, "return_code": "AC04"}, "booked", None, Outcome.suspense),
        # Whoever was paid knows the order's name, and may send as much by a transfer of their own.
        ({"units": 500}, "booked", None, Outcome.suspense),
        # A second debit, or a second return, of one order is nobody's to explain but a person's.
        ({"units": -500}, "booked", None, Outcome.suspense),
        ({"units": 500}, "returned", None, Outcome.suspense),
        ({"units": -500}, "rejected", None, Outcome.suspense),
        ({"units": 500}, "sent", "acct_1", Outcome.suspense),
        ({"units": -500, "bank_account": "ba_3"}, "sent", None, Outcome.suspense),
        ({"units": 500}, None, "acct_1", Outcome.payin),
        ({"units": 500}, None, None, Outcome.suspense),
        ({"units": -500}, None, "acct_1", Outcome.suspense),
        ({"units": 500, "is_reversal": True}, None, "acct_1", Outcome.suspense),
        ({"units": 500, "return_code": "AC04"}, None, "acct_1", Outcome.suspense),
    ],
)
def test_what_lines_are(
    line: dict[str, Any], status: str | None, account: str | None, outcome: Outcome
) -> None:
    payment = None if status is None else replace(PAYMENT, status=status)
    assert outcome_of(replace(LINE, **line), payment, account) is outcome


@pytest.mark.parametrize(("units", "fits"), [(-500, True), (-530, True), (-531, False)])
def test_a_providers_fee_may_be_another_quotes(units: int, fits: bool) -> None:
    payment = replace(PAYMENT, fee_units=20)
    found = outcome_of(replace(LINE, units=units), payment, None, fee_limit=30)
    assert (found is Outcome.payment) is fits


def test_openings() -> None:
    bank, own = chart.bank("ba_1", UNIT), chart.equity_operator(UNIT)
    assert opening_postings("ba_1", UNIT, 5) == [Posting(bank, own, 5, TransferCode.bank_opened)]
    assert opening_postings("ba_1", UNIT, -5) == [Posting(own, bank, 5, TransferCode.bank_opened)]
    assert opening_postings("ba_1", UNIT, 0) == []


BANK, WAITING = chart.bank("ba_1", UNIT), chart.bank_suspense("ba_1", UNIT)
MERCHANT = chart.merchant("acct_1", "available", UNIT)


@pytest.mark.parametrize(
    ("outcome", "units", "expected"),
    [
        (Outcome.payin, 500, Posting(BANK, MERCHANT, 500, TransferCode.bank_payin)),
        (
            Outcome.payment,
            -500,
            Posting(chart.payout_in_flight(UNIT), BANK, 500, TransferCode.bank_payout),
        ),
        (Outcome.assigned, 500, Posting(WAITING, MERCHANT, 500, TransferCode.bank_assigned)),
        (Outcome.suspense, 500, Posting(BANK, WAITING, 500, TransferCode.bank_suspended)),
        (Outcome.held, 500, Posting(BANK, WAITING, 500, TransferCode.bank_suspended)),
        (Outcome.suspense, -500, Posting(WAITING, BANK, 500, TransferCode.bank_suspended)),
        (None, 500, Posting(BANK, WAITING, 500, TransferCode.bank_suspended)),
    ],
)
def test_what_lines_move(outcome: Outcome | None, units: int, expected: Posting) -> None:
    line = replace(LINE, outcome=outcome, units=units, account_id="acct_1")
    assert postings(line) == [expected]
    assert postings(replace(line, outcome=Outcome.returned)) == []
    assert postings(replace(line, outcome=Outcome.sent_back)) == []


def test_what_a_provider_took_is_a_cost_beside_the_payment() -> None:
    line = replace(LINE, outcome=Outcome.payment, units=-530)
    assert postings(line, fee_units=30) == [
        Posting(chart.payout_in_flight(UNIT), BANK, 500, TransferCode.bank_payout),
        Posting(chart.fee_network(UNIT), BANK, 30, TransferCode.bank_fee),
    ]


def test_what_is_shown() -> None:
    row = BankStatement(
        id="bst_1",
        livemode=False,
        bank_account="ba_1",
        file="bf_1",
        kind="camt.053",
        reference="S1",
        number=7,
        from_date=DAY,
        to_date=DAY,
        currency="eur",
        decimals=2,
        opening_units=1_000,
        closing_units=1_300,
        credits=500,
        debits=200,
        lines=2,
        digest="00",
        status="accepted",
        created=NOW,
    )
    assert public(row)["closing_decimal"] == "13.00"
    assert public_line(LINE)["amount_decimal"] == "5.00"
