"""The ledger's rows for people and queries: the projection of the journal, and accounts' names.

The projector writes them on a psycopg connection of its own (``project_…``); readers take
SQLAlchemy's connection as for every other noun. Ids are 16 bytes in uuid columns.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from sakk.store.database import fetch_all
from sakk.store.schema import Timestamp, Units, metadata

ENTRIES_LIMIT_MAX = 1_000
NAMES_PER_STATEMENT = 1_000
STREAM_ROWS = 10_000
WRONG_TIMES_MAX = 100

# How far the projection came: everything up to and including ``sequence`` stands in its rows.
ledger_cursors = Table(
    "ledger_cursors",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("entry_sequence", BigInteger, nullable=False),
    Column("timestamp_ns", BigInteger, nullable=False),
)

ledger_accounts = Table(
    "ledger_accounts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("shard", Integer, nullable=False),
    Column("unit", Numeric(20, 0), nullable=False),
    Column("code", Integer, nullable=False),
    Column("flags", Integer, nullable=False),
    Column("user_data", Uuid, nullable=False),
    Column("debits_pending", Units, nullable=False),
    Column("debits_posted", Units, nullable=False),
    Column("credits_pending", Units, nullable=False),
    Column("credits_posted", Units, nullable=False),
    Column("timestamp", Timestamp, nullable=False),
    Column("timestamp_ns", BigInteger, nullable=False),
    Index("ix_ledger_accounts_code", "code"),
    Index("ix_ledger_accounts_user_data", "user_data"),
)

ledger_transfers = Table(
    "ledger_transfers",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("shard", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False),  # the journal's
    Column("timestamp", Timestamp, nullable=False),
    Column("timestamp_ns", BigInteger, nullable=False),
    Column("effective_at", Timestamp, nullable=False),
    Column("effective_at_ns", BigInteger, nullable=False),
    Column("debit_account_id", Uuid, nullable=False),
    Column("credit_account_id", Uuid, nullable=False),
    Column("amount", Units, nullable=False),
    Column("unit", Numeric(20, 0), nullable=False),
    Column("code", Integer, nullable=False),
    Column("flags", Integer, nullable=False),
    Column("timeout_seconds", BigInteger, nullable=False),
    Column("user_data", Uuid, nullable=False),
    Column("pending_id", Uuid),
    # posted (moved money), pending, voided (a void, or a hold that it ended), expired; a hold
    # that was posted is posted too: its post has the entries.
    Column("status", Text, nullable=False),
    Index("ix_ledger_transfers_timestamp_ns", "shard", "timestamp_ns"),
    Index("ix_ledger_transfers_user_data", "user_data"),
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("account_id", Uuid, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("shard", Integer, nullable=False),
    Column("transfer_id", Uuid, nullable=False),
    Column("direction", Text, nullable=False),
    Column("amount", Units, nullable=False),
    Column("balance_after", Units, nullable=False),  # credits posted - debits posted
    Column("timestamp", Timestamp, nullable=False),
    Column("timestamp_ns", BigInteger, nullable=False),
    Column("effective_at", Timestamp, nullable=False),
    Column("effective_at_ns", BigInteger, nullable=False),
    Column("code", Integer, nullable=False),
)

# The four totals after each change, of accounts with the history flag.
ledger_balances = Table(
    "ledger_balances",
    metadata,
    Column("account_id", Uuid, primary_key=True),
    Column("timestamp_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("shard", Integer, nullable=False),
    Column("timestamp", Timestamp, nullable=False),
    Column("debits_pending", Units, nullable=False),
    Column("debits_posted", Units, nullable=False),
    Column("credits_pending", Units, nullable=False),
    Column("credits_posted", Units, nullable=False),
)

# So that people can read the ledger: the chart's name behind each id.
ledger_account_names = Table(
    "ledger_account_names",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("unit", Text, nullable=False),
    Column("unit_id", BigInteger, nullable=False),
    Column("code", SmallInteger, nullable=False),
    Column("account", Text, index=True),
)

TABLES = (
    ledger_cursors,
    ledger_accounts,
    ledger_transfers,
    ledger_entries,
    ledger_balances,
    ledger_account_names,
)


# The projector's side


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything up to the journal's row ``sequence`` stands in the projection's rows."""

    shard: int
    sequence: int = 0
    entry_sequence: int = 0
    timestamp_ns: int = 0


