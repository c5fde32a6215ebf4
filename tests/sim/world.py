"""A world from a seed: a server, ledger processes, clients, a network, and what goes wrong.

``simulate(seed)`` runs it to its end and returns what happened; ``Violated`` or ``Stuck`` names
what was wrong. Everything is drawn from the seed: the same seed is the same world.
"""

import sys
from collections import Counter
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any
from unittest.mock import patch

import psycopg

from sakk.core.errors import SakkError
from sakk.ledger import machine, projection, writer
from sakk.ledger.calls import Op
from sakk.ledger.machine import Make, serving
from sakk.ledger.outside import Journal
from sakk.ledger.record import split
from sakk.ledger.replay import JournalBroken
from sakk.ledger.rows import Book, ReferenceBook, new_book
from sakk.ledger.writer import Writer
from tests.sim.client import OPEN, Question, Writing
from tests.sim.fault import Faults
from tests.sim.oracle import Oracle, Read, Violated
from tests.sim.postgres import Server, SimulatedJournal
from tests.sim.projection import follow
from tests.sim.scheduler import Process, Scheduler, Task, Wakeup, suspend

BASE_NS = 1_800_000_000 * 1_000_000_000
CLIENTS = 4
QUESTIONS = 10
STORM_SECONDS = 12.0
CALM_SECONDS_MAX = 900.0
PATIENCE_SECONDS = (0.5, 5.0, 45.0)
RESTART_SECONDS = 0.3
LAG_ROWS_MAX = 12
TRACE_LINES = 60


@dataclass(frozen=True, slots=True)
class Ended:
    """How a simulation went."""

    seed: int
    digest: str
    seconds: float
    events: int
    acknowledged: int
    answered_reads: int
    rows: int
    refusals: Counter[str]
    trace: list[str] = field(repr=False)


