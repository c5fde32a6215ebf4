"""A flood of HTTP requests from one thread: raw sockets, prepared bytes, as little else as can be.

Who measures shares the machine with what is measured. This client understands what Sakk's server
sends (a status, a Content-Length, a body) and nothing more; it keeps one request under way on each
connection, and asks again as soon as it is answered.
"""

import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from sakk.bench.http import HttpBroken

ANSWER_SECONDS_MAX = 60.0
READ_BYTES = 1 << 18
LENGTH_NAME = b"content-length: "


@dataclass(slots=True)
class Flood:
    """What a number of requests took."""

    milliseconds: list[float] = field(default_factory=list)
    seconds: float = 0.0
    client_cpu_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.milliseconds) / self.seconds


def prepare(
    address: str, method: str, path: str, headers: dict[str, str], body: bytes = b""
) -> bytes:
    """A request's bytes."""
    lines = {"Host": urlsplit(address).netloc, **headers}
    if body or method == "POST":
        lines["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def flood(
    address: str,
    requests: Iterator[bytes],
    *,
    connections: int,
    answered: Callable[[bytes], None] = lambda _: None,
) -> Flood:
    """Send all requests over so many connections; ``answered`` is given each answer's body.

    HttpBroken when an answer is not 200, or does not come.
    """
    return flood_each(address, [requests] * connections, answered=answered)


def flood_each(
    address: str,
    streams: Sequence[Iterator[bytes]],
    *,
    answered: Callable[[bytes], None] = lambda _: None,
) -> Flood:
    """As `flood`, over a connection for each stream, which is sent in its order, one at a time."""
    parts = urlsplit(address)
    clients: dict[int, _Client] = {}
    poller = select.epoll()
    try:
        for stream in streams:
            client = _Client(socket.create_connection((parts.hostname, parts.port)), stream)
            clients[client.number] = client
            poller.register(client.number, select.EPOLLIN)
        return _run(poller, clients, answered)
    finally:
        poller.close()
        for client in clients.values():
            client.close()


def paced(address: str, requests: Sequence[bytes], *, connections: int, per_second: float) -> Flood:
    """Send requests at an even pace, whatever the answers do.

    A request's time begins when it was due, so that one which had to wait for a connection counts
    what it waited. HttpBroken as in `flood`.
    """
    parts = urlsplit(address)
    clients: dict[int, _Client] = {}
    poller = select.epoll()
    try:
        for _ in range(connections):
            client = _Client(socket.create_connection((parts.hostname, parts.port)))
            clients[client.number] = client
            poller.register(client.number, select.EPOLLIN)
        return _keep_pace(poller, clients, requests, per_second)
    finally:
        poller.close()
        for client in clients.values():
            client.close()


class _Client:
    """One connection and the answer that arrives on it."""

    __slots__ = ("_connection", "_got", "_needs", "began", "number", "recv", "requests", "send")

    def __init__(self, connection: socket.socket, requests: Iterator[bytes] = iter(())) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self.number = connection.fileno()
        self.requests = requests
        # Blocking: a request that does not fit the kernel's buffer is read by the server at once.
        self.send = connection.sendall
        self.recv = connection.recv
        self._got: list[bytes] = []
        self._needs = 0
        self.began = 0.0

    def read(self) -> bytes | None:
        """The answer's body when it is whole."""
        data = self.recv(READ_BYTES)
        if not data:
            raise HttpBroken("the server closed the connection")
        if not self._got:
            end = data.find(b"\r\n\r\n")
            if end < 0 or data[9:12] != b"200":
                raise HttpBroken(f"the server answered {data[:600]!r}")
            at = data.find(LENGTH_NAME) + len(LENGTH_NAME)
            length = int(data[at : data.index(b"\r", at)])
            body = data[end + 4 :]
            if len(body) == length:
                return body
            self._needs = length
            data = body
        self._got.append(data)
        if sum(map(len, self._got)) < self._needs:
            return None
        body = b"".join(self._got)
        self._got.clear()
        return body

    def close(self) -> None:
        self._connection.close()


def _run(
    poller: select.epoll,
    clients: dict[int, _Client],
    answered: Callable[[bytes], None],
) -> Flood:
    found = Flood()
    times, clock = found.milliseconds, time.perf_counter
    started, cpu_started = clock(), time.process_time()
    under_way = 0
    for client in clients.values():
        request = next(client.requests, None)
        if request is not None:
            client.began = clock()
            client.send(request)
            under_way += 1
    while under_way:
        ready: Sequence[tuple[int, int]] = poller.poll(ANSWER_SECONDS_MAX)
        if not ready:
            raise HttpBroken("the server did not answer")
        for number, _ in ready:
            client = clients[number]
            body = client.read()
            if body is None:
                continue
            now = clock()
            times.append((now - client.began) * 1000)
            answered(body)
            request = next(client.requests, None)
            if request is None:
                under_way -= 1
                continue
            client.began = now
            client.send(request)
    found.seconds = clock() - started
    found.client_cpu_seconds = time.process_time() - cpu_started
    return found


def _keep_pace(
    poller: select.epoll,
    clients: dict[int, _Client],
    requests: Sequence[bytes],
    per_second: float,
) -> Flood:
    found = Flood()
    clock = time.perf_counter
    free = list(clients.values())
    started, cpu_started = clock(), time.process_time()
    sent = 0
    while len(found.milliseconds) < len(requests):
        due = started + sent / per_second
        if sent < len(requests) and free and clock() >= due:
            client = free.pop()
            client.began = due
            client.send(requests[sent])
            sent += 1
            continue
        waits = ANSWER_SECONDS_MAX if sent == len(requests) or not free else due - clock()
        ready = poller.poll(max(waits, 0.0))
        if not ready and waits >= ANSWER_SECONDS_MAX:
            raise HttpBroken("the server did not answer")
        for number, _ in ready:
            client = clients[number]
            if client.read() is not None:
                found.milliseconds.append((clock() - client.began) * 1000)
                free.append(client)
    found.seconds = clock() - started
    found.client_cpu_seconds = time.process_time() - cpu_started
    return found
