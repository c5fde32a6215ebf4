"""Provider orders and what was answered to providers: rows and queries."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    literal_column,
    select,
    text,
    update,
)

from sakk.core.provider_order import AT_PROVIDER, Answer, ProviderOrder
from sakk.store.database import fetch_all, fetch_one, insert_records, row_of
from sakk.store.lease import lease_columns
from sakk.store.schema import Bytes, Document, Timestamp, Units, metadata

provider_orders = Table(
    "provider_orders",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("payout", Text, nullable=False),
    Column("payment", Text, nullable=False),
    Column("bank_account", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("units", Units, nullable=False),
    Column("fee_units", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("quote", Document),
    Column("reference", Text),
    Column("questions", Document, nullable=False),
    Column("reason_code", Text),
    Column("reason", Text),
    Column("ended_at", Timestamp),
    Column("hints", Integer, nullable=False, server_default="0"),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    Index("uq_provider_orders_payout", "payout", unique=True),
    Index("ix_provider_orders_account", "account_id", "livemode", "id"),
    Index(
        "ix_provider_orders_work",
        "status",
        postgresql_where=text("status not in ('paid', 'failed')"),
    ),
)

# As the index of work has it: `sakk.core.provider_order.UNDER_WAY`.
UNDER_WAY = literal_column("status not in ('paid', 'failed')", Boolean)

provider_answers = Table(
    "provider_answers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("question", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("file_name", Text),
    Column("sealed", Bytes),
    Column("answered_by", Text, nullable=False),
    Column("sent_at", Timestamp),
    Column("refused_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    # A question is answered once, but for an answer that the provider did not take.
    Index(
        "uq_provider_answers_question",
        "order_id",
        "question",
        unique=True,
        postgresql_where=text("refused_at is null"),
    ),
)


def insert_many(connection: Connection, rows: Sequence[ProviderOrder]) -> None:
    """Record orders."""
    insert_records(connection, provider_orders, rows)


def find(
    connection: Connection, identifier: str, *, livemode: bool, lock: bool = False
) -> ProviderOrder | None:
    """One order."""
    c = provider_orders.c
    statement = select(provider_orders).where(c.id == identifier, c.livemode == livemode)
    return fetch_one(connection, statement.with_for_update() if lock else statement, ProviderOrder)


def of_payout(connection: Connection, payout: str) -> ProviderOrder | None:
    """The order at a provider that carries a payout."""
    statement = select(provider_orders).where(provider_orders.c.payout == payout)
    return fetch_one(connection, statement, ProviderOrder)


def is_any_at(connection: Connection, bank_account: str) -> bool:
    """Has an account's provider orders that have not ended, or may it have some?"""
    c = provider_orders.c
    has = UNDER_WAY & c.status.in_([each.value for each in AT_PROVIDER])
    statement = select(c.id).where(c.bank_account == bank_account, has)
    return connection.execute(statement.limit(1)).first() is not None


def put_answer(connection: Connection, answer: Answer, row: ProviderOrder) -> None:
    """Record an answer, and the order that knows of it."""
    connection.execute(provider_answers.insert().values(row_of(answer)))
    connection.execute(
        update(provider_orders)
        .where(provider_orders.c.id == row.id)
        .values(questions=row.questions, retry_at=None, hints=provider_orders.c.hints + 1)
    )


def unsent(connection: Connection, order: str) -> list[Answer]:
    """Answers of an order that the provider may not have, the oldest first."""
    c = provider_answers.c
    statement = (
        select(provider_answers)
        .where(c.order_id == order, c.sent_at.is_(None), c.refused_at.is_(None))
        .order_by(c.id)
    )
    return fetch_all(connection, statement, Answer)


def answers_of(connection: Connection, order: str) -> list[Answer]:
    """All answers of an order, the oldest first; those that were not taken too."""
    c = provider_answers.c
    statement = select(provider_answers).where(c.order_id == order).order_by(c.id)
    return fetch_all(connection, statement, Answer)


def sent(connection: Connection, identifier: str, *, now: datetime) -> None:
    """The provider has an answer."""
    c = provider_answers.c
    connection.execute(update(provider_answers).where(c.id == identifier).values(sent_at=now))


def refused(connection: Connection, answer: Answer, row: ProviderOrder, *, now: datetime) -> None:
    """The provider does not take an answer; the order knows that its question is open again."""
    c = provider_answers.c
    connection.execute(update(provider_answers).where(c.id == answer.id).values(refused_at=now))
    connection.execute(
        update(provider_orders)
        .where(provider_orders.c.id == row.id)
        .values(questions=row.questions)
    )
