"""Bank statements and their lines: rows and queries."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

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
    func,
    literal,
    literal_column,
    select,
    text,
    tuple_,
    update,
)

from sakk.core.bank_statement import (
    BankLine,
    BankStatement,
    LineStatus,
    Neighbour,
    Outcome,
    StatementStatus,
    order_of,
)
from sakk.store.database import among, fetch_all, fetch_one, insert_records, row_of
from sakk.store.lease import lease_columns
from sakk.store.ledger_break import breaks
from sakk.store.schema import Timestamp, Units, metadata

# More lines that wait for a person are not counted for a page.
OPEN_COUNTED_MAX = 999

bank_statements = Table(
    "bank_statements",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("bank_account", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("number", Integer),
    Column("from_date", Date, nullable=False),
    Column("to_date", Date, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("opening_units", Units, nullable=False),
    Column("closing_units", Units, nullable=False),
    Column("credits", Units, nullable=False),
    Column("debits", Units, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("created", Timestamp, nullable=False),
    Index("ix_bank_statements_account", "bank_account", "to_date", "number"),
    Index("ix_bank_statements_status", "bank_account", "status"),
    Index("ix_bank_statements_file", "file"),
)

bank_lines = Table(
    "bank_lines",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("bank_account", Text, nullable=False),
    Column("statement", Text, nullable=False),
    # From 1, in the order of the statement.
    Column("number", Integer, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("booking_date", Date, nullable=False),
    Column("value_date", Date, nullable=False),
    # Below zero went out.
    Column("units", Units, nullable=False),
    Column("end_to_end_id", Text),
    Column("bank_reference", Text),
    Column("remittance", Text),
    Column("creditor_reference", Text),
    Column("counterparty_name", Text),
    Column("counterparty_iban", Text),
    Column("counterparty_bic", Text),
    Column("code", Text),
    Column("return_code", Text),
    Column("is_reversal", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("outcome", Text),
    Column("account_id", Text),
    Column("payment", Text),
    Column("screening", Text),
    Column("assigned_by", Text),
    Column("booked_at", Timestamp),
    Column("waits_since", Timestamp),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    Index("uq_bank_lines_number", "statement", "number", unique=True),
    Index("ix_bank_lines_account", "bank_account", "booking_date", "id"),
    Index("ix_bank_lines_merchant", "account_id", "livemode", "id"),
    Index("ix_bank_lines_end_to_end", "end_to_end_id"),
    Index(
        "ix_bank_lines_work",
        "status",
        postgresql_where=text("status in ('new', 'matched')"),
    ),
    # What waits for a person.
    Index(
        "ix_bank_lines_open",
        "bank_account",
        "id",
        postgresql_where=text("outcome in ('suspense', 'held')"),
    ),
)


# What waits for a person, in the words of its index, which serves by them alone.
is_open: ColumnElement[bool] = literal_column("outcome in ('suspense', 'held')", Boolean)


def insert(connection: Connection, row: BankStatement, lines: Sequence[BankLine]) -> None:
    """Record a statement with its lines."""
    connection.execute(bank_statements.insert().values(row_of(row)))
    insert_records(connection, bank_lines, lines)


def find(connection: Connection, identifier: str, *, livemode: bool) -> BankStatement | None:
    """One statement."""
    c = bank_statements.c
    statement = select(bank_statements).where(c.id == identifier, c.livemode == livemode)
    return fetch_one(connection, statement, BankStatement)


def find_copy(connection: Connection, row: BankStatement) -> BankStatement | None:
    """A statement that says the same as one, and was taken in: accepted, waiting or intraday.

    Two of one format that a bank counts are two, whatever they say.
    """
    c = bank_statements.c
    statement = select(bank_statements).where(
        c.bank_account == row.bank_account,
        c.digest == row.digest,
        c.status.in_(
            [
                StatementStatus.accepted.value,
                StatementStatus.waiting.value,
                StatementStatus.intraday.value,
            ]
        ),
    )
    if row.number is not None:
        same = c.number.is_(None) | (c.number == row.number) | (c.kind != row.kind)
        statement = statement.where(same)
    return fetch_one(connection, statement.order_by(c.id).limit(1), BankStatement)


def neighbours(
    connection: Connection,
    bank_account: str,
    to_date: date,
    number: int | None,
    *,
    balance: int,
) -> tuple[Neighbour | None, Neighbour | None]:
    """The accepted statements before and after a place in an account's order.

    What the one closed with and the other opens with is what all of them come to there, from the
    ``balance`` before the first: several have one place where a bank does not count, and in which
    order they came says nothing.
    """
    c = bank_statements.c
    place = tuple_(c.to_date, func.coalesce(c.number, 0))
    wanted = tuple_(*order_of(to_date, number))
    columns = (c.number, c.to_date, c.opening_units, c.closing_units)
    believed = (c.bank_account == bank_account, c.status == StatementStatus.accepted.value)
    accepted = select(*columns).where(*believed)
    moved = select(func.coalesce(func.sum(c.closing_units - c.opening_units), 0))
    stands = balance + int(connection.execute(moved.where(*believed, place <= wanted)).scalar_one())
    last_first = (c.to_date.desc(), func.coalesce(c.number, 0).desc(), c.id.desc())
    before = fetch_one(
        connection, accepted.where(place <= wanted).order_by(*last_first).limit(1), Neighbour
    )
    after = fetch_one(
        connection,
        accepted.where(place > wanted)
        .order_by(c.to_date, func.coalesce(c.number, 0), c.id)
        .limit(1),
        Neighbour,
    )
    return (
        None if before is None else replace(before, closing_units=stands),
        None if after is None else replace(after, opening_units=stands),
    )


def list_waiting(connection: Connection, bank_account: str) -> list[BankStatement]:
    """What waits for the statement before it, in the account's order."""
    c = bank_statements.c
    statement = (
        select(bank_statements)
        .where(c.bank_account == bank_account, c.status == StatementStatus.waiting.value)
        .order_by(c.to_date, func.coalesce(c.number, 0), c.id)
    )
    return fetch_all(connection, statement, BankStatement)


