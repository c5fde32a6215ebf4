"""Payment intents: rows and queries."""

from collections.abc import Iterable

from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    select,
    text,
)

from sakk.core.payment import PaymentIntent, PaymentStatus
from sakk.store.database import (
    due,
    fetch,
    fetch_one,
    given_among,
    insert_records,
    query,
)
from sakk.store.lease import NOW
from sakk.store.schema import Document, Timestamp, Units, metadata

payment_intents = Table(
    "payment_intents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("amount", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("amount_received", Units, nullable=False),
    Column("amount_status", Text),
    Column("timing", Text),
    Column("quotes", Document, nullable=False),
    Column("networks", ARRAY(Text), nullable=False),
    Column("address", Text, nullable=False),
    Column("customer", Text),
    Column("description", Text),
    Column("metadata", Document, nullable=False),
    Column("cancellation_reason", Text),
    Column("expires_at", Timestamp, nullable=False),
    Column("canceled_at", Timestamp),
    Column("succeeded_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    Column("amount_refunded", Units, nullable=False, server_default="0"),
    Column("amount_credited", Units, nullable=False, server_default="0"),
    Column("amount_held", Units, nullable=False, server_default="0"),
    Column("application", Document),
    Index("ix_payment_intents_account", "account_id", "livemode", "id"),
    Index("ix_payment_intents_customer", "customer", "id"),
    # What people look for; neither changes while a payment is on its way.
    Index("ix_payment_intents_amount", "account_id", "livemode", "amount", "id"),
    Index(
        "ix_payment_intents_metadata",
        "metadata",
        postgresql_using="gin",
        postgresql_ops={"metadata": "jsonb_path_ops"},
        postgresql_where=text("metadata <> '{}'"),
    ),
    Index(
        "ix_payment_intents_expiring",
        "expires_at",
        postgresql_where=text("status in ('requires_action', 'processing')"),
    ),
)


def insert(connection: Connection, intent: PaymentIntent) -> None:
    insert_records(connection, payment_intents, [intent])


def find(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> PaymentIntent | None:
    """One intent of an account, or of any for the operator (None); locked for a change if asked."""
    statement = select(payment_intents).where(
        payment_intents.c.id == identifier, payment_intents.c.livemode == livemode
    )
    if account_id is not None:
        statement = statement.where(payment_intents.c.account_id == account_id)
    if lock:
        statement = statement.with_for_update()
    return fetch_one(connection, statement, PaymentIntent)


def find_many(connection: Connection, identifiers: Iterable[str]) -> dict[str, PaymentIntent]:
    """Intents by their ids, whoever's they are: for who found the ids in rows of its own."""
    return {row.id: row for row in fetch(connection, _FIND_MANY, ids=list(set(identifiers)))}


_FIND_MANY = query(
    select(payment_intents).where(given_among(payment_intents.c.id, "ids")), PaymentIntent
)


def lock_many(connection: Connection, identifiers: Iterable[str]) -> dict[str, PaymentIntent]:
    """Lock intents in the order of their ids, so that two workers can not block each other."""
    return {row.id: row for row in fetch(connection, _LOCK_MANY, ids=list(set(identifiers)))}


_LOCK_MANY = query(
    select(payment_intents)
    .where(given_among(payment_intents.c.id, "ids"))
    .order_by(payment_intents.c.id)
    .with_for_update(),
    PaymentIntent,
)


# Open intents whose time has run out, locked.
expired = due(
    select(payment_intents).where(
        payment_intents.c.status == PaymentStatus.requires_action.value,
        payment_intents.c.expires_at <= NOW,
    ),
    PaymentIntent,
    payment_intents.c.expires_at,
    lock=payment_intents,
)
