"""HTTP/1.1 as the ledger's process speaks it: one connection, one request at a time.

RFC 9112, parsed by llhttp (httptools) in its strict mode. The door is told of a head, then of a
whole body, and answers when it can. A client that sends a second request before the first is
answered (pipelining) gets that answer and ``Connection: close``, as section 9.3 allows, so nothing
has to be kept in order. Heads, bodies, unread answers and idleness have their times, and all bodies
together their bytes: nobody keeps memory or a place for long by being slow.
"""

import asyncio
import time
from typing import Protocol, cast

import httptools

from sakk.api.answer import SECURITY_HEADERS
from sakk.core.errors import BodyTooLarge, HeadTooLarge, InvalidRequest, RateLimited, SakkError

HEAD_BYTES_MAX = 16 << 10
HEAD_SECONDS_MAX = 10.0
BODY_SECONDS_MAX = 30.0
READ_SECONDS_MAX = 30.0
IDLE_SECONDS_MAX = 75.0
# For a client to take what it is told before the connection goes.
LINGER_SECONDS_MAX = 2.0
FOREVER = float("inf")

_REASONS = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    413: b"Content Too Large",
    415: b"Unsupported Media Type",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    503: b"Service Unavailable",
}
_FIXED = b"".join(b"%b: %b\r\n" % pair for pair in SECURITY_HEADERS)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Server(Protocol):
    """What a connection belongs to: it counts, says the date, and answers."""

    body_bytes_max: int
    is_closing: bool
    # An answer's Date line.
    date: bytes

    def opened(self, connection: "Connection") -> bool:
        """May it stay?"""
        ...

    def closed(self, connection: "Connection") -> None: ...

    def grow(self, count: int) -> bool:
        """So many bytes of bodies more, or less; False when all together are too many."""
        ...

    def begin(self, exchange: "Exchange") -> None:
        """A head has arrived: set ``refusal``, or ``hold`` the body until ``release``, or wait."""
        ...

    def finish(self, exchange: "Exchange") -> None:
        """Answer, now or later: the body is whole, or there is a refusal."""
        ...


class Exchange:
    """One request and its answer. Header names are in lower case; the last of a name counts."""

    __slots__ = (
        "_chunks",
        "_connection",
        "_is_held",
        "_is_whole",
        "_size",
        "began",
        "context",
        "headers",
        "is_answered",
        "keeps_alive",
        "method",
        "path",
        "peer",
        "query",
        "refusal",
    )

    def __init__(self, connection: "Connection") -> None:
        self.began = time.perf_counter()
        self.peer = connection.peer
        self.method = self.path = self.query = b""
        self.headers: dict[bytes, bytes] = {}
        self.keeps_alive = True
        self.is_answered = False
        # What the body needs not be read for.
        self.refusal: BaseException | None = None
        # The door's own.
        self.context: object = None
        self._connection = connection
        self._chunks: list[bytes] = []
        self._size = 0
        self._is_whole = False
        self._is_held = False

    def body(self) -> bytes:
        """The whole body."""
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def hold(self) -> None:
        """Read no further for now."""
        self._is_held = True
        self._connection.flow()

    def release(self) -> None:
        """Go on."""
        if self._is_held and not self.is_answered:
            self._is_held = False
            self._connection.flow()
            if self._is_whole or self.refusal is not None:
                self._connection.server.finish(self)

    def answer(self, status: int, head: bytes, body: bytes) -> None:
        """The one answer; ``head``: its own header lines, each with its end."""
        self.is_answered = True
        self._is_held = False
        self._chunks.clear()
        self._connection.answer(self, status, head, body)


