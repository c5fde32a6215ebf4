"""The ledger in another process, for threads: a pool of connections, one question on each.

The frames are those of ``sakk.ledger.frame``. The pool's threads do not wait for one another, and
the writer sees them all at once. An event loop asks over ``sakk.ledger.line`` instead.
"""

import os
import select
import socket
import threading
from concurrent.futures import Future
from pathlib import Path

from sakk.core.errors import Unavailable
from sakk.ledger.calls import Op, OpenLedger
from sakk.ledger.frame import (
    CALL_SECONDS_MAX,
    FRAME_BYTES_MAX,
    LENGTH,
    TCP,
    Answer,
    NotAFrame,
    Question,
    decode_answers,
    encode_frame,
    error_of,
    lost,
)

CONNECTIONS_MAX = 64
CONNECT_SECONDS_MAX = 5.0


def connect_ledger(address: str | Path) -> OpenLedger:
    """Reach a served ledger: a socket's path, or ``tcp://host:port``.

    Nothing is connected until the first call. ``Unavailable``: nothing was done.
    ``OutcomeUnknown``: the connection broke after a create was sent.
    """
    return OpenLedger(_Pool(str(address)))


class _Pool:
    """Connections of one process to one ledger. Safe to share between threads."""

    def __init__(self, address: str) -> None:
        self.stopped = threading.Event()
        self._address = address
        self._idle: list[socket.socket] = []
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(CONNECTIONS_MAX)
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
            raise error_of(answer, op)
        return answer.body

    def submit(self, op: Op, body: bytes) -> Future[bytes]:
        """The same, as a future that is done: a pool's questions take a thread each."""
        future: Future[bytes] = Future()
        try:
            future.set_result(self.call(op, body))
        except Exception as error:
            future.set_exception(error)
        return future

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


def _ask(connection: socket.socket, op: Op, body: bytes) -> Answer:
    reason: object = "it closed the connection"
    try:
        connection.sendall(encode_frame([Question(op, body)]))
        frame = _receive(connection)
        if frame is not None:
            [answer] = decode_answers(frame)
            return answer
    except (OSError, NotAFrame, ValueError) as error:
        reason = error
    raise lost(op, reason)


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
