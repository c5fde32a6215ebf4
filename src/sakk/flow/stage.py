"""The one loop: a stage takes what is due, and sleeps until someone says that more is.

Stages wake each other through the database (NOTIFY in the transaction that writes the status), so
they never call each other, and a missed wake-up costs at most one idle period.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import structlog
from prometheus_client import Counter, Histogram
from sqlalchemy import Connection, make_url, text

from sakk.core.errors import SakkError

CHANNEL = "sakk"
IDLE_SECONDS = 1.0
BACKOFF_SECONDS_MIN = 0.1
BACKOFF_SECONDS_MAX = 10.0

log = structlog.get_logger(__name__)

rows_done = Counter("sakk_stage_rows_total", "Rows that a stage has moved on.", ["stage"])
stage_errors = Counter("sakk_stage_errors_total", "Runs of a stage that failed.", ["stage"])
run_seconds = Histogram("sakk_stage_run_seconds", "Length of a stage's run.", ["stage"])


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of a flow. ``run`` moves what is due and says how many rows; 0 is nothing to do."""

    name: str
    run: Callable[[], int]
    idle_seconds: float = IDLE_SECONDS


def wake(connection: Connection, *stages: str) -> None:
    """Tell stages, in every process, that there is work once this transaction commits."""
    for stage in stages:
        connection.execute(_NOTIFY, {"channel": CHANNEL, "stage": stage})


_NOTIFY = text("SELECT pg_notify(:channel, :stage)")


class Bell:
    """One LISTEN connection for a process; rings the event of the stage that is named."""

    def __init__(self, database_url: str) -> None:
        self._url = _libpq_url(database_url)
        self._events: dict[str, threading.Event] = {}

    def event(self, stage: str) -> threading.Event:
        return self._events.setdefault(stage, threading.Event())

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


def run_stage(stage: Stage, bell: Bell, stop: threading.Event) -> None:
    """Run a stage until ``stop``: again at once while there is work, asleep while there is none."""
    event = bell.event(stage.name)
    backoff = BACKOFF_SECONDS_MIN
    while not stop.is_set():
        event.clear()
        try:
            with _timed(stage.name):
                done = stage.run()
        except Exception as error:
            stage_errors.labels(stage.name).inc()
            _report(stage.name, error)
            stop.wait(backoff)
            backoff = min(backoff * 2, BACKOFF_SECONDS_MAX)
            continue
        backoff = BACKOFF_SECONDS_MIN
        if done:
            rows_done.labels(stage.name).inc(done)
        else:
            event.wait(stage.idle_seconds)


def start_stages(
    stages: Sequence[Stage], bell: Bell, stop: threading.Event, *, listening: bool = True
) -> list[threading.Thread]:
    """Start a thread for every stage, and the bell's; they end soon after ``stop`` is set."""
    for stage in stages:
        bell.event(stage.name)
    threads = [
        threading.Thread(target=_ring_at_stop, args=(bell, stop), name="stop", daemon=True),
        *(
            threading.Thread(
                target=run_stage, args=(stage, bell, stop), name=stage.name, daemon=True
            )
            for stage in stages
        ),
    ]
    if listening:
        threads.append(threading.Thread(target=bell.listen, args=(stop,), name="bell", daemon=True))
    for thread in threads:
        thread.start()
    return threads


def _ring_at_stop(bell: Bell, stop: threading.Event) -> None:
    stop.wait()
    bell.ring_all()


@contextmanager
def _timed(name: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        run_seconds.labels(name).observe(time.perf_counter() - started)


def _report(name: str, error: Exception) -> None:
    if isinstance(error, SakkError) and error.transient:
        log.warning("stage.waits", stage=name, code=error.code, message=error.message)
    else:
        log.exception("stage.failed", stage=name)


def _libpq_url(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
