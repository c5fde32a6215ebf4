"""Spends: what an agent asks for under its mandate, with its own key or one that is bound to it."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import (
    Amount,
    Identifier,
    ListParameters,
    LongText,
    Metadata,
    Parameters,
    Strict,
)
from sakk.api.payment import PaymentIntentShape
from sakk.api.pool import PoolMovementShape
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import mandate_spend as rules
from sakk.core.errors import ResourceMissing
from sakk.core.mandate import NETWORKS_MAX
from sakk.core.metadata import merge
from sakk.core.payment import public
from sakk.core.pool import PREFIX as POOL_PREFIX
from sakk.core.pool import Direction, public_movement
from sakk.core.spend import read_payee
from sakk.flow import mandate as mandates
from sakk.flow import mandate_invoice as invoices
from sakk.flow import mandate_spend as flow
from sakk.flow import pool
from sakk.flow.pool import PoolRequest
from sakk.store import mandate_spend as store
from sakk.store.page import fetch_page

resource = Resource("mandate_spends")

Reference = Annotated[
    str,
    Field(
        min_length=1,
        max_length=rules.REFERENCE_LENGTH_MAX,
        description="The agent's own name of it: asked again under it, it is the same one.",
    ),
]


class PaidParameters(Strict):
    """Who is paid: an account here, or an address on a network; and the host that asks."""

    account: Identifier | None = None
    network: Identifier | None = None
    address: Identifier | None = None
    host: Annotated[str, Field(max_length=255)] | None = None


class MandateSpendCreate(Parameters):
    """A payment under a mandate, in its currency."""

    reference: Reference
    amount: Amount
    payee: PaidParameters
    scheme: Annotated[
        Identifier | None,
        Field(description="How it is paid: `transfer` here, or `exact` and others elsewhere."),
    ] = None
    description: LongText | None = None
    metadata: Metadata | None = None


class MandateSpendListParameters(ListParameters):
    """Which spends."""

    status: rules.SpendStatus | None = None
    reference: Identifier | None = None


class ParkParameters(Parameters):
    """How much of the mandate's currency."""

    reference: Reference
    amount: Amount


class MandateInvoiceCreate(Parameters):
    """What is asked for, in the mandate's currency."""

    reference: Reference
    amount: Amount
    networks: Annotated[
        list[Identifier] | None,
        Field(
            min_length=1,
            max_length=NETWORKS_MAX,
            description="On which it may be paid; by default on all that the mandate allows.",
        ),
    ] = None
    description: LongText | None = None
    metadata: Metadata | None = None


class PayeeShape(Shape):
    """Who is paid."""

    account: str | None
    network: str | None
    address: str | None
    host: str | None


class MandateSpendShape(Shape):
    """A spend. `posted` moved money here; `reserved` is counted here and paid by the agent's key.

    `waiting` is for a person until ``approve_by``; `approved` is carried out when the agent asks
    again. ``failure`` says which limit refused it.
    """

    id: str
    object: Literal["mandate_spend"]
    account: str
    mandate: str
    reference: str
    amount: int
    amount_decimal: str
    currency: str
    payee: PayeeShape
    scheme: str
    status: rules.SpendStatus
    failure_code: str | None
    failure: dict[str, Any] | None
    approval_digest: str
    approval_typed_data: dict[str, Any] | None
    approve_by: int | None
    approved_by: str | None
    description: str | None
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


