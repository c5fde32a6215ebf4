"""The writer: one thread that owns the machine, and journals a group before it answers.

Callers hand over batches and wait. The writer takes whatever waits (group commit without a
timer), applies it, appends one row, and answers when the row is durable. Reads wait in the same
queue and are answered after the group that they came with, so nobody sees what is not durable.

The fence: opening takes a new epoch. An append under an older epoch writes nothing, and a read
asks for the epoch first, so a writer that was replaced or merely paused answers nothing more.

What leaves memory is an ``await`` on ``sakk.ledger.outside``, so that a simulator can run this
very code and stop it anywhere.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event

import psycopg
import structlog
from prometheus_client import Gauge, Histogram

from sakk.core.errors import RateLimited, SakkError, Unavailable
from sakk.ledger.calls import Op, OpenLedger, count_events
from sakk.ledger.frozen import Frozen
from sakk.ledger.group import NANOSECONDS, Request
from sakk.ledger.journal import encode_group, next_row
from sakk.ledger.machine import Machine, Make
from sakk.ledger.outside import Append, Outside, Process, Task, run
from sakk.ledger.replay import restore
from sakk.ledger.snapshot import write_snapshot
from sakk.ledger.types import OutcomeUnknown
from sakk.ledger.voucher import Remembered, vouchers_in
from sakk.store.failpoint import failpoint
from sakk.store.journal import JournalRow

log = structlog.get_logger(__name__)

GROUP_EVENTS_MAX = 8_192
QUEUE_EVENTS_MAX = 131_072
QUEUE_CALLS_MAX = 8_192
# Statements may trail by this much before new transfers have to wait for them.
LAG_EVENTS_MAX = 10_000_000
LAG_RETRY_SECONDS = 5
SNAPSHOT_EVENTS = 1_000_000
SNAPSHOT_EVENTS_AT_CLOSE = 20_000
# A snapshot writes the whole state: it waits for a quarter more of it.
SNAPSHOT_GROWTH = 4
# What it takes to replay a row of the journal, beside its events.
ROW_EVENTS = 16
RECOVERY_SECONDS_MAX = 30.0
RECOVERY_PAUSE_SECONDS = 0.1
IDLE_SECONDS_MAX = 1.0

queue_events = Gauge(
    "sakk_ledger_queue_events",
    "Events that waited for the ledger's writer when it took its last group.",
    ["shard"],
    multiprocess_mode="livemostrecent",
)
group_events = Histogram(
    "sakk_ledger_group_events",
    "Events that one row of the journal holds.",
    ["shard"],
    buckets=(1, 4, 16, 64, 256, 1024, 4096, 8192),
)
append_seconds = Histogram(
    "sakk_ledger_append_seconds",
    "From a row's sending to its being durable.",
    ["shard"],
    buckets=(0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.25, 1, 10),
)
snapshot_time = Gauge(
    "sakk_ledger_snapshot_timestamp_seconds",
    "When the newest snapshot of this writer was stored, in seconds since 1970; 0 before it.",
    ["shard"],
    multiprocess_mode="livemostrecent",
)
snapshot_events = Gauge(
    "sakk_ledger_snapshot_behind_events",
    "Events since the newest snapshot was taken: what a restart replays on top of it.",
    ["shard"],
    multiprocess_mode="livemostrecent",
)


class Fenced(Unavailable):
    """Another writer took the shard: this one may neither write nor answer."""

    code = "ledger_fenced"


@dataclass(slots=True)
class _Call:
    op: Op
    body: bytes
    count: int
    answer: Future[bytes] = field(default_factory=Future)


class Writer:
    """One shard's writer; ``open_ledger`` makes it. Calls may come from any thread."""

    def __init__(
        self,
        outside: Outside,
        *,
        epoch: int,
        machine: Machine,
        head: JournalRow,
        remembered: Remembered,
        replayed_rows: int,
        replayed_events: int,
        on_append: Callable[[int], None],
        lag_events: Callable[[], int],
    ) -> None:
        self.stopped = Event()
        self._outside = outside
        self._journal = outside.journal
        self._shard = head.shard
        self._epoch = epoch
        self._machine = machine
        self._head = head
        self._remembered = remembered
        self._on_append = on_append
        self._lag_events = lag_events
        self._rows_since_snapshot = replayed_rows
        self._events_since_snapshot = replayed_events
        self._snapshot: Task | None = None
        self._waiting: deque[_Call] = deque()
        self._waiting_events = 0
        self._closing = False
        self._reason = "the ledger is closed; connect again"
        self._changed = outside.condition()
        label = str(head.shard)
        self._queue_events = queue_events.labels(label)
        self._group_events = group_events.labels(label)
        self._append_seconds = append_seconds.labels(label)
        self._snapshot_events = snapshot_events.labels(label)
        self._task = outside.start(f"ledger-writer-{label}", self._run())

    # Any thread

    def call(self, op: Op, body: bytes) -> bytes:
        """Answer one operation; see ``sakk.ledger.calls``."""
        return self.submit(op, body).result()

    def submit(self, op: Op, body: bytes) -> Future[bytes]:
        """Hand over one operation; its callbacks run in the writer's thread and must be short.

        RateLimited: nothing was accepted; the same ids may be sent again after its seconds.
        """
        call = _Call(op, body, count_events(op, body))
        if op.writes and self._lag_events() > LAG_EVENTS_MAX:
            raise RateLimited(
                "the ledger's statements are too far behind; send the same ids again later",
                retry_after_seconds=LAG_RETRY_SECONDS,
            )
        with self._changed:
            if self._closing:
                raise Unavailable(self._reason)
            if (
                self._waiting_events + call.count > QUEUE_EVENTS_MAX
                or len(self._waiting) >= QUEUE_CALLS_MAX
            ):
                raise RateLimited("the ledger's queue is full; send the same ids again in a second")
            self._waiting.append(call)
            self._waiting_events += call.count
            self._changed.notify()
        return call.answer

    def close(self) -> None:
        """Finish what was accepted, and let the shard go."""
        self.ask_to_close()
        run(self.ended())

    async def ended(self) -> None:
        """Wait until it has stopped, for whatever reason."""
        await self._task.ended()

    def ask_to_close(self) -> None:
        """Accept nothing more, and end after what was accepted."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    # The writer's own task

    async def _run(self) -> None:
        group: Sequence[_Call] = ()
        failure: SakkError = Unavailable(self._reason)
        try:
            while (taken := await self._take()) is not None:
                group = taken
                await self._serve(group)
                group = ()
            await self._snapshot_at_close()
        except SakkError as error:
            failure = error
            log.warning("ledger_writer_stopped", shard=self._shard, reason=error.message)
        except Exception as error:
            log.exception("ledger_writer_stopped", shard=self._shard)
            failure = Unavailable(f"the ledger's writer stopped: {error!r}; start it again")
        self._turn_away(group, failure)
        self._journal.close()
        if self._snapshot is not None:
            await self._snapshot.ended()
        self.stopped.set()

    async def _take(self) -> list[_Call] | None:
        """The next group: empty when a hold runs out, None at the end."""
        group: list[_Call] = []
        events = 0
        with self._changed:
            while not self._waiting and not self._closing:
                seconds = self._idle_seconds()
                if seconds <= 0:
                    return group
                await self._changed.wait(seconds)
            self._queue_events.set(self._waiting_events)
            while self._waiting and (
                not group or events + self._waiting[0].count <= GROUP_EVENTS_MAX
            ):
                call = self._waiting.popleft()
                events += call.count
                group.append(call)
            self._waiting_events -= events
        return group or None

    def _idle_seconds(self) -> float:
        expires_at = self._machine.next_expiry()
        if expires_at is None:
            return IDLE_SECONDS_MAX
        return min(IDLE_SECONDS_MAX, (expires_at - self._outside.now()) / NANOSECONDS)

    async def _serve(self, group: Sequence[_Call]) -> None:
        writes = [call for call in group if call.op.writes]
        reads = [call for call in group if not call.op.writes]
        expires_at = self._machine.next_expiry()
        if writes or (expires_at is not None and expires_at <= self._outside.now()):
            await self._write(writes)
        elif reads:
            await self._check_fence()
        for call in reads:
            call.answer.set_result(self._answer(call))

    def _answer(self, call: _Call) -> bytes:
        if call.op is Op.lookup_vouchers:
            return self._remembered.lookup(call.body)
        return answer_read(self._machine, call.op, call.body)

    async def _write(self, calls: Sequence[_Call]) -> None:
        """Apply, append, answer. Where the append fails, the machine is ahead: stop for good."""
        requests = [Request(call.op.kind, call.body) for call in calls]
        count = sum(call.count for call in calls)
        timestamp = max(self._outside.now(), self._machine.timestamp + count + 1)
        outcome = self._machine.apply(requests, timestamp)
        row = next_row(
            self._head,
            epoch=self._epoch,
            timestamp_ns=timestamp,
            payload=encode_group(requests, outcome),
            count=count,
        )
        failpoint("ledger.append.before")
        began = self._outside.monotonic()
        await self._append(row)
        self._append_seconds.observe(self._outside.monotonic() - began)
        failpoint("ledger.append.after")
        self._head = row
        for call in calls:
            if call.op is Op.keep_vouchers:
                self._remembered.keep(call.body, row.sequence)
        for call, answer in zip(calls, outcome.outcomes, strict=True):
            call.answer.set_result(answer.results)
        self._on_append(count)
        self._group_events.observe(count)
        self._rows_since_snapshot += 1
        self._events_since_snapshot += count
        self._snapshot_events.set(self._events_since_snapshot)
        if self._snapshot_is_due():
            self._begin_snapshot()
        if self._remembered.is_long:
            await self._forget_projected()

    async def _forget_projected(self) -> None:
        """Forget vouchers that stand in rows; where nobody can say so now, a later group asks."""
        with suppress(psycopg.Error):
            self._remembered.forget(await self._journal.projected())

    async def _append(self, row: JournalRow) -> None:
        """Make the row durable, or find out that it is, or raise."""
        try:
            appended = await self._journal.append(row)
        except psycopg.Error:
            appended = Append.unconfirmed
        if appended is Append.fenced:
            raise _fenced()
        if appended is Append.unconfirmed:
            await self._resolve(row)

    async def _resolve(self, row: JournalRow) -> None:
        """The append's outcome is unknown: read the journal again, and append where it is not."""
        deadline = self._outside.monotonic() + RECOVERY_SECONDS_MAX
        while self._outside.monotonic() < deadline:
            try:
                await self._journal.reconnect()
                if await self._journal.current_epoch() != self._epoch:
                    raise _fenced()
                found = await self._journal.row(row.sequence)
                if found is None:
                    await self._journal.append(row)
                elif found.hash != row.hash:
                    raise Fenced("another row stands where this writer would append")
                # What a synchronous standby has of a later commit, it has of this row.
                elif await self._journal.confirm(self._epoch) is Append.durable:
                    return
            except psycopg.Error:
                await self._outside.sleep(RECOVERY_PAUSE_SECONDS)
        raise Unavailable("the ledger's journal cannot be reached")

    async def _check_fence(self) -> None:
        """Before an answer from memory: is this still the writer?"""
        deadline = self._outside.monotonic() + RECOVERY_SECONDS_MAX
        while True:
            try:
                epoch = await self._journal.current_epoch()
                break
            except psycopg.Error as error:
                if self._outside.monotonic() > deadline:
                    raise Unavailable("the ledger's journal cannot be reached") from error
                await self._outside.sleep(RECOVERY_PAUSE_SECONDS)
                try:
                    await self._journal.reconnect()
                except psycopg.Error:
                    continue
        if epoch != self._epoch:
            raise _fenced()

    def _replay_events(self) -> int:
        """What a start would have to replay, told in events of long rows."""
        return self._events_since_snapshot + ROW_EVENTS * self._rows_since_snapshot

    def _snapshot_is_due(self) -> bool:
        events = self._replay_events()
        is_grown = events * SNAPSHOT_GROWTH >= self._machine.transfer_count
        return events >= SNAPSHOT_EVENTS and is_grown

    def _begin_snapshot(self) -> None:
        """Copy the state here; compress and store it in a task and over a connection of its own."""
        if self._snapshot is not None and self._snapshot.is_alive():
            return
        self._rows_since_snapshot = self._events_since_snapshot = 0
        work = _store_snapshot(self._outside, self._head, self._machine.freeze())
        self._snapshot = self._outside.start(f"ledger-snapshot-{self._shard}", work)

    async def _snapshot_at_close(self) -> None:
        if self._snapshot is not None:
            await self._snapshot.ended()
        if self._replay_events() >= SNAPSHOT_EVENTS_AT_CLOSE:
            self._begin_snapshot()

    def _turn_away(self, group: Sequence[_Call], failure: SakkError) -> None:
        """Answer everybody who still waits, and nobody after them."""
        with self._changed:
            self._closing = True
            self._reason = failure.message
            waiting = list(self._waiting)
            self._waiting.clear()
            self._waiting_events = 0
        for call in group:
            if call.answer.done():
                continue
            error = OutcomeUnknown if call.op.writes else type(failure)
            call.answer.set_exception(error(f"{failure.message}; repeat with the same ids"))
        for call in waiting:
            call.answer.set_exception(type(failure)(failure.message))


