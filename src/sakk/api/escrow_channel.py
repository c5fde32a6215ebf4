"""Channels in x402's escrow of which the account is the payee, their refunds and receipts."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from sakk.api.channel import ReceiptParameters
from sakk.api.context import Context, Document, Listing, Streamed
from sakk.api.parameters import Amount, ListParameters, Parameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import escrow_channel as rules
from sakk.core.errors import ResourceMissing
from sakk.core.escrow_call import PREFIX as REFUND_PREFIX
from sakk.core.escrow_call import EscrowCall, public_refund
from sakk.core.escrow_channel import ChannelStatus, EscrowChannel, Totals
from sakk.flow import escrow_receipt as receipts
from sakk.flow import escrow_refund as refunds
from sakk.flow.voucher import Vouchers
from sakk.store import escrow_channel as store

resource = Resource("channels")


class EscrowChannelListParameters(ListParameters):
    """Which channels."""


class EscrowRefundListParameters(ListParameters):
    """Which refunds."""


class EscrowRefundCreate(Parameters):
    """How much goes back: all that is free where nothing is said."""

    amount: Amount | None = None


class EscrowChannelShape(Shape):
    """A channel in x402's escrow contract. Amounts are of the currency's smallest unit."""

    id: str
    object: Literal["escrow_channel"]
    asset: str
    balance: Annotated[int, Field(description="What was deposited and has not gone back.")]
    channel: Annotated[str, Field(description="Its name in the contract.")]
    charged: Annotated[
        int, Field(description="What calls have cost, less what was given back of it.")
    ]
    created: Created
    currency: str
    deposit: Annotated[int, Field(description="What may still be signed for.")]
    livemode: Livemode
    metadata: ObjectMetadata
    network: str
    payer: str
    receiver: str
    redeemed: Annotated[int, Field(description="What of it was claimed, and is on the balance.")]
    reserved: Annotated[int, Field(description="What calls hold that are being served.")]
    signed: Annotated[int, Field(description="The highest total that the payer's vouchers allow.")]
    status: Literal["opening", "open", "withdrawing"]
    withdraw_ends_at: Annotated[
        int | None, Field(description="When its payer may take out what it asked back by itself.")
    ]


class EscrowRefundShape(Shape):
    """What is not charged on a channel, on its way back to the payer."""

    id: str
    object: Literal["escrow_refund"]
    amount: int
    created: Created
    currency: str
    escrow_channel: str
    failure_reason: Annotated[
        Literal["spent", "not_carried_out"] | None,
        Field(
            description="`spent`: its payer signed for it meanwhile. `not_carried_out`: the chain "
            "refuses it; the money is in the channel again."
        ),
    ]
    livemode: Livemode
    metadata: ObjectMetadata
    network: str
    status: Literal["pending", "succeeded", "failed"]
    tx_hash: str | None


@resource.get(
    "/v1/escrow_channels",
    returns=Page[EscrowChannelShape],
    operation="list_escrow_channels",
    asks_outside=True,
)
def list_channels(context: Context, query: EscrowChannelListParameters) -> Listing:
    """List the channels in escrow of which the account is the payee, newest first."""
    with context.database.begin() as connection:
        rows, has_more = store.list_of(
            connection,
            account_id=context.visible_account_id,
            livemode=context.livemode,
            page=query.page(),
        )
    return Listing(data=_shown(context, rows), has_more=has_more)


@resource.get(
    "/v1/escrow_channels/{escrow_channel}",
    returns=EscrowChannelShape,
    operation="retrieve_escrow_channel",
    asks_outside=True,
)
def retrieve(context: Context, escrow_channel: str) -> Document:
    """Retrieve a channel in escrow, as it stands by the ledger."""
    [shown] = _shown(context, [found(context, escrow_channel)])
    return shown


@resource.post(
    "/v1/escrow_channels/{escrow_channel}/refunds",
    returns=EscrowRefundShape,
    operation="create_escrow_refund",
    two_steps=True,
)
def create_refund(context: Context, escrow_channel: str, body: EscrowRefundCreate) -> Document:
    """Give back what is neither charged nor held by a call, or so much of it.

    Payers ask for it themselves by a voucher; this is for one that can not, and for what has failed
    before. `escrow_refund.succeeded` or `escrow_refund.failed` tells how it ended.
    """
    channel = found(context, escrow_channel)
    call = refunds.give_back(
        context.parts,
        Vouchers(context.parts),
        channel,
        identifier=context.object_id(REFUND_PREFIX),
        amount=body.amount,
    )
    return public_refund(call, currency=channel.currency, tx_hash=None)


@resource.get(
    "/v1/escrow_channels/{escrow_channel}/refunds",
    returns=Page[EscrowRefundShape],
    operation="list_escrow_refunds",
    asks_outside=True,
)
def list_refunds(
    context: Context, escrow_channel: str, query: EscrowRefundListParameters
) -> Listing:
    """List what went back, or could not, on a channel in escrow, newest first."""
    channel = found(context, escrow_channel)
    with context.database.begin() as connection:
        rows, has_more = store.refunds_of(connection, channel, query.page())
        hashes = store.hashes_of(connection, rows)
    return Listing(data=[_refund(row, channel, hashes) for row in rows], has_more=has_more)


@resource.get(
    "/v1/escrow_channels/{escrow_channel}/receipts",
    returns=EscrowChannelShape,
    operation="export_escrow_receipts",
    asks_outside=True,
    is_download=True,
)
def export_receipts(context: Context, escrow_channel: str, query: ReceiptParameters) -> Streamed:
    """All charges of a channel in escrow as a file, with what both sides signed of them.

    `sakk.client.escrow_receipt` checks the file alone and offline.
    """
    channel = found(context, escrow_channel)
    vault = context.parts.secrets_vault()
    pieces = receipts.export(context.database, vault, channel, form=query.form)
    return Streamed(pieces, None, f'attachment; filename="{channel.id}.{query.form}"')


def _refund(call: EscrowCall, channel: EscrowChannel, hashes: dict[str, str]) -> Document:
    return public_refund(call, currency=channel.currency, tx_hash=hashes.get(call.id))


def found(context: Context, escrow_channel: str) -> EscrowChannel:
    """A channel of which the account is the payee; ResourceMissing."""
    with context.database.begin() as connection:
        row = store.find_of(
            connection,
            escrow_channel,
            account_id=context.visible_account_id,
            livemode=context.livemode,
        )
    if row is None:
        raise ResourceMissing(f"No such channel: {escrow_channel!r}", param="escrow_channel")
    return row


def _shown(context: Context, rows: Sequence[EscrowChannel]) -> list[Document]:
    """As they stand by the ledger, which does not know of one without a final deposit."""
    vouchers = Vouchers(context.parts)
    met = [row for row in rows if row.status != ChannelStatus.opening]
    found = vouchers.totals_of([vouchers.know(row) for row in met]) if met else []
    totals = {row.id: each for row, each in zip(met, found, strict=True)}
    return [rules.public(row, totals.get(row.id, Totals(0, 0, 0, 0))) for row in rows]
