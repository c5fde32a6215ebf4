"""The log of requests: rows, written in batches, and forgotten."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    delete,
    select,
    text,
)

from sakk.core.request_log import LoggedRequest
from sakk.store.database import as_json, fetch_one, insert_given, row_of
from sakk.store.schema import Timestamp, metadata

requests = Table(
    "request_log",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("key", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("error_code", Text),
    Column("param", Text),
    Column("milliseconds", Integer, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_request_log_account", "account_id", "livemode", "id"),
)


def insert(connection: Connection, rows: Sequence[LoggedRequest]) -> None:
    """Write a batch. A crash of the server may take the last of them: nobody waits for the disk."""
    connection.execute(text("SET LOCAL synchronous_commit = off"))
    statement = insert_given(requests, LoggedRequest.__slots__).on_conflict_do_nothing()
    connection.execute(statement, {"rows": as_json(requests, [row_of(row) for row in rows])})


def find(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> LoggedRequest | None:
    """One request of an account, or of any for the operator (``account_id`` None)."""
    statement = select(requests).where(requests.c.id == identifier, requests.c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(requests.c.account_id == account_id)
    return fetch_one(connection, statement, LoggedRequest)


def count_about(connection: Connection) -> int:
    """How many rows there are, as PostgreSQL last counted."""
    counted = connection.execute(
        text("SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE relname = 'request_log'")
    ).scalar_one()
    return int(counted)


def forget(connection: Connection, *, before: datetime, excess: int, limit: int) -> int:
    """Drop the oldest rows: those before a time, and ``excess`` more; at most ``limit`` at once.

    Ids are in the order of time, so the oldest stand at one end of the primary key.
    """
    oldest = select(requests.c.id, requests.c.created).order_by(requests.c.id).limit(limit)
    rows = connection.execute(oldest).all()
    gone = [row.id for index, row in enumerate(rows) if index < excess or row.created < before]
    if gone:
        connection.execute(delete(requests).where(requests.c.id <= gone[-1]))
    return len(gone)
