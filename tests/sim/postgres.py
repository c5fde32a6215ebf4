"""PostgreSQL as the ledger meets it: locks, commits, a standby, and everything that goes wrong.

A statement travels, waits for its locks, waits for the disk and the standby, takes effect in one
instant, and its answer travels back. The connection may end at any of these; what the server had
received it still does. A crash forgets what was not on disk; what was under way is there or not,
and the one who asked is not told. While the standby is away a commit stands here alone, and says
so (``Append.unconfirmed``); when the standby takes over, such commits never were. The projection
commits without waiting for anything (``commit_lazily``).
"""

from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from sakk.ledger.outside import Append
from sakk.store.journal import SNAPSHOTS_KEPT, JournalRow, SnapshotRow
from sakk.store.projection import Cursor
from tests.sim.scheduler import Process, Scheduler, Wakeup, suspend

PAGE_ROWS = 5
CUT = "the connection was cut"


Row = tuple[bytes | None, ...]


@dataclass(slots=True)
class State:
    """What a new connection would see."""

    epoch: int = 0
    journal: dict[int, JournalRow] = field(default_factory=dict)
    snapshots: dict[int, tuple[SnapshotRow, list[bytes]]] = field(default_factory=dict)
    cursor: Cursor = field(default_factory=lambda: Cursor(0))
    # The projection's rows, a field as PostgreSQL's binary format has it.
    accounts: dict[bytes, Row] = field(default_factory=dict)
    transfers: dict[int, Row] = field(default_factory=dict)
    entries: dict[tuple[bytes, int], Row] = field(default_factory=dict)
    balances: dict[tuple[bytes, int], Row] = field(default_factory=dict)


Effect = Callable[[State], None]


@dataclass(slots=True)
class Weather:
    """How the server and the way to it are at the moment."""

    travel_seconds: float = 0.0002
    disk_seconds: float = 0.0005
    disk_is_full: bool = False
    standby_is_away: bool = False
    cut_chance: float = 0.0


class Lock:
    """A row's lock: many may share it, or one has it alone; first come, first served."""

    def __init__(self) -> None:
        self._holders: list[bool] = []  # True: alone
        self._queue: deque[tuple[bool, Wakeup]] = deque()

    async def acquire(self, *, alone: bool) -> None:
        if not self._queue and self._is_free(alone=alone):
            self._holders.append(alone)
        else:
            await suspend(lambda wakeup: self._queue.append((alone, wakeup)))

    def release(self, *, alone: bool) -> None:
        self._holders.remove(alone)
        while self._queue and self._is_free(alone=self._queue[0][0]):
            wanted, wakeup = self._queue.popleft()
            self._holders.append(wanted)
            wakeup.resume()

    def _is_free(self, *, alone: bool) -> bool:
        return not self._holders or not (alone or self._holders[0])


