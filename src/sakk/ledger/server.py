"""The ledger's socket: one thread that hands questions to the writer and sends what it answers.

Whoever can open the address can move money: a unix socket (mode 0600), or TCP inside a network
that is ours alone.
"""

import asyncio
import socket
import threading
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import structlog

from sakk.core.errors import ParameterInvalid, SakkError, Unavailable
from sakk.ledger.calls import Op, OpenLedger
from sakk.ledger.frame import (
    TCP,
    Answer,
    Cutter,
    NotAFrame,
    Question,
    answer_of,
    decode_questions,
    encode_frame,
)

log = structlog.get_logger(__name__)

CONNECTIONS_MAX = 1_024
FRAMES_UNDER_WAY_MAX = 256
STOP_POLL_SECONDS = 0.2
DRAIN_SECONDS_MAX = 10.0


def serve_ledger(ledger: OpenLedger, address: str | Path, stop: threading.Event) -> None:
    """Answer connections until ``stop`` is set or the ledger stops; calls under way finish."""
    asyncio.run(answer_calls(ledger, address, stop))


async def answer_calls(ledger: OpenLedger, address: str | Path, stop: threading.Event) -> None:
    """The same, in an event loop that runs already."""
    listener = _listen(str(address))
    with listener:
        await _Server(ledger).serve(listener, stop)
    if not str(address).startswith(TCP):
        Path(address).unlink(missing_ok=True)


@dataclass(slots=True)
class _Server:
    """All connections, in one event loop."""

    ledger: OpenLedger
    connections: set["_Connection"] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop | None = None
    _woken: bool = False

    async def serve(self, listener: socket.socket, stop: threading.Event) -> None:
        self._loop = loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(self), sock=listener)
        while not stop.is_set() and not self.ledger.stopped.is_set():
            await asyncio.sleep(STOP_POLL_SECONDS)
        server.close()
        # No more questions; the answers to those under way still go out.
        closing = [connection.finish() for connection in self.connections]
        if closing:
            _, late = await asyncio.wait(closing, timeout=DRAIN_SECONDS_MAX)
            for connection in list(self.connections) if late else ():
                connection.abort()

    def wake(self, _: Future[bytes]) -> None:
        """A question was answered, in the writer's thread: look at once, and once for many."""
        if not self._woken:
            self._woken = True
            assert self._loop is not None
            # The loop may be closed already when the writer answers the last ones.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._send)

    def _send(self) -> None:
        # First this: what is answered from here on wakes again.
        self._woken = False
        for connection in list(self.connections):
            connection.send()


class _Connection(asyncio.Protocol):
    """One connection's frames, answered in the order in which they came."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._cutter = Cutter()
        self._frames: deque[list[Future[bytes] | Answer]] = deque()
        self._ends = False
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if len(self._server.connections) >= CONNECTIONS_MAX:
            self._transport.abort()
        self._server.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._server.connections.discard(self)
        self._frames.clear()
        if not self._closed.done():
            self._closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._ends:
            return
        try:
            for payload in self._cutter.cut(data):
                self._frames.append([self._submit(each) for each in decode_questions(payload)])
        except NotAFrame as error:
            refusal = ParameterInvalid(f"not a frame of questions: {error}")
            self._frames.append([answer_of(refusal)])
            self._ends = True
        if len(self._frames) >= FRAMES_UNDER_WAY_MAX or self._ends:
            self._transport.pause_reading()
        self.send()

    def eof_received(self) -> bool:
        """Nothing more is asked: close when all is answered."""
        self._ends = True
        self.send()
        return True

    def pause_writing(self) -> None:
        """The other side does not read: it gets nothing more to ask."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        if not self._ends:
            self._transport.resume_reading()

    def send(self) -> None:
        """Send every frame whose questions are all answered, up to the first that is not."""
        frames = self._frames
        was_full = len(frames) >= FRAMES_UNDER_WAY_MAX
        while frames and all(isinstance(each, Answer) or each.done() for each in frames[0]):
            self._transport.write(encode_frame([_answer(each) for each in frames.popleft()]))
        if self._ends and not frames:
            self._transport.close()
        elif was_full and len(frames) < FRAMES_UNDER_WAY_MAX:
            self._transport.resume_reading()

    def finish(self) -> asyncio.Future[None]:
        """Take no more questions; the result comes when the connection is closed."""
        self._ends = True
        self._transport.pause_reading()
        self.send()
        return self._closed

    def abort(self) -> None:
        self._transport.abort()

    def _submit(self, question: Question) -> Future[bytes] | Answer:
        try:
            op = Op(question.op)
        except ValueError:
            return answer_of(ParameterInvalid(f"there is no operation {question.op}"))
        try:
            future = self._server.ledger.calls.submit(op, question.body)
        except SakkError as error:
            return answer_of(error)
        future.add_done_callback(self._server.wake)
        return future


def _answer(done: Future[bytes] | Answer) -> Answer:
    if isinstance(done, Answer):
        return done
    error = done.exception()
    if error is None:
        return Answer(done.result())
    if isinstance(error, SakkError):
        return answer_of(error)
    log.error("ledger_call_failed", exc_info=error)
    return answer_of(Unavailable(f"the ledger failed: {error!r}"))


def _listen(address: str) -> socket.socket:
    if address.startswith(TCP):
        host, _, port = address.removeprefix(TCP).rpartition(":")
        return socket.create_server((host, int(port)), backlog=CONNECTIONS_MAX)
    path = Path(address)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(address)
        path.chmod(0o600)
        listener.listen(CONNECTIONS_MAX)
    except BaseException:
        listener.close()
        raise
    return listener
