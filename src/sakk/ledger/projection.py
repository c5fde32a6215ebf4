"""The projection: rows for statements and queries, from the journal, in order, exactly once.

It needs no machine. The journal says what was asked, what became of it and which holds ran out
(``sakk.ledger.rows``); totals continue from the rows written before. Rows and cursor are one
transaction, so a projector that dies repeats nothing and misses nothing, and of two at once one
waits for the other.
"""

import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
import structlog
from prometheus_client import Counter, Gauge

from sakk.core.errors import Unavailable
from sakk.ledger.charge import charge_record
from sakk.ledger.outside import run
from sakk.ledger.record import ACCOUNT, ID_ZERO, RESERVED, TRANSFER
from sakk.ledger.rows import Book, new_book
from sakk.ledger.voucher import highest
from sakk.store import projection as store
from sakk.store.failpoint import failpoint
from sakk.store.journal import JournalRow, connect, journal_after, last_sequence
from sakk.store.projection import Cursor, Month, Page

log = structlog.get_logger(__name__)

# A page: as many events as wait, up to this many, in at most so many rows of the journal.
EVENTS_MAX = 32_768
ROWS_MAX = 4_096
READ_ROWS_MIN, READ_ROWS_MAX = 8, 512
IDLE_SECONDS_MAX = 5.0
RETRY_SECONDS = 0.5
# Rows cost PostgreSQL many times what postings do: while so many events come in so short a time,
# they wait, until they trail by a second's worth of rows or two.
FLOOD_EVENTS = 1_024
GIVE_WAY_SECONDS = 0.02
GIVE_WAY_EVENTS_MAX = 500_000
# A page costs PostgreSQL as much as hundreds of rows, and one more wait for the disk, beside those
# of requests: what comes after a pause is written at once, and what follows, one by one or many
# groups, a few times a second.
BUSY_GROUPS = 4
PACE_SECONDS = 0.15
MEASURE_SECONDS = 0.2
PARTITION_RETRY_SECONDS = 60.0
# What waits for longer is no flood's doing: people are told.
LATE_SECONDS = 60.0
PARTITION_AHEAD_NS = 7 * 86_400 * 1_000_000_000

rows_written = Counter(
    "sakk_ledger_projection_rows_total",
    "Rows of all tables that the projection has inserted or changed.",
    ["shard"],
)
lag_events = Gauge(
    "sakk_ledger_projection_lag_events",
    "Events of the journal that the projection has not written yet.",
    ["shard"],
    multiprocess_mode="livemostrecent",
)
lag_seconds = Gauge(
    "sakk_ledger_projection_lag_seconds",
    "How long the first of them has waited, 0 when the projection shows everything.",
    ["shard"],
    multiprocess_mode="livemostrecent",
)


class Rows(Protocol):
    """Where the projector reads the journal and writes rows; see ``sakk.ledger.outside``.

    Everything between ``lock_cursor`` and ``write_page`` is one transaction.
    """

    def transaction(self) -> AbstractAsyncContextManager[None]: ...

    async def lock_cursor(self, shard: int) -> Cursor: ...

    async def journal_after(self, shard: int, sequence: int, *, limit: int) -> list[JournalRow]: ...

    async def hold_records(self, ids: Sequence[bytes]) -> bytes:
        """Those of these holds that are written and open, as records."""
        ...

    async def account_records(self, ids: Sequence[bytes]) -> bytes:
        """Those of these accounts that are written, as records with their totals."""
        ...

    async def write_page(self, page: Page, cursor: Cursor) -> None:
        """The page's rows and the cursor after it."""
        ...


