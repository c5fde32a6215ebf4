"""The checkout as an ASGI application: which page a path is, its limits, and what happens live."""

import asyncio
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar
from urllib.parse import urlsplit

import structlog
from starlette.types import Receive, Scope, Send

from sakk.checkout import brand, link, mall, pos, session
from sakk.checkout.live import Live, stream
from sakk.checkout.visit import CheckoutSettings, Response, Visit, message
from sakk.core.checkout_session import CheckoutSession
from sakk.core.claim import is_token
from sakk.core.errors import InvalidRequest, ResourceMissing, SakkError, UnexpectedState
from sakk.core.peer import client_address, network_of
from sakk.flow.context import Parts
from sakk.pages.form import read_form, read_query
from sakk.pages.limit import TokenBuckets
from sakk.store.identity import new_id

BODY_BYTES_MAX: Final = 8_192
BODY_SECONDS_MAX: Final = 30.0
WAITING_MAX: Final = 128
# Of one network of addresses: a page is asked for again at every block that it waits for.
LOOKS_PER_MINUTE_MAX: Final = 600
# Each begins a payment, whose addresses are watched for ever.
BEGINS_PER_MINUTE_MAX: Final = 30

T = TypeVar("T")
Handler = Callable[[Visit], Response]
log = structlog.get_logger("sakk.checkout")

_SECRET: Final = r"(?P<token>[A-Za-z0-9_-]{43})"  # noqa: S105 - a pattern
PAGES: Final[tuple[tuple[str, re.Pattern[str], Handler], ...]] = tuple(
    (method, re.compile(pattern), handler)
    for method, pattern, handler in (
        ("GET", rf"/checkout/{_SECRET}", session.show),
        ("GET", rf"/checkout/{_SECRET}/receipt", session.receipt),
        ("POST", rf"/checkout/{_SECRET}/difference", session.ask_back),
        ("POST", rf"/checkout/{_SECRET}/gift_card", session.apply_gift_card),
        ("POST", rf"/checkout/{_SECRET}/gift_card/remove", session.remove_gift_card),
        ("GET", rf"/checkout/{_SECRET}/refund", session.refund),
        ("POST", rf"/checkout/{_SECRET}/refund", session.refund),
        ("POST", rf"/checkout/{_SECRET}/test", session.try_out),
        ("GET", rf"/pay/{_SECRET}", link.show),
        ("POST", rf"/pay/{_SECRET}", link.begin),
        ("GET", rf"/shop/{_SECRET}", link.poster),
        ("GET", rf"/pos/pair/{_SECRET}", pos.pairing),
        ("POST", rf"/pos/pair/{_SECRET}", pos.pair),
        ("GET", r"/pos(?P<token>)", pos.keypad),
        ("POST", r"/pos(?P<token>)", pos.sell),
        ("GET", r"/pos/sales/(?P<token>cs_[0-9a-z]{26})", pos.sale),
        ("GET", r"/mall(?P<token>)", mall.index),
        ("GET", r"/mall/(?P<token>[a-z0-9-]{3,40})", mall.show),
        ("POST", r"/mall/(?P<token>[a-z0-9-]{3,40})", mall.buy),
        ("GET", r"/mall/pictures/(?P<token>[0-9a-f]{32})\.png", mall.picture),
        ("GET", r"/brand/(?P<token>[0-9a-f]{6,32}\.(?:png|css))", brand.show),
    )
)
BEGINNING: Final = (
    link.begin,
    pos.sell,
    pos.pair,
    session.try_out,
    session.apply_gift_card,
    mall.buy,
)
# Browsers keep these for ever.
KEPT: Final = (brand.show, mall.picture)
_STATUS: Final = re.compile(rf"/checkout/{_SECRET}/status")
_EVENTS: Final = re.compile(rf"/checkout/{_SECRET}/events")
_SALE_EVENTS: Final = re.compile(r"/pos/sales/(?P<token>cs_[0-9a-z]{26})/events")
_ROOTS: Final = ("/checkout/", "/pay/", "/shop/", "/pos/", "/brand/", "/mall/")
_HOUSE: Final = (
    ("x-content-type-options", "nosniff"),
    ("strict-transport-security", "max-age=31536000; includeSubDomains"),
    ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
)


def is_checkout(path: str) -> bool:
    """Does a path belong to the checkout?"""
    return path.startswith(_ROOTS) or path in (pos.ROOT, mall.ROOT)


