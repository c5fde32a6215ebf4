"""What pays a payment intent without a chain: gift cards, and balances of accounts here.

``held → requested → posted``, or ``returned``. What a gift card pays is reserved on the card until
the rest of the payment is in the ledger; then both count together. A transfer begins as requested.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sakk.core import money
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.money import Rate
from sakk.core.payment import PaymentIntent, PaymentStatus, Quote, quote_of

# Of one payment, so that nobody reserves what others hold.
HELD_MAX: Final = 10


class CreditStatus(StrEnum):
    held = "held"
    requested = "requested"
    posted = "posted"
    returned = "returned"


class CreditKind(StrEnum):
    gift_card = "gift_card"
    transfer = "transfer"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCredit:
    """One part of a payment; ``value`` in the intent's smallest unit, below zero what went back to
    a card while the payment was open.

    ``id``: of the gift card's movement, or of the transfer, that moves the money.
    """

    id: str
    payment_intent: str
    kind: str
    value: int
    status: str
    created: datetime


def check_payable(intent: PaymentIntent, *, now: datetime) -> None:
    """UnexpectedState for a payment that no more is asked for."""
    if intent.status != PaymentStatus.requires_action:
        raise UnexpectedState(
            "This payment is {status}: nothing more is paid.", status=intent.status
        )
    if intent.expires_at <= now:
        raise UnexpectedState("The time for this payment is over.")


def coin_rate(intent: PaymentIntent, currency: str, *, coin_decimals: int) -> Rate:
    """The locked worth of one unit of a currency in the intent's units.

    ParameterInvalid for a currency that the payment did not ask for.
    """
    if currency == intent.currency:
        return Rate(1, 1)
    for quote in map(quote_of, intent.quotes):
        if quote.currency == currency:
            return _rate(quote, coin_decimals)
    asked = sorted({intent.currency, *(each["currency"] for each in intent.quotes)})
    raise ParameterInvalid(
        "{currency} does not pay this: it asks for {asked}.",
        param="currency",
        currency=currency,
        asked=", ".join(asked),
    )


def units_for(due: int, rate: Rate) -> int:
    """What pays ``due``, rounded up to a whole unit of the coin."""
    return money.convert_up(due, rate)


def value_of(units: int, rate: Rate, *, due: int) -> int:
    """What units of a coin pay; what pays all that is due is worth exactly that."""
    return due if units >= units_for(due, rate) else money.convert_down(units, rate)


def goes_back(
    intent: PaymentIntent, credit: PaymentCredit, *, units: int, before: int, of: int
) -> int:
    """What of a part a payment has not been paid any more when ``units`` of the ``of`` that paid
    it go back to the card, ``before`` having gone before; in all steps the whole part.

    Nothing of a payment that has ended: what was paid of it was paid.
    """
    if intent.status in (PaymentStatus.succeeded, PaymentStatus.canceled):
        return 0
    return credit.value * (before + units) // of - credit.value * before // of


def _rate(quote: Quote, coin_decimals: int) -> Rate:
    """A quote's rate is of a token's atomic unit; this of the coin's."""
    return Rate(
        quote.rate.numerator * 10**quote.decimals, quote.rate.denominator * 10**coin_decimals
    )
