"""Book transfers: rows and queries."""

from datetime import datetime, timedelta

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

from sakk.core.transfer import BookTransfer
from sakk.store.database import fetch_all, fetch_one, row_of
from sakk.store.schema import Document, Timestamp, Units, metadata

transfers = Table(
    "transfers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("destination", Text, nullable=False),
    Column("amount", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("failure_code", Text),
    Column("description", Text),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_transfers_account", "account_id", "livemode", "id"),
    Index("ix_transfers_requested", "created", postgresql_where=text("status = 'requested'")),
)


# A request moves its own transfer; only what is older was left behind by a crash.
LEFT_TO_REQUEST = timedelta(seconds=5)


def insert(connection: Connection, transfer: BookTransfer) -> None:
    """Record a transfer; one that another request has recorded under the same id is left."""
    connection.execute(upsert(transfers).values(row_of(transfer)).on_conflict_do_nothing())


def find(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool
) -> BookTransfer | None:
    return fetch_one(
        connection,
        select(transfers).where(
            transfers.c.id == identifier,
            transfers.c.account_id == account_id,
            transfers.c.livemode == livemode,
        ),
        BookTransfer,
    )


def list_left_behind(connection: Connection, *, now: datetime, limit: int) -> list[BookTransfer]:
    """Transfers that were committed and never heard of again."""
    statement = (
        select(transfers)
        .where(transfers.c.status == "requested", transfers.c.created < now - LEFT_TO_REQUEST)
        .order_by(transfers.c.created)
        .limit(limit)
    )
    return fetch_all(connection, statement, BookTransfer)


def finish(connection: Connection, transfer: BookTransfer) -> bool:
    """Record how a requested transfer ended; False if another process did so before."""
    result = connection.execute(
        update(transfers)
        .where(transfers.c.id == transfer.id, transfers.c.status == "requested")
        .values(status=transfer.status, failure_code=transfer.failure_code)
    )
    return result.rowcount == 1
