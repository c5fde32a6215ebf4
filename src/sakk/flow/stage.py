"""The one loop: a stage takes what is due, and sleeps until someone says that more is.

Stages wake each other through the database (NOTIFY once the transaction that writes the status is
committed), so they never call each other, and a missed wake-up costs at most one idle period. Most
stages have nothing to do most of the time: one that nobody called for long looks less often, for
what comes due by the clock alone. A process in which nothing was due for a minute is asleep: its
stages look still less often, until the first of them finds something.
"""

import random
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import structlog
from prometheus_client import Counter, Histogram
from sqlalchemy import Connection, make_url

from sakk.core.errors import SakkError
from sakk.store.database import CHANNEL, Due, notify_after
from sakk.store.lease import claimed

LOOKOUT = "lookout"
# What a final pay-in goes through until its webhook is due.
PAYIN_LANE = "payin"
# From the hold until it may be signed, or waits for people.
PAYOUT_LANE = "payout"
# While one of them computes, others wait for the database and its disk.
LANE_THREADS = 4
# Whoever moved so many rows at once leaves more behind.
MANY_ROWS = 20
# So long what can wait stands back while a lane has much to do; then it has its turn all the same.
GIVE_WAY_SECONDS_MAX = 1.0
# What comes one by one gathers for so long after a run; thousands at once wait for nothing.
REST_SECONDS = 0.4
IDLE_SECONDS = 1.0
# Neither called nor with anything to do for so long: such a stage looks as seldom as this.
QUIET_AFTER_SECONDS = 10.0
QUIET_IDLE_SECONDS = 3.0
# After so long in which no stage of a process had any row, each looks as seldom as this.
ASLEEP_AFTER_SECONDS = 60.0
ASLEEP_IDLE_SECONDS = 15.0
# Who is called for all that is due to it hardly ever looks by itself: no look is trusted for ever.
CALLED_IDLE_SECONDS = 300.0
# Stages that look at the same moment take a connection each. So no more than a few look for the
# first time at once, and nobody's pause has the length of another's.
FIRST_LOOKS = 6
FIRST_LOOK_SECONDS_MAX = 1.0
PAUSE_SHARE_MIN = 0.7
LISTEN_SECONDS_MAX = 1.0
HEAR_SECONDS = 0.5
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
    ``many``: a run that moved so many leaves more behind, and a lane calls its other threads.
    ``gives_way``: what nobody waits for begins when no lane has much to do, or a second later.
    ``rest_seconds``: after a run that moved few rows the next begins so much later than it did, at
    the soonest. Each run is several commits, which requests wait behind, whatever it moves.
    ``keeps_time``: its work comes by the clock. So it looks in sleep too, as lanes do, and wakes
    nobody by what it finds.
    ``due``: all that it takes, where a statement can say whether there is any. One look for all
    such stages then takes the place of its own.
    """

    name: str
    run: Callable[[], int]
    idle_seconds: float = IDLE_SECONDS
    lane: str | None = None
    rest_seconds: float = 0.0
    many: int = MANY_ROWS
    gives_way: bool = False
    keeps_time: bool = False
    due: tuple[Due[Any], ...] = ()


def wake(connection: Connection, *stages: str) -> None:
    """Tell stages, in every process, that there is work once this transaction is committed."""
    notify_after(connection, *stages)


class Bell:
    """One LISTEN connection for a process; rings the event of the stage that is named."""

    def __init__(self, database_url: str) -> None:
        self._url = _libpq_url(database_url)
        self._events: dict[str, threading.Event] = {}
        self._listens = threading.Event()

    def event(self, *stages: str) -> threading.Event:
        """One event for all of these stages."""
        event = threading.Event()
        self._events.update(dict.fromkeys(stages, event))
        return event

    def ring(self, stage: str) -> None:
        """Call one stage of this process."""
        event = self._events.get(stage)
        if event is not None:
            event.set()

    def ring_all(self) -> None:
        for event in self._events.values():
            event.set()

    def await_listening(self, timeout_seconds: float) -> None:
        """Return when it hears, or after so long: who looks from then on misses nothing."""
        self._listens.wait(timeout_seconds)

    def listen(self, stop: threading.Event) -> None:
        """Serve until ``stop``; after a lost connection every stage looks once."""
        while not stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self.ring_all()
                    self._listens.set()
                    heard = select.poll()
                    heard.register(connection, select.POLLIN)
                    while not stop.is_set():
                        # What psycopg waits by looks ten times a second whether it may go on.
                        if not heard.poll(HEAR_SECONDS * 1_000):
                            continue
                        for notification in connection.notifies(timeout=0):
                            self.ring(notification.payload)
            except psycopg.Error as error:
                log.warning("bell.lost", error=str(error))
                stop.wait(BACKOFF_SECONDS_MIN)


class Turn:
    """One stage as its thread runs it: a failure makes it wait longer and longer, alone."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._backoff = BACKOFF_SECONDS_MIN
        self._not_before = 0.0
        self._quiet_since = time.monotonic()
        # Asked for while it waited: it runs as soon as it may.
        self._is_due = False

    def take(self) -> int:
        """Run the stage once, unless it waits or rests; how many rows it moved."""
        began = time.monotonic()
        if began < self._not_before:
            self._is_due = True
            return 0
        self._is_due = False
        name = self.stage.name
        try:
            with run_seconds.labels(name).time():
                done = self.stage.run()
        except Exception as error:
            stage_errors.labels(name).inc()
            _report(name, error)
            self._not_before = time.monotonic() + self._backoff
            self._backoff = min(self._backoff * 2, BACKOFF_SECONDS_MAX)
            self._is_due = True
            return 0
        self._backoff = BACKOFF_SECONDS_MIN
        if done < MANY_ROWS:
            self._not_before = began + self.stage.rest_seconds
        if done:
            self.be_called()
            rows_done.labels(name).inc(done)
        return done

    def be_called(self) -> None:
        """There was something to do, or somebody says so: more of it may follow by the clock."""
        self._quiet_since = time.monotonic()

    @property
    def keeps_awake(self) -> bool:
        """Does it look while its process is asleep: for what nobody tells, or to try again?"""
        stage = self.stage
        is_often = stage.idle_seconds < IDLE_SECONDS
        return self._is_due or is_often or stage.lane is not None or stage.keeps_time

    def pause_seconds(self) -> float:
        """How long it may rest when nothing calls it."""
        now = time.monotonic()
        if self._is_due:
            return max(self._not_before - now, 0.0)
        idle = self.stage.idle_seconds
        if self.stage.due:
            return max(idle, CALLED_IDLE_SECONDS)
        # Who looks more often than others looks at what nobody tells.
        if idle < IDLE_SECONDS or now - self._quiet_since < QUIET_AFTER_SECONDS:
            return idle
        return max(idle, QUIET_IDLE_SECONDS)


