"""Escrow channels, their highest vouchers, the calls of the contract, and redemptions."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.escrow_call import CallKind, CallStatus, CarriedCall, EscrowCall
from sakk.core.escrow_channel import ChannelStatus, EscrowChannel
from sakk.core.redemption import Redemption
from sakk.core.transaction import ChainTransaction
from sakk.store.database import among, drive, fetch_all, fetch_one, insert_records, row_of
from sakk.store.lease import lease_columns
from sakk.store.network import networks
from sakk.store.page import PageRequest, fetch_page
from sakk.store.schema import Bytes, Timestamp, Units, metadata
from sakk.store.transaction import transactions

escrow_channels = Table(
    "escrow_channels",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("network", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("payer", Text, nullable=False),
    Column("payer_authorizer", Text, nullable=False),
    Column("receiver", Text, nullable=False),
    Column("receiver_authorizer", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("withdraw_delay", Integer, nullable=False),
    Column("salt", Bytes, nullable=False),
    Column("status", Text, nullable=False),
    Column("redeemed", Units, nullable=False),
    Column("withdraw_units", Units, nullable=False),
    Column("lost", Units, nullable=False),
    Column("gone_units", Units, nullable=False),
    Column("withdraw_ends_at", Timestamp),
    Column("looked_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    # A name on a chain is one channel, whoever presents it.
    Index("uq_escrow_channels_channel", "network", "channel", unique=True),
    Index("ix_escrow_channels_account", "account_id", "livemode", "id"),
    Index("ix_escrow_channels_looked_at", "network", "looked_at"),
)

# The highest voucher of each channel: what the chain takes as proof. The journal has it before a
# call that it pays is served, or this table; what only the journal has comes here with its rows.
escrow_vouchers = Table(
    "escrow_vouchers",
    metadata,
    Column("channel_id", Text, primary_key=True),
    Column("ceiling", Units, nullable=False),
    Column("signature", Bytes, nullable=False),
)

escrow_calls = Table(
    "escrow_calls",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("network", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("channel_id", Text),
    Column("account_id", Text),
    Column("key", Text, nullable=False),
    Column("sender", Text),
    Column("destination", Text, nullable=False),
    Column("token_amount", Units, nullable=False),
    Column("data", Bytes, nullable=False),
    Column("status", Text, nullable=False),
    Column("transaction", Text),
    Column("failure", Text),
    Column("waits_for", Text),
    Column("posted_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    Index("uq_escrow_calls_key", "key", unique=True),
    Index("ix_escrow_calls_transaction", "transaction"),
    Index("ix_escrow_calls_channel", "channel_id"),
    Index(
        "ix_escrow_calls_work",
        "id",
        postgresql_where=text("status = 'requested' and transaction is null"),
    ),
)

redemptions = Table(
    "redemptions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("call_id", Text, nullable=False),
    Column("channel_id", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("claimed_from", Units, nullable=False),
    Column("claimed_to", Units, nullable=False),
    Column("ceiling", Units, nullable=False),
    Column("signature", Bytes, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_redemptions_call", "call_id"),
    Index("ix_redemptions_channel", "channel_id"),
)


# One statement for any number; the projection says it, too.
KEEP_VOUCHERS: Final = (
    "INSERT INTO escrow_vouchers (channel_id, ceiling, signature)"
    " SELECT * FROM unnest(CAST(%(channels)s AS text[]), CAST(%(ceilings)s AS numeric[]),"
    " CAST(%(signatures)s AS bytea[]))"
    " ON CONFLICT (channel_id) DO UPDATE"
    " SET ceiling = excluded.ceiling, signature = excluded.signature"
    " WHERE escrow_vouchers.ceiling < excluded.ceiling"
)


def insert_channel(connection: Connection, row: EscrowChannel) -> bool:
    """Record a channel; False if its name on the chain is known already."""
    statement = upsert(escrow_channels).values(row_of(row))
    statement = statement.on_conflict_do_nothing(index_elements=["network", "channel"])
    return connection.execute(statement.returning(escrow_channels.c.id)).first() is not None


def find_channel(connection: Connection, identifier: str) -> EscrowChannel | None:
    statement = select(escrow_channels).where(escrow_channels.c.id == identifier)
    return fetch_one(connection, statement, EscrowChannel)


def named(connection: Connection, network: str, channel: str) -> EscrowChannel | None:
    """The channel of a name on a chain."""
    statement = select(escrow_channels).where(
        escrow_channels.c.network == network, escrow_channels.c.channel == channel
    )
    return fetch_one(connection, statement, EscrowChannel)


def open_channels(
    connection: Connection, *, names: Sequence[str], identifiers: Sequence[str]
) -> list[EscrowChannel]:
    """The channels of these names, on whichever chain, and of these ids, that had a deposit."""
    on_chains = select(networks.c.network)
    statement = select(escrow_channels).where(
        escrow_channels.c.network.in_(on_chains) & escrow_channels.c.channel.in_(list(names))
        | escrow_channels.c.id.in_(list(identifiers)),
        escrow_channels.c.status != ChannelStatus.opening.value,
    )
    return fetch_all(connection, statement, EscrowChannel)


def lock_channels(connection: Connection, identifiers: Sequence[str]) -> list[EscrowChannel]:
    """These channels in the order of their ids, locked."""
    statement = (
        select(escrow_channels)
        .where(escrow_channels.c.id.in_(list(identifiers)))
        .order_by(escrow_channels.c.id)
        .with_for_update()
    )
    return fetch_all(connection, statement, EscrowChannel)


def channels_of(connection: Connection, network: str) -> list[EscrowChannel]:
    """All channels of a network, in the order of their ids."""
    statement = (
        select(escrow_channels)
        .where(escrow_channels.c.network == network)
        .order_by(escrow_channels.c.id)
    )
    return fetch_all(connection, statement, EscrowChannel)


def channels_after(
    connection: Connection, last: str, *, network: str, limit: int
) -> list[EscrowChannel]:
    """A network's channels that had a deposit, in the order of their ids."""
    statement = (
        select(escrow_channels)
        .where(
            escrow_channels.c.id > last,
            escrow_channels.c.network == network,
            escrow_channels.c.status != ChannelStatus.opening.value,
        )
        .order_by(escrow_channels.c.id)
        .limit(limit)
    )
    return fetch_all(connection, statement, EscrowChannel)