async def open_writer(
    outside: Outside,
    *,
    on_append: Callable[[int], None] = lambda _: None,
    lag_events: Callable[[], int] = lambda: 0,
    make: Make | None = None,
) -> Writer:
    """Become the shard's writer: fence off whoever was it, restore the machine, and start."""
    counts: list[int] = []
    remembered = Remembered()

    try:
        epoch = await _take_epoch(outside)
        projected = await outside.journal.projected()

        def on_row(row: JournalRow) -> None:
            counts.append(row.count)
            if row.sequence > projected:
                remembered.keep(vouchers_in(row.payload), row.sequence)

        machine, head = await restore(outside.journal, make=make, on_row=on_row)
        await _remember(outside, remembered, after=projected, until=head.sequence - len(counts))
    except BaseException:
        outside.journal.close()
        raise
    return Writer(
        outside,
        epoch=epoch,
        machine=machine,
        head=head,
        remembered=remembered,
        replayed_rows=len(counts),
        replayed_events=sum(counts),
        on_append=on_append,
        lag_events=lag_events,
    )


def open_ledger(
    database_url: str,
    *,
    shard: int = 0,
    clock: Callable[[], int] = time.time_ns,
    on_append: Callable[[int], None] = lambda _: None,
    lag_events: Callable[[], int] = lambda: 0,
    make: Make | None = None,
) -> OpenLedger:
    """Open a shard in this process and become its writer; whoever was it before is fenced off.

    ``clock``: ns since 1970. ``on_append``: called in the writer's thread after each durable
    row with its events; must return at once. ``lag_events``: how many events the projection has
    still to write; above ``LAG_EVENTS_MAX`` new ones are turned away. ``make``: which machine; by
    default the compiled one where it is built.
    """
    outside = Process(database_url, shard, clock=clock)
    return OpenLedger(
        run(open_writer(outside, on_append=on_append, lag_events=lag_events, make=make))
    )


