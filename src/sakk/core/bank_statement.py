"""Bank statements: what a bank says moved, line by line, and which of them are believed.

A statement is taken whole or not at all. Its lines lead from its opening balance to its closing
one, or it is ``broken``. It opens with what the one before closed with, or it is ``waiting`` until
that one is there, whichever order they come in. The same statement in another file, or in another
format, is a ``duplicate``. What a bank tells within the day (camt.052) is ``intraday``: it is
shown, and no money follows from it, so that no line counts twice when the day's statement comes.

A line: ``waiting → new → matched → booked``. Its outcome says what it was: a payment of ours, one
that came back, money for a merchant, or neither, which is suspense and a person's work.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core import chart, money
from sakk.core.bank_payment import UNDER_WAY, BankPayment, BankPaymentStatus
from sakk.core.chart import TransferCode
from sakk.core.posting import Posting

PREFIX: Final = "bst"
LINE_PREFIX: Final = "bl"
TEXT_LENGTH_MAX: Final = 2_000
LINES_MAX: Final = 1_000_000
# More digits than any balance at a bank has; what is longer is no amount.
UNITS_MAX: Final = 10**18


class StatementStatus(StrEnum):
    accepted = "accepted"
    waiting = "waiting"
    duplicate = "duplicate"
    broken = "broken"
    intraday = "intraday"


class LineStatus(StrEnum):
    waiting = "waiting"
    new = "new"
    matched = "matched"
    booked = "booked"


class Outcome(StrEnum):
    """What a line was found to be."""

    payment = "payment"
    returned = "returned"
    payin = "payin"
    suspense = "suspense"
    held = "held"
    assigned = "assigned"
    # Of money that came: it goes back to its sender. Of money that left: it is what went back.
    sent_back = "sent_back"
    # The debit of an order that the bank had refused, and the credit that takes it back.
    undone = "undone"


# What a merchant sees of lines: never that one is held.
MERCHANTS: Final = (
    Outcome.payment.value,
    Outcome.returned.value,
    Outcome.payin.value,
    Outcome.assigned.value,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLine:
    """A line as it was read; ``units`` below zero went out."""

    booking_date: date
    value_date: date
    units: int
    end_to_end_id: str | None = None
    bank_reference: str | None = None
    remittance: str | None = None
    creditor_reference: str | None = None
    counterparty_name: str | None = None
    counterparty_iban: str | None = None
    counterparty_bic: str | None = None
    code: str | None = None
    return_code: str | None = None
    is_reversal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadStatement:
    """A statement as it was read. ``account``: the IBAN or number that it is of.

    ``number`` counts a year's statements, where the bank counts them.
    """

    account: str
    reference: str
    number: int | None
    from_date: date
    to_date: date
    currency: str
    opening_units: int
    closing_units: int
    is_intraday: bool = False
    lines: Sequence[ReadLine] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class BankStatement:
    """A statement that was taken in; amounts in the currency's smallest unit."""

    id: str
    livemode: bool
    bank_account: str
    file: str
    kind: str
    reference: str
    number: int | None
    from_date: date
    to_date: date
    currency: str
    decimals: int
    opening_units: int
    closing_units: int
    credits: int
    debits: int
    lines: int
    digest: str
    status: str
    reason: str | None = None
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BankLine:
    """One line. ``account_id``: whose money it was found to be; ``payment``: the order it is of.

    ``waits_since``: when it last became work, for the proof that it does not stay so.
    """

    id: str
    livemode: bool
    bank_account: str
    statement: str
    number: int
    currency: str
    decimals: int
    booking_date: date
    value_date: date
    units: int
    end_to_end_id: str | None
    bank_reference: str | None
    remittance: str | None
    creditor_reference: str | None
    counterparty_name: str | None
    counterparty_iban: str | None
    counterparty_bic: str | None
    code: str | None
    return_code: str | None
    is_reversal: bool
    status: str
    outcome: str | None = None
    account_id: str | None = None
    payment: str | None = None
    screening: str | None = None
    assigned_by: str | None = None
    booked_at: datetime | None = None
    waits_since: datetime | None = None
    attempt: int = 0
    retry_at: datetime | None = None
    failures: int = 0
    lease_token: str | None = None
    lease_until: datetime | None = None
    created: datetime


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A statement that was accepted, as what comes beside it is held against."""

    number: int | None
    to_date: date
    opening_units: int
    closing_units: int


def sums(lines: Sequence[ReadLine]) -> tuple[int, int]:
    """What came in and what went out, both above zero."""
    incoming = sum(each.units for each in lines if each.units > 0)
    return incoming, incoming - sum(each.units for each in lines)


def fault_of(read: ReadStatement) -> str | None:
    """Why a statement can not be right by itself; None where it can."""
    credits, debits = sums(read.lines)
    if read.from_date > read.to_date:
        return f"it is from {read.from_date} to {read.to_date}"
    if not read.is_intraday and read.opening_units + credits - debits != read.closing_units:
        return (
            f"it opens with {read.opening_units}, its lines come to {credits - debits}, and it"
            f" closes with {read.closing_units}"
        )
    if any(each.units == 0 for each in read.lines):
        return "a line of it moves nothing"
    return None


def digest_of(read: ReadStatement) -> str:
    """What two copies of a statement have in common, whichever file and format they came in."""
    moved = sorted((each.booking_date.isoformat(), each.units) for each in read.lines)
    whole = [read.to_date.isoformat(), read.opening_units, read.closing_units, moved]
    if read.is_intraday:
        whole.append(read.reference)
    return hashlib.sha256(repr(whole).encode()).hexdigest()


def order_of(to_date: date, number: int | None) -> tuple[date, int]:
    """In which order statements of one account stand."""
    return to_date, number or 0


def is_next(
    opening_units: int,
    closing_units: int,
    *,
    number: int | None,
    to_date: date,
    before: Neighbour | None,
    after: Neighbour | None,
    balance: int,
) -> bool:
    """Does a statement fit between its neighbours? ``balance`` stood there before the first."""
    opens_with = balance if before is None else before.closing_units
    if opening_units != opens_with:
        return False
    if after is not None and after.opening_units != closing_units:
        return False
    if before is None or before.number is None or number is None:
        return True
    # A number that is left out is a statement that has not come, whatever the balances say.
    return before.to_date.year != to_date.year or number <= before.number + 1


def outcome_of(
    line: BankLine,
    payment: BankPayment | None,
    account_id: str | None,
    *,
    fee_limit: int | None = None,
) -> Outcome:
    """What a line is. ``payment``: the order that its end-to-end id names; ``account_id``: the
    merchant whose reference it has; ``fee_limit``: what the account's provider may take beside a
    payment, where it has one: by another quote that may be other than what it said before."""
    if payment is not None and payment.bank_account == line.bank_account:
        status = BankPaymentStatus(payment.status)
        fee_units = -line.units - payment.units
        is_fee = fee_units == payment.fee_units or 0 <= fee_units <= (fee_limit or 0)
        if status in UNDER_WAY and is_fee:
            return Outcome.payment
        # Anybody who was paid knows the order's name: what is sent back by a transfer of its own
        # has a sender, whom nobody has looked at.
        is_back = line.return_code is not None or line.is_reversal
        if status is BankPaymentStatus.booked and line.units == payment.units and is_back:
            return Outcome.returned
    # What has our name and does not fit it is a person's to look at, whatever else it says.
    is_plain = payment is None and line.units > 0 and not line.is_reversal
    if is_plain and line.return_code is None and account_id is not None:
        return Outcome.payin
    return Outcome.suspense


def waits_for_person(line: BankLine) -> bool:
    """Is it money that came in, stands in suspense, and whose owner a person must decide?"""
    waits = line.status == LineStatus.booked and line.units > 0
    return waits and line.outcome in (Outcome.suspense, Outcome.held)


def opening_postings(bank_account: str, unit: str, units: int) -> list[Posting]:
    """What stood in the operator's account before its first statement is the operator's own."""
    bank, own = chart.bank(bank_account, unit), chart.equity_operator(unit)
    if units > 0:
        return [Posting(bank, own, units, TransferCode.bank_opened)]
    if units < 0:
        return [Posting(own, bank, -units, TransferCode.bank_opened)]
    return []


def postings(line: BankLine, *, fee_units: int = 0) -> list[Posting]:
    """What a line moves: the bank's account always as it says, the other side by its outcome.

    An assigned one was in suspense before: what moves is from there. Money that leaves for no
    order of ours stands in suspense with its debit. ``fee_units``: what a provider took of it.
    """
    unit = chart.currency_unit(line.currency, livemode=line.livemode)
    bank = chart.bank(line.bank_account, unit)
    waiting = chart.bank_suspense(line.bank_account, unit)
    match Outcome(line.outcome or Outcome.suspense):
        case Outcome.payin:
            assert line.account_id is not None
            merchant = chart.merchant(line.account_id, "available", unit)
            return [Posting(bank, merchant, line.units, TransferCode.bank_payin)]
        case Outcome.payment:
            in_flight = chart.payout_in_flight(unit)
            paid = [Posting(in_flight, bank, -line.units - fee_units, TransferCode.bank_payout)]
            if fee_units:
                costs = chart.fee_network(unit)
                paid.append(Posting(costs, bank, fee_units, TransferCode.bank_fee))
            return paid
        case Outcome.returned:
            # It stands with what undoes the payout: `bank_payment.return_postings`.
            return []
        case Outcome.sent_back:
            # It stands with how much of it was to go: `bank_return.postings`.
            return []
        case Outcome.assigned:
            assert line.account_id is not None
            merchant = chart.merchant(line.account_id, "available", unit)
            return [Posting(waiting, merchant, line.units, TransferCode.bank_assigned)]
        case Outcome.suspense | Outcome.held | Outcome.undone:
            if line.units > 0:
                return [Posting(bank, waiting, line.units, TransferCode.bank_suspended)]
            return [Posting(waiting, bank, -line.units, TransferCode.bank_suspended)]


def public(row: BankStatement) -> dict[str, Any]:
    """The API's object ``bank_statement``."""
    return {
        "id": row.id,
        "object": "bank_statement",
        "bank_account": row.bank_account,
        "closing": row.closing_units,
        "closing_decimal": money.format_decimal(row.closing_units, row.decimals),
        "created": int(row.created.timestamp()),
        "credits": row.credits,
        "currency": row.currency,
        "debits": row.debits,
        "file": row.file,
        "from_date": row.from_date.isoformat(),
        "kind": row.kind,
        "lines": row.lines,
        "livemode": row.livemode,
        "metadata": {},
        "number": row.number,
        "opening": row.opening_units,
        "reason": row.reason,
        "reference": row.reference,
        "status": row.status,
        "to_date": row.to_date.isoformat(),
    }


def public_line(row: BankLine, assignment: dict[str, Any] | None = None) -> dict[str, Any]:
    """The API's object ``bank_line``. ``assignment``: what the operator alone is shown of it."""
    return {
        "id": row.id,
        "object": "bank_line",
        "account": row.account_id,
        "amount": row.units,
        "amount_decimal": money.format_decimal(row.units, row.decimals),
        "assignment": assignment,
        "bank_account": row.bank_account,
        "bank_reference": row.bank_reference,
        "booking_date": row.booking_date.isoformat(),
        "code": row.code,
        "counterparty_bic": row.counterparty_bic,
        "counterparty_iban": row.counterparty_iban,
        "counterparty_name": row.counterparty_name,
        "created": int(row.created.timestamp()),
        "creditor_reference": row.creditor_reference,
        "currency": row.currency,
        "end_to_end_id": row.end_to_end_id,
        "livemode": row.livemode,
        "metadata": {},
        "number": row.number,
        "outcome": row.outcome,
        "payment": row.payment,
        "remittance": row.remittance,
        "return_code": row.return_code,
        "statement": row.statement,
        "status": row.status,
        "value_date": row.value_date.isoformat(),
    }