def change_channel(connection: Connection, identifier: str, **fields: Any) -> None:
    connection.execute(
        update(escrow_channels).where(escrow_channels.c.id == identifier).values(**fields)
    )


def keep_vouchers(connection: Connection, vouchers: dict[str, tuple[int, bytes]]) -> None:
    """Keep of each channel the voucher for the highest total; ``(ceiling, signature)`` by id."""
    if not vouchers:
        return
    rows = sorted((channel, *voucher) for channel, voucher in vouchers.items())
    drive(
        connection,
        KEEP_VOUCHERS,
        {
            "channels": [channel for channel, _, _ in rows],
            "ceilings": [Decimal(ceiling) for _, ceiling, _ in rows],
            "signatures": [signature for _, _, signature in rows],
        },
    )


def vouchers_of(connection: Connection, identifiers: Sequence[str]) -> dict[str, tuple[int, bytes]]:
    """The highest voucher of each of these channels that has one."""
    found = connection.execute(
        select(escrow_vouchers).where(escrow_vouchers.c.channel_id.in_(list(identifiers)))
    )
    return {row.channel_id: (int(row.ceiling), bytes(row.signature)) for row in found}


def claiming_vouchers(
    connection: Connection, identifier: str, *, above: int, limit: int
) -> list[tuple[int, bytes]]:
    """The vouchers beyond a total by which a channel was claimed, the lowest first."""
    table = redemptions
    rows = connection.execute(
        select(table.c.ceiling, table.c.signature)
        .where(table.c.channel_id == identifier, table.c.ceiling > above)
        .order_by(table.c.ceiling)
        .limit(limit)
    )
    return [(int(row.ceiling), bytes(row.signature)) for row in rows]


