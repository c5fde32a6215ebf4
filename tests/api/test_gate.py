"""Questions of one moment are asked together, and none waits for what is not its own."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from sakk.api.gate import GROUP_MAX, GROUPS_MAX, WAITING_MANY, Gathering

WAIT_SECONDS = 30.0


class Oracle:
    """Doubles numbers, each group when it may; refuses negative ones."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.may = threading.Event()
        self.asked = threading.Semaphore(0)

    def __call__(self, questions: Sequence[int]) -> list[int]:
        self.groups.append(list(questions))
        self.asked.release()
        assert self.may.wait(WAIT_SECONDS)
        if min(questions) < 0:
            raise ValueError("negative")
        return [2 * each for each in questions]


@contextmanager
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def run(scene: Callable[[Gathering[int, int], Oracle], Awaitable[None]]) -> Oracle:
    oracle = Oracle()
    with threads() as pool:
        try:
            asyncio.run(_within(scene(Gathering(pool, oracle), oracle)))
        finally:
            oracle.may.set()
    return oracle


async def _within(scene: Awaitable[None]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        await scene


async def _has_asked(oracle: Oracle, groups: int = 1) -> None:
    for _ in range(groups):
        await asyncio.to_thread(oracle.asked.acquire)


def test_what_comes_meanwhile_is_the_next_group() -> None:
    async def scene(gathering: Gathering[int, int], oracle: Oracle) -> None:
        first = asyncio.create_task(gathering.ask("here", 1))
        await _has_asked(oracle)
        others = [asyncio.create_task(gathering.ask("here", each)) for each in (2, 3, 4)]
        await asyncio.sleep(0)
        oracle.may.set()
        assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
        assert await gathering.ask("here", 5) == 10

    assert run(scene).groups == [[1], [2, 3, 4], [5]]


def test_places_do_not_wait_for_one_another() -> None:
    async def scene(gathering: Gathering[int, int], oracle: Oracle) -> None:
        both = [asyncio.create_task(gathering.ask(place, 1)) for place in ("here", "there")]
        await _has_asked(oracle, groups=2)
        oracle.may.set()
        assert await asyncio.gather(*both) == [2, 2]

    assert run(scene).groups == [[1], [1]]


def test_a_failure_is_everybodys_of_its_group_and_nobody_elses() -> None:
    async def scene(gathering: Gathering[int, int], oracle: Oracle) -> None:
        first = asyncio.create_task(gathering.ask("here", 1))
        await _has_asked(oracle)
        bad = [asyncio.create_task(gathering.ask("here", each)) for each in (-1, 2)]
        await asyncio.sleep(0)
        oracle.may.set()
        assert await first == 2
        told = await asyncio.gather(*bad, return_exceptions=True)
        assert [type(each) for each in told] == [ValueError, ValueError]
        assert await gathering.ask("here", 3) == 6

    run(scene)


def test_many_at_once_are_several_groups_of_bounded_size() -> None:
    count = GROUP_MAX * GROUPS_MAX + WAITING_MANY

    async def scene(gathering: Gathering[int, int], oracle: Oracle) -> None:
        tasks = [asyncio.create_task(gathering.ask("here", each)) for each in range(count)]
        await _has_asked(oracle, groups=GROUPS_MAX)
        oracle.may.set()
        assert await asyncio.gather(*tasks) == [2 * each for each in range(count)]

    groups = run(scene).groups
    assert [len(each) for each in groups] == [GROUP_MAX] * GROUPS_MAX + [WAITING_MANY]


def test_who_goes_away_takes_no_other_along() -> None:
    async def scene(gathering: Gathering[int, int], oracle: Oracle) -> None:
        first = asyncio.create_task(gathering.ask("here", 1))
        await _has_asked(oracle)
        second = asyncio.create_task(gathering.ask("here", 2))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        oracle.may.set()
        assert await second == 4

    run(scene)
