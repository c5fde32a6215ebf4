"""Application fees: rows, and those that wait to go back."""

from collections.abc import Sequence

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    or_,
    select,
    text,
)

from sakk.core.application_fee import ApplicationFee, ApplicationFeeReason
from sakk.core.fee import FeeKind
from sakk.store.database import among, fetch_all, fetch_one, insert_records
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


def any_undone(connection: Connection, intents: Sequence[str]) -> set[str]:
    """Those of payments of whose returned fees something was undone."""
    if not intents:
        return set()
    c = application_fees.c
    statement = select(c.payment_intent).where(
        among(c.payment_intent, intents),
        c.kind == FeeKind.refund.value,
        c.reason == ApplicationFeeReason.reversed.value,
    )
    return set(connection.execute(statement).scalars())


def find(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> ApplicationFee | None:
    """A fee that an account is a side of; any where ``account_id`` is None."""
    c = application_fees.c
    statement = select(application_fees).where(c.id == identifier, c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(or_(c.account_id == account_id, c.connected == account_id))
    return fetch_one(connection, statement, ApplicationFee)


def list_related(
    connection: Connection, fee: ApplicationFee, *, limit: int
) -> list[ApplicationFee]:
    """All that was taken and given back of what a fee is of, itself among it, in one coin."""
    c = application_fees.c
    of = c.source == fee.source
    if fee.payment_intent is not None:
        of = c.payment_intent == fee.payment_intent
    statement = (
        select(application_fees)
        .where(of, c.connected_account == fee.connected_account, c.currency == fee.currency)
        .order_by(c.id)
        .limit(limit)
    )
    return fetch_all(connection, statement, ApplicationFee)


def is_platform(connection: Connection, account_id: str, *, livemode: bool) -> bool:
    """Did an account take any, as a platform?"""
    c = application_fees.c
    newest = (
        select(c.id)
        .where(c.account_id == account_id, c.livemode == livemode)
        .order_by(c.id.desc())
        .limit(1)
    )
    return connection.execute(newest).first() is not None
