"""Disputes: a payer says that a charge was not what it paid for."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from sakk.api.channel import found
from sakk.api.charge_refund import Nonce, read_nonce
from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Amount, Identifier, ListParameters, LongText, Parameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import dispute as rules
from sakk.core.channel import Channel
from sakk.core.dispute import Dispute, Outcome
from sakk.core.errors import PermissionDenied, ResourceMissing
from sakk.flow import dispute as flow
from sakk.store import dispute as store
from sakk.store.page import fetch_page

resource = Resource("channels")

Note = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


class DisputeCreate(Parameters):
    """Which call, why, and how much of it: all of it where nothing is said."""

    session: Identifier
    nonce: Nonce
    reason: LongText
    amount: Amount | None = None


class DisputeResolve(Parameters):
    """How it ends."""

    outcome: Annotated[
        Literal["refund", "reject", "withdraw"],
        Field(description="The payee refunds, the payer withdraws; the operator decides anything."),
    ]
    note: Note | None = None


class DisputeListParameters(ListParameters):
    """Which disputes."""

    status: Literal["requested", "open", "refunded", "rejected", "withdrawn"] | None = None


class DisputeShape(Shape):
    """A charge that is disputed, with what both sides have of it."""

    id: str
    object: Literal["channel_dispute"]
    amount: int
    amount_decimal: str
    channel: str
    charge: Annotated[str | None, Field(description="The name of a charge by voucher.")]
    created: Created
    currency: str
    ended_at: int | None
    held: Annotated[bool, Field(description="Is the amount held on the payee's balance?")]
    livemode: Livemode
    metadata: ObjectMetadata
    nonce: str | None
    note: str | None
    payee: str
    payer: Annotated[str, Field(description="An account, or an address where it has none.")]
    reason: str
    records: Annotated[
        dict[str, Any],
        Field(description="The charge, the authority's signed head, the payer's last signature."),
    ]
    session: str | None
    status: Literal["requested", "open", "refunded", "rejected", "withdrawn"]


@resource.post(
    "/v1/channels/{channel}/disputes",
    returns=DisputeShape,
    operation="create_channel_dispute",
    two_steps=True,
)
def create(context: Context, channel: str, body: DisputeCreate) -> Document:
    """Dispute a charge on a channel that the account pays for.

    The amount is held on the payee's balance, as far as that covers it, until it is decided.
    """
    paid = found(context, channel)
    if paid.account_id != context.account_id:
        raise ResourceMissing(f"The account pays no channel {channel!r}.", param="channel")
    dispute = flow.create(
        context.parts,
        paid,
        body.session,
        read_nonce(body.nonce),
        identifier=context.object_id(rules.PREFIX),
        reason=body.reason,
        amount=body.amount,
    )
    return rules.public_dispute(dispute)


@resource.get(
    "/v1/channels/{channel}/disputes",
    returns=Page[DisputeShape],
    operation="list_channel_disputes",
    asks_outside=True,
)
def list_disputes(context: Context, channel: str, query: DisputeListParameters) -> Listing:
    """List the disputes of a channel, newest first."""
    return listed(context, found(context, channel).id, query)


def listed(context: Context, channel_id: str, query: DisputeListParameters) -> Listing:
    """The disputes of a channel of either kind, newest first."""
    table = store.channel_disputes
    filters = [table.c.channel_id == channel_id]
    if query.status is not None:
        filters.append(table.c.status == query.status)
    with context.database.begin() as connection:
        rows, has_more = fetch_page(
            connection,
            table,
            Dispute,
            account_id=None,
            livemode=context.livemode,
            page=query.page(),
            filters=filters,
        )
    return Listing(data=[rules.public_dispute(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/channels/{channel}/disputes/{channel_dispute}",
    returns=DisputeShape,
    operation="retrieve_channel_dispute",
    asks_outside=True,
)
def retrieve(context: Context, channel: str, channel_dispute: str) -> Document:
    """Retrieve a dispute, with what both sides have of the charge."""
    return rules.public_dispute(_dispute(context, found(context, channel), channel_dispute))


@resource.post(
    "/v1/channels/{channel}/disputes/{channel_dispute}/resolve",
    returns=DisputeShape,
    operation="resolve_channel_dispute",
    two_steps=True,
)
def resolve(context: Context, channel: str, channel_dispute: str, body: DisputeResolve) -> Document:
    """End a dispute: the payee gives back, the payer withdraws, or the operator decides."""
    paid = found(context, channel)
    dispute = _dispute(context, paid, channel_dispute)
    outcome = Outcome(body.outcome)
    may_end(context, dispute, outcome)
    ended = flow.resolve(context.parts, paid, dispute.id, outcome, note=body.note)
    return rules.public_dispute(ended)


def may_end(context: Context, dispute: Dispute, outcome: Outcome) -> None:
    """Raise PermissionDenied where it is not the account's to end a dispute so."""
    by = {Outcome.refund: dispute.payee, Outcome.withdraw: dispute.account_id}
    if not context.is_operator and by.get(outcome) != context.account_id:
        raise PermissionDenied(
            "The payee refunds and the payer withdraws; only the operator decides otherwise.",
            param="outcome",
        )


def _dispute(context: Context, channel: Channel, dispute_id: str) -> Dispute:
    with context.database.begin() as connection:
        dispute = store.find_of(
            connection,
            dispute_id,
            account_id=context.visible_account_id,
            livemode=context.livemode,
        )
    if dispute is None or dispute.channel_id != channel.id:
        raise ResourceMissing(f"No such dispute: {dispute_id!r}", param="channel_dispute")
    return dispute
