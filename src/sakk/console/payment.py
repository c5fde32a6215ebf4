"""Payments: what was asked for and what came, with its whole way, and giving back."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import Connection

from sakk.console import booking
from sakk.console.listing import (
    Exact,
    ListQuery,
    created_within,
    csv_file,
    listing,
    options,
)
from sakk.console.route import Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import claim, money
from sakk.core.chart import TransferCode
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.evm import checksum_address
from sakk.core.payin import PayIn, shown_status
from sakk.core.payment import PaymentIntent, PaymentStatus
from sakk.core.payout import Initiator
from sakk.core.refund import Reason
from sakk.core.search import read_search
from sakk.core.timeline import After, Step, timeline
from sakk.core.webhook import DeliveryStatus
from sakk.flow import payment as flow
from sakk.flow import refund as refund_flow
from sakk.flow.refund_draft import Place, RefundRequest, refundable
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import customer as customers
from sakk.store import network as networks
from sakk.store import payment as store
from sakk.store import payment_story as story
from sakk.store.page import Window, fetch_window
from sakk.store.payment_search import Scope, find

PATH = "/console/payments"
IDENTIFIER_LENGTH_MAX = 255

STATUSES: Mapping[str, tuple[str, str]] = {
    "requires_action": (mark("Waiting for the payer"), "plain"),
    "processing": (mark("Processing"), "wait"),
    "succeeded": (mark("Paid"), "good"),
    "canceled": (mark("Canceled"), "plain"),
    "expired": (mark("Expired"), "warn"),
}
PAYIN_STATUSES: Mapping[str, tuple[str, str]] = {
    "seen": (mark("Seen"), "wait"),
    "confirmed": (mark("Confirmed"), "wait"),
    "screened": (mark("Screened"), "wait"),
    "posted": (mark("Credited"), "good"),
    "under_review": (mark("Under review"), "warn"),
    "held": (mark("Held by screening"), "warn"),
    "released": (mark("Credited"), "good"),
    "declined": (mark("Declined"), "bad"),
    "returned": (mark("Returned"), "bad"),
    "seized": (mark("Seized"), "bad"),
    "orphaned": (mark("Taken back by the network"), "bad"),
    "reversed": (mark("Taken back by the network"), "bad"),
}
STEPS: Mapping[str, str] = {
    "seen": mark("Seen"),
    "confirmed": mark("Confirmed"),
    "screened": mark("Screened"),
    "posted": mark("Credited"),
    "notified": mark("Your server was told"),
    "swept": mark("Collected"),
}
AMOUNTS: Mapping[str, str] = {
    "exact": mark("Exact"),
    "under": mark("Too little"),
    "over": mark("Too much"),
}
TIMINGS: Mapping[str, str] = {"on_time": mark("On time"), "late": mark("Late")}
REFUND_STATUSES: Mapping[str, tuple[str, str]] = {
    "requires_action": (mark("Waiting for the payer's address"), "wait"),
    "pending": (mark("On its way"), "wait"),
    "succeeded": (mark("Refunded"), "good"),
    "failed": (mark("Failed"), "bad"),
    "canceled": (mark("Canceled"), "plain"),
}
DELIVERY_STATUSES: Mapping[str, tuple[str, str]] = {
    "pending": (mark("Waiting"), "wait"),
    "succeeded": (mark("Delivered"), "good"),
    "failed": (mark("Failed"), "bad"),
    "abandoned": (mark("Given up"), "bad"),
}
REASONS: Mapping[str, str] = {
    "requested_by_customer": mark("The customer asked for it"),
    "duplicate": mark("Paid twice"),
    "fraudulent": mark("Fraud"),
}


class PaymentQuery(ListQuery):
    """Which payments."""

    status: PaymentStatus | None = None
    amount: Literal["exact", "under", "over"] | None = None
    currency: Annotated[str, Field(max_length=20)] | None = None
    customer: Annotated[str, Field(max_length=IDENTIFIER_LENGTH_MAX)] | None = None
    timing: Literal["on_time", "late"] | None = None


class RefundForm(Form):
    """What to give back. Without an address the payer says where to, by a link."""

    amount: Annotated[str, Field(max_length=100)] | None = None
    reason: Reason | None = None
    network: Annotated[str, Field(max_length=100)] | None = None
    address: Annotated[str, Field(max_length=100)] | None = None
    description: Annotated[str, Field(max_length=500)] | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A pay-in as its page shows it. ``confirmations`` None: nobody follows its network now."""

    payin: PayIn
    status: str
    steps: Sequence[Step]
    network: str
    symbol: str
    decimals: int | None
    sender: str
    address: str
    confirmations: int | None
    confirmations_needed: int | None


def index(visit: Visit, query: PaymentQuery) -> Page | Download:
    """The payments, newest first."""
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
        if query.is_file:
            return _file(window.rows)
        names = _customer_names(connection, window.rows)
        currencies = networks.list_currencies(connection)
    return Page(
        "console/payments.html",
        {
            "list": listing(visit, query, window, window.rows),
            "names": names,
            "statuses": STATUSES,
            "amounts": AMOUNTS,
            "choices": {
                "status": options(visit, STATUSES),
                "amount": options(visit, AMOUNTS),
                "timing": options(visit, TIMINGS),
                "currency": [(each.currency, each.currency.upper()) for each in currencies],
            },
        },
    )