class Connection(asyncio.Protocol):
    """One client's connection, in its server's event loop."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.peer: str | None = None
        self.deadline = time.monotonic() + IDLE_SECONDS_MAX
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._exchange: Exchange | None = None
        self._url = b""
        self._head_bytes = 0
        self._is_head = False
        self._is_ending = False
        self._is_half_closed = False
        self._is_writable = True
        self._is_paused = False

    # What the event loop says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else None
        if not self.server.opened(self):
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.server.closed(self)
        self._let_go()
        # The parser holds this connection: let both go.
        self._parser = None

    def data_received(self, data: bytes) -> None:
        if self._is_ending or self._parser is None:
            return
        try:
            self._head_bytes += len(data)
            self._parser.feed_data(data)
            if self._is_head:
                _check_head(self._head_bytes)
            exchange = self._exchange
            if exchange is not None and exchange.refusal is not None:
                # The rest of its body is not waited for.
                self.server.finish(exchange)
        except httptools.HttpParserCallbackError as error:
            self._fail(error.__context__ or error)
        except (httptools.HttpParserError, SakkError) as error:
            self._fail(error)

    def eof_received(self) -> bool:
        """The client sends no more. What it asked is still answered."""
        exchange = self._exchange
        if exchange is None or not exchange._is_whole:
            self._transport.abort()
            return False
        exchange.keeps_alive = False
        self._is_half_closed = True
        return True

    def pause_writing(self) -> None:
        self._is_writable = False
        self.deadline = time.monotonic() + READ_SECONDS_MAX
        self.flow()

    def resume_writing(self) -> None:
        self._is_writable = True
        self.deadline = time.monotonic() + IDLE_SECONDS_MAX
        self.flow()

    # What the parser says

    def on_message_begin(self) -> None:
        if self._exchange is not None:
            raise _SentAhead
        self._exchange = Exchange(self)
        self._url = b""
        self._is_head = True
        self.deadline = time.monotonic() + HEAD_SECONDS_MAX

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers are read over: nothing here needs one.
        if self._is_head and self._exchange is not None:
            self._exchange.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        exchange, parser = self._exchange, self._parser
        assert exchange is not None
        assert parser is not None
        self._is_head = False
        self.deadline = time.monotonic() + BODY_SECONDS_MAX
        exchange.method = parser.get_method()
        exchange.path, _, exchange.query = _target(self._url).partition(b"?")
        exchange.keeps_alive = parser.should_keep_alive()
        headers = exchange.headers
        if self._head_bytes > HEAD_BYTES_MAX:
            # What arrived together with the body.
            _check_head(
                len(self._url) + sum(len(each) for item in headers.items() for each in item)
            )
        if b"host" not in headers and parser.get_http_version() != "1.0":
            raise InvalidRequest("A request of HTTP/1.1 names its host. Send a Host header.")
        if parser.should_upgrade():
            raise InvalidRequest("This door speaks HTTP/1.1 alone. Send no Upgrade.")
        self._check_body(int(headers.get(b"content-length", 0)))
        self.server.begin(exchange)
        if headers.get(b"expect", b"").lower() == b"100-continue" and exchange.refusal is None:
            self._transport.write(_CONTINUE)

    def on_body(self, chunk: bytes) -> None:
        exchange = self._exchange
        if exchange is None or exchange.refusal is not None:
            return
        exchange._size += len(chunk)
        exchange._chunks.append(chunk)
        if not self.server.grow(len(chunk)):
            raise RateLimited("too many bodies are arriving; send the same ids again in a second")
        self._check_body(exchange._size)

    def on_message_complete(self) -> None:
        exchange = self._exchange
        if exchange is None or self._is_ending:
            return
        # The door answers in its own time, which the ledger bounds.
        self.deadline = FOREVER
        exchange._is_whole = True
        if not exchange._is_held:
            self.server.finish(exchange)

    # What the door and the server say

    def answer(self, exchange: Exchange, status: int, head: bytes, body: bytes) -> None:
        """Send the answer; the connection ends with it unless both sides keep it alive."""
        if exchange is not self._exchange:
            return  # the connection was lost meanwhile
        self._head_bytes = 0
        ends = not (exchange.keeps_alive and exchange._is_whole) or self.server.is_closing
        self._let_go()
        self._transport.write(
            b"HTTP/1.1 %d %b\r\n%b%b%b%bcontent-length: %d\r\n\r\n%b"
            % (
                status,
                _REASONS.get(status, b""),
                _FIXED,
                self.server.date,
                b"connection: close\r\n" if ends else b"",
                head,
                len(body),
                body,
            )
        )
        if ends:
            self._end()
        elif self._is_writable:
            self.deadline = time.monotonic() + IDLE_SECONDS_MAX
            self.flow()

    def expire(self) -> None:
        """The deadline has passed."""
        exchange = self._exchange
        if exchange is None or exchange._is_whole or self._is_ending or not self._is_writable:
            self._transport.abort()
            return
        what = "head" if self._is_head else "body"
        self._fail(InvalidRequest(f"The {what} took too long to arrive. Send it again."))

    def finish(self) -> None:
        """The server closes: an answer that is under way still goes out."""
        if self._exchange is None or not self._exchange._is_whole:
            self._transport.abort()

    def abort(self) -> None:
        self._transport.abort()

    def flow(self) -> None:
        """Read on, or not."""
        held = self._exchange is not None and self._exchange._is_held
        pauses = held or not self._is_writable
        if pauses == self._is_paused or self._transport.is_closing():
            return
        self._is_paused = pauses
        if pauses:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # Its own

    def _fail(self, error: BaseException) -> None:
        """What arrives can not be read on."""
        exchange = self._exchange
        if isinstance(error, _SentAhead):
            assert exchange is not None
            self._is_ending = True
            exchange.keeps_alive = False
            return
        if isinstance(error, httptools.HttpParserError):
            error = InvalidRequest(f"That is not a request of HTTP/1.1: {error}.")
        if exchange is None:
            self._exchange = exchange = Exchange(self)
        self._is_ending = True
        exchange.keeps_alive = False
        if not exchange._is_whole:
            exchange.refusal = error
            self.server.finish(exchange)

    def _end(self) -> None:
        """Say no more. A close while the client still sends would take away what it was told."""
        self._is_ending = True
        self.deadline = time.monotonic() + LINGER_SECONDS_MAX
        if self._is_half_closed or self._transport.is_closing():
            self._transport.close()
            return
        self.flow()
        self._transport.write_eof()

    def _let_go(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self.server.grow(-exchange._size)

    def _check_body(self, size: int) -> None:
        if size > self.server.body_bytes_max:
            raise BodyTooLarge(
                f"The body is larger than {self.server.body_bytes_max} bytes. Send less at once."
            )


class _SentAhead(Exception):
    """A request began before the one before it was answered."""


def _target(url: bytes) -> bytes:
    """Path and query of a target in any form (RFC 9112, section 3.2)."""
    if url.startswith(b"/"):
        return url
    found = httptools.parse_url(url)
    return (found.path or b"/") + (b"?" + found.query if found.query else b"")


def _check_head(size: int) -> None:
    if size > HEAD_BYTES_MAX:
        raise HeadTooLarge(f"The head is larger than {HEAD_BYTES_MAX} bytes. Send fewer headers.")
