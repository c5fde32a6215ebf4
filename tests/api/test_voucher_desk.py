"""Requests by voucher that come at once are prepared together, and fail each for itself."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from sakk.api.voucher import VoucherDesk


class Slow:
    """A thread that prepares when it is let; what it was given, and what it raises."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.error: Exception | None = None

    def prepare(self, requests: Sequence[Any]) -> None:
        self.batches.append([each.account for each in requests])
        assert self.gate.wait(60)
        if self.error is not None:
            raise self.error

    async def in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, work)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    found = Slow()
    monkeypatch.setattr(VoucherDesk, "_prepare", lambda _, requests: found.prepare(requests))
    return found


def desk(slow: Slow) -> VoucherDesk:
    nothing: Any = None
    return VoucherDesk(nothing, nothing, slow.in_thread, lambda: 0.0)


async def begun(desk: VoucherDesk, *accounts: str) -> list[asyncio.Task[None]]:
    """Requests that wait, each in the next turn of the loop."""
    tasks = [asyncio.create_task(desk._prepared([], each, False)) for each in accounts]
    await asyncio.sleep(0)
    return tasks


def test_what_comes_meanwhile_goes_together(slow: Slow) -> None:
    async def scenario() -> None:
        made = desk(slow)
        first = await begun(made, "a", "b")
        while not slow.batches:
            await asyncio.sleep(0.001)
        then = await begun(made, "c", "d", "e")
        # A client that leaves takes nobody with it.
        then[1].cancel()
        slow.gate.set()
        await asyncio.gather(*first, then[0], then[2])
        assert slow.batches == [["a", "b"], ["c", "d", "e"]]
        # Afterwards it begins anew.
        await asyncio.gather(*await begun(made, "f"))
        assert slow.batches[-1] == ["f"]

    asyncio.run(scenario())


def test_what_fails_fails_for_all_of_it_and_no_further(slow: Slow) -> None:
    async def scenario() -> None:
        made = desk(slow)
        slow.gate.set()
        slow.error = ConnectionError("the database is away")
        tasks = await begun(made, "a", "b")
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in found] == [ConnectionError, ConnectionError]
        slow.error = None
        await asyncio.gather(*await begun(made, "c"))

    asyncio.run(scenario())
