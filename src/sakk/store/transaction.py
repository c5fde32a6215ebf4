"""Chain transactions of ours, and the nonce of every sending address."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    exists,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.transaction import (
    ASK_CANCEL,
    REBROADCAST_AFTER,
    TAKES_NOTHING,
    Attempt,
    ChainTransaction,
    Purpose,
    TransactionStatus,
)
from sakk.store.database import fetch_all, fetch_one, insert_records
from sakk.store.lease import lease_columns
from sakk.store.schema import Document, Timestamp, Units, metadata

transactions = Table(
    "transactions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("network", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("account_id", Text),
    Column("sender", Text, nullable=False),
    Column("key_branch", Text, nullable=False),
    Column("key_index", BigInteger, nullable=False),
    Column("nonce", BigInteger, nullable=False),
    Column("asset", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("destination_index", BigInteger),
    Column("token_amount", Units, nullable=False),
    Column("gas_limit", BigInteger, nullable=False),
    Column("max_fee_per_gas", Units, nullable=False),
    Column("max_priority_fee_per_gas", Units, nullable=False),
    Column("unsigned", LargeBinary, nullable=False),
    Column("since_block", BigInteger, nullable=False),
    Column("raw", LargeBinary),
    Column("hash", Text),
    Column("status", Text, nullable=False),
    Column("block_number", BigInteger),
    Column("block_hash", Text),
    Column("succeeded", Boolean),
    Column("gas_cost", Units),
    Column("arrived_units", Units),
    Column("failed_lines", Document),
    Column("orphaned", Boolean, nullable=False, server_default=text("false")),
    Column("again", Document),
    Column("error", Text),
    Column("broadcasts", Integer, nullable=False),
    Column("signed_at", Timestamp),
    Column("broadcast_at", Timestamp),
    Column("confirmed_at", Timestamp),
    Column("posted_at", Timestamp),
    Column("replacements", Integer, nullable=False, server_default="0"),
    Column("replace_at", Timestamp),
    Column("waits_for", Text),
    Column("asked", Text),
    Column("explanation", Text),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    # A refused transaction never left the house: its nonce is free for the next one.
    Index(
        "uq_transactions_nonce",
        "network",
        "sender",
        "nonce",
        unique=True,
        postgresql_where=text("status <> 'refused'"),
    ),
    Index("uq_transactions_hash", "network", "hash", unique=True),
    Index("ix_transactions_subject", "subject"),
    Index(
        "ix_transactions_work",
        "status",
        "network",
        postgresql_where=text(
            "status in ('built', 'signed', 'broadcast', 'unknown', 'confirmed') or orphaned"
        ),
    ),
    Index("ix_transactions_block", "network", "block_hash"),
)

attempts = Table(
    "transaction_attempts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("transaction", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("network", Text, nullable=False),
    Column("cancels", Boolean, nullable=False),
    Column("max_fee_per_gas", Units, nullable=False),
    Column("max_priority_fee_per_gas", Units, nullable=False),
    Column("unsigned", LargeBinary, nullable=False),
    Column("raw", LargeBinary),
    Column("hash", Text),
    Column("status", Text, nullable=False),
    Column("explanation", Text),
    Column("error", Text),
    Column("signed_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    Index("uq_transaction_attempts_attempt", "transaction", "attempt", unique=True),
    Index("uq_transaction_attempts_hash", "network", "hash", unique=True),
)

# An address is frozen when somebody else used its key: nothing is sent from it any more.
nonces = Table(
    "nonces",
    metadata,
    Column("network", Text, primary_key=True),
    Column("sender", Text, primary_key=True),
    Column("base", BigInteger, nullable=False),
    Column("frozen_at", Timestamp),
    Column("frozen_reason", Text),
)


def lock_nonce(connection: Connection, network: str, sender: str, *, base: int) -> int:
    """Lock a sender and give its next nonce: one above the highest used, from ``base`` on.

    ``base`` is what the chain said when the sender was first used. The lock lasts until the end
    of the transaction, so two workers never take the same nonce.
    """
    connection.execute(
        upsert(nonces).values(network=network, sender=sender, base=base).on_conflict_do_nothing()
    )
    held = connection.execute(
        select(nonces.c.base)
        .where(nonces.c.network == network, nonces.c.sender == sender)
        .with_for_update()
    ).scalar_one()
    return _following(connection, network, sender, base=int(held))


def next_nonce(connection: Connection, network: str, sender: str) -> int | None:
    """The nonce that a sender would be given now; None before its first, which the chain knows."""
    base = connection.execute(
        select(nonces.c.base).where(nonces.c.network == network, nonces.c.sender == sender)
    ).scalar_one_or_none()
    return None if base is None else _following(connection, network, sender, base=int(base))


def _following(connection: Connection, network: str, sender: str, *, base: int) -> int:
    free = free_nonce(connection, network, sender, base=base)
    if free is not None:
        return free
    last = connection.execute(
        select(transactions.c.nonce)
        .where(
            transactions.c.network == network,
            transactions.c.sender == sender,
            transactions.c.status != TransactionStatus.refused.value,
        )
        .order_by(transactions.c.nonce.desc())
        .limit(1)
    ).scalar_one_or_none()
    return base if last is None else max(base, int(last) + 1)


def free_nonce(connection: Connection, network: str, sender: str, *, base: int) -> int | None:
    """The lowest nonce that was given back by a refusal, and that others of ours stand behind.

    Below what is mined there is none: the chain has used those.
    """
    of_sender = (transactions.c.network == network, transactions.c.sender == sender)
    live = select(transactions.c.nonce).where(
        *of_sender, transactions.c.status != TransactionStatus.refused.value
    )
    mined = select(func.coalesce(func.max(transactions.c.nonce), -1)).where(
        *of_sender, transactions.c.block_hash.is_not(None)
    )
    found = connection.execute(
        select(func.min(transactions.c.nonce)).where(
            *of_sender,
            transactions.c.status == TransactionStatus.refused.value,
            transactions.c.nonce >= base,
            transactions.c.nonce > mined.scalar_subquery(),
            transactions.c.nonce.not_in(live),
            transactions.c.nonce < select(func.max(live.subquery().c.nonce)).scalar_subquery(),
        )
    ).scalar_one_or_none()
    return None if found is None else int(found)


def is_behind_a_gap(connection: Connection, row: ChainTransaction) -> bool:
    """Was a nonce before this one given back, and taken by nothing since?"""
    free = free_nonce(connection, row.network, row.sender, base=0)
    return free is not None and free < row.nonce


def insert(connection: Connection, row: ChainTransaction) -> None:
    insert_records(connection, transactions, [row])


def lock_one(connection: Connection, identifier: str, *, livemode: bool) -> ChainTransaction | None:
    """One transaction of a mode, locked."""
    statement = select(transactions).where(
        transactions.c.id == identifier, transactions.c.livemode == livemode
    )
    return fetch_one(connection, statement.with_for_update(), ChainTransaction)


def has_hash(tx_hash: str) -> ColumnElement[bool]:
    """Is this the hash of one of the transaction's attempts?"""
    return (transactions.c.hash == tx_hash) | transactions.c.id.in_(
        select(attempts.c.transaction).where(attempts.c.hash == tx_hash)
    )


