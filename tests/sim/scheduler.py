"""Virtual time: tasks that suspend, processes that are killed or paused, one order from one seed.

A coroutine suspends by ``suspend(arm)``; ``arm`` is given a ``Wakeup`` and keeps it until there is
something to say. Time advances only from one event to the next, so an hour costs nothing.
"""

import heapq
import types
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from random import Random
from typing import Any

EVENTS_MAX = 60_000


class Stuck(AssertionError):
    """A simulation that does not come to an end."""


@dataclass(slots=True, eq=False)
class Process:
    """What dies, and is paused, together; ``clock_offset_ns`` is how wrong its clock is."""

    name: str
    is_alive: bool = True
    is_paused: bool = False
    clock_offset_ns: int = 0
    # Killed instead of taking this many more steps; None lives on.
    steps_left: int | None = None
    on_death: list[Callable[[], None]] = field(default_factory=list)
    held_back: list[Callable[[], None]] = field(default_factory=list)


class Wakeup:
    """The one time that a suspended task is resumed; later tries do nothing."""

    __slots__ = ("_is_used", "_task")

    def __init__(self, task: "Task") -> None:
        self._task = task
        self._is_used = False

    def resume(self, value: Any = None) -> None:
        """Go on in an event of its own, now."""
        if not self._is_used:
            self._is_used = True
            task = self._task
            task.scheduler.after(0.0, lambda: task.step(value, None))

    def fail(self, error: BaseException) -> None:
        """Go on with an exception."""
        if not self._is_used:
            self._is_used = True
            task = self._task
            task.scheduler.after(0.0, lambda: task.step(None, error))


Arm = Callable[[Wakeup], None]


@types.coroutine
def suspend(arm: Arm) -> Generator[Arm, Any, Any]:
    """Suspend the running task until the wakeup that ``arm`` is given is used."""
    return (yield arm)


class Task:
    """A coroutine in a process; ``sakk.ledger.outside.Task``."""

    def __init__(
        self, scheduler: "Scheduler", process: Process, coroutine: Coroutine[Any, Any, None]
    ) -> None:
        self.scheduler = scheduler
        self.process = process
        self._coroutine = coroutine
        self._is_done = False
        self._waiting: list[Wakeup] = []

    def is_alive(self) -> bool:
        return not self._is_done

    async def ended(self) -> None:
        if not self._is_done:
            await suspend(self._waiting.append)

    def step(self, value: Any, error: BaseException | None) -> None:
        """Run to the next suspension, unless the process is dead, paused, or dies now."""
        process = self.process
        if not process.is_alive or self._is_done:
            return
        if process.is_paused:
            process.held_back.append(lambda: self.step(value, error))
            return
        if process.steps_left is not None:
            process.steps_left -= 1
            if process.steps_left < 0:
                self.scheduler.kill(process)
                return
        try:
            if error is not None:
                arm = self._coroutine.throw(error)
            else:
                arm = self._coroutine.send(value)
        except StopIteration:
            self._is_done = True
            for wakeup in self._waiting:
                wakeup.resume()
            return
        arm(Wakeup(self))

    def bury(self) -> None:
        """After the simulation: let a killed coroutine go, without a word."""
        self._coroutine.close()


class Scheduler:
    """The order of everything. ``now`` in seconds."""

    def __init__(self, random: Random) -> None:
        self.now = 0.0
        self.random = random
        self.events = 0
        self.trace: list[str] = []
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._tasks: list[Task] = []

    def note(self, text: str) -> None:
        """A line for whoever reads how a seed went."""
        self.trace.append(f"{self.now:.6f} {text}")

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self.now + seconds, self._count, action))

    def start(self, process: Process, coroutine: Coroutine[Any, Any, None]) -> Task:
        task = Task(self, process, coroutine)
        self._tasks.append(task)
        self.after(0.0, lambda: task.step(None, None))
        return task

    async def sleep(self, seconds: float) -> None:
        await suspend(lambda wakeup: self.after(seconds, wakeup.resume))

    def run(self, until: Callable[[], bool], *, seconds_max: float) -> None:
        """Let events happen until something is so; Stuck where it does not come to be."""
        deadline = self.now + seconds_max
        while not until():
            if not self._queue or self._queue[0][0] > deadline or self.events > EVENTS_MAX:
                raise Stuck(f"nothing more happens at {self.now:.3f} after {self.events} events")
            self.events += 1
            self.now, _, action = heapq.heappop(self._queue)
            action()

    def kill(self, process: Process) -> None:
        """SIGKILL: no handler, no ``finally``; what it had already sent is on its way."""
        if process.is_alive:
            process.is_alive = False
            self.note(f"{process.name} is killed")
            for action in process.on_death:
                action()

    def pause(self, process: Process, seconds: float) -> None:
        """SIGSTOP now and SIGCONT later."""
        if process.is_paused or not process.is_alive:
            return
        process.is_paused = True
        self.note(f"{process.name} is paused for {seconds:.3f}")

        def go_on() -> None:
            process.is_paused = False
            self.note(f"{process.name} goes on")
            held_back, process.held_back = process.held_back, []
            for action in held_back:
                self.after(0.0, action)

        self.after(seconds, go_on)

    def close(self) -> None:
        for task in self._tasks:
            task.bury()
