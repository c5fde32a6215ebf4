"""The loop: stages of a lane take turns, a failure is alone, a bell wakes, a stop ends."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from queue import SimpleQueue

import pytest
from sqlalchemy import literal, select

from sakk.core.errors import Unavailable
from sakk.flow.stage import (
    ASLEEP_AFTER_SECONDS,
    ASLEEP_IDLE_SECONDS,
    CALLED_IDLE_SECONDS,
    FIRST_LOOKS,
    GIVE_WAY_SECONDS_MAX,
    IDLE_SECONDS,
    LANE_THREADS,
    MANY_ROWS,
    PAUSE_SHARE_MIN,
    QUIET_AFTER_SECONDS,
    QUIET_IDLE_SECONDS,
    Bell,
    Stage,
    Traffic,
    Turn,
    _rest,
    _take_turns,
    look_out,
    run_stages,
    start_stages,
    wake,
)
from sakk.store.database import Database, Due

SECONDS_MAX = 10.0
NOWHERE = "postgresql://nobody@localhost:1/none"


def move(name: str, source: deque[int], target: deque[int], seen: list[str]) -> Stage:
    """A stage that moves one row at a time."""

    def run() -> int:
        if not source:
            return 0
        row = source.popleft()
        seen.append(f"{name} {row}")
        target.append(row)
        return 1

    return Stage(name, run, lane="lane")


def run_until(stages: Sequence[Stage], is_over: Callable[[], bool]) -> None:
    """Run stages in this thread until a last one of them says that it is over."""
    stop = threading.Event()

    def end() -> int:
        if is_over():
            stop.set()
        return 0

    traffic = Traffic()
    run_stages([*stages, Stage("end", end, idle_seconds=0)], threading.Event(), stop, traffic)


def test_stages_of_a_lane_take_turns_in_their_order() -> None:
    first, second, third = deque([1, 2]), deque[int](), deque[int]()
    seen: list[str] = []
    run_until(
        [move("confirm", first, second, seen), move("post", second, third, seen)],
        lambda: len(third) == 2,
    )
    assert seen == ["confirm 1", "post 1", "confirm 2", "post 2"]


def test_a_stage_that_fails_does_not_stop_its_lane() -> None:
    tries: list[str] = []

    def fail() -> int:
        tries.append("fail")
        raise Unavailable("the ledger does not answer")

    def work() -> int:
        tries.append("work")
        return 1

    run_until(
        [Stage("fail", fail, lane="lane"), Stage("work", work, lane="lane")],
        lambda: tries.count("work") == 3,
    )
    # It waits after its failure while the other goes on.
    assert tries == ["fail", "work", "work", "work"]


def test_a_failure_is_waited_after_and_forgotten_after_a_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("sakk.flow.stage.time.monotonic", lambda: now)
    failing = True

    def run() -> int:
        if failing:
            raise Unavailable("not now")
        return 7

    turn = Turn(Stage("stage", run, idle_seconds=1.0))
    waits = []
    for _ in range(9):
        assert turn.take() == 0
        waits.append(turn.pause_seconds())
        assert turn.take() == 0  # too early: not even tried
        now += turn.pause_seconds()
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])
    failing = False
    assert turn.take() == 7
    assert turn.pause_seconds() == 1.0
    failing = True
    turn.take()
    assert turn.pause_seconds() == pytest.approx(0.1)


def test_a_stage_that_nobody_calls_looks_less_often_until_it_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr("sakk.flow.stage.time.monotonic", lambda: clock[0])
    moved = [0]
    turn = Turn(Stage("seldom", lambda: moved[0]))
    often = Turn(Stage("often", lambda: 0, idle_seconds=0.05))
    rare = Turn(Stage("rare", lambda: 0, idle_seconds=60.0))

    def pauses() -> list[float]:
        for each in (turn, often, rare):
            each.take()
        return [each.pause_seconds() for each in (turn, often, rare)]

    assert pauses() == [IDLE_SECONDS, 0.05, 60.0]
    clock[0] += QUIET_AFTER_SECONDS
    assert pauses() == [QUIET_IDLE_SECONDS, 0.05, 60.0]
    turn.be_called()
    assert pauses() == [IDLE_SECONDS, 0.05, 60.0]
    clock[0] += QUIET_AFTER_SECONDS
    moved[0] = 1
    assert pauses() == [IDLE_SECONDS, 0.05, 60.0]


class Clock(threading.Event):
    """A bell that nobody rings, on whose waits the time passes."""

    def __init__(self, *, at_wait: Callable[[int], None] = lambda _: None) -> None:
        super().__init__()
        self.now, self.waits, self._at_wait = 1_000.0, 0, at_wait

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0.0
        self.waits += 1
        self._at_wait(self.waits)
        return self.is_set()


def test_in_a_process_that_sleeps_a_stage_looks_seldom_until_something_is_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr("sakk.flow.stage.time.monotonic", lambda: clock.now)
    monkeypatch.setattr("sakk.flow.stage.PAUSE_SHARE_MIN", 1.0)
    traffic = Traffic()

    def rested(stage: Stage, *, stirs_at: int | None = None) -> float:
        """How long it is between two looks of a stage that has had nothing for long."""

        def at_wait(count: int) -> None:
            if count == stirs_at:
                traffic.stir()

        clock.waits, clock._at_wait = 0, at_wait
        turn = Turn(stage)
        clock.now += QUIET_AFTER_SECONDS
        began = clock.now
        assert _rest([turn], clock, traffic) is False
        return clock.now - began

    seldom = Stage("seldom", lambda: 0)
    assert rested(seldom) == QUIET_IDLE_SECONDS
    clock.now += ASLEEP_AFTER_SECONDS
    assert rested(seldom) == ASLEEP_IDLE_SECONDS
    # What polls, what keeps time, and lanes look as ever.
    for awake, seconds in (
        (Stage("often", lambda: 0, idle_seconds=0.05), 0.05),
        (Stage("timely", lambda: 0, keeps_time=True), QUIET_IDLE_SECONDS),
        (Stage("laned", lambda: 0, lane="lane"), QUIET_IDLE_SECONDS),
        (Stage("rare", lambda: 0, idle_seconds=60.0), 60.0),
    ):
        assert rested(awake) == pytest.approx(seconds)
    # The first that has something wakes the others, at their next moment.
    assert rested(seldom, stirs_at=2) == 2 * QUIET_IDLE_SECONDS
    assert rested(seldom) == QUIET_IDLE_SECONDS
    clock.now += ASLEEP_AFTER_SECONDS
    # What comes by the clock wakes nobody; a row that was moved does.
    for stage, is_asleep in (
        (Stage("timely", lambda: 1, keeps_time=True), True),
        (Stage("finds", lambda: 1), False),
    ):
        _take_turns([Turn(stage)], traffic, None)
        assert traffic.is_asleep is is_asleep


def test_a_lanes_threads_are_called_while_there_is_much_to_do() -> None:
    stop, together = threading.Event(), threading.Event()
    names: SimpleQueue[str] = SimpleQueue()
    seen: set[int] = set()

    def run() -> int:
        names.put(threading.current_thread().name)
        seen.add(threading.get_ident())
        if len(seen) == LANE_THREADS:
            together.set()
        # Much, until all of the lane's threads have been at it.
        return 0 if together.is_set() else MANY_ROWS

    stages = [
        Stage("first", run, idle_seconds=SECONDS_MAX, lane="lane"),
        Stage("second", lambda: 0, idle_seconds=SECONDS_MAX, lane="lane"),
        Stage("alone", lambda: 0, idle_seconds=SECONDS_MAX),
    ]
    threads = start_stages(stages, Bell(NOWHERE), stop, listening=False)
    assert together.wait(SECONDS_MAX)
    stop.set()
    for thread in threads:
        thread.join(SECONDS_MAX)
        assert not thread.is_alive()
    assert {names.get() for _ in range(names.qsize())} == {"lane"}
    assert sorted(thread.name for thread in threads) == [
        "alone",
        *["lane"] * LANE_THREADS,
        "stop",
    ]


def test_a_little_wakes_one_thread_of_a_lane() -> None:
    stop, done = threading.Event(), threading.Event()
    at_it: set[int] = set()
    left = [MANY_ROWS - 1] * 50

    def run() -> int:
        at_it.add(threading.get_ident())
        if not left:
            done.set()
            return 0
        return left.pop()

    stages = [Stage("stage", run, idle_seconds=SECONDS_MAX, lane="lane")]
    threads = start_stages(stages, Bell(NOWHERE), stop, listening=False)
    assert done.wait(SECONDS_MAX)
    stop.set()
    for thread in threads:
        thread.join(SECONDS_MAX)
        assert not thread.is_alive()
    assert len(at_it) == 1


def test_after_a_few_rows_a_stage_rests_and_what_comes_meanwhile_gathers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("sakk.flow.stage.time.monotonic", lambda: now)
    moves = deque([1, 5, 0, MANY_ROWS, MANY_ROWS, 0])
    turn = Turn(Stage("stage", moves.popleft, idle_seconds=1.0, rest_seconds=0.1))
    assert turn.take() == 1
    # Nobody asked for more yet; then somebody does.
    assert turn.pause_seconds() == 1.0
    now += 0.04
    assert turn.take() == 0
    assert turn.pause_seconds() == pytest.approx(0.06)
    now += turn.pause_seconds()
    assert [turn.take(), turn.take()] == [5, 0]
    now += 0.1
    assert turn.take() == 0
    assert turn.pause_seconds() == 1.0
    now += 1.0
    # Thousands wait for nothing.
    assert [turn.take(), turn.take(), turn.take()] == [MANY_ROWS, MANY_ROWS, 0]


def test_few_look_for_the_first_time_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each that looks has a connection; all that begin would open one each."""
    monkeypatch.setattr("sakk.flow.stage.FIRST_LOOK_SECONDS_MAX", SECONDS_MAX)
    looking = threading.Semaphore(FIRST_LOOKS)
    together = threading.Barrier(FIRST_LOOKS)
    looked: SimpleQueue[bool] = SimpleQueue()

    def run() -> int:
        is_one_of_few = looking.acquire(blocking=False)
        together.wait(SECONDS_MAX)
        looking.release()
        looked.put(is_one_of_few)
        return 0

    stop = threading.Event()
    stages = [Stage(f"{place}", run, idle_seconds=60.0) for place in range(3 * FIRST_LOOKS)]
    threads = start_stages(stages, Bell(NOWHERE), stop, listening=False)
    try:
        assert [looked.get(timeout=SECONDS_MAX) for _ in stages] == [True] * len(stages)
    finally:
        stop.set()
        for thread in threads:
            thread.join(SECONDS_MAX)