class Server:
    """The database, its standby, and the disk under both."""

    def __init__(self, scheduler: Scheduler, *, on_durable: Callable[[JournalRow], None]) -> None:
        self.scheduler = scheduler
        self.random = scheduler.random
        self.weather = Weather()
        self.state = State()
        self.connections: list[Connection] = []
        self._on_durable = on_durable
        self._log: list[tuple[Effect, JournalRow | None]] = []
        # So many commits are on this disk, and so many have reached the standby too.
        self._flushed = 0
        self._replicated = 0
        self._start()

    def _start(self) -> None:
        self.process = Process("postgres")
        self.epoch_lock = Lock()
        self.cursor_lock = Lock()
        self._inserting: dict[int, list[Wakeup]] = {}
        self._committing: dict[int, tuple[Effect, JournalRow | None]] = {}

    # What goes wrong

    def cut_all(self) -> None:
        for connection in list(self.connections):
            connection.cut()

    def crash(self) -> None:
        """The server dies and is started again with what had reached the disk, in its order."""
        self.scheduler.note("postgres crashes")
        self._end()
        self._log += list(self._committing.values())
        del self._log[self.random.randint(self._flushed, len(self._log)) :]
        self._rebuild()

    def fail_over(self) -> None:
        """The standby takes over with all that it has; the rest never was."""
        self.scheduler.note(f"the standby takes over without {len(self._log) - self._replicated}")
        self._end()
        kept = self._replicated
        if not self.weather.standby_is_away:
            self._log += list(self._committing.values())
            kept = self.random.randint(kept, len(self._log))
        del self._log[kept:]
        self.weather.standby_is_away = False
        self._rebuild()
        self._replicate()

    def _rebuild(self) -> None:
        self.state = State()
        for effect, _ in self._log:
            effect(self.state)
        self._flushed = len(self._log)
        self._start()

    def _end(self) -> None:
        self.process.is_alive = False
        self.cut_all()

    # Statements, run by the server's own process

    async def append(self, row: JournalRow) -> Append:
        lock = self.epoch_lock
        await lock.acquire(alone=False)
        try:
            if self.state.epoch != row.epoch:
                return Append.fenced
            return await self._insert(row)
        finally:
            lock.release(alone=False)

    async def _insert(self, row: JournalRow) -> Append:
        inserting = self._inserting
        while row.sequence in inserting:
            await suspend(inserting[row.sequence].append)
        if row.sequence in self.state.journal:
            raise psycopg.errors.UniqueViolation("the sequence is there")
        inserting[row.sequence] = []
        try:
            return await self.commit(lambda state: _insert(state, row), row)
        finally:
            for wakeup in inserting.pop(row.sequence):
                wakeup.resume()

    async def take_epoch(self) -> int:
        lock = self.epoch_lock
        await lock.acquire(alone=True)
        try:
            epoch = self.state.epoch + 1
            await self.commit(lambda state: _set_epoch(state, epoch))
            return epoch
        finally:
            lock.release(alone=True)

    async def confirm(self, epoch: int) -> Append:
        lock = self.epoch_lock
        await lock.acquire(alone=True)
        try:
            if self.state.epoch != epoch:
                return Append.fenced
            return await self.commit(lambda _state: None)
        finally:
            lock.release(alone=True)

    async def save_snapshot(self, row: SnapshotRow, parts: list[bytes]) -> None:
        await self.commit(lambda state: _save_snapshot(state, row, parts))

    async def read(self, query: Callable[[State], Any]) -> Any:
        return query(self.state)

    async def commit(self, effect: Effect, row: JournalRow | None = None) -> Append:
        """Wait for the disk and the standby, and take effect."""
        number = id(effect)
        self._committing[number] = (effect, row)
        try:
            await self.scheduler.sleep(self.random.expovariate(1 / self.weather.disk_seconds))
            if self.weather.disk_is_full:
                raise psycopg.errors.DiskFull("no space left on device")
        finally:
            self._committing.pop(number, None)
        self._log.append((effect, row))
        effect(self.state)
        self._flushed = len(self._log)
        if self.weather.standby_is_away:
            return Append.unconfirmed
        self._replicate()
        return Append.durable

    def commit_lazily(self, effect: Effect) -> None:
        """Take effect without waiting for the disk: a crash may take it back, whole."""
        self._log.append((effect, None))
        effect(self.state)

    def _replicate(self) -> None:
        """All that was committed stands in two places now."""
        start, self._replicated = self._replicated, len(self._log)
        for _, row in self._log[start:]:
            if row is not None:
                self._on_durable(row)


def _insert(state: State, row: JournalRow) -> None:
    state.journal[row.sequence] = row


def _set_epoch(state: State, epoch: int) -> None:
    state.epoch = epoch


def _save_snapshot(state: State, row: SnapshotRow, parts: list[bytes]) -> None:
    state.snapshots.setdefault(row.sequence, (row, parts))
    for sequence in sorted(state.snapshots)[:-SNAPSHOTS_KEPT]:
        del state.snapshots[sequence]


