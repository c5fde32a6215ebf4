"""Channels and the vouchers that raise them: rows and queries."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    and_,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.channel import (
    IDLE_MAX,
    OPENING_MAX,
    Channel,
    ChannelKind,
    ChannelStatus,
    Funding,
    FundingStatus,
    Voucher,
)
from sakk.store.database import among, due, fetch_all, fetch_one, row_of
from sakk.store.lease import NOW, before
from sakk.store.page import PageRequest, fetch_page
from sakk.store.schema import Bytes, Document, Timestamp, Units, metadata

channels = Table(
    "channels",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text),
    Column("payee", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("signer", Text),
    Column("mandate", Text),
    Column("amount_min", Units),
    Column("amount_max", Units),
    Column("ceiling", Units, nullable=False),
    Column("funded", Units, nullable=False),
    Column("returned", Units, nullable=False),
    Column("spent", Units, nullable=False),
    Column("charges", BigInteger, nullable=False),
    Column("head", Bytes, nullable=False),
    Column("head_ns", BigInteger, nullable=False),
    Column("drains", Integer, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Column("used_at", Timestamp, nullable=False),
    Column("closed_at", Timestamp),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_channels_payer", "account_id", "livemode", "id"),
    Index("ix_channels_payee", "payee", "livemode", "id"),
    Index("ix_channels_signer", "signer", "id", postgresql_where=text("status <> 'closed'")),
    Index("ix_channels_mandate", "mandate", postgresql_where=text("mandate IS NOT NULL")),
    Index(
        "ix_channels_expires_at",
        "expires_at",
        postgresql_where=text("status IN ('opening', 'open')"),
    ),
    Index("ix_channels_used_at", "used_at", postgresql_where=text("status IN ('opening', 'open')")),
    Index("ix_channels_closing", "used_at", postgresql_where=text("status = 'closing'")),
)

vouchers = Table(
    "vouchers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("channel_id", Text, nullable=False),
    Column("ceiling", Units, nullable=False),
    Column("spent", Units, nullable=False),
    Column("charges", BigInteger, nullable=False),
    Column("head", Bytes, nullable=False),
    Column("signature", Bytes),
    Column("created", Timestamp, nullable=False),
    UniqueConstraint("channel_id", "ceiling"),
)

channel_fundings = Table(
    "channel_fundings",
    metadata,
    Column("id", Text, primary_key=True),
    Column("channel_id", Text, nullable=False),
    Column("amount", Units, nullable=False),
    Column("funded", Units, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_channel_fundings_channel", "channel_id", "id"),
    # One at a time: what the next adds is counted from where this one ends.
    Index(
        "uq_channel_fundings_requested",
        "channel_id",
        unique=True,
        postgresql_where=text("status = 'requested'"),
    ),
)

# A request moves its own funding; only what is older was left behind by a crash.
LEFT_TO_REQUEST = timedelta(seconds=5)


def insert(connection: Connection, channel: Channel) -> None:
    """Record a channel; one that another request has recorded under the same id is left."""
    connection.execute(upsert(channels).values(row_of(channel)).on_conflict_do_nothing())


def find(
    connection: Connection, channel_id: str, *, livemode: bool | None = None
) -> Channel | None:
    """A channel by its id, whoever asks."""
    statement = select(channels).where(channels.c.id == channel_id)
    if livemode is not None:
        statement = statement.where(channels.c.livemode == livemode)
    return fetch_one(connection, statement, Channel)


def units_of(connection: Connection, identifiers: Iterable[str]) -> dict[str, tuple[int, str]]:
    """By their ids, how many decimals channels' money has, and its currency."""
    c = channels.c
    found = select(c.id, c.decimals, c.currency).where(among(c.id, identifiers))
    return {row.id: (row.decimals, row.currency) for row in connection.execute(found)}


def find_of(
    connection: Connection, channel_id: str, *, account_id: str | None, livemode: bool
) -> Channel | None:
    """A channel of which an account is the payer or the payee; None is the operator, of all."""
    statement = select(channels).where(
        channels.c.id == channel_id, channels.c.livemode == livemode, *_party(account_id)
    )
    return fetch_one(connection, statement, Channel)


def lock(connection: Connection, channel_id: str) -> Channel | None:
    """Read a channel for a change; others wait until this transaction ends."""
    statement = select(channels).where(channels.c.id == channel_id).with_for_update()
    return fetch_one(connection, statement, Channel)


def change(connection: Connection, channel_id: str, values: Mapping[str, Any]) -> None:
    connection.execute(update(channels).where(channels.c.id == channel_id).values(dict(values)))


def list_of(
    connection: Connection,
    *,
    account_id: str | None,
    livemode: bool,
    page: PageRequest,
    status: str | None = None,
    mandate: str | None = None,
) -> tuple[list[Channel], bool]:
    """A page of an account's channels, as payer and as payee, newest first."""
    filters = _party(account_id)
    if status is not None:
        filters.append(channels.c.status == status)
    if mandate is not None:
        filters.append(channels.c.mandate == mandate)
    return fetch_page(
        connection,
        channels,
        Channel,
        account_id=None,
        livemode=livemode,
        page=page,
        filters=filters,
    )


