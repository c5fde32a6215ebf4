"""Bank payments: rows and queries."""

from collections.abc import Collection, Sequence

from sqlalchemy import Boolean, Column, Connection, Date, Index, Integer, Table, Text, select

from sakk.core.bank_payment import BankPayment
from sakk.store.database import among, fetch_all, fetch_one, insert_records
from sakk.store.schema import Timestamp, Units, metadata

bank_payments = Table(
    "bank_payments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("payout", Text, nullable=False),
    Column("bank_account", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("units", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("end_to_end_id", Text, nullable=False),
    Column("execution_date", Date, nullable=False),
    Column("status", Text, nullable=False),
    Column("fee_units", Units, nullable=False, server_default="0"),
    Column("reason_code", Text),
    Column("reason", Text),
    Column("line", Text),
    Column("return_line", Text),
    Column("created", Timestamp, nullable=False),
    Column("ended_at", Timestamp),
    Index("ix_bank_payments_account", "account_id", "livemode", "id"),
    Index("ix_bank_payments_file", "file", "number"),
    # A payout is ordered once, and what comes back names it so.
    Index("uq_bank_payments_payout", "payout", unique=True),
    Index("uq_bank_payments_end_to_end", "end_to_end_id", unique=True),
)


def insert_many(connection: Connection, rows: Sequence[BankPayment]) -> None:
    """Record the orders of a file."""
    insert_records(connection, bank_payments, rows)


def find(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> BankPayment | None:
    """One order of an account, or of any (None)."""
    c = bank_payments.c
    statement = select(bank_payments).where(c.id == identifier, c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(c.account_id == account_id)
    return fetch_one(connection, statement, BankPayment)


def of_file(connection: Connection, file: str) -> list[BankPayment]:
    """The orders of a file, in its order."""
    c = bank_payments.c
    statement = select(bank_payments).where(c.file == file).order_by(c.number)
    return fetch_all(connection, statement, BankPayment)


def lock_named(connection: Connection, end_to_end_ids: Collection[str]) -> dict[str, BankPayment]:
    """Orders by their end-to-end ids, locked, in a fixed order."""
    if not end_to_end_ids:
        return {}
    c = bank_payments.c
    statement = (
        select(bank_payments)
        .where(among(c.end_to_end_id, sorted(set(end_to_end_ids))))
        .order_by(c.id)
        .with_for_update()
    )
    return {each.end_to_end_id: each for each in fetch_all(connection, statement, BankPayment)}


def of_payout(connection: Connection, payout: str) -> BankPayment | None:
    """The order that carries a payout."""
    statement = select(bank_payments).where(bank_payments.c.payout == payout)
    return fetch_one(connection, statement, BankPayment)


def list_by_ids(connection: Connection, identifiers: Collection[str]) -> dict[str, BankPayment]:
    """Orders by their ids."""
    if not identifiers:
        return {}
    statement = select(bank_payments).where(among(bank_payments.c.id, sorted(set(identifiers))))
    return {each.id: each for each in fetch_all(connection, statement, BankPayment)}