class Checkout:
    """One process's checkout. It owns its threads."""

    def __init__(
        self, parts: Parts, settings: CheckoutSettings, *, threads: int = 4, processes: int = 1
    ) -> None:
        self._parts = parts
        self._settings = settings
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="checkout")
        self._live = Live(parts.database)
        self._inside = 0
        looks, begins = LOOKS_PER_MINUTE_MAX / processes, BEGINS_PER_MINUTE_MAX / processes
        self._looks = TokenBuckets(rate=looks / 60, burst=looks)
        self._begins = TokenBuckets(rate=begins / 60, burst=max(1.0, begins))

    def close(self) -> None:
        """End what is told, and wait for what is being done."""
        self._live.close()
        self._threads.shutdown(wait=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        found = _EVENTS.fullmatch(path) or _SALE_EVENTS.fullmatch(path)
        if found is not None and scope["method"] == "GET":
            await self._tell(scope, receive, send, found["token"])
            return
        response = await self._answer(scope, receive)
        await _send(scope, send, response)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        if self._inside >= WAITING_MAX:
            return Response(503, {"retry-after": "1", "cache-control": "no-store"})
        self._inside += 1
        try:
            body = await _body(receive)
            if body is None:
                return Response(413, {"cache-control": "no-store"})
            return await self._run(lambda: self._done(scope, body))
        finally:
            self._inside -= 1

    def _done(self, scope: Scope, body: bytes) -> Response:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        path = scope["path"]
        try:
            visit = self._visit(scope, body, "")
        except SakkError:
            # What can not be read is nobody's form.
            return Response(400, {"cache-control": "no-store"})
        try:
            if (status := _STATUS.fullmatch(path)) is not None and method == "GET":
                visit = self._visit(scope, body, status["token"])
                return _json(self._limited(visit, session.show) or session.status(visit))
            others = False
            for known, pattern, handler in PAGES:
                matched = pattern.fullmatch(path)
                others = others or matched is not None
                if matched is None or known != method:
                    continue
                visit = self._visit(scope, body, matched["token"])
                return self._limited(visit, handler) or handler(visit)
            if others:
                return Response(405, {"cache-control": "no-store"})
            return message(visit, session.UNKNOWN, status=404, more=session.UNKNOWN_HELP)
        except Exception as error:
            return _refused(visit, error)

    def _limited(self, visit: Visit, handler: Handler) -> Response | None:
        buckets = self._begins if handler in BEGINNING else self._looks
        is_free = self._settings.test_payer is not None or handler in KEPT
        if is_free or buckets.take(network_of(visit.address)):
            return None
        response = message(visit, session.BUSY, status=429)
        response.headers["retry-after"] = "60"
        return response

    def _visit(self, scope: Scope, body: bytes, token: str) -> Visit:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        client = scope.get("client")
        address = client_address(
            client[0] if client else None,
            headers.get("x-forwarded-for"),
            self._settings.trusted_proxies,
        )
        return Visit(
            parts=self._parts,
            settings=self._settings,
            method=scope["method"],
            path=scope["path"],
            token=token,
            query=read_query(scope["query_string"]),
            form=read_form(body, headers.get("content-type")),
            cookies=_cookies(headers.get("cookie", "")),
            accept_language=headers.get("accept-language"),
            is_ours=_is_ours(headers),
            address=address or "",
            now=self._parts.clock(),
        )

    async def _tell(self, scope: Scope, receive: Receive, send: Send, token: str) -> None:
        """Events of one page, until it is closed."""
        found = await self._run(lambda: self._watched(scope, token))
        watcher = None if found is None else self._live.watch(found, self._network(scope))
        if watcher is None:
            status = 404 if found is None else 503
            await _send(scope, send, Response(status, {"cache-control": "no-store"}))
            return
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
            headers.append((b"x-accel-buffering", b"no"))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async for part in stream(watcher):
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            self._live.leave(watcher)

    def _watched(self, scope: Scope, token: str) -> CheckoutSession | None:
        try:
            visit = self._visit(scope, b"", token)
            return session.look(visit).session if is_token(token) else pos.session_of(visit)
        except SakkError:
            return None

    def _network(self, scope: Scope) -> str:
        return network_of(self._visit(scope, b"", "").address)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _refused(visit: Visit, error: Exception) -> Response:
    """What went wrong, in the payer's words; of what nobody foresaw only an id is told."""
    match error:
        case ResourceMissing() if visit.path.startswith(pos.ROOT):
            return message(visit, pos.UNPAIRED, status=404, more=pos.UNPAIRED_HELP)
        case ResourceMissing() | UnexpectedState():
            return message(visit, session.UNKNOWN, status=404, more=session.UNKNOWN_HELP)
        case InvalidRequest():
            return message(visit, session.UNKNOWN, status=400, more=session.UNKNOWN_HELP)
        case _:
            log.error("checkout.failed", request_id=new_id("req"), exc_info=error)
            return message(visit, session.BUSY, status=503)


def _json(told: Response | dict[str, object]) -> Response:
    if isinstance(told, Response):
        return told
    headers = {
        "content-type": "application/json",
        "cache-control": "no-store",
        "x-robots-tag": "noindex, nofollow",
    }
    return Response(200, headers, json.dumps(told).encode())


async def _send(scope: Scope, send: Send, response: Response) -> None:
    headers = {**dict(_HOUSE), **response.headers, "content-length": str(len(response.body))}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    raw += [(b"set-cookie", each.encode("latin-1")) for each in response.cookies]
    await send({"type": "http.response.start", "status": response.status, "headers": raw})
    body = b"" if scope["method"] == "HEAD" else response.body
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Receive) -> bytes | None:
    """The body, up to a size and a time; None for more."""
    whole: bytes = b""
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            while True:
                told = await receive()
                if told["type"] != "http.request":
                    return None
                whole += told.get("body", b"")
                if len(whole) > BODY_BYTES_MAX:
                    return None
                if not told.get("more_body", False):
                    return whole
    except TimeoutError:
        return None


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _cookies(header: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in header[:BODY_BYTES_MAX].split(";"))
    return {name: value for name, _, value in pairs}


def _is_ours(headers: dict[str, str]) -> bool:
    """Does a page of this origin send it? Browsers say so (Fetch Metadata, and Origin)."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site not in (None, "same-origin"):
        return False
    return origin is None or urlsplit(origin).netloc == headers.get("host")
