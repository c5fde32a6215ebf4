"""The application behind ``sakk paywall``: whatever answers HTTP at an address, in any language.

Bodies stream both ways, as they come and as they are encoded. What belongs to one hop (RFC 9110,
section 7.6.1), what pays, and what tells who paid is taken off each request; who paid is then told
by the door alone, in ``Sakk-…`` headers that a client can not set under any spelling.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from sakk.paywall.answer import USAGE, Receive, Send
from sakk.paywall.door import Scope, target_of
from sakk.paywall.errors import PaywallError
from sakk.paywall.payment import Payment

CONNECT_SECONDS: Final = 5.0
SILENCE_SECONDS: Final = 60.0
CONNECTIONS_MAX: Final = 1_024
_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# ``expect`` is answered by our own server. IIS, and frameworks that follow it, serve the path that
# ``x-original-url`` and ``x-rewrite-url`` name in place of the one that was priced.
_OURS: Final = frozenset(
    {
        "payment-signature",
        "x-payment",
        "expect",
        "host",
        "via",
        "x-original-url",
        "x-rewrite-url",
    }
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# What the HTTP client would add by itself.
_NOT_ADDED: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class Upstream:
    """An ASGI application that passes requests on to an address.

    ``addresses`` are other addresses for requests of some routes, by the route's place. A request
    waits ``connect_seconds`` to be passed on, and at most ``silence_seconds`` for any byte of the
    answer. ``keep_host`` tells the upstream the name that the client called.
    """

    def __init__(
        self,
        address: str,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
        keep_host: bool = False,
        addresses: Mapping[int, str] | None = None,
    ) -> None:
        self._address = base_of(address)
        self._addresses = {place: base_of(each) for place, each in (addresses or {}).items()}
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=connect_seconds, sock_read=silence_seconds
        )
        self._keep_host = keep_host
        self._http: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._pass(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await _refuse_websocket(scope, receive, send)

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            http, self._http = self._http, None
            await http.close()

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        target = target_of(scope)
        if not target.startswith(b"/"):
            await answer(send, 400, "The request's target must be a path.")
            return
        base = self._addresses.get(scope.get("sakk.route", -1), self._address)
        body = _Body(receive, _has_body(scope["headers"]))
        try:
            async with self._session().request(
                scope["method"],
                URL(base + target.decode("latin-1"), encoded=True),
                headers=_asked(scope, base, keep_host=self._keep_host),
                data=body.chunks() if body.is_there else None,
                skip_auto_headers=_NOT_ADDED,
                allow_redirects=False,
            ) as response:
                is_metered = _is_metered(scope)
                await _stream(response, body, send, is_metered=is_metered)
        except _Left:
            return
        except (TimeoutError, aiohttp.ServerTimeoutError) as error:
            if body.has_begun_answer:
                raise
            connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
            what = "could not be reached" if connecting else "did not answer"
            await answer(send, 504, f"The service behind this address {what} in time.")
        except (aiohttp.ClientError, OSError):
            if body.is_gone:
                return
            if body.has_begun_answer:
                raise
            await answer(send, 502, "The service behind this address does not answer.")

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._session()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                timeout=self._timeout,
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._http


def base_of(address: str) -> str:
    """An upstream's address without a slash at its end; PaywallError where it is none."""
    try:
        url = URL(address)
    except ValueError as error:
        raise PaywallError(f"upstream: {address!r} is no address: {error}.") from error
    if url.scheme not in ("http", "https") or not url.host or url.query_string or url.fragment:
        raise PaywallError(f"upstream: must be like 'http://127.0.0.1:3000', not {address!r}.")
    return address.rstrip("/")


class _Left(Exception):
    """The client has gone."""


class _Body:
    """A request's body as it comes, and after it whether the client is still there."""

    def __init__(self, receive: Receive, is_there: bool) -> None:
        self._receive = receive
        self.is_there = is_there
        self.is_gone = False
        self.has_begun_answer = False
        self._ended = asyncio.Event()
        if not is_there:
            self._ended.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Each part as soon as it is there."""
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                self.is_gone = True
                raise _Left
            if part := message.get("body", b""):
                yield part
            if not message.get("more_body", False):
                self._ended.set()
                return

    async def gone(self) -> None:
        """Return when the client has gone."""
        await self._ended.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True


async def _stream(
    response: aiohttp.ClientResponse, body: _Body, send: Send, *, is_metered: bool
) -> None:
    """The answer's head, and each part of its body before the next is read."""
    watching = asyncio.ensure_future(body.gone())
    # The upstream is not asked to go on for a client that has gone.
    watching.add_done_callback(lambda done: None if done.cancelled() else response.close())
    try:
        body.has_begun_answer = True
        await send(
            {
                "type": "http.response.start",
                "status": response.status,
                "headers": _answered(response.raw_headers, is_metered=is_metered),
            }
        )
        async for part in response.content.iter_any():
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        watching.cancel()