class SimulatedCondition:
    """``sakk.ledger.outside.Condition`` where nothing runs beside: the lock is none."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._waiting: list[Wakeup] = []

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_error: object) -> None:
        return None

    def notify(self) -> None:
        if self._waiting:
            self._waiting.pop().resume()

    async def wait(self, seconds: float) -> None:
        def arm(wakeup: Wakeup) -> None:
            self._waiting = [wakeup]
            self._scheduler.after(seconds, wakeup.resume)

        await suspend(arm)


class SimulatedOutside:
    """``sakk.ledger.outside.Outside`` of one simulated process."""

    def __init__(self, server: Server, process: Process) -> None:
        self.name = process.name
        self._server = server
        self._process = process
        self.journal: Journal = SimulatedJournal(server, process)

    def now(self) -> int:
        return BASE_NS + int(self.monotonic() * 1e9) + self._process.clock_offset_ns

    def monotonic(self) -> float:
        return self._server.scheduler.now

    async def sleep(self, seconds: float) -> None:
        await self._server.scheduler.sleep(seconds)

    def condition(self) -> SimulatedCondition:
        return SimulatedCondition(self._server.scheduler)

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> Task:
        return self._server.scheduler.start(self._process, coroutine)

    async def connect(self) -> Journal:
        journal = SimulatedJournal(self._server, self._process)
        await journal.current_epoch()  # the way there may be cut
        return journal


@dataclass(eq=False, slots=True)
class House:
    """One ledger process: a writer, once it is open, and a projector."""

    process: Process
    writer: Writer | None = None


class World:
    """Everything that there is. See ``simulate``."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        # Every other world runs the machine that serves here, compiled where it is built.
        self.make = Make.reference if seed % 2 == 0 else serving()
        self.scheduler = Scheduler(self.random)
        self.oracle = Oracle()
        self.server = Server(self.scheduler, on_durable=self.oracle.on_durable)
        self.houses: list[House] = []
        self.faults = Faults(self.random)
        self.wrong: list[BaseException] = []
        self.refusals: Counter[str] = Counter()
        self._house_count = 0
        self._clients_at_work = 0

    # Processes

    def living(self) -> list[House]:
        return [house for house in self.houses if house.process.is_alive]

    def start_house(self) -> House:
        """Start a ledger process; it fences off whoever was before."""
        self._house_count += 1
        process = Process(f"ledger {self._house_count}")
        process.steps_left = self.faults.steps_left()
        process.clock_offset_ns = self.faults.clock_offset_ns()
        house = House(process)
        self.houses.append(house)
        process.on_death.append(lambda: self._restart(house))
        self.scheduler.start(process, self._live(house))
        return house

    def _restart(self, house: House) -> None:
        """The supervisor: one process at least."""
        self.houses.remove(house)
        if not self.living():
            self.scheduler.after(
                RESTART_SECONDS, lambda: None if self.living() else self._start_again()
            )

    def _start_again(self) -> None:
        self.start_house()

    async def _live(self, house: House) -> None:
        """What the process does from its start to its end."""
        outside = SimulatedOutside(self.server, house.process)
        changed = outside.condition()
        try:
            house.writer = await writer.open_writer(
                outside,
                on_append=self.random.choice((lambda _: changed.notify(), lambda _: None)),
                lag_events=self._lag_rows,
            )
        except JournalBroken as error:
            self.wrong.append(error)
        except (psycopg.Error, SakkError) as error:
            self.scheduler.note(f"{house.process.name} could not open: {error}")
        else:
            self.scheduler.note(f"{house.process.name} is open")
            self.start_projector(house.process, changed)
            await house.writer.ended()
        self.scheduler.kill(house.process)

    def start_projector(self, process: Process, changed: SimulatedCondition | None = None) -> None:
        """Let a process project; ``changed`` wakes it before its time."""
        changed = changed or SimulatedCondition(self.scheduler)
        self.scheduler.start(process, self._project(process, changed))

    async def _project(self, process: Process, changed: SimulatedCondition) -> None:
        try:
            await follow(self.server, process, changed, self._new_book)
        except Exception as error:
            self.wrong.append(error)

    def _new_book(self) -> Book:
        return ReferenceBook(0) if self.make is Make.reference else new_book(0)

    def _lag_rows(self) -> int:
        return len(self.server.state.journal) - self.server.state.cursor.sequence

    # Clients and the network

    async def client(self, number: int, shared: list[Question]) -> None:
        """Ask every question until it is answered."""
        writing = Writing(self.random, number, shared)
        for question in writing.questions(QUESTIONS):
            await self.scheduler.sleep(self.random.expovariate(2.0))
            await self.ask_until_answered(*question)
        self._clients_at_work -= 1

    async def ask_until_answered(self, op: Op, body: bytes) -> bytes:
        while (answer := await self._ask(op, body)) is None:
            if op.writes and self.random.random() < 0.3:
                # What became of it? The next attempt has the same ids whatever the answer is.
                ids = b"".join(record[:16] for record in split(body))
                await self._ask(Op.lookup_results, ids)
            await self.scheduler.sleep(self.random.uniform(0.05, 0.5))
        return answer

    async def _ask(self, op: Op, body: bytes) -> bytes | None:
        """One attempt; None where it was refused, lost, or took too long."""
        houses = self.living()
        if not houses:
            return None
        house = self.random.choice(houses)

        def send(wakeup: Wakeup) -> None:
            for _ in range(1 + self.faults.is_doubled()):
                Delivery(self, house, op, body, wakeup).travel()
            self.scheduler.after(self.random.choice(PATIENCE_SECONDS), wakeup.resume)

        answer: bytes | None = await suspend(send)
        return answer

    # From beginning to end

    def run(self) -> None:
        scheduler = self.scheduler
        people = Process("clients")
        shared: list[Question] = []
        self.start_house()
        for number in range(1, CLIENTS + 1):
            self._clients_at_work += 1
            scheduler.start(people, self.client(number, shared))
        self.faults.plan(self, STORM_SECONDS)
        scheduler.run(lambda: self._is_over(), seconds_max=STORM_SECONDS + CALM_SECONDS_MAX)
        # Whoever comes next finds everything as it was, from the snapshot and from the journal.
        for house in self.living():
            scheduler.kill(house.process)
        asked: list[bytes] = []
        scheduler.start(people, self._ask_all(shared, asked))
        scheduler.run(
            lambda: bool(self.wrong) or (bool(asked) and self._lag_rows() == 0),
            seconds_max=CALM_SECONDS_MAX,
        )
        self._raise_wrong()
        self.oracle.check(self.server.state)

    def _is_over(self) -> bool:
        if self.wrong:
            self._raise_wrong()
        return self._clients_at_work == 0 and self.scheduler.now > STORM_SECONDS

    async def _ask_all(self, shared: list[Question], asked: list[bytes]) -> None:
        await self.ask_until_answered(Op.lookup_accounts, b"".join(
            record[:16] for record in split(OPEN[1])
        ))  # fmt: skip
        for op, body in shared:
            await self.ask_until_answered(op, body)
        asked.append(b"")

    def _raise_wrong(self) -> None:
        if self.wrong:
            raise self.wrong[0]


