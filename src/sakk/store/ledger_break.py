"""Breaks: rows, their acts, and queries. Acts are written once and never changed."""

from collections.abc import Collection, Sequence

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    func,
    select,
    text,
    update,
)

from sakk.core.ledger_break import BreakAct, BreakStatus, LedgerBreak
from sakk.store.database import among, fetch_all, fetch_one, insert_records, row_of
from sakk.store.lease import lease_columns
from sakk.store.page import PageRequest, fetch_page
from sakk.store.schema import Document, Timestamp, Units, metadata

STANDING = "status <> 'resolved'"

breaks = Table(
    "breaks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("key", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text),
    Column("unit", Text),
    Column("units", Units, nullable=False),
    Column("detail", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("owner", Text),
    Column("notes", Integer, nullable=False),
    Column("acts", Integer, nullable=False),
    Column("proposal", Document),
    Column("corrections", Integer, nullable=False),
    Column("first_run", Text, nullable=False),
    Column("last_run", Text, nullable=False),
    Column("corrected_at", Timestamp),
    Column("resolved_at", Timestamp),
    *lease_columns(),
    Column("created", Timestamp, nullable=False),
    Index("ix_breaks_livemode", "livemode", "id"),
    Index("uq_breaks_key", "livemode", "key", unique=True, postgresql_where=text(STANDING)),
    Index("ix_breaks_correcting", "id", postgresql_where=text("status = 'correcting'")),
)

break_acts = Table(
    "break_acts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("break_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("act", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("key", Text),
    Column("detail", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("uq_break_acts_number", "break_id", "number", unique=True),
)


def insert(connection: Connection, rows: Sequence[LedgerBreak]) -> None:
    insert_records(connection, breaks, rows)


def write(connection: Connection, row: LedgerBreak) -> None:
    """Write a break that is locked."""
    values = {name: value for name, value in row_of(row).items() if name != "id"}
    connection.execute(update(breaks).where(breaks.c.id == row.id).values(values))


def insert_acts(connection: Connection, acts: Sequence[BreakAct]) -> None:
    insert_records(connection, break_acts, acts)


def find(
    connection: Connection, identifier: str, *, livemode: bool, lock: bool = False
) -> LedgerBreak | None:
    statement = select(breaks).where(breaks.c.id == identifier, breaks.c.livemode == livemode)
    return fetch_one(connection, statement.with_for_update() if lock else statement, LedgerBreak)


def find_act(connection: Connection, identifier: str) -> BreakAct | None:
    statement = select(break_acts).where(break_acts.c.id == identifier)
    return fetch_one(connection, statement, BreakAct)


def list_acts(connection: Connection, identifier: str) -> list[BreakAct]:
    """The history of a break, oldest first."""
    statement = (
        select(break_acts).where(break_acts.c.break_id == identifier).order_by(break_acts.c.number)
    )
    return fetch_all(connection, statement, BreakAct)


def lock_standing(
    connection: Connection, *, livemode: bool, scopes: Collection[str], keys: Collection[str]
) -> list[LedgerBreak]:
    """What stands of these scopes, or under these keys, locked in one order by everybody."""
    statement = (
        select(breaks)
        .where(
            breaks.c.livemode == livemode,
            text(STANDING),
            among(breaks.c.scope, scopes) | among(breaks.c.key, keys),
        )
        .order_by(breaks.c.id)
        .with_for_update()
    )
    return fetch_all(connection, statement, LedgerBreak)


def list_standing(connection: Connection, *, livemode: bool) -> list[LedgerBreak]:
    """All that stand, oldest first."""
    statement = (
        select(breaks).where(breaks.c.livemode == livemode, text(STANDING)).order_by(breaks.c.id)
    )
    return fetch_all(connection, statement, LedgerBreak)


def count_standing(connection: Connection, *, livemode: bool) -> int:
    statement = (
        select(func.count())
        .select_from(breaks)
        .where(breaks.c.livemode == livemode, text(STANDING))
    )
    return int(connection.execute(statement).scalar_one())


def list_breaks(
    connection: Connection,
    page: PageRequest,
    *,
    livemode: bool,
    status: BreakStatus | None = None,
    kind: str | None = None,
    owner: str | None = None,
) -> tuple[list[LedgerBreak], bool]:
    """One page, newest first, and is there more?"""
    filters: list[ColumnElement[bool]] = []
    if status is not None:
        filters.append(breaks.c.status == status.value)
    if kind is not None:
        filters.append(breaks.c.kind == kind)
    if owner is not None:
        filters.append(breaks.c.owner == owner)
    return fetch_page(
        connection,
        breaks,
        LedgerBreak,
        account_id=None,
        livemode=livemode,
        page=page,
        filters=filters,
    )
