"""Refunds: what arrived is sent back, in Stripe's shape."""

import os
from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing, ShownOnce
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
from sakk.api.payment import expand_payment_intents
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import claim
from sakk.core import refund as rules
from sakk.core.errors import ResourceMissing
from sakk.core.metadata import merge
from sakk.core.payout import Initiator
from sakk.flow import refund as flow
from sakk.flow.refund_draft import Place, RefundRequest
from sakk.store import refund as store
from sakk.store.page import fetch_page

resource = Resource("refunds", expands={"payment_intent": expand_payment_intents})


class RefundPlace(Strict):
    """Where to: a network by CAIP-2 and an address on it."""

    network: Identifier
    address: Identifier


class RefundCreate(Parameters):
    """A refund of a ``payment_intent``, or of one ``payin`` that no payment intent asked for.

    Of a ``payin`` what stands in suspense, or else what was credited of it.

    Without ``amount`` all that is left. ``currency`` is the coin to send, what arrived when left
    out. Without ``destination`` the answer has a link under which the payer says where to.
    ``fee_mode``: who bears the fee, where one is charged; the account's settings say it when left
    out.
    """

    payment_intent: Identifier | None = None
    payin: Identifier | None = None
    amount: Amount | None = None
    currency: CurrencyCode | None = None
    destination: RefundPlace | None = None
    claim_expires_at: Timestamp | None = None
    reason: rules.Reason | None = None
    description: LongText | None = None
    fee_mode: rules.FeeMode | None = None
    refund_application_fee: Annotated[
        bool | None,
        Field(
            description="The platform gives its part of the fee back; when left out, as the rule"
            " says by which it was taken."
        ),
    ] = None
    metadata: Metadata | None = None


class RefundUpdate(Parameters):
    """What is only the merchant's note."""

    metadata: Metadata | None = None


class ClaimLinkCreate(Parameters):
    """A fresh link; ``claim_expires_at`` is 30 days from now when left out."""

    claim_expires_at: Timestamp | None = None


class RefundRedirect(Parameters):
    """Where it goes instead."""

    destination: RefundPlace


class RefundListParameters(ListParameters):
    """Which refunds."""

    payment_intent: Identifier | None = None
    payin: Identifier | None = None
    status: rules.RefundStatus | None = None


class RefundDestination(Shape):
    """Where to."""

    network: str
    address: str


class ClaimLink(Shape):
    """``url`` in the answer that made the link, and in no other."""

    expires_at: int
    url: str | None


class RefundNextAction(Shape):
    """What is awaited: the payer, under the link."""

    type: Literal["claim"]
    claim: ClaimLink


class RefundShape(Shape):
    """Money sent back, and how far it is.

    ``amount`` in the payment's currency, ``sent_amount`` in that of the coin which is sent,
    ``token_amount`` in the token's atomic units.
    """

    id: str
    object: Literal["refund"]
    amount: int
    amount_decimal: str
    asset: str | None
    balance_transaction: None
    charge: None
    created: Created
    currency: str
    description: str | None
    destination: RefundDestination | None
    failure_reason: rules.FailureReason | None
    fee: Annotated[int | None, Field(description="In the coin; null until the network is known.")]
    fee_decimal: str | None
    fee_mode: rules.FeeMode
    fee_returned: Annotated[int, Field(description="What of the payment's fee goes back with it.")]
    livemode: Livemode
    metadata: ObjectMetadata
    network: str | None
    next_action: RefundNextAction | None
    payin: str | None
    payment_intent: str | Document | None
    payout: str | None
    reason: rules.Reason | None
    sent_amount: int
    sent_amount_decimal: str
    sent_currency: str
    service_fee: Annotated[int, Field(description="What a fee schedule charges, in the coin.")]
    status: rules.RefundStatus
    token_amount: str | None
    tx_hash: str | None


@resource.post("/v1/refunds", returns=RefundShape, operation="create_refund", two_steps=True)
def create(context: Context, body: RefundCreate) -> Document | ShownOnce:
    """Give money back: a payment in whole or in part, or what one payin left in suspense.

    At most what arrived and was not refunded before; refunds that are pending count. The money is
    reserved at once. The claim link is in this answer and nowhere else; a replay under the same
    Idempotency-Key does not show it again.
    """
    token = claim.make_token(os.urandom(claim.TOKEN_RANDOM_BYTES))
    place = body.destination
    refund = flow.create(
        context.parts,
        RefundRequest(
            payment_intent=body.payment_intent,
            payin=body.payin,
            amount=body.amount,
            coin=None if body.currency is None else body.currency.lower(),
            destination=None if place is None else Place(place.network, place.address),
            claim_hash=claim.token_hash(token),
            claim_expires_at=moment(body.claim_expires_at),
            reason=body.reason,
            description=body.description,
            metadata=merge({}, body.metadata or {}),
            fee_mode=body.fee_mode,
            refund_application_fee=body.refund_application_fee,
            platform=_platform(context),
            initiator=Initiator(context.caller.key.id, context.caller.key.person),
        ),
        identifier=context.object_id("re"),
        account_id=context.account_id,
        livemode=context.livemode,
        request_id=context.request_id,
    )
    if refund.claim_hash != claim.token_hash(token):
        # A request that was begun before a crash and goes on now made another link, or none.
        return _shown(context, refund)
    return _shown_once(context, refund, token)


