"""Checkout sessions: a page on which one payment intent is paid, and where that payment stands.

The words are those of Stripe's ``checkout.Session``. A session has no status of its own: it follows
from its payment intent's, so that the two can never differ. The page's address holds a token of
256 bits, never the id; of the token the row has only the hash (see ``core.claim``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from sakk.core import money
from sakk.core.errors import ParameterInvalid
from sakk.core.payin import PayInStatus
from sakk.core.payment import (
    PaymentIntent,
    PaymentStatus,
    Quote,
    Timing,
    quote_of,
    value_of,
)

PREFIX: Final = "cs"
URL_LENGTH_MAX: Final = 2_048
LINES_MAX: Final = 50
# What a shop's address may hold, filled in when the payer goes back.
ID_MARK: Final = "{CHECKOUT_SESSION_ID}"


@dataclass(frozen=True, slots=True)
class CheckoutSession:
    """A page for one payment intent. ``lines`` are what is bought, as documents of ``Line``.

    ``payment_link``: the link that it was begun from; ``pos_device``: the till.
    """

    id: str
    account_id: str
    livemode: bool
    payment_intent: str
    token_hash: str
    lines: list[dict[str, Any]]
    success_url: str | None
    cancel_url: str | None
    client_reference_id: str | None
    locale: str | None
    metadata: dict[str, str]
    created: datetime
    payment_link: str | None = None
    pos_device: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that is bought: ``amount`` is of one, in the currency's smallest unit."""

    name: str
    amount: int
    quantity: int

    def document(self) -> dict[str, Any]:
        """As it is kept."""
        return {"name": self.name, "amount": self.amount, "quantity": self.quantity}


def total_of(lines: Sequence[Line]) -> int:
    """What all lines cost together; ParameterInvalid when that is more than an amount can be."""
    total = sum(line.amount * line.quantity for line in lines)
    if not 0 < total <= money.UNITS_MAX:
        raise ParameterInvalid(
            "The lines come to nothing, or to more than an amount can be.", param="line_items"
        )
    return total


def check_url(url: str, param: str) -> str:
    """A web address to which a payer may be sent; ParameterInvalid for any other.

    Only http and https, without a name and password, so that no link of ours runs a script or
    passes for another site.
    """
    try:
        parts = urlsplit(url)
        is_good = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.username is None
            and len(url) <= URL_LENGTH_MAX
            and url.isprintable()
            and not any(character in url for character in " \\<>\"'")
        )
    except ValueError:
        is_good = False
    if not is_good:
        raise ParameterInvalid(
            "{field} must be a web address: https://…, at most {url_length_max} characters, "
            "without spaces, quotes, a name or a password.",
            param=param,
            field=param,
            url_length_max=URL_LENGTH_MAX,
        )
    return url


def page_path(token: str) -> str:
    """Where the page of a session is, below the server's public address."""
    return f"/checkout/{token}"


def is_open(intent: PaymentIntent) -> bool:
    """Is a payment still awaited?"""
    return status_of(intent) == "open"


def status_of(intent: PaymentIntent) -> str:
    """Stripe's ``status`` of a session: open, complete or expired."""
    match PaymentStatus(intent.status):
        case PaymentStatus.requires_action | PaymentStatus.processing:
            return "open"
        case PaymentStatus.succeeded:
            return "complete"
        case PaymentStatus.canceled | PaymentStatus.expired:
            return "expired"


def return_url(url: str | None, session: str) -> str | None:
    """Where the payer goes back to, with the session's id filled in."""
    return None if url is None else url.replace(ID_MARK, session)


def public(session: CheckoutSession, intent: PaymentIntent, *, url: str | None) -> dict[str, Any]:
    """The API's object ``checkout.session``; ``url`` is there while it is open."""
    status = status_of(intent)
    return {
        "id": session.id,
        "object": "checkout.session",
        "amount_subtotal": intent.amount,
        "amount_total": intent.amount,
        "amount_total_decimal": money.format_decimal(intent.amount, intent.decimals),
        "cancel_url": session.cancel_url,
        "client_reference_id": session.client_reference_id,
        "created": int(session.created.timestamp()),
        "currency": intent.currency,
        "customer": intent.customer,
        "expires_at": int(intent.expires_at.timestamp()),
        "livemode": session.livemode,
        "locale": session.locale,
        "metadata": session.metadata,
        "mode": "payment",
        "payment_intent": intent.id,
        "payment_link": session.payment_link,
        "payment_method_types": ["crypto"],
        "payment_status": "paid" if status == "complete" else "unpaid",
        "pos_device": session.pos_device,
        "status": status,
        "success_url": session.success_url,
        "ui_mode": "hosted",
        "url": url if status == "open" else None,
    }