class DatabaseRows:
    """``Rows`` in PostgreSQL; every step blocks."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._ready: dict[Month, float] = {}
        store.prepare(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        with self._connection.transaction():
            yield

    async def lock_cursor(self, shard: int) -> Cursor:
        return store.lock_cursor(self._connection, shard)

    async def journal_after(self, shard: int, sequence: int, *, limit: int) -> list[JournalRow]:
        return journal_after(self._connection, shard, sequence, limit=limit)

    async def hold_records(self, ids: Sequence[bytes]) -> bytes:
        return b"".join(
            TRANSFER.pack(
                identifier.bytes, debit.bytes, credit.bytes, int(amount).to_bytes(16, "little"),
                ID_ZERO, user_data.bytes, int(unit), *rest,
            )
            for identifier, debit, credit, amount, user_data, unit, *rest in store.hold_fields(
                self._connection, ids
            )
        ) + b"".join(
            charge_record(
                row[0].bytes, row[1].bytes, row[2].bytes, int(row[3]), row[4].bytes, int(row[5]),
                *row[6:],
            )
            for row in store.open_charge_fields(self._connection, ids)
        )  # fmt: skip

    async def account_records(self, ids: Sequence[bytes]) -> bytes:
        return b"".join(
            ACCOUNT.pack(
                row[0].bytes, *(int(total).to_bytes(16, "little") for total in row[1:5]),
                row[5].bytes, int(row[6]), *row[7:], RESERVED,
            )
            for row in store.account_fields(self._connection, ids)
        )  # fmt: skip

    async def write_page(self, page: Page, cursor: Cursor) -> None:
        self._make_partitions(cursor)
        store.write_page(self._connection, cursor.shard, page)
        failpoint("ledger.project.before")
        store.save_cursor(self._connection, cursor)

    def _make_partitions(self, cursor: Cursor) -> None:
        """This month's, and the next one's ahead: attached before there is anything to move."""
        at = cursor.timestamp_ns
        for wanted in sorted({Month.of(at), Month.of(at + PARTITION_AHEAD_NS)}):
            if time.monotonic() < self._ready.get(wanted, 0.0):
                continue
            made = store.make_partitions(self._connection, wanted)
            pause = float("inf") if made else PARTITION_RETRY_SECONDS
            self._ready[wanted] = time.monotonic() + pause


async def project(outside: Rows, book: Book) -> int:
    """Write the next page of the journal as rows; returns how many journal rows that were."""
    try:
        async with outside.transaction():
            cursor = await outside.lock_cursor(book.shard)
            if cursor.sequence != book.sequence:
                # Another projector went on from where this one's totals end.
                book.forget()
            rows = await _next_rows(outside, cursor)
            if not rows:
                return 0
            book.read(rows)
            if missing := book.missing_holds():
                book.add_holds(await outside.hold_records(missing))
            if missing := book.missing_accounts():
                book.add_accounts(await outside.account_records(missing))
            page = book.page()
            page.vouchers = highest(row.payload for row in rows)
            await outside.write_page(
                page, Cursor(book.shard, rows[-1].sequence, rows[-1].timestamp_ns)
            )
    except BaseException:
        book.forget()
        raise
    failpoint("ledger.project.after")
    rows_written.labels(book.shard).inc(page.rows)
    return len(rows)


def catch_up(database_url: str, *, shard: int = 0) -> int:
    """Project everything that is in the journal now; returns the journal rows that were new."""
    total = 0
    with connect(database_url) as connection:
        outside, book = DatabaseRows(connection), new_book(shard)
        while count := run(project(outside, book)):
            total += count
    return total


class Projector:
    """A thread that keeps the projection up with the journal, woken after each append.

    ``sequence``: the journal's last row that stands in rows, as far as this projector knows.
    """

    def __init__(
        self,
        database_url: str,
        *,
        shard: int = 0,
        give_way_events_max: int = GIVE_WAY_EVENTS_MAX,
        pace_seconds: float = PACE_SECONDS,
    ) -> None:
        self._url = database_url
        self._pace_seconds = pace_seconds
        self._shard = shard
        self._give_way_events_max = give_way_events_max
        self.failure: Exception | None = None
        self.sequence = 0
        self._appended = 0
        self._groups = 0
        self._not_behind = 0
        self._measured_at = 0.0
        self._is_late = False
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"ledger-projector-{shard}", daemon=True
        )
        self._thread.start()

    def wake(self, events: int) -> None:
        """A row with so many events was appended to the journal. Called by its writer alone."""
        self._appended += events
        self._groups += 1
        self._wake.set()

    def lag_events(self) -> int:
        """Events of the journal that are not in rows yet: of pages as they are committed, of the
        journal as it is appended to. Free to ask."""
        return max(0, self._appended - self._not_behind)

    def close(self) -> None:
        """Stop after the page under way."""
        self._closing.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        follow = self._follow
        while not self._closing.is_set():
            try:
                with connect(self._url) as connection:
                    follow(connection)
            except psycopg.Error:
                # The database is away or starting: nothing is lost, the journal waits.
                self._closing.wait(RETRY_SECONDS)
            except Exception as error:
                # The rows contradict the journal: writing on would only hide where.
                self.failure = error
                log.exception("ledger_projection_stopped", shard=self._shard)
                follow = self._watch

    def _follow(self, connection: psycopg.Connection[Any]) -> None:
        outside, book = DatabaseRows(connection), new_book(self._shard)
        self._measure(connection, self._appended, at_rest=False)
        groups, moved, written_at, pause = 0, 0, 0.0, 0.0
        while not self._closing.is_set():
            # So few groups were all that there was.
            if moved < READ_ROWS_MIN or self._groups - groups >= BUSY_GROUPS:
                self._closing.wait(max(0.0, written_at + pause - time.monotonic()))
            self._give_way()
            self._wake.clear()
            # Whoever closes says so before the waking that was just forgotten, or wakes once more.
            if self._closing.is_set():
                return
            appended, groups = self._appended, self._groups
            began = time.monotonic()
            moved = run(project(outside, book))
            if moved:
                written_at = time.monotonic()
                pause = max(self._pace_seconds, 2 * (written_at - began))
            self.sequence = max(self.sequence, book.sequence)
            self._measure(connection, appended, at_rest=not moved)
            if not moved:
                self._wake.wait(IDLE_SECONDS_MAX)

    def _give_way(self) -> None:
        """Leave the machine to a flood, which is soon over or soon far enough ahead."""
        while FLOOD_EVENTS <= self.lag_events() < self._give_way_events_max:
            appended = self._appended
            if self._closing.wait(GIVE_WAY_SECONDS) or self._appended - appended < FLOOD_EVENTS:
                return

    def _watch(self, connection: psycopg.Connection[Any]) -> None:
        """Write nothing any more, and let the lag be seen to grow."""
        while not self._closing.is_set():
            self._measure(connection, self._appended, at_rest=False)
            self._closing.wait(IDLE_SECONDS_MAX)

    def _measure(
        self, connection: psycopg.Connection[Any], appended: int, *, at_rest: bool
    ) -> None:
        """``appended``: what was, before the journal was looked at."""
        if not at_rest and time.monotonic() - self._measured_at < MEASURE_SECONDS:
            return
        if at_rest:
            behind, self._measured_at = Lag(0, 0, 0.0), 0.0
        else:
            appended = self._appended
            behind, self._measured_at = measure(connection, self._shard), time.monotonic()
        self._not_behind = appended - behind.events
        is_late = behind.seconds > LATE_SECONDS
        if is_late and not self._is_late:
            log.error("ledger_projection_late", events=behind.events, seconds=round(behind.seconds))
        self._is_late = is_late
        lag_events.labels(self._shard).set(behind.events)
        lag_seconds.labels(self._shard).set(behind.seconds)


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the projection is behind: journal rows, the events in them, and for how many seconds
    the first of them has waited."""

    rows: int
    events: int
    seconds: float


