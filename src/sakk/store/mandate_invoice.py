"""Invoices that agents made under mandates: which payment intent a reference of an agent's is."""

from datetime import datetime

from sqlalchemy import Column, Connection, Index, Table, Text, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.payment import PaymentStatus
from sakk.store.payment import payment_intents
from sakk.store.schema import Timestamp, metadata

mandate_invoices = Table(
    "mandate_invoices",
    metadata,
    Column("payment_intent", Text, primary_key=True),
    Column("mandate", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("uq_mandate_invoices_reference", "mandate", "reference", unique=True),
    Index("ix_mandate_invoices_created", "mandate", "created"),
)


def name(
    connection: Connection, payment_intent: str, *, mandate: str, reference: str, now: datetime
) -> str:
    """Give a reference its payment intent; the one that it has already, if another was first.

    Who is second waits until the first is committed.
    """
    values = {
        "payment_intent": payment_intent,
        "mandate": mandate,
        "reference": reference,
        "created": now,
    }
    connection.execute(upsert(mandate_invoices).values(values).on_conflict_do_nothing())
    columns = mandate_invoices.c
    return str(
        connection.execute(
            select(columns.payment_intent).where(
                columns.mandate == mandate, columns.reference == reference
            )
        ).scalar_one()
    )


def is_of(connection: Connection, payment_intent: str, *, mandate: str) -> bool:
    """Was this intent made under this mandate?"""
    columns = mandate_invoices.c
    statement = select(columns.mandate).where(
        columns.payment_intent == payment_intent, columns.mandate == mandate
    )
    return connection.execute(statement).first() is not None


def count_open(connection: Connection, *, mandate: str, since: datetime, limit: int) -> int:
    """How many of a mandate's wait to be paid, counted up to a limit.

    Of those that were made after ``since``: no other is looked at.
    """
    open_ones = (
        select(payment_intents.c.id)
        .join(mandate_invoices, mandate_invoices.c.payment_intent == payment_intents.c.id)
        .where(
            mandate_invoices.c.mandate == mandate,
            mandate_invoices.c.created > since,
            payment_intents.c.status == PaymentStatus.requires_action.value,
        )
        .limit(limit)
        .subquery()
    )
    return int(connection.execute(select(func.count()).select_from(open_ones)).scalar_one())