def list_of_signer(connection: Connection, signer: str, *, limit: int) -> list[Channel]:
    """The channels of an agent's key that are not closed, newest first."""
    statement = (
        select(channels)
        .where(channels.c.signer == signer, channels.c.status != ChannelStatus.closed)
        .order_by(channels.c.id.desc())
        .limit(limit)
    )
    return fetch_all(connection, statement, Channel)


def list_of_mandate(connection: Connection, mandate: str, *, limit: int) -> list[Channel]:
    """The open channels of a mandate."""
    statement = (
        select(channels)
        .where(
            channels.c.mandate == mandate,
            channels.c.status.in_([ChannelStatus.opening, ChannelStatus.open]),
        )
        .order_by(channels.c.id)
        .limit(limit)
    )
    return fetch_all(connection, statement, Channel)


# Channels whose time is over, or that nobody uses; locked.
over = due(
    select(channels).where(
        among(channels.c.status, [ChannelStatus.opening.value, ChannelStatus.open.value]),
        channels.c.kind == ChannelKind.balance.value,
        or_(
            channels.c.expires_at <= NOW,
            channels.c.used_at <= before(IDLE_MAX),
            and_(
                channels.c.status == ChannelStatus.opening.value,
                channels.c.used_at <= before(OPENING_MAX),
            ),
        ),
    ),
    Channel,
    lock=channels,
)


# Channels that are closing and were not looked at for a moment.
closing = due(
    select(channels).where(
        channels.c.status == ChannelStatus.closing.value,
        channels.c.kind == ChannelKind.balance.value,
        channels.c.used_at <= NOW,
    ),
    Channel,
    channels.c.used_at,
)


def insert_voucher(connection: Connection, voucher: Voucher) -> None:
    """Keep a payer's signature; one of the same ceiling is kept already."""
    connection.execute(
        upsert(vouchers)
        .values(row_of(voucher))
        .on_conflict_do_nothing(index_elements=["channel_id", "ceiling"])
    )


def find_voucher(connection: Connection, voucher_id: str) -> Voucher | None:
    return fetch_one(connection, select(vouchers).where(vouchers.c.id == voucher_id), Voucher)


def last_countersigned(connection: Connection, channel_id: str) -> Voucher | None:
    """The payer's newest signature of what was charged."""
    statement = (
        select(vouchers)
        .where(vouchers.c.channel_id == channel_id, vouchers.c.signature.is_not(None))
        .order_by(vouchers.c.charges.desc(), vouchers.c.ceiling.desc())
        .limit(1)
    )
    return fetch_one(connection, statement, Voucher)


def list_vouchers(
    connection: Connection, channel_id: str, *, above: int, charges: int, limit: int
) -> list[Voucher]:
    """What a payer signed beyond a ceiling, having seen so many charges at most; lowest first."""
    statement = (
        select(vouchers)
        .where(
            vouchers.c.channel_id == channel_id,
            vouchers.c.ceiling > above,
            vouchers.c.charges <= charges,
        )
        .order_by(vouchers.c.ceiling)
        .limit(limit)
    )
    return fetch_all(connection, statement, Voucher)


def insert_funding(connection: Connection, funding: Funding) -> None:
    connection.execute(channel_fundings.insert(), row_of(funding))


def find_requested(connection: Connection, channel_id: str) -> Funding | None:
    """The funding whose outcome nobody has written down yet: there is one at most."""
    table = channel_fundings
    statement = select(table).where(
        table.c.channel_id == channel_id, table.c.status == FundingStatus.requested
    )
    return fetch_one(connection, statement, Funding)


def finish_funding(connection: Connection, funding: Funding, status: FundingStatus) -> bool:
    """Record what the ledger said; False if another process did so before."""
    table = channel_fundings
    result = connection.execute(
        update(table)
        .where(table.c.id == funding.id, table.c.status == FundingStatus.requested)
        .values(status=status)
    )
    return result.rowcount == 1


def list_fundings(connection: Connection, channel_id: str, *, limit: int) -> list[Funding]:
    """What was put into a channel, the newest first."""
    table = channel_fundings
    statement = (
        select(table)
        .where(table.c.channel_id == channel_id, table.c.status == FundingStatus.posted)
        .order_by(table.c.id.desc())
        .limit(limit)
    )
    return fetch_all(connection, statement, Funding)


# Fundings that were committed and never heard of again.
left_behind = due(
    select(channel_fundings).where(
        channel_fundings.c.status == FundingStatus.requested.value,
        channel_fundings.c.created < before(LEFT_TO_REQUEST),
    ),
    Funding,
    channel_fundings.c.created,
)


def _party(account_id: str | None) -> list[ColumnElement[bool]]:
    if account_id is None:
        return []
    return [or_(channels.c.account_id == account_id, channels.c.payee == account_id)]
