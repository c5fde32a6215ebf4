"""The ledger's logic and its outside: every step that leaves memory is an ``await``.

The writer and the projector are written once, as coroutines over what is outside of them: the
journal, a queue's condition, clocks. In production those steps block, so no coroutine ever
suspends and ``run`` ends it with one ``send``: an ``await`` costs no more than a call. The
simulator (``tests/sim``) gives the same coroutines an outside that suspends on virtual time, and
between any two steps it can kill, delay, cut and reorder.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from enum import Enum, auto
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import psycopg

from sakk.store import journal as store
from sakk.store.journal import JournalRow, SnapshotRow
from sakk.store.projection import read_cursor

PAGE_BYTES = 32 << 20
PAGE_ROWS_MAX = 4_096

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine whose steps block instead of suspending, and return its result."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    coroutine.close()
    raise RuntimeError("a step outside suspended, which only the simulator's steps may do")


class Append(Enum):
    """What an append came to, where the journal said it."""

    durable = auto()
    # Committed here, but the wait for the synchronous standby was cut off.
    unconfirmed = auto()
    # The row's epoch is no longer the last: nothing was written.
    fenced = auto()


class Journal(Protocol):
    """One shard's journal. Where a step raises ``psycopg.Error``, it may have happened or not."""

    @property
    def shard(self) -> int: ...

    async def take_epoch(self, taken_by: str) -> int: ...

    async def current_epoch(self) -> int | None: ...

    async def append(self, row: JournalRow) -> Append: ...

    async def confirm(self, epoch: int) -> Append:
        """Commit something durable; what was committed before it is then durable too."""
        ...

    async def row(self, sequence: int) -> JournalRow | None: ...

    async def rows_after(self, sequence: int) -> list[JournalRow]:
        """A page of the rows after a sequence, in order; empty at the end."""
        ...

    async def projected(self) -> int:
        """The row up to which everything stands in the projection's rows."""
        ...

    async def snapshots(self) -> list[SnapshotRow]:
        """Newest first."""
        ...

    async def snapshot_part(self, sequence: int, part: int) -> bytes | None: ...

    async def save_snapshot(self, row: SnapshotRow, parts: Iterable[bytes]) -> None: ...

    async def reconnect(self) -> None: ...

    def close(self) -> None: ...


class Condition(Protocol):
    """A lock, and a wait inside of it that a ``notify`` ends."""

    def __enter__(self) -> Any: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Any: ...

    def notify(self) -> None: ...

    async def wait(self, seconds: float) -> None: ...


class Task(Protocol):
    """Something that runs beside its starter."""

    def is_alive(self) -> bool: ...

    async def ended(self) -> None: ...


class Outside(Protocol):
    """All that a writer meets beyond its memory."""

    name: str  # who it is, for people
    journal: Journal

    def now(self) -> int:
        """Nanoseconds since 1970, of a clock that people set."""
        ...

    def monotonic(self) -> float:
        """Seconds of a clock that nobody sets."""
        ...

    async def sleep(self, seconds: float) -> None: ...

    def condition(self) -> Condition: ...

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> Task: ...

    async def connect(self) -> Journal:
        """The same journal over a connection of its own."""
        ...


# The real ones