DUE = Due(select(literal(1)), int, select(literal(1)))


def test_a_stage_is_called_for_what_the_lookout_finds_and_does_not_look_itself() -> None:
    stop, called = threading.Event(), threading.Event()
    ran: list[str] = []
    looked = {name: threading.Event() for name in ("due", "calm")}

    def stage(name: str) -> Stage:
        def run() -> int:
            if looked[name].is_set() and not stop.is_set():
                ran.append(name)
                called.set()
            looked[name].set()
            return 0

        return Stage(name, run, idle_seconds=0, due=(DUE,))

    stages = [stage("due"), stage("calm")]

    def look() -> list[Stage]:
        # Each looks for itself once.
        assert all(event.wait(SECONDS_MAX) for event in looked.values())
        return [] if called.is_set() else stages[:1]

    threads = start_stages(stages, Bell(NOWHERE), stop, listening=False, look=look)
    assert called.wait(SECONDS_MAX)
    stop.set()
    for thread in threads:
        thread.join(SECONDS_MAX)
    assert ran == ["due"]
    assert Turn(stages[0]).pause_seconds() == CALLED_IDLE_SECONDS


class Pauses(threading.Event):
    """Is set after so many waits, which take no time, and remembers how long they would."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.asked: list[float] = []
        self._count = count

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.asked.append(timeout)
        if len(self.asked) == self._count:
            self.set()
        return True


def test_where_the_lookout_fails_every_stage_looks() -> None:
    bell, pauses = Bell(NOWHERE), Pauses(1)
    events = [bell.event("one"), bell.event("other")]

    def fail() -> list[Stage]:
        raise RuntimeError("no answer")

    look_out(fail, bell, pauses, Traffic())
    assert all(event.is_set() for event in events)


def test_the_lookout_looks_less_often_where_nothing_happens_and_keeps_to_a_stages_pace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moment = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: moment[0])
    bell, pauses, traffic = Bell(NOWHERE), Pauses(40), Traffic()
    event = bell.event("stuck")
    stuck = Stage("stuck", lambda: 0, idle_seconds=5.0, due=(DUE,))
    called = []

    def look() -> list[Stage]:
        moment[0] += pauses.asked[-1] if pauses.asked else 0.0
        if event.is_set():
            called.append(moment[0])
            event.clear()
        return [stuck]

    look_out(look, bell, pauses, traffic)
    assert pauses.asked[0] == IDLE_SECONDS
    assert pauses.asked[-1] == QUIET_IDLE_SECONDS
    gaps = [after - before for before, after in pairwise(called)]
    assert min(gaps) >= PAUSE_SHARE_MIN * stuck.idle_seconds


def test_a_notification_wakes_the_lane_of_the_stage_that_it_names(database: Database) -> None:
    stop = threading.Event()
    runs: SimpleQueue[None] = SimpleQueue()

    def run() -> int:
        runs.put(None)
        return 0

    stages = [
        Stage("other", lambda: 0, idle_seconds=SECONDS_MAX * 10, lane="lane"),
        Stage("named", run, idle_seconds=SECONDS_MAX * 10, lane="lane"),
    ]
    threads = start_stages(stages, Bell(database.url), stop)
    try:
        # The lane's first thread runs at its start, and when the bell begins to listen.
        for _ in range(3):
            with database.begin() as connection:
                wake(connection, "named")
            runs.get(timeout=SECONDS_MAX)
    finally:
        stop.set()
        for thread in threads:
            thread.join(SECONDS_MAX)


class Calls(threading.Condition):
    """Where a lane's threads wait, and when they were called."""

    def __init__(self, order: list[str]) -> None:
        super().__init__()
        self._order = order

    def notify(self, n: int = 1) -> None:
        self._order.append("called")
        super().notify(n)


