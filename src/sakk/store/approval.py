"""Approvals: rows and queries."""

from collections.abc import Sequence

from sqlalchemy import Boolean, Column, Connection, Index, Integer, Table, Text, select

from sakk.core.approval import Approval
from sakk.store.database import among, fetch_all, insert_records
from sakk.store.schema import Bytes, Timestamp, metadata

approvals = Table(
    "approvals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text),
    Column("livemode", Boolean, nullable=False),
    Column("subject", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("public_key", Bytes),
    Column("signature", Bytes),
    Column("comment", Text),
    Column("created", Timestamp, nullable=False),
    Column("batch", Text),
    Column("batch_size", Integer),
    Column("batch_place", Integer),
    Column("batch_path", Bytes),
    # One word a person on one content, whatever happens at the same moment.
    Index("uq_approvals_word", "subject", "actor", "digest", unique=True),
)


def insert(connection: Connection, rows: Sequence[Approval]) -> None:
    insert_records(connection, approvals, rows)


def of_subjects(connection: Connection, subjects: Sequence[str]) -> list[Approval]:
    """What was said of these payouts, withdrawals or recoveries, oldest first."""
    if not subjects:
        return []
    return fetch_all(
        connection,
        select(approvals).where(among(approvals.c.subject, subjects)).order_by(approvals.c.id),
        Approval,
    )
