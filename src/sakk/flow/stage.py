"""The one loop: a stage takes what is due, and sleeps until someone says that more is.

Stages wake each other through the database (NOTIFY in the transaction that writes the status), so
they never call each other, and a missed wake-up costs at most one idle period.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg
import structlog
from prometheus_client import Counter, Histogram
from sqlalchemy import Connection, make_url

from sakk.core.errors import SakkError
from sakk.store.database import run

CHANNEL = "sakk"
# What a final pay-in goes through until its webhook is due.
PAYIN_LANE = "payin"
# From the hold until it may be signed, or waits for people.
PAYOUT_LANE = "payout"
# While one of them computes, others wait for the database and its disk.
LANE_THREADS = 4
IDLE_SECONDS = 1.0
BACKOFF_SECONDS_MIN = 0.1
BACKOFF_SECONDS_MAX = 10.0

log = structlog.get_logger(__name__)

rows_done = Counter("sakk_stage_rows_total", "Rows that a stage has moved on.", ["stage"])
stage_errors = Counter("sakk_stage_errors_total", "Runs of a stage that failed.", ["stage"])
run_seconds = Histogram("sakk_stage_run_seconds", "Length of a stage's run.", ["stage"])


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of a flow. ``run`` moves what is due and says how many rows; 0 is nothing to do.

    Stages of one ``lane`` take turns in the lane's threads, in their order, a batch each: what came
    first is through all of them before the next batch begins. Others have a thread of their own.
    """

    name: str
    run: Callable[[], int]
    idle_seconds: float = IDLE_SECONDS
    lane: str | None = None


def wake(connection: Connection, *stages: str) -> None:
    """Tell stages, in every process, that there is work once this transaction commits."""
    run(connection, _NOTIFY, {"channel": CHANNEL, "stages": list(stages)})


_NOTIFY = "SELECT pg_notify(%(channel)s, stage) FROM unnest(CAST(%(stages)s AS text[])) AS stage"


class Bell:
    """One LISTEN connection for a process; rings the event of the stage that is named."""

    def __init__(self, database_url: str) -> None:
        self._url = _libpq_url(database_url)
        self._events: dict[str, threading.Event] = {}

    def event(self, *stages: str) -> threading.Event:
        """One event for all of these stages."""
        event = threading.Event()
        self._events.update(dict.fromkeys(stages, event))
        return event

    def ring_all(self) -> None:
        for event in self._events.values():
            event.set()

    def listen(self, stop: threading.Event) -> None:
        """Serve until ``stop``; after a lost connection every stage looks once."""
        while not stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self.ring_all()
                    while not stop.is_set():
                        for notification in connection.notifies(timeout=0.5):
                            event = self._events.get(notification.payload)
                            if event is not None:
                                event.set()
            except psycopg.Error as error:
                log.warning("bell.lost", error=str(error))
                stop.wait(BACKOFF_SECONDS_MIN)


class Turn:
    """One stage as its thread runs it: a failure makes it wait longer and longer, alone."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._backoff = BACKOFF_SECONDS_MIN
        self._not_before = 0.0

    def take(self) -> int:
        """Run the stage once, unless it waits after a failure; how many rows it moved."""
        if time.monotonic() < self._not_before:
            return 0
        name = self.stage.name
        try:
            with run_seconds.labels(name).time():
                done = self.stage.run()
        except Exception as error:
            stage_errors.labels(name).inc()
            _report(name, error)
            self._not_before = time.monotonic() + self._backoff
            self._backoff = min(self._backoff * 2, BACKOFF_SECONDS_MAX)
            return 0
        self._backoff = BACKOFF_SECONDS_MIN
        if done:
            rows_done.labels(name).inc(done)
        return done

    def pause_seconds(self) -> float:
        """How long it may rest when nothing calls it."""
        waiting = self._not_before - time.monotonic()
        return waiting if waiting > 0 else self.stage.idle_seconds


def run_stages(stages: Sequence[Stage], event: threading.Event, stop: threading.Event) -> None:
    """Run stages in turn until ``stop``: again at once while one has work, else asleep.

    Threads may share ``event``: whoever clears it looks at every stage afterwards.
    """
    turns = [Turn(stage) for stage in stages]
    while not stop.is_set():
        event.clear()
        if not sum([turn.take() for turn in turns]):
            event.wait(min(turn.pause_seconds() for turn in turns))


def start_stages(
    stages: Sequence[Stage], bell: Bell, stop: threading.Event, *, listening: bool = True
) -> list[threading.Thread]:
    """Start the threads of all stages, and the bell's; they end soon after ``stop`` is set."""
    lanes: dict[str, list[Stage]] = {}
    for stage in stages:
        lanes.setdefault(stage.lane or stage.name, []).append(stage)
    threads = [threading.Thread(target=_ring_at_stop, args=(bell, stop), name="stop", daemon=True)]
    for name, members in lanes.items():
        event = bell.event(*(stage.name for stage in members))
        threads += [
            threading.Thread(target=run_stages, args=(members, event, stop), name=name, daemon=True)
            for _ in range(LANE_THREADS if members[0].lane else 1)
        ]
    if listening:
        threads.append(threading.Thread(target=bell.listen, args=(stop,), name="bell", daemon=True))
    for thread in threads:
        thread.start()
    return threads


def _ring_at_stop(bell: Bell, stop: threading.Event) -> None:
    stop.wait()
    bell.ring_all()


def _report(name: str, error: Exception) -> None:
    if isinstance(error, SakkError) and error.transient:
        log.warning("stage.waits", stage=name, code=error.code, message=error.message)
    else:
        log.exception("stage.failed", stage=name)


def _libpq_url(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