def insert_attempt(connection: Connection, row: Attempt) -> None:
    insert_records(connection, attempts, [row])


def list_attempts(connection: Connection, identifiers: Sequence[str]) -> dict[str, list[Attempt]]:
    """The attempts of each transaction, oldest first."""
    rows = fetch_all(
        connection,
        select(attempts)
        .where(attempts.c.transaction.in_(list(identifiers)))
        .order_by(attempts.c.transaction, attempts.c.attempt),
        Attempt,
    )
    found: dict[str, list[Attempt]] = {identifier: [] for identifier in identifiers}
    for row in rows:
        found[row.transaction].append(row)
    return found


def find(connection: Connection, identifier: str) -> ChainTransaction | None:
    return fetch_one(
        connection, select(transactions).where(transactions.c.id == identifier), ChainTransaction
    )


def at_nonces(
    connection: Connection, network: str, sender: str, wanted: Sequence[int]
) -> dict[int, ChainTransaction]:
    """What has these nonces of a sender; a refused one has none any more."""
    statement = select(transactions).where(
        transactions.c.network == network,
        transactions.c.sender == sender,
        transactions.c.nonce.in_(list(wanted)),
        transactions.c.status != TransactionStatus.refused.value,
    )
    return {row.nonce: row for row in fetch_all(connection, statement, ChainTransaction)}


