"""Bank payments: payouts that a bank carries out, each one order in a file to it.

A payout to a bank account is a payout like any other until it is approved. Then an order is
written for it, in a file with others of the day, and ``ordered → sent → accepted → booked``, or
``rejected`` by the bank's word (pain.002), or ``returned`` after it was booked. What is rejected or
returned is back on the balance, and the payout has failed.

All names in a file follow from our rows: its own from the file's id, a payment's end-to-end id from
the payout's, so that whatever comes back is found by them, and the same row never has two.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core import chart, ids, money
from sakk.core.bank_account import BankAccount
from sakk.core.chart import TransferCode
from sakk.core.errors import AmountTooSmall, ParameterInvalid
from sakk.core.fee import Price
from sakk.core.payout import (
    BANK,
    HoldStatus,
    Payout,
    PayoutRequest,
    PayoutStatus,
    check_schedule,
)
from sakk.core.posting import Posting

PREFIX: Final = "bp"
# ISO 20022 and the SEPA rulebooks give every id 35 characters.
ID_LENGTH_MAX: Final = 35
TEXT_LENGTH_MAX: Final = 500
# What banks say most often (ISO 20022 external status and return reason codes).
REASONS: Final = {
    "AC01": "The account number is not right.",
    "AC04": "The account is closed.",
    "AC06": "The account is blocked.",
    "AG01": "Transfers to this account are not allowed.",
    "AM02": "The amount is above what the bank allows.",
    "AM04": "The operator's account does not cover it.",
    "AM05": "The bank says that it has the order already.",
    "BE04": "The holder's address is missing or not right.",
    "CUST": "It was asked for by the holder.",
    "FOCR": "It was recalled.",
    "MD07": "The holder has died.",
    "MS03": "The bank gives no reason.",
    "NARR": "The bank gives its reason in words alone.",
    "RC01": "The bank's identifier is not right.",
    "RR04": "The bank has regulatory reasons.",
}


class BankPaymentStatus(StrEnum):
    ordered = "ordered"
    sent = "sent"
    accepted = "accepted"
    booked = "booked"
    rejected = "rejected"
    returned = "returned"


# Of these no statement has shown the money going yet.
UNDER_WAY: Final = (
    BankPaymentStatus.ordered,
    BankPaymentStatus.sent,
    BankPaymentStatus.accepted,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BankPayment:
    """One order. ``bank_account``: the operator's own; ``destination``: whose account is paid.

    ``file``: what it stands in, or the order of a provider; ``fee_units``: what that takes besides.
    """

    id: str
    account_id: str
    livemode: bool
    payout: str
    bank_account: str
    destination: str
    file: str
    number: int
    units: int
    currency: str
    decimals: int
    end_to_end_id: str
    execution_date: date
    status: str
    fee_units: int = 0
    reason_code: str | None = None
    reason: str | None = None
    line: str | None = None
    return_line: str | None = None
    created: datetime
    ended_at: datetime | None = None


class StatusWord(StrEnum):
    """What a bank's status report makes of an order."""

    accepted = "accepted"
    rejected = "rejected"
    nothing = "nothing"


# ISO 20022 external payment transaction status codes: under way, or done, or neither.
_ACCEPTED: Final = frozenset({"ACCP", "ACSP", "ACSC", "ACWC", "ACCC", "ACTC", "ACFC", "ACWP"})
# BLCK is neither: what is blocked is given to nobody, and not back to us either.
_REJECTED: Final = frozenset({"RJCT", "CANC"})


def word_of(code: str) -> StatusWord:
    """What a status code means here; one that is not known changes nothing."""
    if code in _ACCEPTED:
        return StatusWord.accepted
    return StatusWord.rejected if code in _REJECTED else StatusWord.nothing


def asset_of(currency: str) -> str:
    """How money at a bank stands in a payout's ``asset``."""
    return f"iso4217:{currency}"


def draft(
    request: PayoutRequest,
    place: BankAccount,
    *,
    price: Price | None,
    identifier: str,
    account_id: str,
    livemode: bool,
    now: datetime,
) -> Payout:
    """The payout that a request to a bank account asks for; ParameterInvalid with the field."""
    if request.quote is not None:
        raise ParameterInvalid("A bank's payout has no quote: leave it out.", param="quote")
    if request.travel_rule is not None:
        raise ParameterInvalid(
            "A bank account has its holder's name: leave travel_rule out.", param="travel_rule"
        )
    if request.amount <= 0:
        raise AmountTooSmall("Send more than nothing.", param="amount")
    check_schedule(request.scheduled_at, now)
    return Payout(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        amount=request.amount,
        fee=0,
        service_fee=0 if price is None else price.fee,
        fee_terms=None if price is None else price.document(),
        currency=place.currency,
        decimals=place.decimals,
        network=BANK,
        asset=asset_of(place.currency),
        token_amount=request.amount,
        destination=place.id,
        fee_mode=request.fee_mode,
        status=PayoutStatus.requested.value,
        hold=HoldStatus.none.value,
        initiator=request.initiator.key,
        initiator_person=request.initiator.person,
        description=request.description,
        metadata=request.metadata or {},
        reference=request.reference,
        scheduled_at=request.scheduled_at,
        created=now,
    )


