"""Application fees: rows, and those that wait to go back."""

from collections.abc import Sequence

from sqlalchemy import Boolean, Column, Connection, Index, Integer, Table, Text, select, text

from sakk.core.application_fee import ApplicationFee
from sakk.core.fee import FeeKind
from sakk.store.database import fetch_all, insert_records
from sakk.store.lease import lease_columns
from sakk.store.schema import Document, Timestamp, Units, metadata

application_fees = Table(
    "application_fees",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("connected", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("connected_account", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("payment_intent", Text),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("basis", Units, nullable=False),
    Column("amount", Units, nullable=False),
    Column("version", Integer),
    Column("rule", Integer),
    Column("parts", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    Index("ix_application_fees_account", "account_id", "livemode", "id"),
    Index("ix_application_fees_connected", "connected", "livemode", "id"),
    Index("ix_application_fees_payment", "payment_intent"),
    Index("ix_application_fees_source", "source"),
    Index("ix_application_fees_work", "id", postgresql_where=text("status = 'pending'")),
)


def insert(connection: Connection, rows: Sequence[ApplicationFee]) -> None:
    insert_records(connection, application_fees, rows)


def list_returned(
    connection: Connection, *, payment_intent: str, currency: str
) -> list[ApplicationFee]:
    """What went back with a payment's refunds, and what of that was undone."""
    c = application_fees.c
    statement = (
        select(application_fees)
        .where(
            c.payment_intent == payment_intent,
            c.currency == currency,
            c.kind == FeeKind.refund.value,
        )
        .order_by(c.id)
    )
    return fetch_all(connection, statement, ApplicationFee)