def last_redemption(connection: Connection, identifier: str) -> str:
    """The newest claim that was ordered of a channel; empty where none was."""
    of = redemptions.c.channel_id == identifier
    statement = select(func.coalesce(func.max(redemptions.c.id), "")).where(of)
    return str(connection.execute(statement).scalar_one())


def redeemed(
    connection: Connection, identifier: str, *, after: str, until: str, limit: int
) -> list[tuple[Redemption, str | None]]:
    """What was claimed on a channel and paid, finally, with the transaction that did it.

    By the claims after one and up to another, in their order.
    """
    statement = (
        select(redemptions, transactions.c.hash)
        .join(escrow_calls, escrow_calls.c.id == redemptions.c.call_id)
        .outerjoin(transactions, transactions.c.id == escrow_calls.c.transaction)
        .where(
            redemptions.c.channel_id == identifier,
            redemptions.c.id > after,
            redemptions.c.id <= until,
            escrow_calls.c.status == CallStatus.posted.value,
        )
        .order_by(redemptions.c.id)
        .limit(limit)
    )
    found = []
    for row in connection.execute(statement).mappings():
        fields = dict(row)
        tx_hash = fields.pop("hash")
        found.append((Redemption(**fields), tx_hash))
    return found


def insert_call(connection: Connection, row: EscrowCall) -> bool:
    """Record a call; False if the same was asked for before."""
    statement = upsert(escrow_calls).values(row_of(row))
    statement = statement.on_conflict_do_nothing(index_elements=["key"])
    return connection.execute(statement.returning(escrow_calls.c.id)).first() is not None


def call_by_key(connection: Connection, key: str) -> EscrowCall | None:
    return fetch_one(connection, select(escrow_calls).where(escrow_calls.c.key == key), EscrowCall)


def find_call(connection: Connection, identifier: str) -> EscrowCall | None:
    return fetch_one(
        connection, select(escrow_calls).where(escrow_calls.c.id == identifier), EscrowCall
    )


def ended_calls(connection: Connection, identifiers: Sequence[str]) -> list[EscrowCall]:
    """Those of these calls that are over."""
    over = [each.value for each in CallStatus if each.is_over]
    statement = select(escrow_calls).where(
        among(escrow_calls.c.id, identifiers), escrow_calls.c.status.in_(over)
    )
    return fetch_all(connection, statement, EscrowCall)


def change_call(connection: Connection, identifier: str, **fields: Any) -> None:
    connection.execute(update(escrow_calls).where(escrow_calls.c.id == identifier).values(**fields))


def end_asked(connection: Connection, identifier: str, **fields: Any) -> bool:
    """Change a refund that is still asked for; False if somebody else was first."""
    statement = (
        update(escrow_calls)
        .where(escrow_calls.c.id == identifier, escrow_calls.c.status == CallStatus.asked.value)
        .values(**fields)
    )
    return bool(connection.execute(statement).rowcount)


