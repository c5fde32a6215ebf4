"""The ledger's journal: its rows, the fence that orders its writers, and snapshots.

The writer and the projector speak psycopg on connections of their own (``connect``).
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from select import POLLIN, POLLOUT, poll
from typing import Any

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus, Format
from psycopg.pq.abc import PGresult
from psycopg.rows import class_row
from sqlalchemy import DDL, BigInteger, Column, Integer, LargeBinary, Table, Text, event

from sakk.core.errors import Misconfigured
from sakk.store.schema import Timestamp, metadata

GENESIS = bytes(32)
SNAPSHOTS_KEPT = 2
PAGE_ROWS = 64
ANSWER_SECONDS_MAX = 30.0


def _uncompressed(table: str) -> DDL:
    """Compressing a payload of ids costs more than writing it."""
    return DDL(f"ALTER TABLE {table} ALTER COLUMN payload SET STORAGE EXTERNAL")  # type: ignore[no-untyped-call]


# Who may append: the one that took the last epoch.
ledger_epochs = Table(
    "ledger_epochs",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("taken_at", Timestamp, nullable=False),
    Column("taken_by", Text, nullable=False),
)

ledger_journal = Table(
    "ledger_journal",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("timestamp_ns", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("previous_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)
event.listen(ledger_journal, "after_create", _uncompressed("ledger_journal"))

ledger_snapshots = Table(
    "ledger_snapshots",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("journal_hash", LargeBinary, nullable=False),
    Column("state_hash", LargeBinary, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", Timestamp, nullable=False),
)

ledger_snapshot_parts = Table(
    "ledger_snapshot_parts",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("payload", LargeBinary, nullable=False),
)
event.listen(ledger_snapshot_parts, "after_create", _uncompressed("ledger_snapshot_parts"))

TABLES = (ledger_epochs, ledger_journal, ledger_snapshots, ledger_snapshot_parts)


@dataclass(frozen=True, slots=True)
class JournalRow:
    """One group of requests, durable. ``timestamp_ns`` is the time of its last event."""

    shard: int
    sequence: int
    epoch: int
    timestamp_ns: int
    count: int
    previous_hash: bytes
    hash: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """A snapshot's head: the state after the journal's row ``sequence``."""

    shard: int
    sequence: int
    journal_hash: bytes
    state_hash: bytes
    size_bytes: int


def connect(url: str) -> psycopg.Connection[Any]:
    """A connection of the ledger's own: autocommit, and a commit is on disk when it returns."""
    return psycopg.connect(
        url.replace("postgresql+psycopg://", "postgresql://", 1),
        autocommit=True,
        application_name="sakk-ledger",
        options="-c synchronous_commit=on -c timezone=UTC -c lock_timeout=10000"
        " -c statement_timeout=60000",
        tcp_user_timeout=20_000,
        connect_timeout=10,
    )


def take_epoch(connection: psycopg.Connection[Any], shard: int, *, taken_by: str) -> int:
    """Become the shard's writer: whoever held an older epoch can append no more."""
    row = connection.execute(
        "INSERT INTO ledger_epochs AS e (shard, epoch, taken_at, taken_by)"
        " VALUES (%s, 1, now(), %s) ON CONFLICT (shard) DO UPDATE"
        " SET epoch = e.epoch + 1, taken_at = now(), taken_by = excluded.taken_by"
        " RETURNING epoch",
        (shard, taken_by),
    ).fetchone()
    if row is None:
        raise Misconfigured("ledger_epochs refused a new epoch")
    return int(row[0])


_EPOCH = b"SELECT epoch FROM ledger_epochs WHERE shard = $1"
_APPEND = b"""\
WITH fence AS (SELECT 1 FROM ledger_epochs WHERE shard = $1 AND epoch = $2 FOR SHARE)
INSERT INTO ledger_journal
  (shard, sequence, epoch, timestamp_ns, count, previous_hash, hash, payload)
SELECT $1::int, $3::bigint, $2::bigint, $4::bigint, $5::int, $6::bytea, $7::bytea, $8::bytea
FROM fence"""
_UNKNOWN_STATEMENT = b"26000"


