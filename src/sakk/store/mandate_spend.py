"""Spends under mandates: rows and queries."""

from datetime import timedelta
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

from sakk.core.mandate_spend import MandateSpend, SpendStatus
from sakk.store.database import among, due, fetch_one, row_of
from sakk.store.lease import NOW, before
from sakk.store.schema import Bytes, Document, Timestamp, Units, metadata

mandate_spends = Table(
    "mandate_spends",
    metadata,
    Column("id", Text, primary_key=True),
    Column("mandate", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("reference", Text, nullable=False),
    Column("fingerprint", Bytes, nullable=False),
    Column("amount", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("payee_account", Text),
    Column("payee_network", Text),
    Column("payee_address", Text),
    Column("payee_host", Text),
    Column("scheme", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("failure_code", Text),
    Column("failure", Document),
    Column("reserved_at", Timestamp),
    Column("approve_by", Timestamp),
    Column("approved_by", Text),
    Column("description", Text),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    # One spend a reference, whichever of many requests comes first.
    Index("uq_mandate_spends_reference", "mandate", "reference", unique=True),
    Index("ix_mandate_spends_account", "account_id", "livemode", "id"),
    Index(
        "ix_mandate_spends_requested",
        "reserved_at",
        postgresql_where=text("status IN ('requested', 'releasing')"),
    ),
    Index(
        "ix_mandate_spends_waiting",
        "approve_by",
        postgresql_where=text("status IN ('waiting', 'approved')"),
    ),
)

# A request spends for itself; only what is older was left behind by a crash.
LEFT_TO_REQUEST = timedelta(seconds=5)


def insert(connection: Connection, record: MandateSpend) -> bool:
    """Record a spend; False where another request has recorded one under the same reference."""
    statement = upsert(mandate_spends).values(row_of(record)).on_conflict_do_nothing()
    return connection.execute(statement.returning(mandate_spends.c.id)).first() is not None


def find(
    connection: Connection,
    identifier: str,
    *,
    mandate: str,
    account_id: str,
    livemode: bool,
    lock: bool = False,
) -> MandateSpend | None:
    statement = select(mandate_spends).where(
        mandate_spends.c.id == identifier,
        mandate_spends.c.mandate == mandate,
        mandate_spends.c.account_id == account_id,
        mandate_spends.c.livemode == livemode,
    )
    return fetch_one(connection, statement.with_for_update() if lock else statement, MandateSpend)


def find_reference(
    connection: Connection, mandate: str, reference: str, *, lock: bool = False
) -> MandateSpend | None:
    statement = select(mandate_spends).where(
        mandate_spends.c.mandate == mandate, mandate_spends.c.reference == reference
    )
    return fetch_one(connection, statement.with_for_update() if lock else statement, MandateSpend)


# Spends that were committed and never heard of again.
left_behind = due(
    select(mandate_spends).where(
        among(mandate_spends.c.status, [SpendStatus.requested.value, SpendStatus.releasing.value]),
        mandate_spends.c.reserved_at < before(LEFT_TO_REQUEST),
    ),
    MandateSpend,
    mandate_spends.c.reserved_at,
)


# Spends whose time for a person's word, or for the agent to come back, is over; locked.
overdue = due(
    select(mandate_spends).where(
        among(mandate_spends.c.status, [SpendStatus.waiting.value, SpendStatus.approved.value]),
        mandate_spends.c.approve_by < NOW,
    ),
    MandateSpend,
    mandate_spends.c.approve_by,
    lock=mandate_spends,
)


def change(connection: Connection, identifier: str, values: dict[str, Any], *, status: str) -> bool:
    """Move a spend on from a status; False where it stands in another by now."""
    result = connection.execute(
        update(mandate_spends)
        .where(mandate_spends.c.id == identifier, mandate_spends.c.status == status)
        .values(values)
    )
    return result.rowcount == 1