def reopen_to_cancel(connection: Connection, identifier: str, *, now: datetime) -> None:
    """A transaction that had been proved impossible can be mined again: its nonce is used up."""
    connection.execute(
        update(transactions)
        .where(transactions.c.id == identifier)
        .values(
            block_hash=None,
            block_number=None,
            orphaned=True,
            asked=ASK_CANCEL,
            replace_at=now,
            broadcasts=0,
        )
    )


def holds_lease(connection: Connection, identifier: str, token: str) -> bool:
    """Lock a transaction's row, and say whether a lease of it is still held by this token."""
    held = connection.execute(
        select(transactions.c.lease_token)
        .where(transactions.c.id == identifier, transactions.c.lease_until.is_not(None))
        .with_for_update()
    ).scalar_one_or_none()
    return held == token


def was_topped_up(
    connection: Connection, network: str, destination: str, *, since: datetime
) -> bool:
    """Is gas for an address on its way, or was it ordered since then?"""
    ended = [
        TransactionStatus.posted.value,
        TransactionStatus.failed.value,
        TransactionStatus.refused.value,
    ]
    found = exists().where(
        transactions.c.network == network,
        transactions.c.purpose == Purpose.topup.value,
        transactions.c.destination == destination,
        (transactions.c.created > since) | transactions.c.status.not_in(ended),
    )
    return bool(connection.execute(select(found)).scalar_one())


def topped_up_wei(connection: Connection, network: str, *, since: datetime) -> int:
    """What deposit addresses were given for gas, and are about to be, since then."""
    total = connection.execute(
        select(func.coalesce(func.sum(transactions.c.token_amount), 0)).where(
            transactions.c.network == network,
            transactions.c.purpose == Purpose.topup.value,
            transactions.c.destination_index.is_not(None),
            transactions.c.created > since,
            transactions.c.status != TransactionStatus.refused.value,
        )
    ).scalar_one()
    return int(total)


def unmined_units(connection: Connection, *, network: str, sender: str, asset: str) -> int:
    """Atomic units that our own transactions are about to take from a sender."""
    total = connection.execute(
        select(func.coalesce(func.sum(transactions.c.token_amount), 0)).where(
            *unmined(network, sender),
            transactions.c.asset == asset,
            transactions.c.purpose.not_in(TAKES_NOTHING),
        )
    ).scalar_one()
    return int(total)


def unmined_wei(connection: Connection, *, network: str, sender: str, native: str) -> int:
    """The most native coin that our own transactions are about to take, with their gas."""
    gas = transactions.c.gas_limit * transactions.c.max_fee_per_gas
    total = connection.execute(
        select(func.coalesce(func.sum(gas), 0)).where(*unmined(network, sender))
    ).scalar_one()
    return int(total) + unmined_units(connection, network=network, sender=sender, asset=native)


def unmined(network: str, sender: str | ColumnElement[str]) -> tuple[ColumnElement[bool], ...]:
    """Transactions of a sender that will use their nonce, and that no block holds."""
    return (
        transactions.c.network == network,
        transactions.c.sender == sender,
        transactions.c.block_hash.is_(None),
        transactions.c.status.in_(
            [
                TransactionStatus.built.value,
                TransactionStatus.signed.value,
                TransactionStatus.broadcast.value,
                TransactionStatus.unknown.value,
            ]
        )
        | transactions.c.orphaned,
    )


def unsigned_of(connection: Connection, network: str, sender: str) -> list[str]:
    """The purposes of a sender's transactions that have a nonce and no signature yet."""
    found = connection.execute(
        select(transactions.c.purpose).where(
            transactions.c.network == network,
            transactions.c.sender == sender,
            transactions.c.status == TransactionStatus.built.value,
        )
    )
    return [str(each) for each in found.scalars()]


