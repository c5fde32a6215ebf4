"""The projection at a bench: rows a second after a burst, and while a writer floods.

Rows are those of all tables: transfers, entries, balances and accounts, inserted or changed. What
comes out is compared with the journal before a figure is believed.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client import REGISTRY

from sakk.bench.figures import WrongResult
from sakk.core.errors import RateLimited
from sakk.ledger.calls import Op, OpenLedger
from sakk.ledger.projection import GIVE_WAY_EVENTS_MAX, Projector, catch_up, wait_projected
from sakk.ledger.record import decode_results
from sakk.ledger.writer import LAG_EVENTS_MAX, open_ledger
from sakk.store.journal import connect

# The bench's flood is seconds long: it is held back by a lag that such a flood can reach.
LAG_EVENTS_AT_BENCH = 131_072
HELD_BACK_SECONDS = 0.005
SAMPLE_SECONDS = 0.002
PAGE_SECONDS_MAX = 30.0
CATCH_UP_SECONDS_MAX = 120.0


@dataclass(frozen=True, slots=True)
class Projected:
    """What was written, and in how long; ``transfers``: acknowledged by the writer meanwhile."""

    rows: int
    seconds: float
    transfers: int = 0

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


def burst(url: str) -> Projected:
    """Write everything that stands in the journal and not yet in rows, with nothing beside it."""
    before = _rows_written()
    started = time.perf_counter()
    catch_up(url)
    seconds = time.perf_counter() - started
    check_rows(url)
    return Projected(_rows_written() - before, seconds)


def sustained(
    url: str,
    batches: Iterable[bytes],
    *,
    seconds: float,
    callers: int = 4,
    lag_events_max: int = LAG_EVENTS_AT_BENCH,
) -> Projected:
    """Rows a second while a writer floods, held back by the projection's lag alone.

    ``batches``: requests of transfers, enough for the whole time. Measured from a page's commit to
    a later page's commit, once the lag has reached what holds the writer back. WrongResult when the
    batches run out, or when the rows are not the journal's afterwards.
    """
    # The limits are those of service, each reached as many times sooner.
    sooner = LAG_EVENTS_MAX // lag_events_max
    projector = Projector(url, give_way_events_max=GIVE_WAY_EVENTS_MAX // sooner)
    ledger = open_ledger(
        url,
        on_append=projector.wake,
        lag_events=lambda: projector.lag_events() * sooner,
    )
    flood = _Flood(ledger, batches, callers)
    try:
        _wait_until_held_back(flood, projector)
        result = _measure(flood, seconds)
    finally:
        flood.stop()
        ledger.close()
    try:
        wait_projected(url, seconds_max=CATCH_UP_SECONDS_MAX)
    finally:
        projector.close()
    if projector.failure is not None:
        raise WrongResult(f"the projector stopped: {projector.failure!r}")
    check_rows(url)
    return result


class _Flood:
    """Callers that hand over one batch after another and wait when they are turned away."""

    def __init__(self, ledger: OpenLedger, batches: Iterable[bytes], callers: int) -> None:
        self.acknowledged = 0
        self.held_back = threading.Event()
        self.failures: list[BaseException] = []
        self.is_exhausted = False
        self._ledger = ledger
        self._batches: Iterator[bytes] = iter(batches)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def check(self) -> None:
        """Raise what a caller raised; WrongResult when there is nothing left to send."""
        if self.failures:
            raise self.failures[0]
        if self.is_exhausted:
            raise WrongResult("the bench's batches ran out before its time was over")

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                with self._lock:
                    batch = next(self._batches, None)
                if batch is None:
                    self.is_exhausted = True
                    return
                self._send(batch)
        except BaseException as error:
            self.failures.append(error)

    def _send(self, batch: bytes) -> None:
        while not self._stopping.is_set():
            try:
                answer = self._ledger.calls.call(Op.create_transfers, batch)
            except RateLimited:
                self.held_back.set()
                self._stopping.wait(HELD_BACK_SECONDS)
                continue
            with self._lock:
                self.acknowledged += len(decode_results(answer)[1])
            return


def _wait_until_held_back(flood: _Flood, projector: Projector) -> None:
    while not flood.held_back.wait(SAMPLE_SECONDS):
        flood.check()
        if projector.failure is not None:
            raise WrongResult(f"the projector stopped: {projector.failure!r}")


def _measure(flood: _Flood, seconds: float) -> Projected:
    """From the next commit of a page to the last one within ``seconds`` after it, or the second.

    The writer is let through as the projection advances, so both go at one speed.
    """
    first = _next_commit(flood, _rows_written(), time.perf_counter() + PAGE_SECONDS_MAX)
    transfers = flood.acknowledged
    last = _next_commit(flood, first[0], first[1] + PAGE_SECONDS_MAX)
    if last[0] == first[0]:
        raise WrongResult(f"no two pages were written within {PAGE_SECONDS_MAX} s")
    deadline = first[1] + seconds
    while last[1] < deadline:
        found = _next_commit(flood, last[0], deadline)
        if found[0] == last[0]:
            break
        last = found
    return Projected(last[0] - first[0], last[1] - first[1], flood.acknowledged - transfers)


def _next_commit(flood: _Flood, rows: int, deadline: float) -> tuple[int, float]:
    """The rows written after another page was, and when; at the deadline at the latest."""
    while True:
        now, written = time.perf_counter(), _rows_written()
        if written != rows or now > deadline:
            return written, now
        flood.check()
        time.sleep(SAMPLE_SECONDS)


def check_rows(url: str) -> None:
    """WrongResult unless the rows are all there and add up: to each other, and to the journal.

    For one ledger of posted transfers and settled holds; ``sakk ledger verify`` compares each row.
    """
    with connect(url) as connection:
        connection.execute("SET statement_timeout = 0")
        for statement, problem in (
            (
                "SELECT (SELECT max(sequence) FROM ledger_journal) = min(sequence)"
                " FROM ledger_cursors",
                "the projection does not stand at the journal's end",
            ),
            (
                "SELECT (SELECT count(*) FROM ledger_entries) = 2 * count(*) FROM ledger_transfers"
                " WHERE status = 'posted' AND (flags & 10) = 0 AND amount > 0",
                "a posted transfer has not two entries",
            ),
            (
                "SELECT count(*) = count(DISTINCT id) FROM ledger_transfers",
                "a transfer was written twice",
            ),
            (
                "SELECT bool_and(a.credits_posted - a.debits_posted = coalesce(e.total, 0)"
                " AND coalesce(e.last, 0) = coalesce(e.total, 0)) FROM ledger_accounts a"
                " LEFT JOIN (SELECT account_id, sum(amount) AS total,"
                " (array_agg(balance_after ORDER BY timestamp_ns DESC))[1] AS last"
                " FROM ledger_entries GROUP BY account_id) e ON e.account_id = a.id",
                "an account's totals, its entries and its last balance differ",
            ),
        ):
            row: Any = connection.execute(statement).fetchone()
            if row is None or row[0] is not True:
                raise WrongResult(problem)


def _rows_written() -> int:
    return int(REGISTRY.get_sample_value("sakk_ledger_projection_rows_total", {"shard": "0"}) or 0)