def _has_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in headers
    )


def _asked(scope: Scope, base: str, *, keep_host: bool) -> CIMultiDict[str]:
    """The head's fields for the upstream."""
    given = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"]]
    dropped = _HOP | _OURS | _named_by_connection(given)
    headers: CIMultiDict[str] = CIMultiDict()
    host = ""
    forwarded: list[str] = []
    for name, value in given:
        plain = name.lower()
        if plain == "host":
            host = value
        elif plain == "x-forwarded-for":
            forwarded.append(value)
        elif (
            plain in dropped
            or plain.replace("_", "-") in _OURS
            or _is_identity(plain)
            or plain == "x-forwarded-host"
        ):
            continue
        elif plain != "x-forwarded-proto" and _TOKEN.fullmatch(name):
            headers.add(name, value)
    client = scope.get("client")
    if client:
        forwarded.append(str(client[0]))
    headers["Host"] = host if keep_host and host else (URL(base).authority)
    headers["X-Forwarded-For"] = ", ".join(forwarded)
    headers["X-Forwarded-Host"] = host
    headers["X-Forwarded-Proto"] = _scheme(scope, given)
    headers["Via"] = "1.1 sakk"
    payment = scope.get("sakk.payment")
    if isinstance(payment, Payment):
        headers.update(_identity(payment))
    return headers


def _scheme(scope: Scope, given: Iterable[tuple[str, str]]) -> str:
    """What the client spoke, as the server in front says, where there is one."""
    for name, value in given:
        if name == "x-forwarded-proto" and value in ("http", "https"):
            return value
    return str(scope.get("scheme", "http"))


def _identity(payment: Payment) -> dict[str, str]:
    told = {
        "Sakk-Payer": payment.payer,
        "Sakk-Amount": str(payment.amount),
        "Sakk-Currency": payment.currency,
        "Sakk-Network": payment.network,
        "Sakk-Scheme": payment.scheme,
        "Sakk-Transaction": payment.transaction,
    }
    if payment.units_max is not None:
        told["Sakk-Units-Max"] = str(payment.units_max)
    return told


def _is_identity(name: str) -> bool:
    """CGI and WSGI read ``Sakk_Payer`` as ``Sakk-Payer``: no spelling of it passes."""
    return name.replace("_", "-").startswith("sakk-")


def _named_by_connection(headers: Iterable[tuple[str, str]]) -> set[str]:
    return {
        token.strip().lower()
        for name, value in headers
        if name.lower() == "connection"
        for token in value.split(",")
    }


def _is_metered(scope: Scope) -> bool:
    payment = scope.get("sakk.payment")
    return isinstance(payment, Payment) and payment.units_max is not None


def _answered(
    given: Iterable[tuple[bytes, bytes]], *, is_metered: bool
) -> list[tuple[bytes, bytes]]:
    """The head's fields for the client; the meter's is for the door, which takes it off."""
    headers = list(given)
    named = _named_by_connection((k.decode("latin-1"), v.decode("latin-1")) for k, v in headers)
    kept = []
    for name, value in headers:
        plain = name.decode("latin-1").lower()
        if plain in _HOP or plain in named or plain.startswith("payment-"):
            continue
        if _is_identity(plain) and not (is_metered and name.lower() == USAGE):
            continue
        kept.append((name.lower(), value))
    return kept


async def answer(send: Send, status: int, message: str) -> None:
    """A short answer of the proxy's own."""
    body = message.encode() + b"\n"
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """A websocket is one request for any number of messages: it has no price here."""
    await receive()
    if "websocket.http.response" in scope.get("extensions", {}):
        told: list[Any] = []

        async def collect(message: Any) -> None:
            told.append(message)

        await answer(collect, 501, "Websockets are not passed on.")
        for message in told:
            await send({**message, "type": "websocket." + message["type"]})
        return
    await send({"type": "websocket.close", "code": 1008, "reason": "websockets are not passed on"})
