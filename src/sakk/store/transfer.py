"""Book transfers: rows and queries."""

from sqlalchemy import Boolean, Column, Connection, Index, Integer, Table, Text, select

from sakk.core.transfer import BookTransfer
from sakk.store.database import fetch_one, insert_records
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
)


def insert(connection: Connection, transfer: BookTransfer) -> None:
    insert_records(connection, transfers, [transfer])


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
