"""Bank downloads: which files of a bank's place were taken, where the bank keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Column, Table, Text, func, select
from sqlalchemy.dialects.postgresql import insert as insert_on

from sakk.store.database import Database, among
from sakk.store.schema import Timestamp, metadata

bank_downloads = Table(
    "bank_downloads",
    metadata,
    Column("bank_account", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    # What tells one of a name from the next: its size and time, or its hash.
    Column("version", Text, primary_key=True),
    Column("taken_at", Timestamp, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Downloads:
    """What was taken from one account's place; a transaction for each call."""

    database: Database
    bank_account: str

    def fresh(self, files: Sequence[tuple[str, str]]) -> list[str]:
        """Of files by name and version those that were not taken, in their order."""
        c = bank_downloads.c
        statement = select(c.name, c.version).where(
            c.bank_account == self.bank_account, among(c.name, [name for name, _ in files])
        )
        with self.database.read() as connection:
            taken = {(row.name, row.version) for row in connection.execute(statement)}
        return [name for name, version in files if (name, version) not in taken]

    def remember(self, name: str, version: str) -> None:
        """One was taken; twice is once."""
        row = {"bank_account": self.bank_account, "name": name, "version": version}
        statement = insert_on(bank_downloads).values(**row, taken_at=func.now())
        with self.database.begin() as connection:
            connection.execute(statement.on_conflict_do_nothing())