def show(visit: Visit, payment: str) -> Page:
    """One payment with its whole way."""
    return _detail(visit, payment, None)


def again(visit: Visit, rejected: Rejected, payment: str) -> Page:
    """The same with what was wrong in the form."""
    return _detail(visit, payment, rejected)


def refund(visit: Visit, payment: str, form: RefundForm) -> Page | Redirect:
    """Give a payment back, in whole or in part."""
    intent = _found(visit, payment)
    token = claim.make_token(os.urandom(claim.TOKEN_RANDOM_BYTES))
    made = refund_flow.create(
        visit.parts,
        RefundRequest(
            payment_intent=intent.id,
            amount=_units(form.amount, intent.decimals),
            destination=_place(form),
            claim_hash=claim.token_hash(token),
            reason=form.reason,
            description=form.description,
            metadata={},
            initiator=Initiator(visit.actor.key, visit.actor.person),
        ),
        identifier=visit.object_id("re"),
        account_id=intent.account_id,
        livemode=visit.livemode,
    )
    if made.claim_hash != claim.token_hash(token):
        told = visit.words.gettext("The refund is on its way.")
        return Redirect(f"{PATH}/{intent.id}", flash=told, tone="good")
    url = (visit.parts.public_url or "") + claim.claim_path(token)
    return Page("console/refund_made.html", {"refund": made, "url": url, "intent": intent})


def cancel(visit: Visit, payment: str) -> Redirect:
    """Call a payment off that nobody has begun to pay."""
    intent = _found(visit, payment)
    with visit.database.begin() as connection:
        flow.cancel(
            connection,
            intent.id,
            account_id=intent.account_id,
            livemode=visit.livemode,
            reason="requested_by_customer",
            now=visit.now,
            request_id=None,
        )
    told = visit.words.gettext("The payment is canceled.")
    return Redirect(f"{PATH}/{intent.id}", flash=told, tone="good")


def arrivals(connection: Connection, visit: Visit, payins: Sequence[PayIn]) -> list[Arrival]:
    """Pay-ins with their steps, as far as the visitor may know."""
    if not payins:
        return []
    assets = {each.asset: each for each in networks.list_assets(connection)}
    followed = {
        each.network: each for each in networks.list_networks(connection, livemode=visit.livemode)
    }
    heads = {each.network: each.block_number for each in networks.list_cursors(connection)}
    shown = []
    for payin in payins:
        asset, network = assets.get(payin.asset), followed.get(payin.network)
        head = heads.get(payin.network)
        told = story.list_told(connection, [payin.id, payin.payment_intent or payin.id])
        wanted = [each for each in told if each.delivery is not None]
        all_took = all(each.status == DeliveryStatus.succeeded for each in wanted)
        after = After(
            is_told=bool(wanted),
            was_told=all_took,
            told_at=story.delivered_at(connection, [each.delivery or "" for each in wanted]),
            swept_at=story.swept_at(connection, payin),
        )
        shown.append(
            Arrival(
                payin=payin,
                status=payin_status(visit)(payin),
                steps=timeline(payin, after),
                network=network.name if network is not None else payin.network,
                symbol=asset.symbol if asset is not None else payin.asset.rpartition("/")[2],
                decimals=None if asset is None else asset.decimals,
                sender=checksum_address(payin.sender),
                address=checksum_address(payin.address),
                confirmations=None if head is None else max(0, head - payin.block_number + 1),
                confirmations_needed=None if network is None else network.confirmations,
            )
        )
    return shown


def ledger_lines(connection: Connection, visit: Visit, rows: Sequence[str]) -> list[dict[str, Any]]:
    """What the ledger booked for some rows: for the operator's people, who know its accounts."""
    if not visit.is_operator or not rows:
        return []
    scales, signs = networks.unit_decimals(connection), symbols(connection)
    return [
        {
            "at": datetime.fromtimestamp(each.timestamp_ns / 1e9, UTC),
            "code": TransferCode(each.code).name,
            "debit": each.debit or "",
            "credit": each.credit or "",
            "amount": money.format_decimal(each.amount, scales.get(each.unit or "", 0)),
            "unit": booking.unit_sign(each.unit or "", signs),
            "status": each.status,
        }
        for each in story.list_booked(connection, rows)
    ]


def payin_status(visit: Visit) -> Callable[[PayIn], str]:
    """The status of a pay-in as this visitor may read it."""
    return lambda row: row.status if visit.is_operator else shown_status(row.status)


def symbols(connection: Connection) -> dict[str, tuple[str, int]]:
    """The sign and the scale of every listed asset."""
    return {each.asset: (each.symbol, each.decimals) for each in networks.list_assets(connection)}