@dataclass(slots=True)
class AccountRow:
    """One row of ``ledger_accounts``; ids and user data as 32 hexadecimal digits."""

    id: str
    unit: int
    code: int
    flags: int
    user_data: str
    timestamp_ns: int
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0


@dataclass(slots=True)
class TransferRow:
    """One row of ``ledger_transfers``, as the projector needs it."""

    id: str
    sequence: int
    timestamp_ns: int
    effective_at_ns: int
    debit_account_id: str
    credit_account_id: str
    amount: int
    unit: int
    code: int
    flags: int
    timeout_seconds: int
    user_data: str
    pending_id: str | None
    status: str


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One row of ``ledger_entries``, as the projector writes it."""

    account_id: str
    sequence: int
    transfer_id: str
    direction: str
    amount: int
    balance_after: int
    timestamp_ns: int
    effective_at_ns: int
    code: int


def lock_cursor(connection: psycopg.Connection[Any], shard: int) -> Cursor:
    """Read the projection's cursor, and keep other projectors away until the transaction ends."""
    connection.execute(
        "INSERT INTO ledger_cursors (shard, sequence, entry_sequence, timestamp_ns)"
        " VALUES (%s, 0, 0, 0) ON CONFLICT DO NOTHING",
        (shard,),
    )
    row = connection.execute(
        "SELECT sequence, entry_sequence, timestamp_ns FROM ledger_cursors"
        " WHERE shard = %s FOR UPDATE",
        (shard,),
    ).fetchone()
    return Cursor(shard) if row is None else Cursor(shard, *row)


def read_cursor(connection: psycopg.Connection[Any], shard: int) -> Cursor:
    """The projection's cursor now."""
    row = connection.execute(
        "SELECT sequence, entry_sequence, timestamp_ns FROM ledger_cursors WHERE shard = %s",
        (shard,),
    ).fetchone()
    return Cursor(shard) if row is None else Cursor(shard, *row)


def save_cursor(connection: psycopg.Connection[Any], cursor: Cursor) -> None:
    """Advance the cursor in the transaction that wrote the rows."""
    connection.execute(
        "UPDATE ledger_cursors SET sequence = %s, entry_sequence = %s, timestamp_ns = %s"
        " WHERE shard = %s",
        (cursor.sequence, cursor.entry_sequence, cursor.timestamp_ns, cursor.shard),
    )


_ACCOUNT_COLUMNS = (
    "replace(id::text, '-', ''), unit::text, code, flags, replace(user_data::text, '-', ''),"
    " timestamp_ns, debits_pending::text, debits_posted::text, credits_pending::text,"
    " credits_posted::text"
)
_TRANSFER_COLUMNS = (
    "replace(id::text, '-', ''), sequence, timestamp_ns, effective_at_ns,"
    " replace(debit_account_id::text, '-', ''), replace(credit_account_id::text, '-', ''),"
    " amount::text, unit::text, code, flags, timeout_seconds,"
    " replace(user_data::text, '-', ''), replace(pending_id::text, '-', ''), status"
)


def _account_row(row: tuple[Any, ...]) -> AccountRow:
    identifier, unit, code, flags, user_data, timestamp_ns, *totals = row
    return AccountRow(
        identifier, int(unit), code, flags, user_data, timestamp_ns, *(int(t) for t in totals)
    )


def _transfer_row(row: tuple[Any, ...]) -> TransferRow:
    amount, unit = int(row[6]), int(row[7])
    return TransferRow(*(*row[:6], amount, unit, *row[8:]))


def account_rows(connection: psycopg.Connection[Any], ids: Sequence[str]) -> dict[str, AccountRow]:
    """Projected accounts by id."""
    rows = connection.execute(
        f"SELECT {_ACCOUNT_COLUMNS} FROM ledger_accounts WHERE id = ANY(%s::uuid[])",  # noqa: S608
        (list(ids),),
    )
    return {row[0]: _account_row(row) for row in rows}


def transfer_rows(
    connection: psycopg.Connection[Any], ids: Sequence[str]
) -> dict[str, TransferRow]:
    """Projected transfers by id."""
    rows = connection.execute(
        f"SELECT {_TRANSFER_COLUMNS} FROM ledger_transfers WHERE id = ANY(%s::uuid[])",  # noqa: S608
        (list(ids),),
    )
    return {row[0]: _transfer_row(row) for row in rows}


