"""What goes wrong, and when. Each seed has its own few kinds of trouble, many of some."""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from tests.sim.postgres import Weather
from tests.sim.scheduler import Process

if TYPE_CHECKING:
    from tests.sim.world import World

HOUR_NS = 3_600 * 1_000_000_000
EVENTS_MAX = 14


class Faults:
    """Drawn from the seed: which kinds there are, and how often."""

    def __init__(self, random: Random) -> None:
        self._random = random
        kinds = [*_KINDS, "steps", "clock", "double", "reorder", "lose"]
        chance = random.choice((0.15, 0.35, 0.6))
        self.kinds = {kind for kind in kinds if random.random() < chance}
        self._is_over = False

    def plan(self, world: "World", seconds: float) -> None:
        """Set the times of everything that goes wrong, and of the end of it."""
        kinds = [kind for kind in _KINDS if kind in self.kinds]
        for _ in range(self._random.randint(1, EVENTS_MAX) if kinds else 0):
            act = _KINDS[self._random.choice(kinds)]
            world.scheduler.after(self._random.uniform(0, seconds), _acting(act, world))
        world.scheduler.after(seconds, lambda: self._end(world))

    def _end(self, world: "World") -> None:
        """The storm is over: who lives stays alive, and what is sent arrives."""
        self._is_over = True
        world.server.weather = Weather()
        for house in world.living():
            house.process.steps_left = None

    def steps_left(self) -> int | None:
        """After how many steps a new process is killed."""
        if self._is_over or "steps" not in self.kinds:
            return None
        return self._random.randint(3, 250)

    def clock_offset_ns(self) -> int:
        """How wrong a new process's clock is: up to an hour, either way."""
        return self._random.randint(-HOUR_NS, HOUR_NS) if "clock" in self.kinds else 0

    def is_doubled(self) -> bool:
        return "double" in self.kinds and not self._is_over and self._random.random() < 0.2

    def is_answer_lost(self) -> bool:
        return "lose" in self.kinds and not self._is_over and self._random.random() < 0.1

    def travel_seconds(self) -> float:
        if "reorder" in self.kinds and not self._is_over and self._random.random() < 0.15:
            return self._random.uniform(0, 4)
        return self._random.expovariate(5_000)


def _acting(act: Callable[["World", Random], None], world: "World") -> Callable[[], None]:
    return lambda: act(world, world.random)


def _change(world: "World", seconds: float, **weather: Any) -> None:
    """Change the weather, and change it back after some seconds."""
    for name, value in weather.items():
        setattr(world.server.weather, name, value)
        world.scheduler.after(seconds, lambda n=name: _change_back(world, n))  # type: ignore[misc]


def _change_back(world: "World", name: str) -> None:
    setattr(world.server.weather, name, getattr(Weather(), name))


def _kill(world: "World", random: Random) -> None:
    houses = world.living()
    if houses:
        world.scheduler.kill(random.choice(houses).process)


def _pause(world: "World", random: Random) -> None:
    houses = world.living()
    if not houses:
        return
    world.scheduler.pause(random.choice(houses).process, random.choice((0.01, 0.5, 3.0, 8.0)))
    if random.random() < 0.7:
        world.scheduler.after(random.uniform(0, 0.5), lambda: _second_writer(world, random))


def _second_writer(world: "World", random: Random) -> None:
    if len(world.living()) < 3:
        world.start_house()


def _second_projector(world: "World", random: Random) -> None:
    process = Process("a projector of its own")
    world.start_projector(process)
    world.scheduler.after(random.uniform(0.5, 6), lambda: world.scheduler.kill(process))


def _cut(world: "World", random: Random) -> None:
    world.scheduler.note("all connections are cut")
    world.server.cut_all()


def _bad_line(world: "World", random: Random) -> None:
    world.scheduler.note("the line to the database is bad")
    _change(world, random.uniform(0.5, 4), cut_chance=random.choice((0.02, 0.2)))


def _slow(world: "World", random: Random) -> None:
    world.scheduler.note("the disk is slow")
    seconds = random.uniform(0.5, 4)
    _change(world, seconds, disk_seconds=random.choice((0.02, 0.2, 1.0)))
    _change(world, seconds, travel_seconds=random.choice((0.0002, 0.05)))


def _full(world: "World", random: Random) -> None:
    world.scheduler.note("the disk is full")
    _change(world, random.choice((0.3, 3.0, 35.0)), disk_is_full=True)


def _crash(world: "World", random: Random) -> None:
    world.server.crash()


def _standby_away(world: "World", random: Random) -> None:
    world.scheduler.note("the standby is away")
    _change(world, random.uniform(0.1, 3), standby_is_away=True)
    if random.random() < 0.6:
        world.scheduler.after(random.uniform(0, 1), world.server.fail_over)
    if random.random() < 0.3:
        world.scheduler.after(random.uniform(0, 1), lambda: _second_writer(world, random))


def _fail_over(world: "World", random: Random) -> None:
    world.server.fail_over()


def _clock_jump(world: "World", random: Random) -> None:
    for house in world.living():
        house.process.clock_offset_ns += random.choice((-HOUR_NS, HOUR_NS, random.randint(-9, 9)))
        world.scheduler.note(f"the clock of {house.process.name} jumps")


_KINDS: dict[str, Callable[["World", Random], None]] = {
    "kill": _kill,
    "pause": _pause,
    "second writer": _second_writer,
    "second projector": _second_projector,
    "cut": _cut,
    "bad line": _bad_line,
    "slow": _slow,
    "full": _full,
    "crash": _crash,
    "standby away": _standby_away,
    "fail over": _fail_over,
    "clock jump": _clock_jump,
}
