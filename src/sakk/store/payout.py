"""Payouts: rows and queries."""

from sqlalchemy import Boolean, Column, Connection, Index, Integer, Table, Text, func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.payout import Payout
from sakk.store.database import fetch_one, row_of
from sakk.store.lease import lease_columns
from sakk.store.schema import Document, Timestamp, Units, metadata

payouts = Table(
    "payouts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("amount", Units, nullable=False),
    Column("fee", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("network", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("token_amount", Units, nullable=False),
    Column("destination", Text, nullable=False),
    Column("beneficiary", Text),
    Column("fee_mode", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("hold", Text, nullable=False),
    Column("screening", Text),
    Column("under_review", Boolean, nullable=False),
    Column("initiator", Text),
    Column("initiator_person", Text),
    Column("policy_version", Text),
    Column("rule", Text),
    Column("approvals_needed", Integer, nullable=False, server_default="0"),
    Column("approver_role", Text),
    Column("decided_at", Timestamp),
    Column("transaction", Text),
    Column("tx_hash", Text),
    Column("waits_for", Text),
    Column("failure_code", Text),
    Column("failure_message", Text),
    Column("description", Text),
    Column("metadata", Document, nullable=False),
    Column("canceled_at", Timestamp),
    Column("confirmed_at", Timestamp),
    Column("posted_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    Index("ix_payouts_account", "account_id", "livemode", "id"),
    Index("ix_payouts_destination", "account_id", "destination"),
    Index("ix_payouts_transaction", "transaction"),
    # What a policy's periods add up.
    Index(
        "ix_payouts_decided",
        "livemode",
        "currency",
        "decided_at",
        postgresql_where=text("decided_at IS NOT NULL"),
    ),
    Index(
        "ix_payouts_decided_account",
        "account_id",
        "currency",
        "decided_at",
        postgresql_where=text("decided_at IS NOT NULL"),
    ),
    Index(
        "ix_payouts_decided_destination",
        "destination",
        "decided_at",
        postgresql_where=text("decided_at IS NOT NULL"),
    ),
    Index(
        "ix_payouts_beneficiary", "beneficiary", postgresql_where=text("beneficiary is not null")
    ),
    Index(
        "ix_payouts_work",
        "status",
        "hold",
        postgresql_where=text(
            "status not in ('posted', 'rejected', 'canceled', 'failed') or hold = 'held'"
        ),
    ),
)

# The first and last digits of a destination, as `sakk.core.beneficiary.lookalike_key` takes them.
LOOKALIKE = func.substr(payouts.c.destination, 3, 3).concat(func.right(payouts.c.destination, 3))
Index("ix_payouts_lookalike", payouts.c.account_id, payouts.c.livemode, LOOKALIKE)


def insert(connection: Connection, payout: Payout) -> bool:
    """Record a payout; False if another request has recorded it under the same id."""
    statement = upsert(payouts).values(row_of(payout)).on_conflict_do_nothing()
    # Asked for by name: an INSERT's row count is not kept.
    first = connection.execute(statement.returning(payouts.c.id)).scalar_one_or_none()
    return first is not None


def find(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> Payout | None:
    """One payout of an account, or of any account for the operator (``account_id`` None)."""
    statement = select(payouts).where(payouts.c.id == identifier, payouts.c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(payouts.c.account_id == account_id)
    if lock:
        statement = statement.with_for_update()
    return fetch_one(connection, statement, Payout)


def lock_one(connection: Connection, identifier: str) -> Payout | None:
    """One payout by its id alone, locked: for stages, which serve every account."""
    statement = select(payouts).where(payouts.c.id == identifier).with_for_update()
    return fetch_one(connection, statement, Payout)
