"""The ledger in another process: length-prefixed msgpack frames over a unix socket or TCP.

A frame is a u32 length (little-endian) and a msgpack array: a question ``[op, body]``, an answer
``[body, code, message, param, retry_after_seconds]`` whose empty code means success. A connection
carries one question at a time; the client keeps a pool of them, so threads do not wait for one
another and the writer sees them all at once. Whoever can open the address can move money: a unix
socket (mode 0600), or TCP inside a network that is ours alone.
"""

import os
import select
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path

import msgspec

from sakk.core.errors import ParameterInvalid, RateLimited, SakkError, Unavailable
from sakk.ledger.calls import Op, OpenLedger
from sakk.ledger.types import OutcomeUnknown
from sakk.ledger.writer import Fenced

FRAME_BYTES_MAX = 4 << 20
SERVER_CONNECTIONS_MAX = 1_024
CLIENT_CONNECTIONS_MAX = 64
CALL_SECONDS_MAX = 60.0  # more than the writer waits for its journal
CONNECT_SECONDS_MAX = 5.0
ACCEPT_SECONDS = 0.2
DRAIN_SECONDS_MAX = 10.0
LENGTH = struct.Struct("<I")
TCP = "tcp://"

_ERRORS: dict[str, type[SakkError]] = {
    kind.code: kind for kind in (ParameterInvalid, Unavailable, Fenced, OutcomeUnknown)
}


class _Question(msgspec.Struct, array_like=True, frozen=True):
    op: int
    body: bytes


class _Answer(msgspec.Struct, array_like=True, frozen=True):
    body: bytes = b""
    code: str = ""
    message: str = ""
    param: str | None = None
    retry_after_seconds: int = 0


def connect_ledger(address: str | Path) -> OpenLedger:
    """Reach a served ledger: a socket's path, or ``tcp://host:port``.

    Nothing is connected until the first call. ``Unavailable``: nothing was done.
    ``OutcomeUnknown``: the connection broke after a create was sent.
    """
    return OpenLedger(_Pool(str(address)))


def serve_ledger(ledger: OpenLedger, address: str | Path, stop: threading.Event) -> None:
    """Answer connections until ``stop`` is set or the ledger stops; calls under way finish."""
    listener = _listen(str(address))
    open_sockets: set[socket.socket] = set()
    threads: set[threading.Thread] = set()
    with listener:
        listener.settimeout(ACCEPT_SECONDS)
        while not stop.is_set() and not ledger.stopped.is_set():
            threads = {thread for thread in threads if thread.is_alive()}
            try:
                accepted, _ = listener.accept()
            except TimeoutError:
                continue
            if len(threads) >= SERVER_CONNECTIONS_MAX:
                accepted.close()
                continue
            open_sockets.add(accepted)
            thread = threading.Thread(
                target=_serve_connection,
                args=(ledger, accepted, open_sockets),
                name="ledger-connection",
                daemon=True,
            )
            threads.add(thread)
            thread.start()
    if not str(address).startswith(TCP):
        Path(address).unlink(missing_ok=True)
    for open_socket in list(open_sockets):
        # No more questions; the answer to the one under way still goes out.
        with suppress(OSError):
            open_socket.shutdown(socket.SHUT_RD)
    for thread in threads:
        thread.join(DRAIN_SECONDS_MAX)


class _Pool:
    """Connections of one process to one ledger. Safe to share between threads."""

    def __init__(self, address: str) -> None:
        self.stopped = threading.Event()
        self._address = address
        self._idle: list[socket.socket] = []
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(CLIENT_CONNECTIONS_MAX)
        self._process = os.getpid()

    def call(self, op: Op, body: bytes) -> bytes:
        if not self._slots.acquire(timeout=CALL_SECONDS_MAX):
            raise Unavailable("all connections to the ledger are busy; try again")
        try:
            connection = self._take()
            try:
                answer = _ask(connection, op, body)
            except BaseException:
                connection.close()
                raise
            self._give_back(connection)
        finally:
            self._slots.release()
        if answer.code:
            raise _error_of(answer, op)
        return answer.body

    def close(self) -> None:
        self.stopped.set()
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> socket.socket:
        while True:
            with self._lock:
                if self.stopped.is_set():
                    raise Unavailable("this connection to the ledger is closed")
                if self._process != os.getpid():
                    # After a fork the sockets belong to the parent.
                    self._idle, self._process = [], os.getpid()
                if not self._idle:
                    break
                connection = self._idle.pop()
            if not select.select([connection], [], [], 0)[0]:
                return connection
            connection.close()  # an idle connection has nothing to say but that it ended
        try:
            return _connect(self._address)
        except OSError as error:
            raise Unavailable(f"the ledger does not answer at {self._address}: {error}") from error

    def _give_back(self, connection: socket.socket) -> None:
        with self._lock:
            if not self.stopped.is_set():
                self._idle.append(connection)
                return
        connection.close()


