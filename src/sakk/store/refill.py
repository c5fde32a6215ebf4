"""Refills: rows and queries."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.refill import Refill, RefillStatus
from sakk.store.database import fetch_all, fetch_one, row_of
from sakk.store.schema import Timestamp, Units, metadata

refills = Table(
    "refills",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("channel", Text, nullable=False),
    Column("mandate", Text, nullable=False),
    Column("below", Units, nullable=False),
    Column("up_to", Units, nullable=False),
    Column("status", Text, nullable=False),
    Column("failure_code", Text),
    Column("failures", Integer, nullable=False),
    Column("retry_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    Index("ix_refills_account", "account_id", "livemode", "id"),
    # One rule a channel: two would fund twice.
    Index(
        "uq_refills_channel",
        "channel",
        unique=True,
        postgresql_where=text("status <> 'ended'"),
    ),
)


def insert(connection: Connection, refill: Refill) -> bool:
    """Record a rule; False where the channel has one already."""
    statement = upsert(refills).values(row_of(refill)).on_conflict_do_nothing()
    return connection.execute(statement.returning(refills.c.id)).first() is not None


def find(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool
) -> Refill | None:
    return fetch_one(
        connection,
        select(refills).where(
            refills.c.id == identifier,
            refills.c.account_id == account_id,
            refills.c.livemode == livemode,
        ),
        Refill,
    )


def list_due(connection: Connection, *, now: datetime, after: str, limit: int) -> list[Refill]:
    """Rules in force that do not wait after a refusal, by their ids, ``after`` one of them."""
    statement = (
        select(refills)
        .where(
            refills.c.status == RefillStatus.active.value,
            refills.c.retry_at.is_(None) | (refills.c.retry_at <= now),
            refills.c.id > after,
        )
        .order_by(refills.c.id)
        .limit(limit)
    )
    return fetch_all(connection, statement, Refill)


def change(connection: Connection, identifier: str, values: dict[str, Any]) -> None:
    connection.execute(update(refills).where(refills.c.id == identifier).values(values))