def test_help_is_called_before_the_rows_that_called_for_it_move_on() -> None:
    stop, order = threading.Event(), list[str]()
    # The last batch is not full: nothing is left for anybody else.
    batches = [7, 7, 6]

    def take() -> int:
        if not batches:
            stop.set()
            return 0
        order.append("taken")
        return batches.pop(0)

    def move_on() -> int:
        order.append("moved on")
        return 7

    stages = [
        Stage("first", take, idle_seconds=0, lane="lane", many=7),
        Stage("second", move_on, idle_seconds=0, lane="lane", many=7),
    ]
    run_stages(stages, threading.Event(), stop, Traffic(), Calls(order))
    full = ["taken", "called", "moved on"]
    assert order[:8] == [*full, *full, "taken", "moved on"]


def test_what_can_wait_gives_way_to_a_lane_that_has_much_to_do() -> None:
    stop, busy, waited = threading.Event(), threading.Event(), threading.Event()
    order: list[str] = []

    def move() -> int:
        if order:
            return 0
        order.append("much")
        return MANY_ROWS

    def move_on() -> int:
        busy.set()
        # Longer than anybody takes to begin who does not wait.
        waited.wait(GIVE_WAY_SECONDS_MAX / 2)
        order.append("moved on")
        return 0

    def look() -> int:
        order.append("background")
        waited.set()
        return 0

    traffic = Traffic()
    lane = [Stage("first", move, lane="lane"), Stage("second", move_on, lane="lane")]
    more, bell = threading.Condition(), threading.Event()
    first = threading.Thread(target=run_stages, args=(lane, bell, stop, traffic, more))
    first.start()
    assert busy.wait(SECONDS_MAX)
    background = [Stage("background", look, gives_way=True)]
    second = threading.Thread(target=run_stages, args=(background, bell, stop, traffic))
    second.start()
    assert waited.wait(SECONDS_MAX)
    stop.set()
    bell.set()
    first.join(SECONDS_MAX)
    second.join(SECONDS_MAX)
    assert order[:3] == ["much", "moved on", "background"]


def test_traffic_is_light_when_the_last_of_it_has_ended() -> None:
    traffic, light = Traffic(), threading.Event()

    def wait() -> None:
        traffic.wait_light(SECONDS_MAX)
        light.set()

    with traffic.heavy():
        with traffic.heavy():
            traffic.wait_light(0)  # not for longer than it is told to
        thread = threading.Thread(target=wait)
        thread.start()
        assert not light.is_set()
    assert light.wait(SECONDS_MAX)
    thread.join()