def _ask(connection: socket.socket, op: Op, body: bytes) -> _Answer:
    try:
        _send(connection, msgspec.msgpack.encode(_Question(op, body)))
        frame = _receive(connection)
        if frame is not None:
            return msgspec.msgpack.decode(frame, type=_Answer)
        lost: Exception | str = "it closed the connection"
    except (OSError, msgspec.MsgspecError) as error:
        lost = error
    if op.writes:
        raise OutcomeUnknown(f"the ledger was lost during a call ({lost}); repeat the same ids")
    raise Unavailable(f"the ledger was lost during a call ({lost}); ask again")


def _error_of(answer: _Answer, op: Op) -> SakkError:
    """The error that the other side raised."""
    if answer.code == RateLimited.code:
        return RateLimited(
            answer.message, param=answer.param, retry_after_seconds=answer.retry_after_seconds
        )
    kind = _ERRORS.get(answer.code, OutcomeUnknown if op.writes else Unavailable)
    return kind(answer.message, param=answer.param)


def _serve_connection(
    ledger: OpenLedger, connection: socket.socket, open_sockets: set[socket.socket]
) -> None:
    """Answer one connection's questions until it ends, or says something that is none."""
    with connection:
        with suppress(OSError):
            while (frame := _receive(connection)) is not None:
                answer = _answer(ledger, frame)
                _send(connection, msgspec.msgpack.encode(answer))
                if answer.code == ParameterInvalid.code:
                    break
        open_sockets.discard(connection)


def _answer(ledger: OpenLedger, frame: bytes) -> _Answer:
    try:
        question = msgspec.msgpack.decode(frame, type=_Question)
        op = Op(question.op)
    except (msgspec.MsgspecError, ValueError) as error:
        return _Answer(code=ParameterInvalid.code, message=f"not a question: {error}")
    try:
        return _Answer(ledger.calls.call(op, question.body))
    except SakkError as error:
        retry_after = error.retry_after_seconds if isinstance(error, RateLimited) else 0
        return _Answer(
            code=error.code,
            message=error.message,
            param=error.param,
            retry_after_seconds=retry_after,
        )


def _send(connection: socket.socket, payload: bytes) -> None:
    connection.sendall(LENGTH.pack(len(payload)) + payload)


def _receive(connection: socket.socket) -> bytes | None:
    """The next frame, or None at a clean end; OSError if it is cut short or too long."""
    head = _read(connection, LENGTH.size)
    if head is None:
        return None
    (length,) = LENGTH.unpack(head)
    if length > FRAME_BYTES_MAX:
        raise OSError(f"a frame of {length} bytes is longer than {FRAME_BYTES_MAX}")
    payload = _read(connection, length)
    if payload is None:
        raise OSError("a frame was cut short")
    return payload


def _read(connection: socket.socket, length: int) -> bytes | None:
    buffer = bytearray(length)
    view = memoryview(buffer)
    done = 0
    while done < length:
        count = connection.recv_into(view[done:])
        if count == 0:
            if done == 0:
                return None
            raise OSError("a frame was cut short")
        done += count
    return bytes(buffer)


def _connect(address: str) -> socket.socket:
    if address.startswith(TCP):
        host, _, port = address.removeprefix(TCP).rpartition(":")
        connection = socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS_MAX)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    else:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(CONNECT_SECONDS_MAX)
            connection.connect(address)
        except BaseException:
            connection.close()
            raise
    connection.settimeout(CALL_SECONDS_MAX)
    return connection


def _listen(address: str) -> socket.socket:
    if address.startswith(TCP):
        host, _, port = address.removeprefix(TCP).rpartition(":")
        return socket.create_server((host, int(port)), backlog=SERVER_CONNECTIONS_MAX)
    path = Path(address)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(address)
        path.chmod(0o600)
        listener.listen(SERVER_CONNECTIONS_MAX)
    except BaseException:
        listener.close()
        raise
    return listener