def all_account_rows(connection: psycopg.Connection[Any], shard: int) -> Iterator[AccountRow]:
    """Every projected account of a shard; needs an open transaction."""
    query = f"SELECT {_ACCOUNT_COLUMNS} FROM ledger_accounts WHERE shard = %s"  # noqa: S608
    for row in _stream(connection, query, shard):
        yield _account_row(row)


def all_transfer_rows(connection: psycopg.Connection[Any], shard: int) -> Iterator[TransferRow]:
    """Every projected transfer of a shard; needs an open transaction."""
    query = f"SELECT {_TRANSFER_COLUMNS} FROM ledger_transfers WHERE shard = %s"  # noqa: S608
    for row in _stream(connection, query, shard):
        yield _transfer_row(row)


def all_entry_rows(connection: psycopg.Connection[Any], shard: int) -> Iterator[EntryRow]:
    """Every projected entry of a shard; needs an open transaction."""
    query = (
        "SELECT replace(account_id::text, '-', ''), sequence, replace(transfer_id::text, '-', ''),"
        " direction, amount::text, balance_after::text, timestamp_ns, effective_at_ns, code"
        " FROM ledger_entries"
        " WHERE shard = %s"
    )
    for row in _stream(connection, query, shard):
        amount, balance_after = int(row[4]), int(row[5])
        yield EntryRow(*(*row[:4], amount, balance_after, *row[6:]))


def all_balance_rows(
    connection: psycopg.Connection[Any], shard: int
) -> Iterator[tuple[str, int, tuple[int, int, int, int]]]:
    """Every projected balance of accounts with history: id, time, four totals."""
    query = (
        "SELECT replace(account_id::text, '-', ''), timestamp_ns, debits_pending::text,"
        " debits_posted::text, credits_pending::text, credits_posted::text FROM ledger_balances"
        " WHERE shard = %s"
    )
    for identifier, timestamp_ns, *totals in _stream(connection, query, shard):
        a, b, c, d = (int(total) for total in totals)
        yield identifier, timestamp_ns, (a, b, c, d)


def wrong_times(connection: psycopg.Connection[Any], shard: int) -> list[tuple[str, str]]:
    """Rows whose readable times are not those of their nanoseconds, as (table, id); a few."""
    found: list[tuple[str, str]] = []
    for table, key, columns in (
        ("ledger_accounts", "id", ("timestamp",)),
        ("ledger_transfers", "id", ("timestamp", "effective_at")),
        ("ledger_entries", "account_id", ("timestamp", "effective_at")),
        ("ledger_balances", "account_id", ("timestamp",)),
    ):
        wrong = " OR ".join(
            f"{column} <> timestamptz 'epoch' + {column}_ns / 1000 * interval '1 microsecond'"
            for column in columns
        )
        rows = connection.execute(
            f"SELECT {key}::text FROM {table}"  # noqa: S608
            f" WHERE shard = %s AND ({wrong}) LIMIT {WRONG_TIMES_MAX}",
            (shard,),
        )
        found += [(table, row[0]) for row in rows]
    return found


def _stream(
    connection: psycopg.Connection[Any], query: str, shard: int
) -> Iterator[tuple[Any, ...]]:
    with connection.cursor(name="verify") as cursor:
        cursor.itersize = STREAM_ROWS
        cursor.execute(query, (shard,))
        yield from cursor


def write_accounts(
    connection: psycopg.Connection[Any], shard: int, rows: Sequence[AccountRow]
) -> None:
    """Insert new accounts, and give the others their new totals and flags."""
    connection.execute(
        "INSERT INTO ledger_accounts AS a (id, shard, unit, code, flags, user_data, timestamp_ns,"
        " debits_pending, debits_posted, credits_pending, credits_posted, timestamp)"
        " SELECT id, %s, unit, code, flags, user_data, ns, dp, dpo, cp, cpo,"
        " timestamptz 'epoch' + ns / 1000 * interval '1 microsecond'"
        " FROM unnest(%s::uuid[], %s::numeric[], %s::int[], %s::int[], %s::uuid[], %s::bigint[],"
        " %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[])"
        " AS n(id, unit, code, flags, user_data, ns, dp, dpo, cp, cpo)"
        " ON CONFLICT (id) DO UPDATE SET flags = excluded.flags,"
        " debits_pending = excluded.debits_pending, debits_posted = excluded.debits_posted,"
        " credits_pending = excluded.credits_pending, credits_posted = excluded.credits_posted",
        (
            shard,
            [row.id for row in rows],
            [str(row.unit) for row in rows],
            [row.code for row in rows],
            [row.flags for row in rows],
            [row.user_data for row in rows],
            [row.timestamp_ns for row in rows],
            [str(row.debits_pending) for row in rows],
            [str(row.debits_posted) for row in rows],
            [str(row.credits_pending) for row in rows],
            [str(row.credits_posted) for row in rows],
        ),
    )


