"""HTTP/1.1 of the ledger's own door, without a network: what arrives, in which pieces, how late."""

import re
import time
from typing import Any

import pytest

from sakk.api import connection as module
from sakk.api.connection import HEAD_BYTES_MAX, Connection, Exchange
from sakk.core.errors import PermissionDenied, SakkError

BODY_BYTES_MAX = 1_000
POST = b"POST /here?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX-Two: b\r\n\r\nhello"
GET = b"GET /here HTTP/1.1\r\nHost: a\r\n\r\n"


class Wire:
    """A transport: what was written, and whether the connection reads."""

    def __init__(self) -> None:
        self.sent = b""
        self.reads = True
        self.is_aborted = self.is_half_closed = self.is_closed = False

    def get_extra_info(self, _: str) -> tuple[str, int]:
        return ("192.0.2.7", 5)

    def write(self, data: bytes) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.is_closed or self.is_aborted

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def write_eof(self) -> None:
        self.is_half_closed = True

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = True

    def statuses(self) -> list[int]:
        return [int(each) for each in re.findall(rb"HTTP/1\.1 (\d{3}) ", self.sent)]


class Echo:
    """A server that answers with the body, at once or when it is told to."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.body_bytes_max = BODY_BYTES_MAX
        self.is_closing = False
        self.date = b"date: now\r\n"
        self.at_once = at_once
        self.refusal: SakkError | None = None
        self.holds = False
        self.is_full = False
        self.bytes_left = 2 * BODY_BYTES_MAX
        self.begun: list[Exchange] = []
        self.waiting: list[Exchange] = []

    def opened(self, connection: Connection) -> bool:
        return not self.is_full

    def closed(self, connection: Connection) -> None:
        pass

    def grow(self, count: int) -> bool:
        self.bytes_left -= count
        return self.bytes_left >= 0

    def begin(self, exchange: Exchange) -> None:
        self.begun.append(exchange)
        exchange.refusal = self.refusal
        if self.holds:
            exchange.hold()

    def finish(self, exchange: Exchange) -> None:
        if isinstance(exchange.refusal, SakkError):
            exchange.answer(exchange.refusal.status, b"", exchange.refusal.message.encode())
        elif self.at_once:
            exchange.answer(200, b"content-type: text/plain\r\n", exchange.body())
        else:
            self.waiting.append(exchange)

    def answer_all(self) -> None:
        for exchange in self.waiting:
            exchange.answer(200, b"", exchange.body())


def connect(server: Echo) -> tuple[Connection, Wire]:
    connection, wire = Connection(server), Wire()
    connection.connection_made(wire)  # type: ignore[arg-type]  # what it uses of a transport
    return connection, wire


@pytest.mark.parametrize("step", [1, 7, len(POST)])
def test_a_request_in_any_pieces(step: int) -> None:
    server = Echo()
    connection, wire = connect(server)
    for _ in range(3):
        for at in range(0, len(POST), step):
            connection.data_received(POST[at : at + step])
    assert wire.statuses() == [200, 200, 200]
    assert wire.sent.count(b"content-length: 5\r\n\r\nhello") == 3
    assert not wire.is_half_closed
    for header in (b"x-content-type-options: nosniff", b"date: now", b"content-type: text/plain"):
        assert wire.sent.count(header + b"\r\n") == 3
    [exchange, *_] = server.begun
    assert (exchange.method, exchange.path, exchange.query) == (b"POST", b"/here", b"x=1")
    assert exchange.headers[b"x-two"] == b"b"
    assert exchange.peer == "192.0.2.7"
    assert server.bytes_left == 2 * BODY_BYTES_MAX


def test_a_chunked_body_and_its_trailers() -> None:
    server = Echo()
    connection, wire = connect(server)
    connection.data_received(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nAuthorization: late\r\n\r\n"
    )
    assert wire.sent.endswith(b"\r\n\r\nhello")
    assert b"authorization" not in server.begun[0].headers


@pytest.mark.parametrize(
    ("request_line", "path"),
    [
        (b"GET http://a/over/there?q=2 HTTP/1.1", b"/over/there"),
        (b"GET /%2e?a?b HTTP/1.1", b"/%2e"),
    ],
)
def test_targets(request_line: bytes, path: bytes) -> None:
    server = Echo()
    connection, _ = connect(server)
    connection.data_received(request_line + b"\r\nHost: a\r\n\r\n")
    assert server.begun[0].path == path


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"nonsense\r\n\r\n", 400, "not a request"),
        (b"POST / HTTP/1.1\r\n\r\n", 400, "Host header"),
        (GET.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * HEAD_BYTES_MAX), 431, "head is larger"),
        (GET[:-2] + b"X: " + b"x" * HEAD_BYTES_MAX + b"\r\n\r\n", 431, "head is larger"),
        (b"GET /" + b"x" * HEAD_BYTES_MAX, 431, "head is larger"),
        (POST.replace(b"5", b"1001", 1), 413, "larger than 1000"),
        (POST.replace(b"5", b"-5", 1), 400, "not a request"),
        (POST.replace(b"5", b"5\r\nContent-Length: 6", 1), 400, "not a request"),
        (POST.replace(b"X-Two: b", b"Transfer-Encoding: chunked"), 400, "not a request"),
        (GET[:-2] + b"Upgrade: h2c\r\nConnection: upgrade\r\n\r\n", 400, "Upgrade"),
        (b"\x16\x03\x01\x02\x00\x01", 400, "not a request"),
    ],
)
def test_what_can_not_be_read_is_answered_and_ends(data: bytes, status: int, words: str) -> None:
    connection, wire = connect(Echo())
    connection.data_received(data)
    assert wire.statuses() == [status]
    assert words in wire.sent.decode()
    assert b"connection: close\r\n" in wire.sent
    assert wire.is_half_closed
    # What the client had under way is thrown away until it has read the answer.
    connection.data_received(GET)
    assert wire.statuses() == [status]
    connection.expire()
    assert wire.is_aborted


def test_a_body_that_grows_too_large_without_saying_so() -> None:
    server = Echo()
    connection, wire = connect(server)
    connection.data_received(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(20):
        connection.data_received(b"64\r\n" + bytes(100) + b"\r\n")
    assert wire.statuses() == [413]
    assert server.bytes_left == 2 * BODY_BYTES_MAX


def test_bodies_share_their_bytes() -> None:
    server = Echo(at_once=False)
    large = POST.replace(b"5", b"999", 1)[:-5] + bytes(998)
    pairs = [connect(server) for _ in range(3)]
    for connection, _ in pairs:
        connection.data_received(large)
    assert [wire.statuses() for _, wire in pairs] == [[], [], [429]]
    pairs[0][0].connection_lost(None)
    connection, wire = connect(server)
    connection.data_received(large + b"\0")
    server.answer_all()
    assert wire.statuses() == [200]


def test_a_refused_head_does_not_wait_for_its_body() -> None:
    server = Echo()
    server.refusal = PermissionDenied("not you")
    connection, wire = connect(server)
    connection.data_received(POST[:-3])
    assert wire.statuses() == [403]
    assert wire.is_half_closed
    # With its body it leaves the connection as it was.
    connection, wire = connect(server)
    connection.data_received(POST)
    connection.data_received(POST)
    assert wire.statuses() == [403, 403]
    assert not wire.is_half_closed


def test_a_held_head_reads_no_further() -> None:
    server = Echo()
    server.holds = True
    connection, wire = connect(server)
    connection.data_received(POST)
    assert (wire.reads, wire.statuses()) == (False, [])
    server.begun[0].release()
    assert (wire.reads, wire.statuses()) == (True, [200])
    connection.data_received(POST[:-3])
    server.begun[1].refusal = PermissionDenied("not you")
    server.begun[1].release()
    assert wire.statuses() == [200, 403]
    assert wire.is_half_closed
    # An answer that was given while it was held is the only one.
    server.begun[1].release()
    assert wire.statuses() == [200, 403]


def test_what_is_sent_ahead_is_not_answered() -> None:
    server = Echo(at_once=False)
    connection, wire = connect(server)
    connection.data_received(POST + POST)
    assert len(server.begun) == 1
    server.answer_all()
    assert wire.statuses() == [200]
    assert b"connection: close\r\n" in wire.sent


def test_a_client_that_expects_to_be_asked_for_the_body() -> None:
    server = Echo()
    connection, wire = connect(server)
    expecting = POST.replace(b"X-Two: b", b"Expect: 100-continue")
    connection.data_received(expecting[:-5])
    assert wire.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.data_received(b"hello")
    assert wire.statuses() == [100, 200]
    server.refusal = PermissionDenied("not you")
    connection.data_received(expecting[:-5])
    assert wire.statuses() == [100, 200, 403]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_who_closes(version: bytes) -> None:
    connection, wire = connect(Echo())
    line = b"GET / HTTP/" + version + b"\r\nHost: a\r\n"
    connection.data_received(
        line + (b"Connection: close\r\n\r\n" if version == b"1.1" else b"\r\n")
    )
    assert wire.statuses() == [200]
    assert wire.is_half_closed
    assert connection.eof_received() is False
    assert wire.is_aborted


def test_a_client_that_says_no_more_is_still_answered() -> None:
    server = Echo(at_once=False)
    connection, wire = connect(server)
    connection.data_received(POST)
    assert connection.eof_received() is True
    server.answer_all()
    assert wire.statuses() == [200]
    assert wire.is_closed
    # But half a request is none.
    connection, wire = connect(server)
    connection.data_received(POST[:-1])
    assert connection.eof_received() is False
    assert wire.is_aborted


def test_an_answer_to_who_is_gone_is_let_go() -> None:
    server = Echo(at_once=False)
    connection, wire = connect(server)
    connection.data_received(POST)
    connection.connection_lost(None)
    server.answer_all()
    assert wire.sent == b""
    assert server.bytes_left == 2 * BODY_BYTES_MAX
    connection.data_received(POST)
    assert len(server.begun) == 1


@pytest.mark.parametrize(("arrived", "what"), [(9, "head"), (len(POST) - 3, "body")])
def test_what_does_not_end_is_given_up(arrived: int, what: str) -> None:
    connection, wire = connect(Echo())
    before = time.monotonic()
    connection.data_received(POST[:arrived])
    seconds = module.HEAD_SECONDS_MAX if what == "head" else module.BODY_SECONDS_MAX
    assert before + seconds <= connection.deadline <= time.monotonic() + seconds
    # A byte now and then gives no more time.
    deadline = connection.deadline
    connection.data_received(POST[arrived : arrived + 1])
    assert connection.deadline == deadline
    connection.expire()
    assert wire.statuses() == [400]
    assert f"The {what} took too long" in wire.sent.decode()
    assert connection.deadline <= time.monotonic() + module.LINGER_SECONDS_MAX
    connection.expire()
    assert wire.is_aborted


def test_idle_connections_end_and_those_at_work_do_not() -> None:
    server = Echo(at_once=False)
    connection, wire = connect(server)
    assert connection.deadline <= time.monotonic() + module.IDLE_SECONDS_MAX
    connection.data_received(POST)
    assert connection.deadline == module.FOREVER
    server.answer_all()
    assert connection.deadline <= time.monotonic() + module.IDLE_SECONDS_MAX
    connection.expire()
    assert (wire.statuses(), wire.is_aborted) == ([200], True)


def test_who_does_not_read_is_not_read_from_and_ends() -> None:
    connection, wire = connect(Echo())
    reads = [wire.reads]
    connection.pause_writing()
    reads.append(wire.reads)
    assert connection.deadline <= time.monotonic() + module.READ_SECONDS_MAX
    connection.resume_writing()
    assert [*reads, wire.reads] == [True, False, True]
    connection.pause_writing()
    connection.expire()
    assert wire.is_aborted


def test_a_full_server_takes_no_more() -> None:
    server = Echo()
    server.is_full = True
    assert connect(server)[1].is_aborted


def test_a_server_that_closes_answers_what_it_has() -> None:
    server = Echo(at_once=False)
    (idle, idle_wire), (busy, busy_wire) = connect(server), connect(server)
    busy.data_received(POST)
    server.is_closing = True
    for connection in (idle, busy):
        connection.finish()
    assert (idle_wire.is_aborted, busy_wire.is_aborted) == (True, False)
    server.answer_all()
    assert (busy_wire.statuses(), busy_wire.is_half_closed) == ([200], True)
    assert b"connection: close\r\n" in busy_wire.sent


def test_any_bytes_are_answered_or_waited_for() -> None:
    """No crash, whatever comes: every prefix and every flipped byte of a request."""
    for at in range(len(POST)):
        for changed in (0, 10, 13, 32, 58, 127, 255):
            data: Any = bytearray(POST)
            data[at] = changed
            connection, wire = connect(Echo())
            connection.data_received(bytes(data))
            # A length that is shorter leaves bytes that are no request.
            assert wire.statuses() in ([], [200], [400], [413], [200, 400])