def _platform(context: Context) -> str | None:
    """Whose fee may be given back: that of the platform that asks, or by the operator any."""
    connected = context.caller.connected
    if connected is not None:
        return connected.platform
    return None if context.is_operator else ""


@resource.get("/v1/refunds", returns=Page[RefundShape], operation="list_refunds")
def list_refunds(context: Context, query: RefundListParameters) -> Listing:
    """List the refunds, newest first: an account's, or all for the operator."""
    columns = store.refunds.c
    filters = [
        columns[name] == value
        for name in ("payment_intent", "payin")
        if (value := getattr(query, name)) is not None
    ]
    if query.status is not None:
        filters.append(columns.status == query.status.value)
    rows, has_more = fetch_page(
        context.connection,
        store.refunds,
        rules.Refund,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=[_shown(context, row) for row in rows], has_more=has_more)


@resource.get("/v1/refunds/{refund}", returns=RefundShape, operation="retrieve_refund")
def retrieve(context: Context, refund: str) -> Document:
    """Retrieve a refund."""
    return _shown(context, _found(context, refund))


@resource.post("/v1/refunds/{refund}", returns=RefundShape, operation="update_refund")
def update(context: Context, refund: str, body: RefundUpdate) -> Document:
    """Change the metadata."""
    current = _found(context, refund)
    if "metadata" not in body.model_fields_set:
        return _shown(context, current)
    changed = flow.change(
        context.connection,
        refund,
        account_id=context.account_id,
        livemode=context.livemode,
        metadata=merge(current.metadata, body.metadata),
        now=context.now,
        request_id=context.request_id,
    )
    return _shown(context, changed)


@resource.post("/v1/refunds/{refund}/cancel", returns=RefundShape, operation="cancel_refund")
def cancel(context: Context, refund: str) -> Document:
    """Call a refund off before a transaction carries it."""
    canceled = flow.cancel(
        context.connection,
        refund,
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
        request_id=context.request_id,
    )
    return _shown(context, canceled)


@resource.post(
    "/v1/refunds/{refund}/claim_link", returns=RefundShape, operation="create_refund_claim_link"
)
def create_claim_link(context: Context, refund: str, body: ClaimLinkCreate) -> ShownOnce:
    """Make a fresh claim link for a refund that waits for its payer; the one before is void."""
    token = claim.make_token(os.urandom(claim.TOKEN_RANDOM_BYTES))
    renewed = flow.renew_claim(
        context.connection,
        refund,
        account_id=context.account_id,
        livemode=context.livemode,
        claim_hash=claim.token_hash(token),
        expires_at=moment(body.claim_expires_at),
        now=context.now,
        initiator=Initiator(context.caller.key.id, context.caller.key.person),
    )
    return _shown_once(context, renewed, token)


@resource.post(
    "/v1/refunds/{refund}/redirect",
    returns=RefundShape,
    operation="redirect_refund",
    operator_only=True,
)
def redirect(context: Context, refund: str, body: RefundRedirect) -> Document:
    """Change where a refund goes, before a transaction carries it; it is screened again.

    Who changes it does not approve it.
    """
    place = Place(body.destination.network, body.destination.address)
    changed = flow.redirect(
        context.connection,
        refund,
        place,
        livemode=context.livemode,
        now=context.now,
        initiator=Initiator(context.caller.key.id, context.caller.key.person),
    )
    return _shown(context, changed)


def _found(context: Context, refund: str) -> rules.Refund:
    found = store.find(
        context.connection,
        refund,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing(f"No such refund: {refund!r}", param="id")
    return found


def _shown(context: Context, refund: rules.Refund) -> Document:
    return rules.public(refund, operator=context.is_operator)


def _shown_once(context: Context, refund: rules.Refund, token: str) -> ShownOnce:
    url = context.settings.public_url + claim.claim_path(token)
    return ShownOnce(
        document=rules.public(refund, operator=context.is_operator, claim_url=url),
        stored=_shown(context, refund),
    )