def current_epoch(connection: psycopg.Connection[Any], shard: int) -> int | None:
    """The epoch that may append now."""
    result = _ask(connection, b"ledger_epoch", _EPOCH, (shard.to_bytes(4, "big"),))
    epoch = result.get_value(0, 0)
    return None if epoch is None else int.from_bytes(epoch, "big")


def append(connection: psycopg.Connection[Any], row: JournalRow) -> bool:
    """Append a row and make it durable; False if the row's epoch is no longer the last.

    The share lock orders appends against ``take_epoch``: a new writer waits for an append under
    way and then sees it.
    """
    values = (
        row.shard.to_bytes(4, "big"),
        row.epoch.to_bytes(8, "big"),
        row.sequence.to_bytes(8, "big"),
        row.timestamp_ns.to_bytes(8, "big"),
        row.count.to_bytes(4, "big"),
        row.previous_hash,
        row.hash,
        row.payload,
    )
    return _ask(connection, b"ledger_append", _APPEND, values).command_tuples == 1


def _ask(
    connection: psycopg.Connection[Any], name: bytes, statement: bytes, values: Sequence[bytes]
) -> PGresult:
    """Run a statement whose parameters are in binary; it is prepared where it is not known.

    By libpq itself: psycopg's cursor takes longer than all else that happens here, and has no
    limit to its wait. OperationalError after ``ANSWER_SECONDS_MAX``, with the connection closed;
    whether it happened is not known then.
    """
    server = connection.pgconn
    formats = (Format.BINARY,) * len(values)
    server.send_query_prepared(name, values, formats, result_format=Format.BINARY)
    result = _result(connection)
    if result.error_field(DiagnosticField.SQLSTATE) == _UNKNOWN_STATEMENT:
        server.send_prepare(name, statement)
        result = _result(connection)
        if result.status == ExecStatus.COMMAND_OK:
            server.send_query_prepared(name, values, formats, result_format=Format.BINARY)
            result = _result(connection)
    if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        raise psycopg.errors.error_from_result(result)
    return result


def _result(connection: psycopg.Connection[Any]) -> PGresult:
    """Send what waits to be sent, and wait for what comes of it."""
    server = connection.pgconn
    deadline = time.monotonic() + ANSWER_SECONDS_MAX
    ready = poll()
    is_sent = server.flush() == 0
    ready.register(server.socket, POLLIN if is_sent else POLLIN | POLLOUT)
    found: PGresult | None = None
    while True:
        while not is_sent or server.is_busy():
            if not ready.poll(max(0.0, deadline - time.monotonic()) * 1000):
                connection.close()
                raise psycopg.OperationalError(
                    f"PostgreSQL did not answer within {ANSWER_SECONDS_MAX:g} seconds"
                )
            server.consume_input()
            if not is_sent and server.flush() == 0:
                is_sent = True
                ready.modify(server.socket, POLLIN)
        result = server.get_result()
        if result is None:
            break
        found = result
    if found is None:
        raise psycopg.OperationalError("PostgreSQL gave no result")
    return found


def confirm(connection: psycopg.Connection[Any], shard: int, epoch: int) -> bool:
    """Commit something durable: when it returns, so is everything that was committed before.

    False if the epoch is no longer the last; then nothing was committed.
    """
    cursor = connection.execute(
        "UPDATE ledger_epochs SET taken_at = taken_at WHERE shard = %s AND epoch = %s",
        (shard, epoch),
    )
    return cursor.rowcount == 1


_JOURNAL_COLUMNS = "shard, sequence, epoch, timestamp_ns, count, previous_hash, hash, payload"


