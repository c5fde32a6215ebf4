"""A small real server that answers by a script and keeps what it was asked."""

import json
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from sakk.client import RetryPolicy, SakkClient

API_KEY = "sk_test_0123456789"
HURRIED = RetryPolicy(retries_max=3, backoff_seconds_min=0.001, backoff_seconds_max=0.002)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Reply:
    """How a request is answered; ``drop``: the connection is reset instead, ``hold``: it waits."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    hold: bool = False


class Script:
    """The replies to come, and the requests that came."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.asked: list[Asked] = []
        self.released = Event()
        self.url = ""

    def will(self, *replies: Reply) -> None:
        self.replies.extend(replies)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    script: Script


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("content-length") or 0)
        script = self.server.script
        script.asked.append(
            Asked(
                method=self.command,
                path=parts.path,
                query=parse_qsl(parts.query),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(length),
            )
        )
        reply = script.replies.pop(0)
        if reply.hold:
            script.released.wait(30)
        if reply.drop or reply.hold:
            # Linger zero: close by a reset, as a server that dies does.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in {"request-id": "req_1", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()
    server = _Server(("127.0.0.1", 0), _Handler)
    server.script = script
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield script
    script.released.set()
    server.shutdown()
    thread.join()
    server.server_close()
    assert script.replies == [], "the client asked less than the test foresaw"


@pytest.fixture
def client(script: Script) -> Iterator[SakkClient]:
    with SakkClient(API_KEY, script.url + "/", retry=HURRIED) as client:
        yield client
