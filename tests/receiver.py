"""A webhook receiver: a real HTTP server in a thread, which keeps all that it is sent."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

WAIT_SECONDS_MAX = 60.0
# Of the event loop, within which a connection that was taken is made.
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass(slots=True)
class Answer:
    """How a path answers. ``hold``: requests wait for ``Receiver.release``."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hold: bool = False


class Receiver:
    """Serves on loopback; every path answers 200 unless ``answers`` says otherwise."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: dict[str, Answer] = {}
        self.url = ""
        self._changed = threading.Condition()
        self._released: dict[str, asyncio.Event] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="receiver")
        self._runner: web.AppRunner | None = None
        self._door: socket.socket

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def at(self, path: str) -> list[Received]:
        """What arrived at a path so far."""
        with self._changed:
            return [found for found in self.received if found.path == path]

    def wait(self, path: str, count: int) -> list[Received]:
        """Wait until at least ``count`` requests arrived at a path."""
        self.wait_until(
            lambda: sum(found.path == path for found in self.received) >= count,
            f"{count} requests at {path}",
        )
        return self.at(path)

    def wait_until(
        self, is_true: Callable[[], bool], what: str, seconds_max: float = WAIT_SECONDS_MAX
    ) -> None:
        with self._changed:
            if not self._changed.wait_for(is_true, seconds_max):
                raise AssertionError(f"waited {seconds_max} s for {what}: {self.received}")

    def release(self, path: str) -> None:
        """Let the requests that a path holds go on, and hold no more."""

        def open_gate() -> None:
            self.answers[path].hold = False
            self._gate(path).set()

        self._loop.call_soon_threadsafe(open_gate)

    def _gate(self, path: str) -> asyncio.Event:
        return self._released.setdefault(path, asyncio.Event())

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        self._door = socket.create_server(("127.0.0.1", 0))
        await web.SockSite(self._runner, self._door).start()
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}"

    async def _stop(self) -> None:
        for gate in self._released.values():
            gate.set()
        if self._runner is None:
            return
        # Python 3.11 forgets a connection, open, whose server is closed while it is being taken.
        self._loop.remove_reader(self._door)
        for _ in range(ROUNDS):
            await asyncio.sleep(0)
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = dict(request.headers.items())
        with self._changed:
            self.received.append(Received(request.path, headers, body))
            self._changed.notify_all()
        answer = self.answers.get(request.path, Answer())
        if answer.hold:
            await self._gate(request.path).wait()
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
