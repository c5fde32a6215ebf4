"""Payouts: money sent out to an address."""

from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from sqlalchemy import and_, not_

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import (
    Amount,
    CurrencyCode,
    Identifier,
    ListParameters,
    LongText,
    Metadata,
    Parameters,
    Strict,
    Timestamp,
    moment,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.api.travel_rule import TravelRuleParameters
from sakk.core import payout as rules
from sakk.core.beneficiary import Wanted
from sakk.core.errors import ResourceMissing
from sakk.core.metadata import merge
from sakk.core.money import UNITS_MAX
from sakk.core.travel_rule import TravelRuleStatus
from sakk.flow import payout as flow
from sakk.flow.idempotency import Steps
from sakk.store import payout as store
from sakk.store.page import fetch_page

resource = Resource("payouts")


class DestinationParameters(Strict):
    """Where to: an address on a network (CAIP-2), a beneficiary (and a network), or an account at a
    bank."""

    network: Identifier | None = None
    address: Identifier | None = None
    beneficiary: Identifier | None = None
    bank_account: Identifier | None = None


def _by_name(value: Any) -> Any:
    """``destination: "ben_…"`` is that beneficiary, ``"ba_…"`` that bank account."""
    if not isinstance(value, str):
        return value
    return {"bank_account" if value.startswith("ba_") else "beneficiary": value}


class PayoutFields(Strict):
    """What one payout is, asked for alone or as a line of a batch."""

    amount: Amount
    currency: CurrencyCode
    destination: Annotated[DestinationParameters, BeforeValidator(_by_name)]
    fee_mode: Literal["sender", "receiver"] = "sender"
    description: LongText | None = None
    metadata: Metadata | None = None
    travel_rule: Annotated[
        TravelRuleParameters | None,
        Field(description="Who stands behind the address, where the address book does not say."),
    ] = None
    scheduled_at: Annotated[
        Timestamp | None,
        Field(description="Not sent before; its money is reserved at once. At most a year ahead."),
    ] = None


class PayoutCreate(Parameters, PayoutFields):
    """A payout; with ``fee_mode`` sender the beneficiary receives exactly ``amount``."""

    quote: Annotated[
        Identifier | None, Field(description="A quote that has not expired: its fee is charged.")
    ] = None
    application_fee_amount: Annotated[
        int | None,
        Field(ge=0, le=UNITS_MAX, description="What the platform that asks takes for it, on top."),
    ] = None


class PayoutListParameters(ListParameters):
    """Which payouts."""

    status: rules.PayoutStatus | None = None
    destination: Identifier | None = None
    beneficiary: Identifier | None = None
    awaiting_approvals: bool | None = None


class Destination(Shape):
    """Where to."""

    network: str
    address: Annotated[str, Field(description="The bank account's id, on the network `bank`.")]
    bank_account: str | None
    beneficiary: str | None


class PayoutShape(Shape):
    """Money sent out, and how far it is. ``token_amount`` in the token's atomic units.

    ``awaiting_approvals``: the operator's people have to approve it first. Which rule of which
    policy says so, and how many of them, is for the operator alone.
    """

    id: str
    object: Literal["payout"]
    amount: int
    amount_decimal: str
    application: Annotated[str | None, Field(description="The platform that takes a fee for it.")]
    application_fee_amount: Annotated[int, Field(description="What it takes, on top.")]
    approvals_needed: int | None
    approver_role: str | None
    asset: str
    awaiting_approvals: bool
    batch: str | None
    created: Created
    currency: str
    description: str | None
    destination: Destination
    failure_code: str | None
    failure_message: str | None
    fee: Annotated[int, Field(description="For what the network takes.")]
    fee_mode: Literal["sender", "receiver"]
    initiator: str | None
    line: Annotated[int | None, Field(description="Its line in the batch, from 1.")]
    livemode: Livemode
    metadata: ObjectMetadata
    network: str
    policy_version: str | None
    quote: Annotated[str | None, Field(description="The quote that its fee was promised by.")]
    reference: Annotated[str | None, Field(description="The caller's own name for the line.")]
    rule: str | None
    scheduled_at: Annotated[int | None, Field(description="It is not sent before.")]
    service_fee: Annotated[int, Field(description="What a fee schedule charges, on top.")]
    screening: str | None
    status: rules.PayoutStatus
    token_amount: str
    travel_rule: Annotated[
        TravelRuleStatus,
        Field(description="It waits while it is `required` or `pending`; see its record."),
    ]
    tx_hash: str | None
    under_review: bool
    waits_for: str | None


@resource.post("/v1/payouts", returns=PayoutShape, operation="create_payout", in_steps=True)
def create(context: Context, body: PayoutCreate) -> Steps[Any, Any, Document]:
    """Send money out.

    More than the available balance is refused at once. A payout that the balance covers waits for
    coins to be collected rather than fail.
    """
    with context.database.read() as connection:
        offer = context.catalogues.read_offer(connection, livemode=context.livemode)
    steps = flow.create(
        context.parts,
        replace(
            request_of(context, body),
            quote=body.quote,
            application=context.application(
                body.application_fee_amount, of=body.amount, param="application_fee_amount"
            ),
        ),
        identifier=context.object_id("po"),
        account_id=context.account_id,
        livemode=context.livemode,
        request_id=context.request_id,
        offer=offer,
        repeated=context.resumed,
    )
    return steps.showing(partial(_shown, context))


@resource.get("/v1/payouts", returns=Page[PayoutShape], operation="list_payouts")
def list_payouts(context: Context, query: PayoutListParameters) -> Listing:
    """List the payouts, newest first: an account's, or all for the operator."""
    columns = store.payouts.c
    # Those that carry refunds out are seen as refunds.
    filters = [columns.purpose == rules.PayoutPurpose.payout.value]
    if query.status is not None:
        filters.append(columns.status == query.status.value)
    if query.destination is not None:
        filters.append(columns.destination == query.destination.lower())
    if query.beneficiary is not None:
        filters.append(columns.beneficiary == query.beneficiary)
    if query.awaiting_approvals is not None:
        waits = and_(
            columns.status == rules.PayoutStatus.screened.value, columns.decided_at.is_not(None)
        )
        filters.append(waits if query.awaiting_approvals else not_(waits))
    rows, has_more = fetch_page(
        context.connection,
        store.payouts,
        rules.Payout,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=[_shown(context, row) for row in rows], has_more=has_more)


@resource.get("/v1/payouts/{payout}", returns=PayoutShape, operation="retrieve_payout")
def retrieve(context: Context, payout: str) -> Document:
    """Retrieve a payout."""
    found = store.find(
        context.connection,
        payout,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    hidden = not context.is_operator
    if found is None or (hidden and found.purpose == rules.PayoutPurpose.refund):
        raise ResourceMissing(f"No such payout: {payout!r}", param="id")
    return _shown(context, found)


@resource.post(
    "/v1/payouts/{payout}/cancel",
    returns=PayoutShape,
    operation="cancel_payout",
    two_steps=True,
)
def cancel(context: Context, payout: str) -> Document:
    """Call a payout off before a transaction carries it."""
    canceled = flow.cancel(
        context.parts,
        payout,
        account_id=context.account_id,
        livemode=context.livemode,
        request_id=context.request_id,
        by_operator=context.is_operator,
    )
    return _shown(context, canceled)


def request_of(
    context: Context, body: PayoutFields, *, reference: str | None = None
) -> rules.PayoutRequest:
    """What a payout's fields ask for."""
    return rules.PayoutRequest(
        amount=body.amount,
        currency=body.currency.lower(),
        destination=Wanted(**body.destination.model_dump()),
        fee_mode=body.fee_mode,
        description=body.description,
        metadata=merge({}, body.metadata) if body.metadata else {},
        reference=reference,
        scheduled_at=moment(body.scheduled_at),
        travel_rule=None if body.travel_rule is None else body.travel_rule.told(),
        initiator=initiator_of(context),
    )


def initiator_of(context: Context) -> rules.Initiator:
    """Who asks: the key, and the person whose key it is."""
    return rules.Initiator(context.caller.key.id, context.caller.key.person)


def _shown(context: Context, payout: rules.Payout) -> Document:
    return rules.public(payout, operator=context.is_operator)
