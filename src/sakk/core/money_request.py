"""Requests for money: one account asks another, who pays in one or several parts, or declines.

``open → paid``, or ``declined``, ``canceled``, ``expired``. A payment is a transfer that names the
request as its reason; what was on its way when a request ended still counts as paid. Of an e-mail
address it is not told whether an account has it: whoever proves it sees the request.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sakk.core import money
from sakk.core.errors import ParameterInvalid, ParameterMissing, UnexpectedState

PREFIX: Final = "mreq"
OPEN_MAX: Final = 500
# Who may be asked at once.
PAYERS_MAX: Final = 200
LIFE: Final = timedelta(days=30)
LIFE_MAX: Final = timedelta(days=365)
REMINDERS_MAX: Final = 3
REMINDER_EVERY: Final = timedelta(hours=24)


class MoneyRequestStatus(StrEnum):
    open = "open"
    paid = "paid"
    declined = "declined"
    canceled = "canceled"
    expired = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyRequest:
    """What ``account_id`` asks for; amounts in the currency's smallest unit.

    ``payer``: who is asked, or has paid; None while only the e-mail address ``recipient`` is known.
    ``amount`` None: the payer chooses, in one payment. ``released``: the part of a bill's share
    that was given to somebody else; ``place``: the share's among those of its bill.
    """

    id: str
    account_id: str
    livemode: bool
    payer: str | None
    recipient: str | None
    amount: int | None
    amount_paid: int
    released: int
    currency: str
    decimals: int
    note: str | None
    status: str
    bill: str | None
    place: int
    reminders: int
    reminded_at: datetime | None
    expires_at: datetime
    metadata: dict[str, str]
    created: datetime


def left(request: MoneyRequest, promised: int) -> int | None:
    """What may still be paid, where so much is paid or on its way; None: as the payer likes."""
    return None if request.amount is None else request.amount - request.released - promised


def check_open(request: MoneyRequest, *, now: datetime) -> None:
    """UnexpectedState for a request that has ended."""
    if request.status != MoneyRequestStatus.open:
        raise UnexpectedState(
            "This request is {status}: nothing more happens to it.", status=request.status
        )
    if request.expires_at <= now:
        raise UnexpectedState("This request's time is over: ask for another one.")


def amount_to_pay(request: MoneyRequest, wanted: int | None, *, promised: int) -> int:
    """What a payment is of: all that is left, or the part that the payer wants to pay."""
    most = left(request, promised)
    if most is None:
        if wanted is None:
            raise ParameterMissing("This request leaves the amount to you: say it.", param="amount")
        if promised:
            raise UnexpectedState("This request is paid: it leaves the amount to one payment.")
        return wanted
    if most <= 0:
        raise UnexpectedState("All of this request is paid, or on its way.")
    if wanted is not None and wanted > most:
        raise ParameterInvalid(
            "Of this request {amount} {currency} is still to be paid.",
            param="amount",
            amount=money.format_decimal(most, request.decimals),
            currency=request.currency,
        )
    return most if wanted is None else wanted


def after_payment(request: MoneyRequest, amount: int) -> tuple[int, MoneyRequestStatus]:
    """What is paid and where the request is when a payment has arrived."""
    paid = request.amount_paid + amount
    status = MoneyRequestStatus(request.status)
    is_whole = request.amount is None or paid >= request.amount - request.released
    if status is MoneyRequestStatus.open and is_whole:
        return paid, MoneyRequestStatus.paid
    return paid, status


def check_reminder(request: MoneyRequest, *, now: datetime) -> None:
    """A few reminders, a day apart; UnexpectedState says when the next one may be sent."""
    check_open(request, now=now)
    if request.reminders >= REMINDERS_MAX:
        raise UnexpectedState(
            "{most} reminders were sent: nobody is reminded more.", most=REMINDERS_MAX
        )
    after = (request.reminded_at or request.created) + REMINDER_EVERY
    if now < after:
        raise UnexpectedState(
            "The next reminder may be sent at {moment} (Unix time).",
            moment=int(after.timestamp()),
        )


def expiry(wanted: datetime | None, *, now: datetime) -> datetime:
    """When a request ends; ParameterInvalid for a time that is gone or too far off."""
    if wanted is None:
        return now + LIFE
    if not now < wanted <= now + LIFE_MAX:
        raise ParameterInvalid(
            "expires_at is in the future, within {days} days.",
            param="expires_at",
            days=LIFE_MAX.days,
        )
    return wanted


def public(request: MoneyRequest, *, for_payer: bool = False) -> dict[str, Any]:
    """The API's object ``money_request``; who is asked does not see who else is, or the notes of
    the other's programs."""
    return {
        "id": request.id,
        "object": "money_request",
        "account": request.account_id,
        "amount": request.amount,
        "amount_decimal": None
        if request.amount is None
        else money.format_decimal(request.amount, request.decimals),
        "amount_paid": request.amount_paid,
        "amount_released": request.released,
        "bill": None if for_payer else request.bill,
        "created": int(request.created.timestamp()),
        "currency": request.currency,
        "expires_at": int(request.expires_at.timestamp()),
        "livemode": request.livemode,
        "metadata": {} if for_payer else request.metadata,
        "note": request.note,
        "payer": request.payer,
        "recipient": request.recipient,
        "reminded_at": None
        if request.reminded_at is None
        else int(request.reminded_at.timestamp()),
        "reminders": request.reminders,
        "status": request.status,
    }
