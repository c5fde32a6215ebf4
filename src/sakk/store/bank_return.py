"""Bank returns: rows and queries."""

from collections.abc import Collection, Sequence

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Date,
    Index,
    Integer,
    Table,
    Text,
    exists,
    select,
    text,
)

from sakk.core.bank_return import BankReturn, BankReturnStatus
from sakk.store import freeze as freezes
from sakk.store.bank_file import bank_files
from sakk.store.database import among, fetch_all, fetch_one, insert_records, update_records
from sakk.store.schema import Timestamp, Units, metadata

# More returns of one account go in the next file.
RETURNS_MAX = 1_000

bank_returns = Table(
    "bank_returns",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("line", Text, nullable=False),
    Column("bank_account", Text, nullable=False),
    Column("units", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("holder", Text, nullable=False),
    Column("country", Text),
    Column("iban", Text),
    Column("bic", Text),
    Column("number", Text),
    Column("bank_code", Text),
    Column("by_hand", Boolean, nullable=False),
    Column("fee_max", Units, nullable=False),
    Column("note", Text),
    Column("line_outcome", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("end_to_end_id", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", Timestamp),
    Column("file", Text),
    Column("number_in_file", Integer),
    Column("execution_date", Date),
    Column("fee_units", Units, nullable=False),
    Column("difference_units", Units, nullable=False, server_default="0"),
    Column("screening", Text),
    Column("reason_code", Text),
    Column("reason", Text),
    Column("debit_line", Text),
    Column("return_line", Text),
    Column("created", Timestamp, nullable=False),
    Column("ended_at", Timestamp),
    # Of a line's money one return stands at a time, whatever two people do at once.
    Index(
        "uq_bank_returns_line",
        "line",
        unique=True,
        postgresql_where=text("status in ('awaiting', 'confirmed', 'ordered', 'sent', 'accepted')"),
    ),
    Index("ix_bank_returns_line", "line", "id"),
    Index("ix_bank_returns_file", "file"),
    Index("uq_bank_returns_end_to_end", "end_to_end_id", unique=True),
    Index(
        "ix_bank_returns_confirmed",
        "bank_account",
        postgresql_where=text("status = 'confirmed'"),
    ),
)


def insert(connection: Connection, row: BankReturn) -> None:
    """Record a return."""
    insert_records(connection, bank_returns, [row])


def change(connection: Connection, rows: Sequence[BankReturn], *fields: str) -> None:
    """Write these fields of returns that the caller has locked."""
    changed = [{name: getattr(row, name) for name in ("id", *fields)} for row in rows]
    update_records(connection, bank_returns, changed)


def find(connection: Connection, identifier: str, *, livemode: bool) -> BankReturn | None:
    """One return."""
    c = bank_returns.c
    statement = select(bank_returns).where(c.id == identifier, c.livemode == livemode)
    return fetch_one(connection, statement, BankReturn)


def newest_of(connection: Connection, lines: Collection[str]) -> dict[str, BankReturn]:
    """Of each of these lines the last return, whatever became of it."""
    if not lines:
        return {}
    c = bank_returns.c
    statement = select(bank_returns).where(among(c.line, sorted(lines))).order_by(c.line, c.id)
    return {each.line: each for each in fetch_all(connection, statement, BankReturn)}


def list_of_line(connection: Connection, line: str) -> list[BankReturn]:
    """All returns of a line, the oldest first."""
    c = bank_returns.c
    statement = select(bank_returns).where(c.line == line).order_by(c.id)
    return fetch_all(connection, statement, BankReturn)


def lock_confirmed(connection: Connection, bank_account: str) -> list[BankReturn]:
    """What two people agreed to, of one account, and nothing stops; the oldest first."""
    c = bank_returns.c
    statement = (
        select(bank_returns)
        .where(
            c.bank_account == bank_account,
            c.status == BankReturnStatus.confirmed.value,
            may_go(),
        )
        .order_by(c.id)
        .limit(RETURNS_MAX)
        .with_for_update(skip_locked=True)
    )
    return fetch_all(connection, statement, BankReturn)


def lock_named(connection: Connection, end_to_end_ids: Collection[str]) -> dict[str, BankReturn]:
    """Returns by their end-to-end ids, locked, in a fixed order."""
    if not end_to_end_ids:
        return {}
    c = bank_returns.c
    statement = (
        select(bank_returns)
        .where(among(c.end_to_end_id, sorted(set(end_to_end_ids))))
        .order_by(c.id)
        .with_for_update()
    )
    return {each.end_to_end_id: each for each in fetch_all(connection, statement, BankReturn)}


def lock_of_file(connection: Connection, file: str) -> list[BankReturn]:
    """The returns of a file, in its order, locked."""
    c = bank_returns.c
    statement = select(bank_returns).where(c.file == file).order_by(c.id).with_for_update()
    return fetch_all(connection, statement, BankReturn)


def list_of_file(connection: Connection, file: str) -> list[BankReturn]:
    """The returns of a file, in its order."""
    c = bank_returns.c
    return fetch_all(
        connection, select(bank_returns).where(c.file == file).order_by(c.id), BankReturn
    )


def list_by_ids(connection: Connection, identifiers: Collection[str]) -> dict[str, BankReturn]:
    """Returns by their ids."""
    if not identifiers:
        return {}
    statement = select(bank_returns).where(among(bank_returns.c.id, sorted(set(identifiers))))
    return {each.id: each for each in fetch_all(connection, statement, BankReturn)}


def may_go() -> ColumnElement[bool]:
    """A return that no freeze of all, of banks or of its currency stops; it is no account's."""
    return freezes.bank_money_may_go(bank_returns.c.currency)


def file_may_go() -> ColumnElement[bool]:
    """Of a file: no return that stands in it is stopped by a freeze."""
    return ~exists(
        select(bank_returns.c.id).where(bank_returns.c.file == bank_files.c.id, ~may_go())
    )
