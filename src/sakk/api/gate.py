"""The door's threads: synchronous work beside the event loop, alone or asked together.

What arrives while others are being answered makes the next group: so under load a thousand requests
cost few transactions, and a single one never waits for another.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final, Generic, TypeVar

from fastapi import Request as HttpRequest

from sakk.api.answer import refusal
from sakk.api.dependencies import REQUESTS_WAITING_MAX, ApiSettings
from sakk.core.errors import Unavailable
from sakk.flow.idempotency import Answer

GROUP_MAX: Final = 64
# Where so many wait another group goes at once, up to this many of one place.
WAITING_MANY: Final = 16
GROUPS_MAX: Final = 4

T = TypeVar("T")
Question = TypeVar("Question")
Reply = TypeVar("Reply")


class Gathering(Generic[Question, Reply]):
    """Asks in threads, for one event loop. What is of one place goes together.

    Places do not wait for one another: what is slow to answer for one is not for the others.
    ``ask`` gives one answer for each question, in their order; what it raises is raised for all.
    """

    def __init__(
        self, threads: Executor, ask: Callable[[Sequence[Question]], Sequence[Reply]]
    ) -> None:
        self._threads = threads
        self._ask = ask
        self._waiting: dict[str, deque[tuple[Question, asyncio.Future[Reply]]]] = {}
        self._groups: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, place: str, question: Question) -> Reply:
        """The answer to one question of a place."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        waiting = self._waiting.setdefault(place, deque())
        waiting.append((question, future))
        running = self._groups.get(place, 0)
        if not running or (len(waiting) >= WAITING_MANY and running < GROUPS_MAX):
            self._groups[place] = running + 1
            # It begins in the loop's next turn, with all that this one brings.
            task = loop.create_task(self._run(place))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    def alone(self, question: Question) -> Reply:
        """Ask one question in this thread, with no other."""
        [reply] = self._ask([question])
        return reply

    async def _run(self, place: str) -> None:
        """Ask group after group until nothing waits."""
        loop = asyncio.get_running_loop()
        waiting = self._waiting[place]
        while waiting:
            group = [waiting.popleft() for _ in range(min(len(waiting), GROUP_MAX))]
            questions = [question for question, _ in group]
            try:
                replies = await loop.run_in_executor(self._threads, self._ask, questions)
            except Exception as error:
                for _, future in group:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), reply in zip(group, replies, strict=True):
                if not future.done():
                    future.set_result(reply)
        self._groups[place] -= 1
        if not self._groups[place]:
            del self._groups[place], self._waiting[place]


class Gate:
    """Runs synchronous work in the door's own threads; turns requests away when too many wait."""

    def __init__(self, settings: ApiSettings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="api")
        self._threads_outside = ThreadPoolExecutor(
            settings.threads_outside, thread_name_prefix="api-outside"
        )
        self._inside = 0

    def close(self) -> None:
        """Wait for what is being executed."""
        self._threads.shutdown(wait=True)
        self._threads_outside.shutdown(wait=True)

    async def run(
        self, request: HttpRequest, work: Callable[[], T], *, outside: bool
    ) -> T | Answer:
        """Do the work in a thread."""
        threads = self._threads_outside if outside else self._threads
        loop = asyncio.get_running_loop()
        return await self.counted(request, lambda: loop.run_in_executor(threads, work))

    async def counted(self, request: HttpRequest, answer: Callable[[], Awaitable[T]]) -> T | Answer:
        """Await an answer that a thread gives. The count is the event loop's alone: no lock."""
        if self._inside >= self._settings.threads + REQUESTS_WAITING_MAX:
            return refusal(
                Unavailable("Too many requests are waiting. Send the request again in a second."),
                request_id=str(request.scope["sakk.request_id"]),
            )
        self._inside += 1
        try:
            return await answer()
        finally:
            self._inside -= 1

    def gathering(self, ask: Callable[[Sequence[Question]], Sequence[T]]) -> Gathering[Question, T]:
        """Questions that go outside, asked together by the door's own threads."""
        return Gathering(self._threads_outside, ask)

    async def beside(self, work: Callable[[], T]) -> T:
        """Do what is short and is not turned away, beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