def compact(identifier: str) -> str:
    """An id of ours as files may say it: capital letters and digits, at most 35 of them.

    ``po_01jd8k…`` is ``PO01JD8K…``.
    """
    prefix, value = ids.decode(identifier)
    return ids.encode(prefix.replace("_", ""), value).replace("_", "").upper()


def expand(text: str, prefix: str) -> str | None:
    """The id that `compact` made, whatever a bank did to its case; None if it is none."""
    body = text.strip().lower().removeprefix(prefix)
    identifier = f"{prefix}_{body}"
    try:
        ids.decode(identifier)
    except ValueError:
        return None
    return identifier


def order_for(
    payout: Payout,
    *,
    identifier: str,
    bank_account: str,
    file: str,
    number: int,
    execution_date: date,
    now: datetime,
) -> BankPayment:
    """The order that carries an approved payout out."""
    return BankPayment(
        id=identifier,
        account_id=payout.account_id,
        livemode=payout.livemode,
        payout=payout.id,
        bank_account=bank_account,
        destination=payout.destination,
        file=file,
        number=number,
        units=payout.amount,
        currency=payout.currency,
        decimals=payout.decimals,
        end_to_end_id=compact(payout.id),
        execution_date=execution_date,
        status=BankPaymentStatus.ordered.value,
        created=now,
    )


def told(payment: BankPayment, word: StatusWord, *, now: datetime) -> BankPayment:
    """An order after a status report; what the bank has booked is past it, and what it refused."""
    match BankPaymentStatus(payment.status):
        case BankPaymentStatus.ordered | BankPaymentStatus.sent | BankPaymentStatus.accepted:
            if word is StatusWord.rejected:
                return replace(payment, status=BankPaymentStatus.rejected.value, ended_at=now)
            if word is StatusWord.accepted:
                return replace(payment, status=BankPaymentStatus.accepted.value)
            return payment
        case BankPaymentStatus.booked | BankPaymentStatus.rejected | BankPaymentStatus.returned:
            return payment


def reason_words(code: str | None, text: str | None = None) -> str:
    """Why a bank did not pay, as its payer reads it."""
    known = REASONS.get(code or "")
    said = f"the bank says {code}" if code else "the bank gives no code"
    words = known or f"The bank did not pay it ({said})."
    return f"{words} ({said})" if known and not text else words


def return_postings(payout: Payout, bank_account: str) -> list[Posting]:
    """It came back after it was booked: all of it is on the balance again, its fees too. What a
    platform had of it, it owes: no balance of its own can stop that.
    """
    unit = chart.currency_unit(payout.currency, livemode=payout.livemode)
    merchant = chart.merchant(payout.account_id, "available", unit)
    bank = chart.bank(bank_account, unit)
    result = [Posting(bank, merchant, payout.amount, TransferCode.bank_returned)]
    if payout.service_fee:
        earned = chart.fee_revenue(unit)
        result.append(Posting(earned, merchant, payout.service_fee, TransferCode.bank_returned))
    if payout.application_fee:
        assert payout.application_terms is not None
        owing = chart.receivable(payout.application_terms["platform"], unit)
        code = TransferCode.bank_returned
        result.append(Posting(owing, merchant, payout.application_fee, code))
    return result


def public(row: BankPayment) -> dict[str, Any]:
    """The API's object ``bank_payment``."""
    return {
        "id": row.id,
        "object": "bank_payment",
        "account": row.account_id,
        "amount": row.units,
        "amount_decimal": money.format_decimal(row.units, row.decimals),
        "bank_account": row.bank_account,
        "created": int(row.created.timestamp()),
        "currency": row.currency,
        "destination": row.destination,
        "end_to_end_id": row.end_to_end_id,
        "ended_at": None if row.ended_at is None else int(row.ended_at.timestamp()),
        "execution_date": row.execution_date.isoformat(),
        "fee": row.fee_units,
        "file": row.file,
        "line": row.line,
        "livemode": row.livemode,
        "metadata": {},
        "number": row.number,
        "payout": row.payout,
        "reason": row.reason,
        "reason_code": row.reason_code,
        "return_line": row.return_line,
        "status": row.status,
    }