def measure(connection: psycopg.Connection[Any], shard: int) -> Lag:
    """The projection's lag now."""
    cursor = store.read_cursor(connection, shard)
    rows, events, first_ns = store.events_after(connection, cursor)
    seconds = max(0, time.time_ns() - first_ns) / 1e9 if rows else 0.0
    return Lag(rows, events, seconds)


def lag(database_url: str, *, shard: int = 0) -> Lag:
    """The projection's lag now, by a connection of its own."""
    with connect(database_url) as connection:
        return measure(connection, shard)


def wait_projected(
    database_url: str, *, shard: int = 0, seconds_max: float = 10.0, pause_seconds: float = 0.01
) -> None:
    """Wait until a running projector has written everything that is in the journal now."""
    deadline = time.monotonic() + seconds_max
    with connect(database_url) as connection:
        goal = last_sequence(connection, shard)
        while store.read_cursor(connection, shard).sequence < goal:
            if time.monotonic() > deadline:
                raise Unavailable("the ledger's projection is behind; ask again later")
            time.sleep(pause_seconds)


async def _next_rows(outside: Rows, cursor: Cursor) -> list[JournalRow]:
    """Rows after the cursor, up to ``EVENTS_MAX`` events but at least one row."""
    found: list[JournalRow] = []
    events, after, limit = 0, cursor.sequence, READ_ROWS_MIN
    while len(found) < ROWS_MAX:
        rows = await outside.journal_after(cursor.shard, after, limit=limit)
        for row in rows:
            if found and (events + row.count > EVENTS_MAX or len(found) == ROWS_MAX):
                return found
            found.append(row)
            events += row.count
        if len(rows) < limit:
            break
        after = rows[-1].sequence
        # As many as may still fit, by the size of those that were read.
        fitting = (EVENTS_MAX - events) * len(found) // max(events, 1) + 1
        limit = max(READ_ROWS_MIN, min(fitting, READ_ROWS_MAX))
    return found
