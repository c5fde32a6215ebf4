"""Disputes of charges by voucher, as the payee and the operator see and end them.

Their payers have no account here: they open and withdraw them by what they sign
(``sakk.api.escrow_payer``).
"""

from sakk.api.context import Context, Document, Listing
from sakk.api.dispute import (
    DisputeListParameters,
    DisputeResolve,
    DisputeShape,
    listed,
    may_end,
)
from sakk.api.escrow_channel import found
from sakk.api.route import Resource
from sakk.api.shapes import Page
from sakk.core import dispute as rules
from sakk.core.dispute import Dispute, Outcome
from sakk.core.errors import ResourceMissing
from sakk.core.escrow_channel import EscrowChannel
from sakk.flow import dispute as flow
from sakk.store import dispute as store

resource = Resource("channels")


@resource.get(
    "/v1/escrow_channels/{escrow_channel}/disputes",
    returns=Page[DisputeShape],
    operation="list_escrow_disputes",
    asks_outside=True,
)
def list_disputes(context: Context, escrow_channel: str, query: DisputeListParameters) -> Listing:
    """List the disputes of charges on a channel in escrow, newest first."""
    return listed(context, found(context, escrow_channel).id, query)


@resource.get(
    "/v1/escrow_channels/{escrow_channel}/disputes/{escrow_dispute}",
    returns=DisputeShape,
    operation="retrieve_escrow_dispute",
    asks_outside=True,
)
def retrieve(context: Context, escrow_channel: str, escrow_dispute: str) -> Document:
    """Retrieve a dispute, with what both sides signed."""
    return rules.public_dispute(_dispute(context, found(context, escrow_channel), escrow_dispute))


@resource.post(
    "/v1/escrow_channels/{escrow_channel}/disputes/{escrow_dispute}/resolve",
    returns=DisputeShape,
    operation="resolve_escrow_dispute",
    two_steps=True,
)
def resolve(
    context: Context, escrow_channel: str, escrow_dispute: str, body: DisputeResolve
) -> Document:
    """End a dispute: the payee gives back, or the operator decides.

    What is not claimed on the chain yet goes into the channel again, where its payer may spend it
    or have it refunded; what is claimed goes to the payer's address by a payout, which has the
    refund's number and whose fee comes out of it.
    """
    paid = found(context, escrow_channel)
    dispute = _dispute(context, paid, escrow_dispute)
    outcome = Outcome(body.outcome)
    may_end(context, dispute, outcome)
    return rules.public_dispute(
        flow.resolve(context.parts, paid, dispute.id, outcome, note=body.note)
    )


def _dispute(context: Context, channel: EscrowChannel, dispute_id: str) -> Dispute:
    with context.database.begin() as connection:
        dispute = store.find_of(
            connection,
            dispute_id,
            account_id=context.visible_account_id,
            livemode=context.livemode,
        )
    if dispute is None or dispute.channel_id != channel.id:
        raise ResourceMissing(f"No such dispute: {dispute_id!r}", param="escrow_dispute")
    return dispute