@resource.post(
    "/v1/mandates/{mandate}/spends",
    returns=MandateSpendShape,
    operation="create_mandate_spend",
    two_steps=True,
)
def create(context: Context, mandate: str, body: MandateSpendCreate) -> Document:
    """Spend under a mandate.

    To an account here the money moves at once; to an address it is reserved from the budgets, for
    the agent's own key to pay. Above the mandate's `approval_above` it waits for a person: ask
    again under the same reference to carry it out. A refusal names the limit and what is left.
    """
    paid = body.payee
    spend = flow.create(
        context.parts,
        mandate,
        flow.SpendRequest(
            reference=body.reference,
            amount=body.amount,
            payee=read_payee(
                account=paid.account, network=paid.network, address=paid.address, host=paid.host
            ),
            scheme=body.scheme,
            description=body.description,
            metadata=merge({}, body.metadata or {}),
        ),
        identifier=context.object_id(rules.PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        request_id=context.request_id,
    )
    return rules.public_spend(spend)


@resource.get(
    "/v1/mandates/{mandate}/spends",
    returns=Page[MandateSpendShape],
    operation="list_mandate_spends",
)
def list_spends(context: Context, mandate: str, query: MandateSpendListParameters) -> Listing:
    """List a mandate's spends, newest first."""
    found = mandates.find(
        context.connection, mandate, account_id=context.account_id, livemode=context.livemode
    )
    columns = store.mandate_spends.c
    filters = [columns.mandate == found.id]
    if query.status is not None:
        filters.append(columns.status == query.status.value)
    if query.reference is not None:
        filters.append(columns.reference == query.reference)
    rows, has_more = fetch_page(
        context.connection,
        store.mandate_spends,
        rules.MandateSpend,
        account_id=context.account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=[rules.public_spend(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/mandates/{mandate}/spends/{spend}",
    returns=MandateSpendShape,
    operation="retrieve_mandate_spend",
)
def retrieve(context: Context, mandate: str, spend: str) -> Document:
    """Retrieve a spend."""
    found = store.find(
        context.connection,
        spend,
        mandate=mandate,
        account_id=context.account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing(f"No such spend: {spend!r}", param="spend")
    return rules.public_spend(found)


@resource.post(
    "/v1/mandates/{mandate}/park",
    returns=PoolMovementShape,
    operation="park_under_mandate",
    two_steps=True,
)
def park(context: Context, mandate: str, body: ParkParameters) -> Document:
    """Move idle balance of the account into the pool, where nothing spends it."""
    return _moved(context, mandate, body, Direction.park)


@resource.post(
    "/v1/mandates/{mandate}/unpark",
    returns=PoolMovementShape,
    operation="unpark_under_mandate",
    two_steps=True,
)
def unpark(context: Context, mandate: str, body: ParkParameters) -> Document:
    """Take parked balance back, at once."""
    return _moved(context, mandate, body, Direction.unpark)


@resource.post(
    "/v1/mandates/{mandate}/invoices",
    returns=PaymentIntentShape,
    operation="create_mandate_invoice",
)
def create_invoice(context: Context, mandate: str, body: MandateInvoiceCreate) -> Document:
    """Ask to be paid, under a mandate whose `may_invoice` allows it.

    A payment intent of the mandate's account. Asked again under the same reference it is the same
    one. At most 100 of a mandate may wait to be paid.
    """
    under = mandates.find(
        context.connection, mandate, account_id=context.account_id, livemode=context.livemode
    )
    intent = invoices.create(
        context.connection,
        context.catalogue,
        invoices.InvoiceRequest(
            reference=body.reference,
            amount=body.amount,
            currency=under.currency,
            networks=body.networks,
            description=body.description,
            metadata=merge({}, body.metadata or {}),
        ),
        under=under,
        identifier=context.object_id("pi"),
        now=context.now,
        request_id=context.request_id,
    )
    return public(intent)


@resource.get(
    "/v1/mandates/{mandate}/invoices/{invoice}",
    returns=PaymentIntentShape,
    operation="retrieve_mandate_invoice",
)
def retrieve_invoice(context: Context, mandate: str, invoice: str) -> Document:
    """An invoice of a mandate as it stands: its status, and what arrived."""
    under = mandates.find(
        context.connection, mandate, account_id=context.account_id, livemode=context.livemode
    )
    return public(invoices.find(context.connection, invoice, under=under))


@resource.post(
    "/v1/mandates/{mandate}/invoices/{invoice}/cancel",
    returns=PaymentIntentShape,
    operation="cancel_mandate_invoice",
)
def cancel_invoice(context: Context, mandate: str, invoice: str) -> Document:
    """Call off an invoice of a mandate that nobody has begun to pay; its address stays watched.

    Canceled again it is the same. Only while the mandate holds and its `may_invoice` allows it.
    """
    under = mandates.find(
        context.connection, mandate, account_id=context.account_id, livemode=context.livemode
    )
    canceled = invoices.cancel(
        context.connection,
        invoice,
        under=under,
        now=context.now,
        request_id=context.request_id,
    )
    return public(canceled)


def _moved(context: Context, mandate: str, body: ParkParameters, direction: Direction) -> Document:
    with context.database.read() as connection:
        found = mandates.find(
            connection, mandate, account_id=context.account_id, livemode=context.livemode
        )
    movement = pool.move(
        context.parts,
        PoolRequest(direction, body.amount, found.currency, body.reference),
        identifier=context.object_id(POOL_PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        under=found,
        request_id=context.request_id,
    )
    return public_movement(movement)
