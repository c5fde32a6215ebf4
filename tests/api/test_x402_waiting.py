"""Who waits is told by a notification, once or each, and is not told of what is not its own."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from sakk.api import x402_waiting
from sakk.api.x402_waiting import Waiters
from sakk.store.database import Database, notify_after

ENDED = "test.ended"
WAIT_SECONDS = 30.0


class Ends:
    """What has ended, as the database would say it, and how often each was asked about."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.asked: list[tuple[Sequence[str], Sequence[str]]] = []

    def __call__(self, once: Sequence[str], keyed: Sequence[str]) -> dict[str, str]:
        self.asked.append((once, keyed))
        return {each: self.known[each] for each in [*once, *keyed] if each in self.known}


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Ends:
    # What is told here is told by a notification, or because somebody began to wait.
    monkeypatch.setattr(x402_waiting, "LOOK_SECONDS", 600.0)
    return Ends()


def run(
    database: Database,
    ends: Ends,
    scene: Callable[[Waiters[str], Callable[[], None]], Awaitable[None]],
) -> None:
    waiters = Waiters(database.url, ends, ended=ENDED)

    def ring() -> None:
        with database.begin() as connection:
            notify_after(connection, ENDED)

    async def bounded() -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            await scene(waiters, ring)

    try:
        asyncio.run(bounded())
    finally:
        waiters.close()


def test_who_waits_is_told_by_a_notification(database: Database, ends: Ends) -> None:
    async def scene(waiters: Waiters[str], ring: Callable[[], None]) -> None:
        alone = waiters.wait("one", is_keyed=False)
        both = [waiters.wait("two", is_keyed=True) for _ in range(2)]
        other = waiters.wait("three", is_keyed=True)
        while not ends.asked:
            await asyncio.sleep(0.001)
        ends.known = {"one": "first", "two": "second"}
        while not alone.done() or not all(each.done() for each in both):
            # The listener may not listen yet when the first notification goes out.
            await asyncio.to_thread(ring)
            await asyncio.sleep(0.01)
        assert alone.result() == "first"
        assert [each.result() for each in both] == ["second", "second"]
        assert not other.done()
        assert len(waiters) == 1
        waiters.leave("three", other)
        assert len(waiters) == 0

    run(database, ends, scene)


def test_what_ended_before_anybody_waited_is_told_at_once(database: Database, ends: Ends) -> None:
    async def scene(waiters: Waiters[str], ring: Callable[[], None]) -> None:
        first = waiters.wait("first", is_keyed=False)
        while not ends.asked:
            await asyncio.sleep(0.001)
        ends.known = {"late": "told"}
        assert await waiters.wait("late", is_keyed=False) == "told"
        assert not first.done()
        waiters.leave("first", first)

    run(database, ends, scene)