def journal_row(
    connection: psycopg.Connection[Any], shard: int, sequence: int
) -> JournalRow | None:
    """One row of the journal."""
    with connection.cursor(row_factory=class_row(JournalRow), binary=True) as cursor:
        cursor.execute(
            f"SELECT {_JOURNAL_COLUMNS} FROM ledger_journal"  # noqa: S608
            " WHERE shard = %s AND sequence = %s",
            (shard, sequence),
        )
        return cursor.fetchone()


def last_sequence(connection: psycopg.Connection[Any], shard: int) -> int:
    """The journal's last sequence, 0 when it is empty."""
    row = connection.execute(
        "SELECT coalesce(max(sequence), 0) FROM ledger_journal WHERE shard = %s", (shard,)
    ).fetchone()
    return 0 if row is None else int(row[0])


def journal_after(
    connection: psycopg.Connection[Any], shard: int, sequence: int, *, limit: int
) -> list[JournalRow]:
    """At most ``limit`` rows after ``sequence``, in order."""
    with connection.cursor(row_factory=class_row(JournalRow), binary=True) as cursor:
        cursor.execute(
            f"SELECT {_JOURNAL_COLUMNS} FROM ledger_journal"  # noqa: S608
            " WHERE shard = %s AND sequence > %s ORDER BY sequence LIMIT %s",
            (shard, sequence, limit),
        )
        return cursor.fetchall()


def read_journal(
    connection: psycopg.Connection[Any], shard: int, *, after: int = 0, page: int = PAGE_ROWS
) -> Iterator[JournalRow]:
    """Every row after a sequence, in order, a page at a time."""
    while rows := journal_after(connection, shard, after, limit=page):
        yield from rows
        after = rows[-1].sequence


# Snapshots


def save_snapshot(
    connection: psycopg.Connection[Any], row: SnapshotRow, parts: Iterable[bytes]
) -> None:
    """Write a snapshot whole, and drop all but the newest ``SNAPSHOTS_KEPT``."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ledger_snapshots"
            " (shard, sequence, journal_hash, state_hash, size_bytes, created_at)"
            " VALUES (%s, %s, %s, %s, %s, now()) ON CONFLICT DO NOTHING",
            (row.shard, row.sequence, row.journal_hash, row.state_hash, row.size_bytes),
        )
        if cursor.rowcount == 0:
            return
        for number, payload in enumerate(parts):
            cursor.execute(
                "INSERT INTO ledger_snapshot_parts (shard, sequence, part, payload)"
                " VALUES (%s, %s, %s, %b)",
                (row.shard, row.sequence, number, payload),
            )
        for old in snapshots(connection, row.shard)[SNAPSHOTS_KEPT:]:
            key = (old.shard, old.sequence)
            cursor.execute(
                "DELETE FROM ledger_snapshot_parts WHERE shard = %s AND sequence = %s", key
            )
            cursor.execute("DELETE FROM ledger_snapshots WHERE shard = %s AND sequence = %s", key)


def snapshots(connection: psycopg.Connection[Any], shard: int) -> list[SnapshotRow]:
    """The heads of the kept snapshots, newest first."""
    with connection.cursor(row_factory=class_row(SnapshotRow)) as cursor:
        cursor.execute(
            "SELECT shard, sequence, journal_hash, state_hash, size_bytes FROM ledger_snapshots"
            " WHERE shard = %s ORDER BY sequence DESC",
            (shard,),
        )
        return cursor.fetchall()


def snapshot_parts(
    connection: psycopg.Connection[Any], shard: int, sequence: int
) -> Iterator[bytes]:
    """A snapshot's parts, in order, one at a time."""
    for part in count():
        payload = snapshot_part(connection, shard, sequence, part)
        if payload is None:
            return
        yield payload


def snapshot_part(
    connection: psycopg.Connection[Any], shard: int, sequence: int, part: int
) -> bytes | None:
    """One part of a snapshot, counted from 0; None after the last."""
    row = connection.execute(
        "SELECT payload FROM ledger_snapshot_parts"
        " WHERE shard = %s AND sequence = %s AND part = %s",
        (shard, sequence, part),
        binary=True,
    ).fetchone()
    return None if row is None else bytes(row[0])
