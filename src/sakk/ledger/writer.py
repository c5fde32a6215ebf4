"""The writer: one thread that owns the machine, and journals a group before it answers.

Callers hand over batches and wait. The thread takes whatever waits (group commit without a
timer), applies it, appends one row, and answers when the row is durable. Reads wait in the same
queue and are answered after the group that they came with, so nobody sees what is not durable.

The fence: opening takes a new epoch. An append under an older epoch writes nothing, and a read
asks for the epoch first, so a writer that was replaced or merely paused answers nothing more.
"""

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import psycopg
import structlog

from sakk.core.errors import RateLimited, SakkError, Unavailable
from sakk.ledger.calls import Op, OpenLedger, count_events
from sakk.ledger.group import NANOSECONDS, Kind, Request
from sakk.ledger.journal import encode_group, next_row
from sakk.ledger.machine import Machine
from sakk.ledger.replay import restore, write_snapshot
from sakk.ledger.types import OutcomeUnknown
from sakk.store import journal as store
from sakk.store.failpoint import failpoint
from sakk.store.journal import JournalRow

log = structlog.get_logger(__name__)

GROUP_EVENTS_MAX = 8_192
QUEUE_EVENTS_MAX = 131_072
QUEUE_CALLS_MAX = 8_192
SNAPSHOT_EVENTS = 500_000
SNAPSHOT_EVENTS_AT_CLOSE = 20_000
RECOVERY_SECONDS_MAX = 30.0
RECOVERY_PAUSE_SECONDS = 0.1
IDLE_SECONDS_MAX = 1.0


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
        self, url: str, shard: int, *, clock: Callable[[], int], on_append: Callable[[], None]
    ) -> None:
        self.stopped = threading.Event()
        self._url = url
        self._shard = shard
        self._clock = clock
        self._on_append = on_append
        self._connection = store.connect(url)
        try:
            taken_by = f"{socket.gethostname()}:{os.getpid()}"
            self._epoch = store.take_epoch(self._connection, shard, taken_by=taken_by)
            self._machine, self._head = restore(self._connection, shard)
        except BaseException:
            self._connection.close()
            raise
        self._unconfirmed = False
        self._connection.add_notice_handler(self._on_notice)
        self._events_since_snapshot = 0
        self._snapshot: threading.Thread | None = None
        self._waiting: deque[_Call] = deque()
        self._waiting_events = 0
        self._closing = False
        self._reason = "the ledger is closed; connect again"
        self._changed = threading.Condition()
        self._thread = threading.Thread(
            target=self._run, name=f"ledger-writer-{shard}", daemon=True
        )
        self._thread.start()

    # Any thread

    def call(self, op: Op, body: bytes) -> bytes:
        """Answer one operation; see ``sakk.ledger.calls``."""
        return self.submit(op, body).result()

    def submit(self, op: Op, body: bytes) -> Future[bytes]:
        """Hand over one operation; its callbacks run in the writer's thread and must be short."""
        call = _Call(op, body, count_events(op, body))
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
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    # The writer's thread

    def _run(self) -> None:
        group: Sequence[_Call] = ()
        failure: SakkError = Unavailable(self._reason)
        try:
            while (taken := self._take()) is not None:
                group = taken
                self._serve(group)
                group = ()
            self._snapshot_at_close()
        except SakkError as error:
            failure = error
            log.warning("ledger_writer_stopped", shard=self._shard, reason=error.message)
        except Exception as error:
            log.exception("ledger_writer_stopped", shard=self._shard)
            failure = Unavailable(f"the ledger's writer stopped: {error!r}; start it again")
        finally:
            self._stop(group, failure)

    def _take(self) -> list[_Call] | None:
        """The next group: empty when a hold runs out, None at the end."""
        group: list[_Call] = []
        events = 0
        with self._changed:
            while not self._waiting and not self._closing:
                seconds = self._idle_seconds()
                if seconds <= 0:
                    return group
                self._changed.wait(seconds)
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
        return min(IDLE_SECONDS_MAX, (expires_at - self._clock()) / NANOSECONDS)

    def _serve(self, group: Sequence[_Call]) -> None:
        writes = [call for call in group if call.op.writes]
        reads = [call for call in group if not call.op.writes]
        expires_at = self._machine.next_expiry()
        if writes or (expires_at is not None and expires_at <= self._clock()):
            self._write(writes)
        elif reads:
            self._check_fence()
        for call in reads:
            call.answer.set_result(answer_read(self._machine, call.op, call.body))

    def _write(self, calls: Sequence[_Call]) -> None:
        """Apply, append, answer. Where the append fails, the machine is ahead: stop for good."""
        requests = [Request(Kind(call.op.value), call.body) for call in calls]
        count = sum(call.count for call in calls)
        timestamp = max(self._clock(), self._machine.timestamp + count + 1)
        outcome = self._machine.apply(requests, timestamp)
        row = next_row(
            self._head,
            epoch=self._epoch,
            timestamp_ns=timestamp,
            payload=encode_group(requests, outcome),
            count=count,
        )
        failpoint("ledger.append.before")
        self._append(row)
        failpoint("ledger.append.after")
        self._head = row
        for call, answer in zip(calls, outcome.outcomes, strict=True):
            call.answer.set_result(answer.results)
        self._on_append()
        self._events_since_snapshot += count
        if self._events_since_snapshot >= SNAPSHOT_EVENTS:
            self._begin_snapshot()

    def _append(self, row: JournalRow) -> None:
        """Make the row durable, or find out that it is, or raise."""
        try:
            self._unconfirmed = False
            if not store.append(self._connection, row):
                raise Fenced("another writer took the ledger; connect to that one")
            if not self._unconfirmed:
                return
        except psycopg.Error:
            pass
        self._resolve(row)

    def _resolve(self, row: JournalRow) -> None:
        """The append's outcome is unknown: read the journal again, and append where it is not."""
        deadline = time.monotonic() + RECOVERY_SECONDS_MAX
        while time.monotonic() < deadline:
            try:
                self._reconnect()
                if store.current_epoch(self._connection, self._shard) != self._epoch:
                    raise Fenced("another writer took the ledger; connect to that one")
                found = store.journal_row(self._connection, self._shard, row.sequence)
                if found is None:
                    store.append(self._connection, row)
                elif found.hash != row.hash:
                    raise Fenced("another row stands where this writer would append")
                # What a synchronous standby has of a later commit, it has of this row.
                self._unconfirmed = False
                store.confirm(self._connection, self._shard, self._epoch)
                if found is not None and not self._unconfirmed:
                    return
            except psycopg.Error:
                time.sleep(RECOVERY_PAUSE_SECONDS)
        raise OutcomeUnknown("the ledger's journal cannot be reached; repeat with the same ids")

    def _check_fence(self) -> None:
        """Before an answer from memory: is this still the writer?"""
        deadline = time.monotonic() + RECOVERY_SECONDS_MAX
        while True:
            try:
                epoch = store.current_epoch(self._connection, self._shard)
                break
            except psycopg.Error as error:
                if time.monotonic() > deadline:
                    raise Unavailable("the ledger's journal cannot be reached") from error
                time.sleep(RECOVERY_PAUSE_SECONDS)
                try:
                    self._reconnect()
                except psycopg.Error:
                    continue
        if epoch != self._epoch:
            raise Fenced("another writer took the ledger; connect to that one")

    def _reconnect(self) -> None:
        self._connection.close()
        self._connection = store.connect(self._url)
        self._connection.add_notice_handler(self._on_notice)

    def _on_notice(self, notice: psycopg.errors.Diagnostic) -> None:
        """PostgreSQL tells by a warning that a wait for the synchronous standby was cut off."""
        if notice.severity_nonlocalized == "WARNING":
            self._unconfirmed = True

    def _begin_snapshot(self) -> None:
        """Copy the state here; compress and store it in another thread."""
        if self._snapshot is not None and self._snapshot.is_alive():
            return
        self._events_since_snapshot = 0
        arguments: tuple[Any, ...] = (self._url, self._head, self._machine.dump())
        self._snapshot = threading.Thread(
            target=_try_snapshot,
            args=arguments,
            name=f"ledger-snapshot-{self._shard}",
            daemon=True,
        )
        self._snapshot.start()

    def _snapshot_at_close(self) -> None:
        if self._snapshot is not None:
            self._snapshot.join()
        if self._events_since_snapshot >= SNAPSHOT_EVENTS_AT_CLOSE:
            self._begin_snapshot()

    def _stop(self, group: Sequence[_Call], failure: SakkError) -> None:
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
            unknown = OutcomeUnknown(f"{failure.message}; repeat with the same ids")
            call.answer.set_exception(unknown if call.op.writes else type(failure)(failure.message))
        for call in waiting:
            call.answer.set_exception(type(failure)(failure.message))
        self._connection.close()
        if self._snapshot is not None:
            self._snapshot.join()
        self.stopped.set()


def open_ledger(
    database_url: str,
    *,
    shard: int = 0,
    clock: Callable[[], int] = time.time_ns,
    on_append: Callable[[], None] = lambda: None,
) -> OpenLedger:
    """Open a shard in this process and become its writer; whoever was it before is fenced off.

    ``clock``: ns since 1970. ``on_append``: called in the writer's thread after each durable
    row; must return at once.
    """
    return OpenLedger(Writer(database_url, shard, clock=clock, on_append=on_append))


def answer_read(machine: Machine, op: Op, body: bytes) -> bytes:
    """The answer to a lookup, as ``sakk.ledger.calls`` describes it."""
    if op is Op.lookup_accounts:
        return machine.lookup_accounts(body)
    if op is Op.lookup_transfers:
        return machine.lookup_transfers(body)
    return machine.lookup_results(body)


def _try_snapshot(url: str, head: JournalRow, state: list[bytes]) -> None:
    """A snapshot only shortens the next start: without it, the journal is replayed further."""
    try:
        write_snapshot(url, head, state)
    except (psycopg.Error, OSError):
        log.exception("ledger_snapshot_failed", shard=head.shard, sequence=head.sequence)