def count_in_flight(connection: Connection, network: str, sender: str) -> int:
    """How many transactions of a sender no block holds."""
    statement = select(func.count()).where(*unmined(network, sender))
    return int(connection.execute(statement).scalar_one())


def recent_payout_gas(connection: Connection, asset: str, *, limit: int = 20) -> list[int]:
    """The gas limits of the newest transactions that carry one payout of a token."""
    statement = (
        select(transactions.c.gas_limit)
        .where(transactions.c.asset == asset, transactions.c.purpose == Purpose.payout.value)
        .order_by(transactions.c.id.desc())
        .limit(limit)
    )
    return list(connection.execute(statement).scalars())


def latest_allowance(connection: Connection, sender: str, *, asset: str) -> ChainTransaction | None:
    """The last allowance of a token that a sender was asked to give or take back."""
    statement = (
        select(transactions)
        .where(
            transactions.c.purpose == Purpose.allowance.value,
            transactions.c.sender == sender,
            transactions.c.asset == asset,
        )
        .order_by(transactions.c.id.desc())
        .limit(1)
    )
    return fetch_one(connection, statement, ChainTransaction)


def is_under_way(connection: Connection, network: str, purpose: Purpose, destination: str) -> bool:
    """Is there a transaction of this purpose and destination that has not come to its end?"""
    over = [status.value for status in TransactionStatus if status.is_over]
    statement = select(transactions.c.id).where(
        transactions.c.network == network,
        transactions.c.purpose == purpose.value,
        transactions.c.destination == destination,
        transactions.c.status.not_in(over),
    )
    return connection.execute(statement.limit(1)).first() is not None


def known_purposes(connection: Connection, network: str, hashes: Sequence[str]) -> dict[str, str]:
    """Those of the given hashes that are our own, of whichever attempt, with what they are for."""
    if not hashes:
        return {}
    newest = select(transactions.c.hash, transactions.c.purpose).where(
        transactions.c.network == network, transactions.c.hash.in_(list(hashes))
    )
    any_attempt = (
        select(attempts.c.hash, transactions.c.purpose)
        .join(transactions, transactions.c.id == attempts.c.transaction)
        .where(attempts.c.network == network, attempts.c.hash.in_(list(hashes)))
    )
    rows = connection.execute(newest.union(any_attempt))
    return {row.hash: row.purpose for row in rows}


def reopen_orphaned(
    connection: Connection, network: str, hashes: Sequence[str], *, now: datetime
) -> int:
    """Transactions in blocks that left the chain are looked up, and sent, again.

    Those that were final, and so are booked or about to be, are marked, and what is different when
    they are mined again is booked: what succeeded is sent again. What had failed was given back
    and told, so whoever asked for it may have asked anew: its bytes, good again, are called off,
    unless another block has them by then.
    """
    if not hashes:
        return 0
    final = [
        TransactionStatus.confirmed.value,
        TransactionStatus.posted.value,
        TransactionStatus.failed.value,
    ]
    sent = [TransactionStatus.broadcast.value, TransactionStatus.unknown.value]
    gone = (transactions.c.network == network, transactions.c.block_hash.in_(list(hashes)))
    out = {"block_hash": None, "block_number": None}
    again = {**out, "orphaned": True, "broadcasts": 0, "retry_at": None, "asked": None}
    called_off = {**again, "asked": ASK_CANCEL, "replace_at": now + REBROADCAST_AFTER}
    is_final = transactions.c.status.in_(final)
    # What uses its nonce up and does nothing is sent again like a success.
    failed = transactions.c.succeeded.is_(False) & ~exists().where(
        attempts.c.transaction == transactions.c.id,
        attempts.c.cancels,
        attempts.c.raw.is_not(None),
    )
    return sum(
        connection.execute(update(transactions).where(*gone, which).values(**values)).rowcount
        for which, values in (
            (transactions.c.status.in_(sent), out),
            (is_final & failed, called_off),
            (is_final, again),
        )
    )