def find_of(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> EscrowChannel | None:
    """An account's channel; of any account where None asks."""
    found = find_channel(connection, identifier)
    if found is None or found.livemode is not livemode:
        return None
    return found if account_id in (None, found.account_id) else None


def list_of(
    connection: Connection, *, account_id: str | None, livemode: bool, page: PageRequest
) -> tuple[list[EscrowChannel], bool]:
    """A page of an account's channels, newest first."""
    return fetch_page(
        connection,
        escrow_channels,
        EscrowChannel,
        account_id=account_id,
        livemode=livemode,
        page=page,
    )


def refunds_of(
    connection: Connection, channel: EscrowChannel, page: PageRequest
) -> tuple[list[EscrowCall], bool]:
    """A page of a channel's refunds, newest first."""
    return fetch_page(
        connection,
        escrow_calls,
        EscrowCall,
        account_id=None,
        livemode=channel.livemode,
        page=page,
        filters=[
            escrow_calls.c.channel_id == channel.id,
            escrow_calls.c.kind == CallKind.refund.value,
        ],
    )


def hashes_of(connection: Connection, calls: Sequence[EscrowCall]) -> dict[str, str]:
    """The transaction's hash of each of these calls that has one, by the call's id."""
    wanted = {each.transaction: each.id for each in calls if each.transaction is not None}
    found = connection.execute(
        select(transactions.c.id, transactions.c.hash).where(
            among(transactions.c.id, list(wanted)), transactions.c.hash.is_not(None)
        )
    )
    return {wanted[row.id]: row.hash for row in found}


def note_lost(connection: Connection, call: EscrowCall, units: int) -> None:
    """A deposit that had ended well failed after all, and so much of it had been signed for."""
    failed = (
        update(escrow_calls)
        .where(escrow_calls.c.id == call.id, escrow_calls.c.status == CallStatus.posted.value)
        .values(status=CallStatus.failed.value)
    )
    if connection.execute(failed).rowcount:
        connection.execute(
            update(escrow_channels)
            .where(escrow_channels.c.id == call.channel_id)
            .values(lost=escrow_channels.c.lost + units)
        )


def is_redeeming(connection: Connection, identifiers: Sequence[str]) -> set[str]:
    """Which of these channels a redemption that has not ended is about."""
    found = connection.execute(
        select(redemptions.c.channel_id)
        .join(escrow_calls, escrow_calls.c.id == redemptions.c.call_id)
        .where(
            redemptions.c.channel_id.in_(list(identifiers)),
            escrow_calls.c.status.in_([CallStatus.requested.value, CallStatus.sent.value]),
        )
    )
    return set(found.scalars())


def claimed_to(connection: Connection, identifier: str) -> int:
    """Up to which total a redemption that has not ended claims a channel; 0 where there is none."""
    statement = (
        select(func.max(redemptions.c.claimed_to))
        .join(escrow_calls, escrow_calls.c.id == redemptions.c.call_id)
        .where(
            redemptions.c.channel_id == identifier,
            escrow_calls.c.status.in_([CallStatus.requested.value, CallStatus.sent.value]),
        )
    )
    return int(connection.scalar(statement) or 0)


def insert_redemptions(connection: Connection, rows: Sequence[Redemption]) -> None:
    insert_records(connection, redemptions, rows)


def redemptions_of(connection: Connection, call_id: str) -> list[Redemption]:
    statement = (
        select(redemptions).where(redemptions.c.call_id == call_id).order_by(redemptions.c.id)
    )
    return fetch_all(connection, statement, Redemption)


def carried(connection: Connection, call_id: str) -> CarriedCall:
    """A call with its channel, or with the channels that it redeems."""
    call = find_call(connection, call_id)
    assert call is not None
    channel = None if call.channel_id is None else find_channel(connection, call.channel_id)
    rows = redemptions_of(connection, call.id) if call.kind == CallKind.redemption else []
    found = {
        each.id: each
        for each in fetch_all(
            connection,
            select(escrow_channels).where(
                escrow_channels.c.id.in_([each.channel_id for each in rows])
            ),
            EscrowChannel,
        )
    }
    return CarriedCall(call, channel, [(each, found[each.channel_id]) for each in rows])


def carried_by(connection: Connection, row: ChainTransaction) -> CarriedCall | None:
    """What a transaction carries; None for a call that a restored database does not know."""
    found = find_call(connection, row.subject)
    return None if found is None else carried(connection, found.id)


def calls_under_way(connection: Connection, channel_id: str) -> bool:
    """Is there a deposit or refund of a channel that has not ended, or whose block is gone?"""
    over = [status.value for status in CallStatus if status.is_over]
    statement = (
        select(escrow_calls.c.id)
        .outerjoin(transactions, transactions.c.id == escrow_calls.c.transaction)
        .where(
            escrow_calls.c.channel_id == channel_id,
            escrow_calls.c.status.not_in(over) | transactions.c.orphaned,
        )
    )
    return connection.execute(statement.limit(1)).first() is not None
