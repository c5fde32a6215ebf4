"""Changes of the operator's accounts at banks: rows and queries."""

from collections.abc import Collection

from sqlalchemy import Boolean, Column, Connection, Table, Text, delete, select

from sakk.core.bank_change import BankChange
from sakk.store.database import among, fetch_all, row_of
from sakk.store.schema import Bytes, Document, Timestamp, metadata

bank_account_changes = Table(
    "bank_account_changes",
    metadata,
    Column("bank_account", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("kind", Text, nullable=False),
    Column("terms", Document, nullable=False),
    Column("secret", Bytes),
    Column("status", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", Timestamp),
    Column("created", Timestamp, nullable=False),
)


def put(connection: Connection, row: BankChange) -> None:
    """Write what is proposed of an account that the caller has locked, or has just made."""
    c = bank_account_changes.c
    connection.execute(delete(bank_account_changes).where(c.bank_account == row.bank_account))
    connection.execute(bank_account_changes.insert().values(row_of(row)))


def of_accounts(connection: Connection, accounts: Collection[str]) -> dict[str, BankChange]:
    """What was last proposed of these accounts, by account."""
    if not accounts:
        return {}
    c = bank_account_changes.c
    statement = select(bank_account_changes).where(among(c.bank_account, sorted(accounts)))
    return {each.bank_account: each for each in fetch_all(connection, statement, BankChange)}