def public_lines(session: CheckoutSession, intent: PaymentIntent) -> list[dict[str, Any]]:
    """The API's objects ``item``: what is bought."""
    return [
        {
            "id": f"li_{session.id.removeprefix(f'{PREFIX}_')}_{number}",
            "object": "item",
            "amount_subtotal": line["amount"] * line["quantity"],
            "amount_total": line["amount"] * line["quantity"],
            "created": int(session.created.timestamp()),
            "currency": intent.currency,
            "description": line["name"],
            "livemode": session.livemode,
            "metadata": {},
            "quantity": line["quantity"],
            "unit_amount": line["amount"],
        }
        for number, line in enumerate(session.lines, 1)
    ]


class Stand(StrEnum):
    """Where a payment stands, as its payer may know it."""

    awaiting = "awaiting"
    confirming = "confirming"  # something is on its way, enough or not
    partial = "partial"  # what arrived is not enough
    paid = "paid"
    paid_late = "paid_late"
    over = "over"  # more arrived than was asked
    processing = "processing"  # it takes longer: no word of why
    expired = "expired"
    canceled = "canceled"


# Nothing more will be asked of the payer.
ENDED: Final = frozenset({Stand.paid, Stand.paid_late, Stand.over, Stand.canceled})


@dataclass(frozen=True, slots=True)
class Arrival:
    """A transfer to the session's addresses, as its payer may see it.

    ``confirmations`` of ``confirmations_min`` blocks are built on it. ``counts``: it pays for this.
    """

    network: str
    asset: str
    token_amount: int
    tx_hash: str
    status: str
    counts: bool
    block_number: int
    confirmations_min: int
    head_number: int | None

    @property
    def confirmations(self) -> int:
        """How many of those that it needs it has."""
        if self.head_number is None:
            return 0
        return max(0, min(self.confirmations_min, self.head_number - self.block_number))


@dataclass(frozen=True, slots=True)
class Progress:
    """What the page says of a payment. ``due``: what is still to be paid, in the intent's unit."""

    stand: Stand
    due: int
    excess: int
    arrivals: Sequence[Arrival]

    @property
    def waiting(self) -> Sequence[Arrival]:
        """Transfers that are on their way."""
        return [each for each in self.arrivals if each.status in _ON_THE_WAY]


_ON_THE_WAY: Final = (
    PayInStatus.seen.value,
    PayInStatus.confirmed.value,
    PayInStatus.screened.value,
)
_CREDITED: Final = (PayInStatus.posted.value, PayInStatus.released.value)
_LOOKED_AT: Final = (
    PayInStatus.held.value,
    PayInStatus.returned.value,
    PayInStatus.seized.value,
)


def progress_of(intent: PaymentIntent, arrivals: Sequence[Arrival], *, least: int) -> Progress:
    """Where a payment stands. ``least``: the amount that is enough (``core.payment.enough``)."""
    quotes = [quote_of(document) for document in intent.quotes]
    paid = [
        (each.asset, each.token_amount)
        for each in arrivals
        if each.counts and each.status in (*_ON_THE_WAY, *_CREDITED)
    ]
    seen = value_of(quotes, paid, amount=intent.amount) if paid else 0
    seen += intent.amount_credited + intent.amount_held - intent.amount_refunded
    due = 0 if seen >= least else intent.amount - seen
    excess = max(0, seen - intent.amount)
    return Progress(_stand_of(intent, arrivals), due, excess, arrivals)


def _stand_of(intent: PaymentIntent, arrivals: Sequence[Arrival]) -> Stand:
    status = PaymentStatus(intent.status)
    if status is PaymentStatus.succeeded:
        if intent.amount_status == "over":
            return Stand.over
        return Stand.paid_late if intent.timing == Timing.late else Stand.paid
    # What was sent back or seized is told as what is looked at, by the page for ever.
    if any(each.status in _LOOKED_AT for each in arrivals):
        return Stand.processing
    if any(each.counts and each.status in _ON_THE_WAY for each in arrivals):
        return Stand.confirming
    if status is PaymentStatus.processing and intent.amount_held:
        return Stand.confirming
    if status is PaymentStatus.canceled:
        return Stand.canceled
    if status is PaymentStatus.expired:
        return Stand.expired
    some = intent.amount_received + intent.amount_held > intent.amount_refunded
    return Stand.partial if some else Stand.awaiting


def due_units(quote: Quote, *, due: int, amount: int, coin_decimals: int) -> int:
    """Atomic units of a token that pay what is due, rounded up to what the ledger can credit."""
    if due == amount:
        return quote.token_amount
    units = money.convert_up(due, quote.rate)
    step = int(10 ** max(0, quote.decimals - coin_decimals))
    return money.divide_up(units, step) * step