class Connection:
    """One client's connection: a question at a time, and no answer after it was cut."""

    def __init__(self, server: Server, process: Process) -> None:
        self._server = server
        self.is_open = True
        self._waiting: Wakeup | None = None
        self.on_cut: list[Callable[[], None]] = []
        server.connections.append(self)
        process.on_death.append(self.cut)

    def cut(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._server.connections.remove(self)
        for action in self.on_cut:
            action()
        if self._waiting is not None:
            self._waiting.fail(psycopg.OperationalError(CUT))

    async def ask(self, statement: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Let the server run a statement; psycopg's errors, as psycopg raises them."""
        if not self.is_open:
            raise psycopg.OperationalError(CUT)
        server = self._server
        scheduler, weather, random = server.scheduler, server.weather, server.random

        def travel() -> float:
            return random.expovariate(1 / weather.travel_seconds)

        async def serve() -> None:
            try:
                answer = await statement()
            except psycopg.Error as error:
                failed = error
                scheduler.after(travel(), lambda: self._answer(None, failed))
            else:
                scheduler.after(travel(), lambda: self._answer(answer, None))

        process = server.process

        def arrive() -> None:
            # What was sent before the cut may still lie in the server's buffer.
            if process.is_alive and (self.is_open or random.random() < 0.5):
                scheduler.start(process, serve())

        def send(wakeup: Wakeup) -> None:
            self._waiting = wakeup
            scheduler.after(travel(), arrive)
            if random.random() < weather.cut_chance:
                scheduler.after(2 * travel() + random.random() * weather.disk_seconds, self.cut)

        return await suspend(send)

    def _answer(self, value: Any, error: BaseException | None) -> None:
        wakeup, self._waiting = self._waiting, None
        if wakeup is None or not self.is_open:
            return
        if error is None:
            wakeup.resume(value)
        else:
            wakeup.fail(error)


class SimulatedJournal:
    """``sakk.ledger.outside.Journal`` over a connection to the simulated server."""

    shard = 0

    def __init__(self, server: Server, process: Process) -> None:
        self._server = server
        self._process = process
        self._connection = Connection(server, process)

    async def take_epoch(self, taken_by: str) -> int:
        epoch: int = await self._connection.ask(lambda: self._server.take_epoch())
        self._server.scheduler.note(f"{taken_by} has epoch {epoch}")
        return epoch

    async def current_epoch(self) -> int | None:
        epoch: int = await self._read(lambda state: state.epoch)
        return epoch

    async def append(self, row: JournalRow) -> Append:
        appended: Append = await self._connection.ask(lambda: self._server.append(row))
        return appended

    async def confirm(self, epoch: int) -> Append:
        confirmed: Append = await self._connection.ask(lambda: self._server.confirm(epoch))
        return confirmed

    async def row(self, sequence: int) -> JournalRow | None:
        row: JournalRow | None = await self._read(lambda state: state.journal.get(sequence))
        return row

    async def rows_after(self, sequence: int) -> list[JournalRow]:
        rows: list[JournalRow] = await self._read(
            lambda state: rows_after(state, sequence, PAGE_ROWS)
        )
        return rows

    async def projected(self) -> int:
        sequence: int = await self._read(lambda state: state.cursor.sequence)
        return sequence

    async def snapshots(self) -> list[SnapshotRow]:
        heads: list[SnapshotRow] = await self._read(
            lambda state: [state.snapshots[key][0] for key in sorted(state.snapshots, reverse=True)]
        )
        return heads

    async def snapshot_part(self, sequence: int, part: int) -> bytes | None:
        if part == 0:
            self._server.scheduler.note(f"{self._process.name} starts from a snapshot")
        payload: bytes | None = await self._read(lambda state: snapshot_part(state, sequence, part))
        return payload

    async def save_snapshot(self, row: SnapshotRow, parts: Iterable[bytes]) -> None:
        sent: list[bytes] = []
        for part in parts:
            sent.append(part)
            # The machine goes on between two parts.
            await self._read(lambda _state: None)
        await self._connection.ask(lambda: self._server.save_snapshot(row, sent))

    async def reconnect(self) -> None:
        self._connection.cut()
        # The way there is a round trip too, and may find nobody.
        await self._server.scheduler.sleep(self._server.weather.travel_seconds)
        self._connection = Connection(self._server, self._process)
        await self._read(lambda _state: None)

    def close(self) -> None:
        self._connection.cut()

    async def _read(self, query: Callable[[State], Any]) -> Any:
        return await self._connection.ask(lambda: self._server.read(query))


def rows_after(state: State, sequence: int, limit: int) -> list[JournalRow]:
    """The next rows in order, with whatever gap there is between them."""
    later = sorted(key for key in state.journal if key > sequence)
    return [state.journal[key] for key in later[:limit]]


def snapshot_part(state: State, sequence: int, part: int) -> bytes | None:
    _, parts = state.snapshots.get(sequence, (None, []))
    return parts[part] if part < len(parts) else None