def _window(connection: Connection, visit: Visit, query: PaymentQuery) -> Window[PaymentIntent]:
    scope = Scope(visit.account_id, visit.livemode)
    found = find(connection, read_search(query.q or ""), scope)
    c = store.payment_intents.c
    bound = [*scope.bound(), *found.bound()]
    filters = [*scope.filters(), *found.filters]
    if query.customer is not None:
        bound.append(c.customer == query.customer)
    for name in ("status", "currency", "timing"):
        value = getattr(query, name)
        if value is not None:
            filters.append(c[name] == str(value))
    if query.amount is not None:
        filters.append(c.amount_status == query.amount)
    filters += created_within(visit, query, store.payment_intents)
    return fetch_window(
        connection,
        store.payment_intents,
        PaymentIntent,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _file(rows: Sequence[PaymentIntent]) -> Download:
    return csv_file(
        "payments.csv",
        [
            ("id", lambda row: row.id),
            ("created", lambda row: row.created),
            ("status", lambda row: row.status),
            ("amount", lambda row: Exact(money.format_decimal(row.amount, row.decimals))),
            ("currency", lambda row: row.currency),
            (
                "amount_received",
                lambda row: Exact(money.format_decimal(row.amount_received, row.decimals)),
            ),
            (
                "amount_refunded",
                lambda row: Exact(money.format_decimal(row.amount_refunded, row.decimals)),
            ),
            ("amount_status", lambda row: row.amount_status),
            ("timing", lambda row: row.timing),
            ("customer", lambda row: row.customer),
            ("description", lambda row: row.description),
            ("address", lambda row: row.address),
            ("succeeded_at", lambda row: row.succeeded_at),
        ],
        rows,
    )


def _customer_names(connection: Connection, rows: Sequence[PaymentIntent]) -> dict[str, str]:
    ids = sorted({each.customer for each in rows if each.customer is not None})
    return customers.names(connection, ids) if ids else {}


def _detail(visit: Visit, payment: str, rejected: Rejected | None) -> Page:
    intent = _found(visit, payment)
    with visit.database.read() as connection:
        payins = story.list_payins(connection, intent.id)
        refunds = story.list_refunds(connection, payment_intent=intent.id)
        values = {
            "intent": intent,
            "customer": _customer_names(connection, [intent]).get(intent.customer or ""),
            "arrivals": arrivals(connection, visit, payins),
            "refunds": refunds,
            "told": story.list_told(connection, [intent.id, *(each.id for each in payins)]),
            "lines": ledger_lines(connection, visit, [each.id for each in payins]),
        }
        left, surplus = refundable(connection, intent)
        enabled = [
            (each.network, each.name)
            for each in networks.list_networks(connection, livemode=visit.livemode)
            if each.enabled
        ]
    return Page(
        "console/payment.html",
        values
        | {
            "left": money.format_decimal(left, intent.decimals),
            # Of what came too much and was not given back yet, the form begins with that.
            "surplus": money.format_decimal(surplus, intent.decimals) if surplus else None,
            "may_refund": (left > 0 or rejected is not None) and visit.may("refunds", "write"),
            "may_cancel": intent.status == PaymentStatus.requires_action
            and not payins
            and visit.may("payment_intents", "write"),
            "rejected": rejected,
            "choices": {"reason": options(visit, REASONS), "network": [("", "–"), *enabled]},
            "words": {
                "booked": booking.REASONS,
                "status": STATUSES,
                "payin": PAYIN_STATUSES,
                "step": STEPS,
                "refund": REFUND_STATUSES,
                "delivery": DELIVERY_STATUSES,
                "reason": REASONS,
                "amount": AMOUNTS,
            },
        },
    )


def _found(visit: Visit, payment: str) -> PaymentIntent:
    with visit.database.read() as connection:
        found = store.find(
            connection, payment, account_id=visit.account_id, livemode=visit.livemode
        )
    if found is None:
        raise ResourceMissing("No such payment: {payment}", param="payment", payment=repr(payment))
    return found


def _units(text: str | None, decimals: int) -> int | None:
    """An amount that was typed, in the smallest unit; None for all that is left."""
    if text is None:
        return None
    try:
        units = money.parse_decimal(text.replace(",", ""), decimals)
    except ValueError as error:
        raise ParameterInvalid(
            "Write the amount in digits, with at most {decimals} decimals: 12.50",
            param="amount",
            decimals=decimals,
        ) from error
    if units <= 0:
        raise ParameterInvalid("The amount must be above zero.", param="amount")
    return units


def _place(form: RefundForm) -> Place | None:
    if form.address is None:
        return None
    if form.network is None:
        raise ParameterInvalid("Choose the network of this address.", param="network")
    return Place(form.network, form.address)


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "payment_intents", menu=Menu("Payments", mark("Payments"))),
    Screen("GET", PATH + "/{payment}", show, "payment_intents"),
    Screen("POST", PATH + "/{payment}/refund", refund, "refunds", step_up=True, again=again),
    Screen("POST", PATH + "/{payment}/cancel", cancel, "payment_intents", again=again),
)
