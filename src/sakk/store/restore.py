"""Restores, and the anchor of the signer's log: rows and queries."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    Table,
    Text,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.clone import clone_of
from sakk.core.hd import Seed, deposit_address, xpub_at
from sakk.core.restore import Head, Restore, RestoreStatus
from sakk.core.transaction import AttemptStatus, ChainTransaction, TransactionStatus
from sakk.store.address import FAMILY_EVM, addresses
from sakk.store.clone import list_factories
from sakk.store.database import fetch_all, fetch_one, row_of, update_records
from sakk.store.identity import new_id
from sakk.store.payout import payouts
from sakk.store.schema import Document, Timestamp, metadata
from sakk.store.sweep import sweeps
from sakk.store.transaction import attempts, transactions
from sakk.store.withdrawal import withdrawals

restores = Table(
    "restores",
    metadata,
    Column("id", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("first_index", BigInteger, nullable=False),
    Column("next_index", BigInteger, nullable=False),
    Column("imported", Integer, nullable=False),
    Column("notes", Document, nullable=False),
    Column("acknowledged", Document, nullable=False),
    Column("finished_at", Timestamp),
    Column("created", Timestamp, nullable=False),
)

# One row: the newest line of the signer's log that this database has seen.
signer_anchors = Table(
    "signer_anchors",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)
_ONLY = 1

_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('sakk restore'))")


def lock(connection: Connection) -> None:
    """Let one restore begin or end at a time."""
    connection.execute(_LOCK)


def put_anchor(connection: Connection, head: Head) -> None:
    """The signer's log reached this line; an older one changes nothing."""
    statement = upsert(signer_anchors).values(id=_ONLY, sequence=head.sequence, hash=head.hash)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["id"],
            set_={"sequence": statement.excluded.sequence, "hash": statement.excluded.hash},
            where=signer_anchors.c.sequence < statement.excluded.sequence,
        )
    )


def replace_anchor(connection: Connection, head: Head | None) -> None:
    """After a person has acknowledged that the log is another one."""
    connection.execute(signer_anchors.delete())
    if head is not None:
        put_anchor(connection, head)


def find_anchor(connection: Connection) -> Head | None:
    row = connection.execute(select(signer_anchors.c.sequence, signer_anchors.c.hash)).first()
    return None if row is None else Head(int(row.sequence), str(row.hash))


def put(connection: Connection, restore: Restore) -> None:
    """Record a restore, or what became of it."""
    statement = upsert(restores).values(row_of(restore))
    changed = {name: statement.excluded[name] for name in row_of(restore) if name != "id"}
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changed))


def find_open(connection: Connection) -> Restore | None:
    """The restore that is under way."""
    statement = select(restores).where(restores.c.status == RestoreStatus.restoring.value)
    return fetch_one(connection, statement.order_by(restores.c.id.desc()).limit(1), Restore)


def known_hashes(connection: Connection, hashes: Sequence[str]) -> set[str]:
    """Those of the given transaction hashes that the database has."""
    found: set[str] = set()
    for table in (transactions, attempts):
        statement = select(table.c.hash).where(table.c.hash.in_(list(hashes)))
        found |= set(connection.execute(statement).scalars())
    return found


def is_awaited(
    connection: Connection, *, network: str, sender: str, nonce: int, unsigned: bytes
) -> bool:
    """Was it built here and signed, and only its record is missing: a crash, and no lost time?"""
    of_nonce = (
        transactions.c.network == network,
        transactions.c.sender == sender,
        transactions.c.nonce == nonce,
    )
    built = select(transactions.c.unsigned).where(
        *of_nonce, transactions.c.status == TransactionStatus.built.value
    )
    replacing = (
        select(attempts.c.unsigned)
        .join(transactions, transactions.c.id == attempts.c.transaction)
        .where(*of_nonce, attempts.c.status == AttemptStatus.built.value)
    )
    found = connection.execute(built.union_all(replacing)).scalars()
    return any(bytes(each) == unsigned for each in found)


