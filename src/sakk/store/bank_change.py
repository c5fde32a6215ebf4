"""Changes of the operator's accounts at banks: rows and queries."""

from collections.abc import Collection

from sqlalchemy import Boolean, Column, Connection, Table, Text, delete, select, text

from sakk.core.bank_account import BankAccount
from sakk.core.bank_change import BankChange, Unfinished
from sakk.store import bank_proof
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


# In the order in which a person sees to them.
_UNFINISHED = {
    Unfinished.payments: text(
        "SELECT 1 FROM bank_payments WHERE bank_account = :account"
        " AND status IN ('ordered', 'sent', 'accepted') LIMIT 1"
    ),
    Unfinished.returns: text(
        "SELECT 1 FROM bank_returns WHERE bank_account = :account"
        " AND status IN ('awaiting', 'confirmed', 'ordered', 'sent', 'accepted') LIMIT 1"
    ),
    # A debit in suspense is nobody's to decide about, as every bank's charge is; what a statement
    # says that came too early is money that was not looked at.
    Unfinished.lines: text(
        "SELECT 1 FROM (SELECT 1 FROM bank_lines WHERE bank_account = :account"
        " AND status IN ('new', 'matched')"
        " UNION ALL SELECT 1 FROM bank_lines WHERE bank_account = :account"
        " AND outcome IN ('suspense', 'held') AND units > 0"
        " UNION ALL SELECT 1 FROM bank_statements WHERE bank_account = :account"
        " AND status = 'waiting') waits LIMIT 1"
    ),
}


def unfinished(connection: Connection, account: BankAccount) -> Unfinished | None:
    """What keeps an account that the caller has locked from being closed."""
    for left, statement in _UNFINISHED.items():
        if connection.execute(statement, {"account": account.id}).first() is not None:
            return left
    for each in bank_proof.list_balances(connection, livemode=account.livemode):
        stands = each.ledger_units or (each.statement and each.statement_units)
        if each.bank_account == account.id and stands:
            return Unfinished.balance
    return None
