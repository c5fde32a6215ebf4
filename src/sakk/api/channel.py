"""Channels: prepaid paths from an account to a payee, for both of them."""

from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing, Streamed
from sakk.api.parameters import (
    Amount,
    CurrencyCode,
    Identifier,
    ListParameters,
    Metadata,
    Parameters,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import channel as rules
from sakk.core.channel import Channel
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.evm import parse_address
from sakk.core.metadata import merge
from sakk.flow import channel as flow
from sakk.flow import receipt
from sakk.store import channel as store

resource = Resource("channels")

LIFE_MAX = int(rules.LIFE_MAX.total_seconds())
LIFE_MIN = int(rules.LIFE_MIN.total_seconds())


class ChannelCreate(Parameters):
    """A channel, and what is put into it."""

    payee: Annotated[Identifier, Field(description="The account here that is paid.")]
    currency: CurrencyCode
    amount: Amount
    signer: Annotated[
        Identifier | None,
        Field(description="The EVM address of an agent's key that may raise and close it too."),
    ] = None
    amount_max: Annotated[Amount | None, Field(description="The most that one call may cost.")] = (
        None
    )
    expires_in: Annotated[
        int | None, Field(ge=LIFE_MIN, le=LIFE_MAX, description="In seconds; 30 days.")
    ] = None
    metadata: Metadata | None = None


class ChannelTopUp(Parameters):
    """More money for a channel."""

    amount: Amount


class ChannelListParameters(ListParameters):
    """Which channels."""

    status: Literal["opening", "open", "closing", "closed"] | None = None
    mandate: Identifier | None = None


class ReceiptParameters(Parameters):
    """In which form."""

    form: Annotated[
        Literal["jsonl", "csv"],
        Field(description="`jsonl` holds the signatures too, `csv` the receipts alone."),
    ] = "jsonl"


class ChannelShape(Shape):
    """A channel. Amounts are of the currency's smallest unit."""

    id: str
    object: Literal["channel"]
    amount_max: int | None
    amount_min: int | None
    available: Annotated[
        int | None, Field(description="What may still be charged, where one channel is asked for.")
    ]
    ceiling: Annotated[int, Field(description="What was signed for, altogether.")]
    ceiling_decimal: str
    charges: Annotated[int, Field(description="How many charges the head speaks of.")]
    closed_at: int | None
    created: Created
    currency: str
    expires_at: int
    funded: Annotated[int, Field(description="What was put in, altogether.")]
    head: Annotated[str, Field(description="Of the chain of receipts.")]
    kind: Literal["balance", "escrow"]
    livemode: Livemode
    mandate: str | None
    metadata: ObjectMetadata
    payee: str
    payer: str | None
    returned: Annotated[int, Field(description="What went back to the payer at the end.")]
    signer: str | None
    spent: Annotated[int, Field(description="What the charges of the head come to.")]
    spent_decimal: str
    status: Literal["opening", "open", "closing", "closed"]


@resource.post("/v1/channels", returns=ChannelShape, operation="create_channel", two_steps=True)
def create(context: Context, body: ChannelCreate) -> Document:
    """Open a channel to a payee and put money into it, out of the account's balance."""
    signer = None
    if body.signer is not None:
        try:
            signer = parse_address(body.signer)
        except ValueError as error:
            raise ParameterInvalid(f"signer: {error}.", param="signer") from None
    channel = flow.open_channel(
        context.parts,
        flow.ChannelRequest(
            payee=body.payee,
            currency=body.currency.lower(),
            ceiling=body.amount,
            signer=signer,
            amount_max=body.amount_max,
            expires_in=body.expires_in,
            metadata=merge({}, body.metadata or {}),
        ),
        identifier=context.object_id(rules.PREFIX),
        payer=context.account_id,
        livemode=context.livemode,
    )
    return _now(context, channel)


@resource.get("/v1/channels", returns=Page[ChannelShape], operation="list_channels")
def list_channels(context: Context, query: ChannelListParameters) -> Listing:
    """List the channels of which the account is payer or payee, newest first."""
    rows, has_more = store.list_of(
        context.connection,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        status=query.status,
        mandate=query.mandate,
    )
    return Listing(data=[rules.public_channel(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/channels/{channel}",
    returns=ChannelShape,
    operation="retrieve_channel",
    asks_outside=True,
)
def retrieve(context: Context, channel: str) -> Document:
    """Retrieve a channel, with what may still be charged on it."""
    return _now(context, found(context, channel))


@resource.post(
    "/v1/channels/{channel}/top_up",
    returns=ChannelShape,
    operation="top_up_channel",
    two_steps=True,
)
def top_up(context: Context, channel: str, body: ChannelTopUp) -> Document:
    """Put more money into a channel that the account pays for."""
    own = _own(context, channel)
    key = context.object_id(rules.VOUCHER_PREFIX)
    raised = flow.top_up(context.parts, own.id, body.amount, key=key)
    return _now(context, raised)


@resource.post(
    "/v1/channels/{channel}/close", returns=ChannelShape, operation="close_channel", two_steps=True
)
def close(context: Context, channel: str) -> Document:
    """End a channel that the account pays for.

    What is not reserved is back on the balance at once. Calls that were reserved may still be
    committed; when they have ended the channel is `closed`.
    """
    return _now(context, flow.close(context.parts, _own(context, channel).id))


@resource.get(
    "/v1/channels/{channel}/receipts",
    returns=ChannelShape,
    operation="export_receipts",
    asks_outside=True,
    is_download=True,
)
def receipts(context: Context, channel: str, query: ReceiptParameters) -> Streamed:
    """All receipts of a channel as a file, with what both sides signed of them.

    `sakk.client.receipt` checks the file alone and offline.
    """
    current = receipt.carried_on(context.database, found(context, channel).id)
    vault = context.parts.secrets_vault()
    pieces = receipt.export(context.database, vault, current, form=query.form)
    return Streamed(pieces, None, f'attachment; filename="{current.id}.{query.form}"')


def found(context: Context, channel: str) -> Channel:
    """A channel of which the account is payer or payee; ResourceMissing."""
    with context.database.begin() as connection:
        row = store.find_of(
            connection, channel, account_id=context.visible_account_id, livemode=context.livemode
        )
    if row is None:
        raise ResourceMissing(f"No such channel: {channel!r}", param="channel")
    return row


def _own(context: Context, channel: str) -> Channel:
    row = found(context, channel)
    if row.account_id != context.account_id:
        raise ResourceMissing(f"The account pays no channel {channel!r}.", param="channel")
    return row


def _carried_on(context: Context, channel: Channel) -> Channel:
    with context.database.begin() as connection:
        locked = store.lock(connection, channel.id)
        assert locked is not None
        return receipt.carry_on(connection, locked)


def _now(context: Context, channel: Channel) -> Document:
    [left] = flow.available(context.parts, [channel])
    return rules.public_channel(_carried_on(context, channel), available=left)
