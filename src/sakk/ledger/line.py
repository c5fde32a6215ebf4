"""A line to the ledger for an event loop: one connection that carries many questions at once.

What is asked in one turn of the loop goes out in one frame, each question a request of its own. Two
frames may be under way: one that the ledger is making durable, and one for it to go on with. What
is asked meanwhile waits for the first, so the busier the ledger is the more a frame carries, and a
thousand small questions cost both processes a handful of frames.
"""

import asyncio
import time
from collections import deque
from pathlib import Path
from typing import Protocol, cast

from sakk.core.errors import RateLimited, SakkError, Unavailable
from sakk.ledger.calls import Calls, Op
from sakk.ledger.frame import (
    CALL_SECONDS_MAX,
    FRAME_BYTES_MAX,
    TCP,
    Cutter,
    NotAFrame,
    Question,
    decode_answers,
    encode_frame,
    error_of,
    lost,
)

QUESTIONS_MAX = 8_192
QUESTIONS_BYTES_MAX = 64 << 20
FRAME_QUESTIONS_MAX = 1_024
FRAMES_UNDER_WAY_MAX = 2
QUESTION_BYTES = 16  # what a frame adds to a question, at most
CONNECT_SECONDS_MAX = 5.0
LATE_POLL_SECONDS = 1.0


class Line(Protocol):
    """Something that an event loop can ask; raises the errors of ``sakk.ledger.types``."""

    async def ask(self, op: Op, body: bytes) -> bytes: ...


class LocalLine:
    """A line to a ledger in this process."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def ask(self, op: Op, body: bytes) -> bytes:
        return await asyncio.wrap_future(self._calls.submit(op, body))


class _Asked:
    """A question that waits for its answer."""

    __slots__ = ("answer", "body", "op")

    def __init__(self, op: Op, body: bytes, answer: asyncio.Future[bytes]) -> None:
        self.op = op
        self.body = body
        self.answer = answer

    def fail(self, error: SakkError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class RemoteLine:
    """A line to a served ledger: a socket's path, or ``tcp://host:port``.

    Belongs to one event loop. It connects at the first question, and again after a loss.
    ``Unavailable``: nothing was done. ``OutcomeUnknown``: the connection broke after a create was
    sent. ``RateLimited``: too much waits already.
    """

    def __init__(self, address: str | Path) -> None:
        self._address = str(address)
        self._unsent: deque[_Asked] = deque()
        self._count = 0
        self._bytes = 0
        self._due = False
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[None] | None = None

    async def ask(self, op: Op, body: bytes) -> bytes:
        """One question; cancelled or not, what was sent may be done."""
        if self._count >= QUESTIONS_MAX or self._bytes + len(body) > QUESTIONS_BYTES_MAX:
            raise RateLimited("the ledger's queue is full; send the same ids again in a second")
        loop = asyncio.get_running_loop()
        asked = _Asked(op, body, loop.create_future())
        self._unsent.append(asked)
        self._count += 1
        self._bytes += len(body)
        if not self._due:
            self._due = True
            loop.call_soon(self._send)
        try:
            return await asked.answer
        finally:
            self._count -= 1
            self._bytes -= len(body)

    def close(self) -> None:
        """Let the connection go; questions under way fail."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.abort()

    def _send(self) -> None:
        self._due = False
        if self._connection is None:
            if self._connecting is None and self._unsent:
                self._connecting = asyncio.get_running_loop().create_task(self._connect())
            return
        while self._unsent and self._connection.is_ready:
            self._connection.send(self._next_frame())

    def _next_frame(self) -> list[_Asked]:
        frame: list[_Asked] = []
        size = 0
        while self._unsent and len(frame) < FRAME_QUESTIONS_MAX:
            size += len(self._unsent[0].body) + QUESTION_BYTES
            if frame and size > FRAME_BYTES_MAX // 2:
                break
            asked = self._unsent.popleft()
            # Whoever does not wait any more, and was not sent, is not asked for.
            if not asked.answer.done():
                frame.append(asked)
        return frame

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                if self._address.startswith(TCP):
                    host, _, port = self._address.removeprefix(TCP).rpartition(":")
                    await loop.create_connection(lambda: _Connection(self), host, int(port))
                else:
                    await loop.create_unix_connection(lambda: _Connection(self), self._address)
        except (OSError, TimeoutError) as error:
            failure = Unavailable(f"the ledger does not answer at {self._address}: {error}")
            while self._unsent:
                self._unsent.popleft().fail(failure)
        finally:
            self._connecting = None

    def connected(self, connection: "_Connection") -> None:
        self._connection = connection
        self._send()

    def ready(self) -> None:
        """The connection takes another frame."""
        if self._unsent:
            self._send()

    def disconnected(self) -> None:
        self._connection = None
        self._send()


class _Connection(asyncio.Protocol):
    """One connection of a line, and the frames that it waits for."""

    def __init__(self, line: RemoteLine) -> None:
        self._line = line
        self._cutter = Cutter()
        self._frames: deque[tuple[float, list[_Asked]]] = deque()
        self._reason: object = "it closed the connection"
        self._writable = True

    @property
    def is_ready(self) -> bool:
        """May another frame be sent?"""
        return self._writable and len(self._frames) < FRAMES_UNDER_WAY_MAX

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._watch = asyncio.get_running_loop().call_later(LATE_POLL_SECONDS, self._look_for_late)
        self._line.connected(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._watch.cancel()
        for _, frame in self._frames:
            for asked in frame:
                asked.fail(lost(asked.op, error or self._reason))
        self._frames.clear()
        self._line.disconnected()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._line.ready()

    def send(self, frame: list[_Asked]) -> None:
        if not frame:
            return
        self._frames.append((time.monotonic(), frame))
        self._transport.write(encode_frame([Question(each.op, each.body) for each in frame]))

    def data_received(self, data: bytes) -> None:
        try:
            for payload in self._cutter.cut(data):
                self._answered(payload)
            self._line.ready()
        except NotAFrame as error:
            self._reason = error
            self.abort()

    def abort(self) -> None:
        self._transport.abort()

    def _answered(self, payload: bytes) -> None:
        answers = decode_answers(payload)
        if not self._frames or len(self._frames[0][1]) != len(answers):
            raise NotAFrame("an answer to what was not asked")
        _, frame = self._frames.popleft()
        for asked, answer in zip(frame, answers, strict=True):
            if asked.answer.done():
                continue
            if answer.code:
                asked.answer.set_exception(error_of(answer, asked.op))
            else:
                asked.answer.set_result(answer.body)

    def _look_for_late(self) -> None:
        if self._frames and time.monotonic() - self._frames[0][0] > CALL_SECONDS_MAX:
            self._reason = f"no answer in {CALL_SECONDS_MAX:.0f} seconds"
            self.abort()
            return
        self._watch = asyncio.get_running_loop().call_later(LATE_POLL_SECONDS, self._look_for_late)