def by_nonce(
    connection: Connection, *, network: str, sender: str, nonce: int
) -> ChainTransaction | None:
    """The transaction that has a sender's nonce."""
    return fetch_one(
        connection,
        select(transactions)
        .where(
            transactions.c.network == network,
            transactions.c.sender == sender,
            transactions.c.nonce == nonce,
            transactions.c.status != TransactionStatus.refused.value,
        )
        .with_for_update(),
        ChainTransaction,
    )


def built_of(connection: Connection, subject: str) -> list[ChainTransaction]:
    """Transactions of a subject that have a nonce and no signature here."""
    return fetch_all(
        connection,
        select(transactions).where(
            transactions.c.subject == subject,
            transactions.c.status == TransactionStatus.built.value,
        ),
        ChainTransaction,
    )


def call_off(connection: Connection, row: ChainTransaction, reason: str) -> None:
    """A transaction that was built here and never signed: its nonce belongs to another."""
    update_records(
        connection,
        transactions,
        [{"id": row.id, "status": TransactionStatus.refused.value, "error": reason}],
    )
    for table in (payouts, sweeps, withdrawals):
        connection.execute(
            update(table).where(table.c.transaction == row.id).values(transaction=None)
        )


def address_index(connection: Connection) -> int:
    """The index that the next address would get."""
    row = connection.execute(text("SELECT last_value, is_called FROM address_index")).one()
    return int(row.last_value) + int(row.is_called)


def skip_addresses(
    connection: Connection, *, seeds: Sequence[Seed], first: int, following: int, now: datetime
) -> int:
    """Never give these indices out again, and watch their addresses: they may be somebody's.

    They belong to no account, and what arrives there waits in suspense. How many are new.
    """
    connection.execute(
        text("SELECT setval('address_index', greatest(:following, :restored), false)"),
        {"following": following, "restored": address_index(connection)},
    )
    derived: dict[str, tuple[int, str | None]] = {}
    known_factories = {each.address for each in list_factories(connection)}
    for index in range(first, following):
        key_address = deposit_address(xpub_at(seeds, index), index)
        derived[key_address] = (index, None)
        # A clone may have been given out for it: watched, it is collected like the others.
        derived |= {clone_of(each, key_address): (index, each) for each in known_factories}
    known = set(
        connection.execute(
            select(addresses.c.address).where(
                addresses.c.family == FAMILY_EVM, addresses.c.key_index.between(first, following)
            )
        ).scalars()
    )
    fresh = [
        {
            "id": new_id("addr"),
            "family": FAMILY_EVM,
            "address": address,
            "purpose": "lost",
            "key_index": index,
            "livemode": False,
            "created": now,
            "factory": factory,
        }
        for address, (index, factory) in derived.items()
        if address not in known
    ]
    if fresh:
        connection.execute(upsert(addresses).on_conflict_do_nothing(), fresh)
    return len(fresh)


def used_lost(connection: Connection) -> list[tuple[str, int, int]]:
    """Lost addresses that coins arrived at: address, index, number of pay-ins."""
    rows = connection.execute(
        text(
            "SELECT a.address, a.key_index, count(*) AS payins FROM addresses a"
            " JOIN payins p ON p.address = a.address WHERE a.purpose = 'lost'"
            " GROUP BY a.address, a.key_index ORDER BY a.key_index"
        )
    )
    return [(row.address, int(row.key_index), int(row.payins)) for row in rows]


def senders(connection: Connection) -> list[tuple[str, str]]:
    """Every network and address of ours that has sent, or may."""
    rows = connection.execute(
        text(
            "SELECT DISTINCT network, sender FROM transactions WHERE status <> 'refused'"
            " UNION SELECT networks.network, addresses.address FROM networks, addresses"
            " WHERE networks.enabled AND addresses.purpose = 'treasury' ORDER BY 1, 2"
        )
    )
    return [(row.network, row.sender) for row in rows]
