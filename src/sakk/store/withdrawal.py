"""Withdrawals to vaults: rows and queries."""

from sqlalchemy import Boolean, Column, Connection, Index, Integer, Table, Text, select, text

from sakk.core.withdrawal import Withdrawal
from sakk.store.database import fetch_one, insert_records
from sakk.store.lease import lease_columns
from sakk.store.schema import Timestamp, Units, metadata

withdrawals = Table(
    "withdrawals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("network", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("token_amount", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("amount", Units, nullable=False),
    Column("initiator", Text),
    Column("initiator_person", Text),
    Column("policy_version", Text),
    Column("rule", Text),
    Column("approvals_needed", Integer, nullable=False, server_default="0"),
    Column("approver_role", Text),
    Column("decided_at", Timestamp),
    Column("status", Text, nullable=False),
    Column("transaction", Text),
    Column("tx_hash", Text),
    Column("failure_code", Text),
    Column("waits_for", Text),
    Column("posted_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    Index("ix_withdrawals_destination", "destination"),
    # What a policy's periods add up.
    Index("ix_withdrawals_decided", "currency", "decided_at"),
    Index(
        "ix_withdrawals_work",
        "status",
        postgresql_where=text("status not in ('posted', 'rejected', 'canceled', 'failed')"),
    ),
)


def insert(connection: Connection, row: Withdrawal) -> None:
    insert_records(connection, withdrawals, [row])


def find(connection: Connection, identifier: str) -> Withdrawal | None:
    statement = select(withdrawals).where(withdrawals.c.id == identifier)
    return fetch_one(connection, statement, Withdrawal)


def lock_one(connection: Connection, identifier: str) -> Withdrawal | None:
    statement = select(withdrawals).where(withdrawals.c.id == identifier).with_for_update()
    return fetch_one(connection, statement, Withdrawal)