def write_statuses(
    connection: psycopg.Connection[Any], statuses: Sequence[tuple[str, str]]
) -> None:
    """Say of holds that were projected before what became of them: (id, status)."""
    connection.execute(
        "UPDATE ledger_transfers AS t SET status = n.status"
        " FROM unnest(%s::uuid[], %s::text[]) AS n(id, status) WHERE t.id = n.id",
        ([identifier for identifier, _ in statuses], [status for _, status in statuses]),
    )


def copy_lines(
    connection: psycopg.Connection[Any], table: Table, columns: str, lines: Iterable[str]
) -> None:
    """Load rows in COPY's text format; every value is a number, a time, a uuid or a plain word."""
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy:
            copy.write("".join(lines).encode())


# The readers' side


@dataclass(frozen=True, slots=True)
class Entry:
    """One posted movement of one account. ``balance_after``: credits less debits, posted."""

    account_id: UUID
    sequence: int
    transfer_id: UUID
    direction: str
    amount: int
    balance_after: int
    timestamp: datetime
    timestamp_ns: int
    effective_at: datetime
    code: int


@dataclass(frozen=True, slots=True)
class AccountName:
    """The chart's name behind an account's id. ``account``: the merchant that it belongs to."""

    id: int
    name: str
    unit: str
    unit_id: int
    code: int
    account: str | None = None


def entries(
    connection: Connection,
    account_ids: Sequence[int],
    *,
    after: int | None = None,
    limit: int = 100,
    newest_first: bool = True,
) -> list[Entry]:
    """A statement's lines of these accounts, a page at a time.

    ``after``: the last ``sequence`` of the page before, in the same order.
    """
    table = ledger_entries
    columns = [table.c[name] for name in Entry.__dataclass_fields__]
    query = select(*columns).where(table.c.account_id.in_([UUID(int=id_) for id_ in account_ids]))
    if after is not None:
        query = query.where(table.c.sequence < after if newest_first else table.c.sequence > after)
    order = table.c.sequence.desc() if newest_first else table.c.sequence.asc()
    return fetch_all(connection, query.order_by(order).limit(min(limit, ENTRIES_LIMIT_MAX)), Entry)


def balance_at(connection: Connection, account_id: int, *, timestamp_ns: int) -> int:
    """Credits less debits posted, as the ledger knew them at a time (ns)."""
    balance = connection.execute(
        select(ledger_entries.c.balance_after)
        .where(
            ledger_entries.c.account_id == UUID(int=account_id),
            ledger_entries.c.timestamp_ns <= timestamp_ns,
        )
        .order_by(ledger_entries.c.sequence.desc())
        .limit(1)
    ).scalar()
    return 0 if balance is None else int(balance)


def remember_accounts(connection: Connection, rows: Sequence[AccountName]) -> None:
    """Write down what the ids of the chart's accounts stand for; known ones stay as they are."""
    for start in range(0, len(rows), NAMES_PER_STATEMENT):
        connection.execute(
            insert(ledger_account_names).on_conflict_do_nothing(),
            [
                {
                    "id": UUID(int=row.id),
                    "name": row.name,
                    "unit": row.unit,
                    "unit_id": row.unit_id,
                    "code": row.code,
                    "account": row.account,
                }
                for row in rows[start : start + NAMES_PER_STATEMENT]
            ],
        )


def account_names(connection: Connection, ids: Sequence[int]) -> dict[int, AccountName]:
    """The names behind account ids; an id that nobody named is left out."""
    rows = connection.execute(
        select(ledger_account_names).where(
            ledger_account_names.c.id.in_([UUID(int=id_) for id_ in ids])
        )
    ).mappings()
    return {
        row["id"].int: AccountName(
            row["id"].int, row["name"], row["unit"], row["unit_id"], row["code"], row["account"]
        )
        for row in rows
    }
