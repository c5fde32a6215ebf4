"""Assignments of lines in suspense: rows and queries."""

from collections.abc import Collection

from sqlalchemy import Boolean, Column, Connection, Table, Text, delete, select

from sakk.core.bank_assignment import BankAssignment
from sakk.store.database import among, fetch_all, row_of
from sakk.store.schema import Timestamp, metadata

bank_assignments = Table(
    "bank_assignments",
    metadata,
    Column("line", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("note", Text),
    Column("status", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", Timestamp),
    Column("created", Timestamp, nullable=False),
)


def put(connection: Connection, row: BankAssignment) -> None:
    """Write what is said of a line that the caller has locked; the log has what was before."""
    connection.execute(delete(bank_assignments).where(bank_assignments.c.line == row.line))
    connection.execute(bank_assignments.insert().values(row_of(row)))


def of_lines(connection: Connection, lines: Collection[str]) -> dict[str, BankAssignment]:
    """What is said of these lines, by line."""
    if not lines:
        return {}
    statement = select(bank_assignments).where(among(bank_assignments.c.line, sorted(lines)))
    return {each.line: each for each in fetch_all(connection, statement, BankAssignment)}