def accept(connection: Connection, identifier: str, *, now: datetime) -> None:
    """A statement is believed: its lines are work."""
    c = bank_statements.c
    connection.execute(
        update(bank_statements)
        .where(c.id == identifier)
        .values(status=StatementStatus.accepted.value, reason=None)
    )
    connection.execute(
        update(bank_lines)
        .where(
            bank_lines.c.statement == identifier,
            bank_lines.c.status == LineStatus.waiting.value,
        )
        .values(status=LineStatus.new.value, waits_since=now)
    )


def lock_matching(connection: Connection) -> bool:
    """Is nobody else saying what lines are, until this transaction ends?"""
    return bool(connection.execute(_LOCK_MATCHING).scalar_one())


_LOCK_MATCHING = text("SELECT pg_try_advisory_xact_lock(hashtext('sakk bank matching'))")


def lock_debits(connection: Connection, end_to_end_ids: Collection[str]) -> list[BankLine]:
    """Lines that are new, went out, and name one of these payments; the oldest first."""
    if not end_to_end_ids:
        return []
    c = bank_lines.c
    statement = (
        select(bank_lines)
        .where(
            c.status == LineStatus.new.value,
            c.units < 0,
            among(func.upper(c.end_to_end_id), sorted(set(end_to_end_ids))),
        )
        .order_by(c.id)
        .with_for_update()
    )
    return fetch_all(connection, statement, BankLine)


def lock_opposite(
    connection: Connection, line: BankLine, *, beside: Collection[str] = ()
) -> BankLine | None:
    """The oldest line in suspense of a bank's account with the name and amount of this one, the
    other way, ``beside`` those that others take back; locked."""
    c = bank_lines.c
    statement = (
        select(bank_lines)
        .where(
            c.bank_account == line.bank_account,
            func.upper(c.end_to_end_id) == (line.end_to_end_id or "").upper(),
            c.units == -line.units,
            c.outcome == Outcome.suspense.value,
            c.payment.is_(None),
            c.id.not_in({line.id, *beside}),
        )
        .order_by(c.id)
        .limit(1)
        .with_for_update()
    )
    return fetch_one(connection, statement, BankLine)


def any_debit(connection: Connection, bank_account: str, end_to_end_ids: Collection[str]) -> bool:
    """Does a debit with one of these names stand in suspense, of which two people booked no
    correction?"""
    if not end_to_end_ids:
        return False
    c = bank_lines.c
    is_corrected = exists().where(
        breaks.c.livemode == c.livemode,
        breaks.c.key == literal("bank_line:") + c.id,
        breaks.c.corrected_at.is_not(None),
    )
    statement = select(c.id).where(
        c.bank_account == bank_account,
        among(func.upper(c.end_to_end_id), sorted(set(end_to_end_ids))),
        c.units < 0,
        c.outcome == Outcome.suspense.value,
        ~is_corrected,
    )
    return connection.execute(statement.limit(1)).first() is not None


def find_line(
    connection: Connection, identifier: str, *, livemode: bool, lock: bool = False
) -> BankLine | None:
    """One line."""
    c = bank_lines.c
    statement = select(bank_lines).where(c.id == identifier, c.livemode == livemode)
    return fetch_one(connection, statement.with_for_update() if lock else statement, BankLine)


def change_line(connection: Connection, identifier: str, values: dict[str, Any]) -> None:
    """Write what was decided of a line that the caller has locked."""
    connection.execute(update(bank_lines).where(bank_lines.c.id == identifier).values(values))


def newest_of(connection: Connection, accounts: Collection[str]) -> dict[str, BankStatement]:
    """Of each of these accounts the last statement that is believed."""
    c = bank_statements.c
    found = {}
    for account in accounts:
        statement = (
            select(bank_statements)
            .where(c.bank_account == account, c.status == StatementStatus.accepted.value)
            .order_by(c.to_date.desc(), c.number.desc().nulls_last(), c.id.desc())
            .limit(1)
        )
        newest = fetch_one(connection, statement, BankStatement)
        if newest is not None:
            found[account] = newest
    return found


def count_open(connection: Connection, accounts: Collection[str]) -> dict[str, int]:
    """Of each of these accounts how many lines wait for a person, counted up to one more than
    ``OPEN_COUNTED_MAX``."""
    c = bank_lines.c
    found = {}
    for account in accounts:
        few = (
            select(c.id)
            .where(c.bank_account == account, is_open)
            .limit(OPEN_COUNTED_MAX + 1)
            .subquery()
        )
        counted = connection.execute(select(func.count()).select_from(few)).scalar_one()
        found[account] = int(counted)
    return found


def of_file(connection: Connection, file: str) -> list[BankStatement]:
    """The statements that came in a file."""
    c = bank_statements.c
    statement = select(bank_statements).where(c.file == file).order_by(c.id)
    return fetch_all(connection, statement, BankStatement)


def lines_of(connection: Connection, statement: str, *, after: int, limit: int) -> list[BankLine]:
    """Lines of a statement after a number, in order."""
    c = bank_lines.c
    wanted = (
        select(bank_lines)
        .where(c.statement == statement, c.number > after)
        .order_by(c.number)
        .limit(limit)
    )
    return fetch_all(connection, wanted, BankLine)
