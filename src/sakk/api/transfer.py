"""Transfers: money moved between accounts here, in the ledger alone."""

from typing import Literal

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import (
    Amount,
    CurrencyCode,
    Identifier,
    ListParameters,
    LongText,
    Metadata,
    Parameters,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import claim
from sakk.core import transfer as rules
from sakk.core.errors import ResourceMissing
from sakk.core.metadata import merge
from sakk.flow import account_payment
from sakk.flow import transfer as flow
from sakk.store import transfer as store
from sakk.store.page import fetch_page

resource = Resource("transfers")


class TransferCreate(Parameters):
    """A transfer to another account: its id, an e-mail address, ``@handle``, or a scanned code."""

    amount: Amount
    currency: CurrencyCode
    destination: LongText
    description: LongText | None = None
    metadata: Metadata | None = None


class CheckoutPaymentCreate(Parameters):
    """The address of a page to pay, or the token in it; in which of its coins, if not its own."""

    session: LongText
    currency: CurrencyCode | None = None


class TransferListParameters(ListParameters):
    """Which transfers."""

    destination: Identifier | None = None
    direction: Literal["outgoing", "incoming"] = "outgoing"


class TransferShape(Shape):
    """Money moved between two accounts."""

    id: str
    object: Literal["transfer"]
    amount: int
    amount_decimal: str
    amount_reversed: int
    created: Created
    currency: str
    description: str | None
    destination: str | None
    expires_at: int | None
    failure_code: str | None
    livemode: Livemode
    metadata: ObjectMetadata
    reason: str | None
    recipient: str | None
    reversed: bool
    source: str
    status: Literal[
        "requested", "pending", "claiming", "returning", "posted", "returned", "rejected"
    ]


@resource.post("/v1/transfers", returns=TransferShape, operation="create_transfer", two_steps=True)
def create(context: Context, body: TransferCreate) -> Document:
    """Move money to another account, at once.

    To an e-mail address that no account has it waits, `pending`, until `expires_at`.
    """
    transfer = flow.create(
        context.parts,
        flow.TransferRequest(
            amount=body.amount,
            currency=body.currency.lower(),
            destination=body.destination,
            description=body.description,
            metadata=merge({}, body.metadata or {}),
        ),
        identifier=context.object_id("tr"),
        account_id=context.account_id,
        livemode=context.livemode,
        actor=context.actor,
        request_id=context.request_id,
    )
    return rules.public(transfer)


@resource.post(
    "/v1/checkout_payments",
    returns=TransferShape,
    operation="create_checkout_payment",
    two_steps=True,
)
def pay_checkout(context: Context, body: CheckoutPaymentCreate) -> Document:
    """Pay a checkout session of another account here from the balance: at once, free of fees."""
    token = body.session.partition("?")[0].rstrip("/").rpartition("/")[2]
    transfer = account_payment.pay(
        context.parts,
        claim.token_hash(token),
        None if body.currency is None else body.currency.lower(),
        transfer_id=context.object_id("tr"),
        account_id=context.account_id,
        livemode=context.livemode,
        actor=context.actor,
        request_id=context.request_id,
    )
    return rules.public(transfer)


@resource.post(
    "/v1/transfers/{transfer}/cancel",
    returns=TransferShape,
    operation="cancel_transfer",
    two_steps=True,
)
def cancel(context: Context, transfer: str) -> Document:
    """Call off a transfer that nobody has claimed: the money is back at once."""
    called_off = flow.cancel(
        context.parts,
        transfer,
        account_id=context.account_id,
        livemode=context.livemode,
        request_id=context.request_id,
    )
    return rules.public(called_off)


@resource.get("/v1/transfers", returns=Page[TransferShape], operation="list_transfers")
def list_transfers(context: Context, query: TransferListParameters) -> Listing:
    """List the transfers that the account has sent, or received, newest first."""
    columns = store.transfers.c
    filters = [] if query.destination is None else [columns.destination == query.destination]
    is_incoming = query.direction == "incoming"
    if is_incoming:
        filters.append(store.was_received_by(context.account_id))
    rows, has_more = fetch_page(
        context.connection,
        store.transfers,
        rules.BookTransfer,
        account_id=None if is_incoming else context.account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=[rules.public(row) for row in rows], has_more=has_more)


@resource.get("/v1/transfers/{transfer}", returns=TransferShape, operation="retrieve_transfer")
def retrieve(context: Context, transfer: str) -> Document:
    """Retrieve a transfer that the account has sent or received."""
    found = store.find_visible(
        context.connection, transfer, account_id=context.account_id, livemode=context.livemode
    )
    if found is None:
        raise ResourceMissing(f"No such transfer: {transfer!r}", param="id")
    return rules.public(found)