class Traffic:
    """How many threads of lanes have much to do; the rest of the process can stand back."""

    def __init__(self) -> None:
        self._busy = 0
        self._changed = threading.Condition()
        self._stirred_at = time.monotonic()
        self._first_looks = threading.Semaphore(FIRST_LOOKS)

    @contextmanager
    def heavy(self) -> Iterator[None]:
        """One more thread has, until the end of the block."""
        self._add(1)
        try:
            yield
        finally:
            self._add(-1)

    @contextmanager
    def first_look(self) -> Iterator[None]:
        """Wait until few look for the first time, or a second: some of them ask other machines."""
        is_counted = self._first_looks.acquire(timeout=FIRST_LOOK_SECONDS_MAX)
        try:
            yield
        finally:
            if is_counted:
                self._first_looks.release()

    def wait_light(self, timeout_seconds: float) -> None:
        """Return when none has, or after so long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy, timeout_seconds)

    def stir(self) -> None:
        """A stage of this process had something to do."""
        self._stirred_at = time.monotonic()

    @property
    def is_quiet(self) -> bool:
        """Had none anything to do for a while?"""
        return time.monotonic() - self._stirred_at >= QUIET_AFTER_SECONDS

    @property
    def is_asleep(self) -> bool:
        """Had none anything to do for long?"""
        return time.monotonic() - self._stirred_at >= ASLEEP_AFTER_SECONDS

    def _add(self, count: int) -> None:
        with self._changed:
            self._busy += count
            self._changed.notify_all()


def run_stages(
    stages: Sequence[Stage],
    event: threading.Event,
    stop: threading.Event,
    traffic: Traffic,
    more: threading.Condition | None = None,
) -> None:
    """Run stages in turn until ``stop``: again at once while one has work, else asleep.

    ``more``: where the other threads of the lane wait until there is work for them too.
    """
    turns = [Turn(stage) for stage in stages]
    gives_way = any(stage.gives_way for stage in stages)
    begins: AbstractContextManager[None] = traffic.first_look()
    while not stop.is_set():
        event.clear()
        if gives_way:
            traffic.wait_light(GIVE_WAY_SECONDS_MAX)
        with begins:
            moved, _ = _take_turns(turns, traffic, more)
        begins = nullcontext()
        if not moved and _rest(turns, event, traffic):
            for turn in turns:
                turn.be_called()


def _rest(turns: Sequence[Turn], event: threading.Event, traffic: Traffic) -> bool:
    """Rest until the first of them looks again; True if somebody called.

    In a process that is asleep, over several of its looks: it only looks whether it is still so,
    and who slept looks as soon as who was merely quiet when it is not.
    """
    sleeps = not any(turn.keeps_awake for turn in turns)
    rested = 0.0
    while True:
        pause = _pause_seconds(turns)
        if event.wait(pause):
            return True
        rested += pause
        if not (sleeps and traffic.is_asleep) or rested + pause > ASLEEP_IDLE_SECONDS:
            return False


def _pause_seconds(turns: Sequence[Turn]) -> float:
    """As long as the first of them may rest, or a little less."""
    share = random.uniform(PAUSE_SHARE_MIN, 1.0)  # noqa: S311 (nobody gains by guessing it)
    return share * min(turn.pause_seconds() for turn in turns)


def help_out(
    stages: Sequence[Stage],
    more: threading.Condition,
    stop: threading.Event,
    traffic: Traffic,
) -> None:
    """Run a lane's stages beside its first thread, when called, while there is much to do.

    A bell that rang for all of them would make four looks of each one that finds something.
    """
    turns = [Turn(stage) for stage in stages]
    while True:
        with more:
            if stop.is_set():
                return
            more.wait()
        has_more = True
        while has_more and not stop.is_set():
            _, has_more = _take_turns(turns, traffic, more)


def _take_turns(
    turns: Sequence[Turn], traffic: Traffic, more: threading.Condition | None
) -> tuple[int, bool]:
    """Run each once: how many rows were moved, and were there probably more than that?

    The first that moves anything tells, for the others move the same rows on. Help is called
    before they do.
    """
    moved = 0
    with ExitStack() as stack:
        has_more = False
        for turn in turns:
            before = claimed()
            done = turn.take()
            if (done or claimed() != before) and not turn.stage.keeps_time:
                traffic.stir()
            if done >= turn.stage.many and not moved and more is not None:
                has_more = True
                stack.enter_context(traffic.heavy())
                _call_one(more)
            moved += done
    return moved, has_more


def _call_one(more: threading.Condition) -> None:
    """Call one thread; where none waits, all are at it."""
    with more:
        more.notify()


def look_out(
    look: Callable[[], Sequence[Stage]], bell: Bell, stop: threading.Event, traffic: Traffic
) -> None:
    """Call stages for what is due to them, until ``stop``; where a look fails, all of them."""
    called: dict[str, float] = {}
    while not stop.is_set():
        try:
            found = look()
        except Exception as error:
            stage_errors.labels(LOOKOUT).inc()
            _report(LOOKOUT, error)
            found = []
            bell.ring_all()
        now = time.monotonic()
        for stage in found:
            # What it can not move yet it does not look at more often than it would by itself.
            if now >= called.get(stage.name, now):
                bell.ring(stage.name)
                called[stage.name] = now + PAUSE_SHARE_MIN * stage.idle_seconds
        stop.wait(QUIET_IDLE_SECONDS if traffic.is_quiet else IDLE_SECONDS)


def start_stages(
    stages: Sequence[Stage],
    bell: Bell,
    stop: threading.Event,
    *,
    listening: bool = True,
    look: Callable[[], Sequence[Stage]] | None = None,
) -> list[threading.Thread]:
    """Start the threads of all stages, and the bell's; they end soon after ``stop`` is set.

    ``look``: who of those that name what is ``due`` to them has some (`Lookout`). Without it each
    looks by itself.
    """
    if look is None:
        stages = [replace(stage, due=()) for stage in stages]
    lanes: dict[str, list[Stage]] = {}
    for stage in stages:
        lanes.setdefault(stage.lane or stage.name, []).append(stage)
    waiting: list[threading.Condition] = []
    threads: list[threading.Thread] = []
    traffic = Traffic()
    for name, members in lanes.items():
        event = bell.event(*(stage.name for stage in members))
        calls = threading.Condition() if members[0].lane else None
        threads.append(_thread(name, run_stages, members, event, stop, traffic, calls))
        if calls is not None:
            waiting.append(calls)
            threads += [
                _thread(name, help_out, members, calls, stop, traffic)
                for _ in range(LANE_THREADS - 1)
            ]
    if look is not None:
        threads.append(_thread(LOOKOUT, look_out, look, bell, stop, traffic))
    threads.append(_thread("stop", _ring_at_stop, bell, waiting, stop))
    if listening:
        threads.insert(0, _thread("bell", bell.listen, stop))
    for thread in threads:
        thread.start()
        if listening and thread is threads[0]:
            bell.await_listening(LISTEN_SECONDS_MAX)
    return threads


def _thread(name: str, run: Callable[..., None], *arguments: object) -> threading.Thread:
    return threading.Thread(target=run, args=arguments, name=name, daemon=True)


def _ring_at_stop(
    bell: Bell, waiting: Sequence[threading.Condition], stop: threading.Event
) -> None:
    stop.wait()
    bell.ring_all()
    for more in waiting:
        with more:
            more.notify_all()


def _report(name: str, error: Exception) -> None:
    if isinstance(error, SakkError) and error.transient:
        log.warning("stage.waits", stage=name, code=error.code, message=error.message)
    else:
        log.exception("stage.failed", stage=name)


def _libpq_url(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