class Delivery:
    """One question on its way to a process, and the answer on its way back."""

    def __init__(self, world: World, house: House, op: Op, body: bytes, wakeup: Wakeup) -> None:
        self._world = world
        self._house = house
        self._op = op
        self._body = body
        self._wakeup = wakeup
        self._read: Read | None = None if op.writes else world.oracle.ask(op, body)

    def travel(self) -> None:
        self._world.scheduler.after(self._world.faults.travel_seconds(), self._arrive)
        self._house.process.on_death.append(self._lose)

    def _arrive(self) -> None:
        process = self._house.process
        if process.is_paused:
            process.held_back.append(self._arrive)
        elif not process.is_alive or self._house.writer is None:
            self._lose()
        else:
            try:
                future = self._house.writer.submit(self._op, self._body)
            except SakkError as error:
                self._world.refusals[f"{error.code}: {error.message}"] += 1
                self._answer(None)
            else:
                future.add_done_callback(self._on_done)

    def _on_done(self, future: Future[bytes]) -> None:
        """In the writer's own step: what it says now can not be taken back."""
        if not self._house.process.is_alive:
            return
        error = future.exception()
        if error is not None:
            if not isinstance(error, SakkError):
                self._world.wrong.append(error)
            else:
                self._world.refusals[f"{error.code}: {error.message}"] += 1
            self._answer(None)
            return
        answer = future.result()
        try:
            if self._read is None:
                self._world.oracle.answered_write(self._op, self._body, answer)
            else:
                self._world.oracle.answered_read(self._read, answer)
        except Violated as violated:
            self._world.wrong.append(violated)
        self._answer(answer)

    def _answer(self, answer: bytes | None) -> None:
        self._forget()
        if not self._world.faults.is_answer_lost():
            seconds = self._world.faults.travel_seconds()
            self._world.scheduler.after(seconds, lambda: self._wakeup.resume(answer))

    def _lose(self) -> None:
        if self._read is not None or self._op.writes:
            self._forget()
            self._world.scheduler.after(0.01, self._wakeup.resume)

    def _forget(self) -> None:
        if self._read is not None:
            self._world.oracle.forget(self._read)
            self._read = None


class _Log:
    """The writer's log in a simulation: an exception that it did not expect is an error."""

    def __init__(self, world: World) -> None:
        self._world = world

    def warning(self, name: str, **more: object) -> None:
        self._world.scheduler.note(f"{name} {more.get('reason', '')}")

    def exception(self, name: str, **more: object) -> None:
        self._world.scheduler.note(name)
        if name == "ledger_writer_stopped":
            self._world.wrong.append(sys.exc_info()[1] or AssertionError(name))


@contextmanager
def small(world: World) -> Iterator[None]:
    """Limits so low that a short history meets every one of them."""
    with (
        patch.multiple(
            writer,
            GROUP_EVENTS_MAX=6,
            QUEUE_EVENTS_MAX=24,
            QUEUE_CALLS_MAX=5,
            LAG_EVENTS_MAX=LAG_ROWS_MAX,
            SNAPSHOT_EVENTS=150,
            SNAPSHOT_GROWTH=1_000,
            SNAPSHOT_EVENTS_AT_CLOSE=60,
            RECOVERY_SECONDS_MAX=2.0,
            log=_Log(world),
        ),
        patch.multiple(projection, EVENTS_MAX=10),
        patch.object(machine, "serving", lambda: world.make),
    ):
        yield


def simulate(seed: int) -> Ended:
    """Run one seed to its end; raises Violated, Stuck, or what a part of the world raised."""
    world = World(seed)
    try:
        with small(world):
            world.run()
    except Exception as error:
        error.add_note("\n".join(world.scheduler.trace[-TRACE_LINES:]))
        raise
    finally:
        world.scheduler.close()
    oracle = world.oracle
    return Ended(
        seed,
        oracle.digest(),
        world.scheduler.now,
        world.scheduler.events,
        oracle.acknowledged,
        oracle.answered_reads,
        oracle.head.sequence,
        world.refusals,
        world.scheduler.trace,
    )