class DatabaseJournal:
    """``Journal`` in PostgreSQL; every step blocks. Of one thread at a time.

    Pages of rows and parts of a snapshot are read ahead: the next one travels while the last one
    is being applied.
    """

    def __init__(self, url: str, shard: int) -> None:
        self.shard = shard
        self._url = url
        self._warned = False
        self._page_rows = store.PAGE_ROWS
        self._ahead: tuple[tuple[str, int, int], Future[Any]] | None = None
        self._connection = self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def take_epoch(self, taken_by: str) -> int:
        return store.take_epoch(self._idle(), self.shard, taken_by=taken_by)

    async def current_epoch(self) -> int | None:
        return store.current_epoch(self._idle(), self.shard)

    async def append(self, row: JournalRow) -> Append:
        self._warned = False
        if not store.append(self._idle(), row):
            return Append.fenced
        return Append.unconfirmed if self._warned else Append.durable

    async def confirm(self, epoch: int) -> Append:
        self._warned = False
        if not store.confirm(self._idle(), self.shard, epoch):
            return Append.fenced
        return Append.unconfirmed if self._warned else Append.durable

    async def row(self, sequence: int) -> JournalRow | None:
        return store.journal_row(self._idle(), self.shard, sequence)

    async def rows_after(self, sequence: int) -> list[JournalRow]:
        rows: list[JournalRow] = self._read(("rows", sequence, 0), self._rows_after)
        if rows:
            # The next page is as long, in bytes, however long its rows are.
            size = sum(len(row.payload) for row in rows) or 1
            self._page_rows = max(1, min(PAGE_ROWS_MAX, PAGE_BYTES * len(rows) // size))
            self._read_ahead(("rows", rows[-1].sequence, 0), self._rows_after)
        return rows

    async def projected(self) -> int:
        return read_cursor(self._idle(), self.shard).sequence

    async def snapshots(self) -> list[SnapshotRow]:
        return store.snapshots(self._idle(), self.shard)

    async def snapshot_part(self, sequence: int, part: int) -> bytes | None:
        payload: bytes | None = self._read(("part", sequence, part), self._snapshot_part)
        if payload is not None:
            self._read_ahead(("part", sequence, part + 1), self._snapshot_part)
        return payload

    async def save_snapshot(self, row: SnapshotRow, parts: Iterable[bytes]) -> None:
        store.save_snapshot(self._idle(), row, parts)

    async def reconnect(self) -> None:
        self._idle().close()
        self._connection = self._connect()

    def close(self) -> None:
        self._idle().close()

    def _rows_after(self, sequence: int, _: int) -> list[JournalRow]:
        return store.journal_after(self._connection, self.shard, sequence, limit=self._page_rows)

    def _snapshot_part(self, sequence: int, part: int) -> bytes | None:
        return store.snapshot_part(self._connection, self.shard, sequence, part)

    def _idle(self) -> psycopg.Connection[Any]:
        """The connection, when nobody reads ahead on it."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead[1].exception()
        return self._connection

    def _read(self, key: tuple[str, int, int], fetch: Callable[[int, int], Any]) -> Any:
        """What was read ahead, where it is that; else what is read now."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            found = ahead[1].result()
            if ahead[0] == key:
                return found
        return fetch(*key[1:])

    def _read_ahead(self, key: tuple[str, int, int], fetch: Callable[[int, int], Any]) -> None:
        future: Future[Any] = Future()
        self._ahead = (key, future)

        def read() -> None:
            try:
                future.set_result(fetch(*key[1:]))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=read, name="ledger-read-ahead", daemon=True).start()

    def _connect(self) -> psycopg.Connection[Any]:
        connection = store.connect(self._url)
        connection.add_notice_handler(self._on_notice)
        return connection

    def _on_notice(self, notice: psycopg.errors.Diagnostic) -> None:
        """PostgreSQL tells by a warning that a wait for the synchronous standby was cut off."""
        if notice.severity_nonlocalized == "WARNING":
            self._warned = True


class _ThreadCondition:
    def __init__(self) -> None:
        self._condition = threading.Condition()

    def __enter__(self) -> bool:
        return self._condition.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._condition.__exit__(*error)

    def notify(self) -> None:
        self._condition.notify()

    async def wait(self, seconds: float) -> None:
        self._condition.wait(seconds)


class _ThreadTask:
    def __init__(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        self._thread = threading.Thread(target=run, args=(coroutine,), name=name, daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    async def ended(self) -> None:
        self._thread.join()


class Process:
    """``Outside`` of a writer in this process: threads, PostgreSQL, and the machine's clocks."""

    def __init__(self, url: str, shard: int, *, clock: Callable[[], int]) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._clock = clock
        self._url = url
        self._shard = shard
        self.journal: Journal = DatabaseJournal(url, shard)

    def now(self) -> int:
        return self._clock()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def condition(self) -> Condition:
        return _ThreadCondition()

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> Task:
        return _ThreadTask(name, coroutine)

    async def connect(self) -> Journal:
        return DatabaseJournal(self._url, self._shard)
