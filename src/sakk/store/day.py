"""Closed days: rows that are written once, who accepted what, and the sums that a day is made of.

Everything is read at one moment of the database, out of the projection: a window over the ledger's
own time, which is never given twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.chart import currency_unit
from sakk.core.day import Acceptance, Day, Sum
from sakk.core.ledger import TEST_BIT, ledger_of_unit
from sakk.store.database import fetch_all, fetch_one, row_of
from sakk.store.schema import Bytes, Timestamp, metadata

# Any constant that no other advisory lock of ours uses: the bytes of "day".
CLOSE_LOCK: Final = int.from_bytes(b"day", "big")
ROWS_PER_FETCH: Final = 5_000

days = Table(
    "days",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("number", Integer, nullable=False),
    Column("date", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("cutoff", Text, nullable=False),
    Column("from_ns", BigInteger, nullable=False),
    Column("to_ns", BigInteger, nullable=False),
    Column("ends_at", Timestamp, nullable=False),
    Column("report", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("previous", Text),
    Column("signature", Bytes, nullable=False),
    Column("authority", Bytes, nullable=False),
    Column("closed_by", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("uq_days_number", "livemode", "number", unique=True),
    Index("uq_days_date", "livemode", "date", unique=True),
    Index("ix_days_livemode", "livemode", "id"),
)

day_acceptances = Table(
    "day_acceptances",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("date", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("uq_day_acceptances_person", "livemode", "date", "digest", "person", unique=True),
)


@dataclass(frozen=True, slots=True)
class JournalHead:
    """The last row of a shard's journal within a period."""

    shard: int
    sequence: int
    hash: str


def lock_close(connection: Connection) -> None:
    """One day is closed after another, whichever process asks."""
    connection.execute(select(func.pg_advisory_xact_lock(CLOSE_LOCK)))


def insert(connection: Connection, day: Day) -> None:
    connection.execute(days.insert().values(row_of(day)))


def find(connection: Connection, identifier: str, *, livemode: bool) -> Day | None:
    statement = select(days).where(days.c.id == identifier, days.c.livemode == livemode)
    return fetch_one(connection, statement, Day)


def find_by_date(connection: Connection, date: str, *, livemode: bool) -> Day | None:
    statement = select(days).where(days.c.date == date, days.c.livemode == livemode)
    return fetch_one(connection, statement, Day)


def find_last(connection: Connection, *, livemode: bool) -> Day | None:
    """The day that was closed last."""
    statement = (
        select(days).where(days.c.livemode == livemode).order_by(days.c.number.desc()).limit(1)
    )
    return fetch_one(connection, statement, Day)


def accept(connection: Connection, acceptance: Acceptance) -> None:
    """Keep a person's word; the same word again changes nothing."""
    statement = upsert(day_acceptances).values(row_of(acceptance)).on_conflict_do_nothing()
    connection.execute(statement)


def list_acceptances(
    connection: Connection, *, date: str, digest: str, livemode: bool
) -> list[Acceptance]:
    """Who accepted just this, oldest first."""
    c = day_acceptances.c
    statement = (
        select(day_acceptances)
        .where(c.livemode == livemode, c.date == date, c.digest == digest)
        .order_by(c.created, c.id)
    )
    return fetch_all(connection, statement, Acceptance)


def journal_heads(connection: Connection, *, until_ns: int) -> list[JournalHead]:
    """Where each shard's journal stood at a moment of the ledger's time."""
    rows = connection.execute(_HEADS, {"until": until_ns})
    return [JournalHead(row.shard, row.sequence, bytes(row.hash).hex()) for row in rows]


_HEADS = text(
    "SELECT j.shard, j.sequence, j.hash FROM ledger_cursors c CROSS JOIN LATERAL"
    " (SELECT shard, sequence, hash FROM ledger_journal WHERE shard = c.shard"
    " AND timestamp_ns <= :until ORDER BY sequence DESC LIMIT 1) j ORDER BY j.shard"
)


def audit_head(connection: Connection) -> tuple[int, str]:
    """The newest sealed block of the audit log, and its hash; 0 before the first."""
    row = connection.execute(_AUDIT_HEAD).first()
    return (0, "") if row is None else (row.number, bytes(row.hash).hex())


_AUDIT_HEAD = text("SELECT number, hash FROM audit_blocks ORDER BY number DESC LIMIT 1")


def sums(connection: Connection, *, after_ns: int, until_ns: int) -> Iterator[Sum]:
    """What each account that moved was debited and credited, of both modes.

    ``opening`` and ``closing`` are the balances that the ledger says, credits less debits. Accounts
    that the operator opened over HTTP have their id for a name, and ``ledger/N`` for a unit.
    """
    given = {"after": after_ns, "until": until_ns}
    result = connection.execute(_SUMS, given, execution_options={"yield_per": ROWS_PER_FETCH})
    for row in result:
        number = int(row.number)
        own = f"ledger/{ledger_of_unit(number)}"
        yield Sum(
            account=row.name or str(row.account_id),
            unit=row.unit or currency_unit(own, livemode=not number & TEST_BIT),
            entries=row.entries,
            opening=int(row.opening),
            debits=int(row.debits),
            credits=int(row.credits),
            closing=int(row.closing),
        )


_SUMS = text(
    "WITH moved AS (SELECT account_id, count(*) AS entries,"
    " coalesce(sum(amount) FILTER (WHERE amount > 0), 0) AS credits,"
    " coalesce(-sum(amount) FILTER (WHERE amount < 0), 0) AS debits"
    " FROM ledger_entries WHERE timestamp_ns > :after AND timestamp_ns <= :until"
    " GROUP BY account_id)"
    " SELECT m.account_id, n.name, n.unit, a.unit AS number, m.entries, m.credits, m.debits,"
    " coalesce((SELECT e.balance_after FROM ledger_entries e WHERE e.account_id = m.account_id"
    " AND e.timestamp_ns <= :after ORDER BY e.timestamp_ns DESC LIMIT 1), 0) AS opening,"
    " (SELECT e.balance_after FROM ledger_entries e WHERE e.account_id = m.account_id"
    " AND e.timestamp_ns <= :until ORDER BY e.timestamp_ns DESC LIMIT 1) AS closing"
    " FROM moved m JOIN ledger_accounts a ON a.id = m.account_id"
    " LEFT JOIN ledger_account_names n ON n.id = m.account_id ORDER BY n.name, m.account_id"
)
