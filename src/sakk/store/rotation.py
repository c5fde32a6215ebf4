"""Rotations of treasury keys: rows and queries."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Table,
    Text,
    func,
    select,
    text,
    update,
)

from sakk.core.rotation import Rotation, RotationStatus
from sakk.core.transaction import ChainTransaction, Purpose, TransactionStatus
from sakk.store.database import fetch_all, fetch_one, insert_records, update_records
from sakk.store.schema import Document, Timestamp, metadata
from sakk.store.transaction import latest_allowance, transactions

rotations = Table(
    "key_rotations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("source_index", BigInteger, nullable=False),
    Column("target", Text, nullable=False),
    Column("target_index", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("approvals", Document, nullable=False),
    Column("target_role", Text),
    Column("left", Document, nullable=False),
    Column("moving_at", Timestamp),
    Column("retired_at", Timestamp),
    Column("aborted_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    # A key has one successor: two rotations of it at once would send its coins two ways.
    Index(
        "uq_key_rotations_source",
        "source",
        unique=True,
        postgresql_where=text("status <> 'aborted'"),
    ),
)

_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('sakk rotation'))")


def lock(connection: Connection) -> None:
    """Let one rotation change its status at a time."""
    connection.execute(_LOCK)


def insert(connection: Connection, rotation: Rotation) -> None:
    insert_records(connection, rotations, [rotation])


def change(connection: Connection, rotation: Rotation, *fields: str) -> None:
    """Write these fields of a rotation."""
    changed = {name: getattr(rotation, name) for name in ("id", *fields)}
    update_records(connection, rotations, [changed])


def find(connection: Connection, identifier: str) -> Rotation | None:
    return fetch_one(connection, select(rotations).where(rotations.c.id == identifier), Rotation)


def find_of(connection: Connection, source: str) -> Rotation | None:
    """The rotation of an address that was not aborted."""
    statement = select(rotations).where(
        rotations.c.source == source, rotations.c.status != RotationStatus.aborted.value
    )
    return fetch_one(connection, statement, Rotation)


def was_retired(connection: Connection, address: str) -> bool:
    """Did an earlier rotation give this address up?"""
    statement = select(rotations.c.id).where(
        rotations.c.source == address, rotations.c.status == RotationStatus.retired.value
    )
    return connection.execute(statement.limit(1)).first() is not None


def list_rotations(
    connection: Connection, statuses: Sequence[RotationStatus] = tuple(RotationStatus)
) -> list[Rotation]:
    """Rotations with one of these statuses, the newest first."""
    wanted = rotations.c.status.in_([each.value for each in statuses])
    statement = select(rotations).where(wanted).order_by(rotations.c.id.desc())
    return fetch_all(connection, statement, Rotation)


def transactions_of(connection: Connection, rotation: Rotation) -> list[ChainTransaction]:
    """What was sent for a rotation, oldest first."""
    statement = (
        select(transactions)
        .where(transactions.c.subject == rotation.id)
        .order_by(transactions.c.id)
    )
    return fetch_all(connection, statement, ChainTransaction)


def is_taken_back(connection: Connection, asset: str, *, owner: str) -> bool:
    """Is an allowance of this token being taken back, so that it need not be ordered again?"""
    last = latest_allowance(connection, owner, asset=asset)
    return last is not None and not TransactionStatus(last.status).is_over


def may_have_moved(connection: Connection, rotation: Rotation, *, now: datetime) -> bool:
    """Was anything signed for a rotation, or is it being signed at this moment?"""
    signed = transactions.c.status.not_in(
        [TransactionStatus.built.value, TransactionStatus.refused.value]
    )
    statement = select(transactions.c.id).where(
        transactions.c.subject == rotation.id,
        transactions.c.purpose == Purpose.rotation.value,
        signed | (transactions.c.lease_until > now),
    )
    return connection.execute(statement.limit(1)).first() is not None


def call_off(connection: Connection, rotation: Rotation) -> None:
    """What was built for a rotation and never signed gives its nonce back."""
    connection.execute(
        update(transactions)
        .where(
            transactions.c.subject == rotation.id,
            transactions.c.purpose == Purpose.rotation.value,
            transactions.c.status == TransactionStatus.built.value,
        )
        .values(status=TransactionStatus.refused.value, error="the rotation was aborted")
    )


def highest_price(connection: Connection, rotation: Rotation, network: str) -> int:
    """The most per gas, in wei, at which something was moved there; 0 before."""
    statement = select(func.coalesce(func.max(transactions.c.max_fee_per_gas), 0)).where(
        transactions.c.subject == rotation.id,
        transactions.c.network == network,
        transactions.c.purpose == Purpose.rotation.value,
    )
    return int(connection.execute(statement).scalar_one())


def in_flight(connection: Connection, network: str, sender: str) -> int:
    """Transactions of an address on a network that have not come to their end."""
    statement = select(transactions.c.id).where(
        transactions.c.network == network,
        transactions.c.sender == sender,
        transactions.c.status.in_(["built", "signed", "broadcast", "unknown", "confirmed"])
        | transactions.c.orphaned,
    )
    return len(connection.execute(statement).all())