def answer_read(machine: Machine, op: Op, body: bytes) -> bytes:
    """The answer to a lookup, as ``sakk.ledger.calls`` describes it."""
    if op is Op.lookup_accounts:
        return machine.lookup_accounts(body)
    if op is Op.lookup_transfers:
        return machine.lookup_transfers(body)
    return machine.lookup_results(body)


async def _remember(outside: Outside, remembered: Remembered, *, after: int, until: int) -> None:
    """Vouchers of rows that no replay met: the snapshot was ahead of the projection."""
    while after < until and (rows := await outside.journal.rows_after(after)):
        for row in rows:
            remembered.keep(vouchers_in(row.payload), row.sequence)
        after = rows[-1].sequence


async def _take_epoch(outside: Outside) -> int:
    """A new epoch that no failover can take back.

    One that the standby does not know could be given out twice, and what stands in the journal
    could vanish after it was answered from. A commit that the standby has settles both.
    """
    epoch = await outside.journal.take_epoch(outside.name)
    deadline = outside.monotonic() + RECOVERY_SECONDS_MAX
    while (confirmed := await outside.journal.confirm(epoch)) is not Append.durable:
        if confirmed is Append.fenced:
            raise _fenced()
        if outside.monotonic() > deadline:
            raise Unavailable("the journal's standby does not confirm; start again when it is back")
        await outside.sleep(RECOVERY_PAUSE_SECONDS)
    return epoch


def _fenced() -> Fenced:
    return Fenced("another writer took the ledger; connect to that one")


async def _store_snapshot(outside: Outside, head: JournalRow, frozen: Frozen) -> None:
    """A snapshot only shortens the next start: without it, the journal is replayed further."""
    try:
        journal = await outside.connect()
        try:
            await write_snapshot(journal, head, frozen)
        finally:
            journal.close()
    except (psycopg.Error, OSError):
        log.exception("ledger_snapshot_failed", shard=head.shard, sequence=head.sequence)
        return
    finally:
        frozen.close()
    snapshot_time.labels(str(head.shard)).set(outside.now() / NANOSECONDS)
