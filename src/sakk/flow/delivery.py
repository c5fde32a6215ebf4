"""How a webhook delivery is sent: an event loop in a thread, and one HTTP session.

A merchant names the address that this machine connects to. So the address of every connection is
judged when its socket is made, names are resolved here and only to public addresses, redirects
are not followed, and an answer's body is read only a little.
"""

import asyncio
import os
import queue
import socket
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from sakk.core import webhook as rules
from sakk.core.errors import ParameterInvalid
from sakk.store.delivery import Claim
from sakk.store.failpoint import failpoint

SEND_SECONDS_MAX: Final = 15.0
BODY_SECONDS_MAX: Final = 1.0
RESPONSE_BYTES_MAX: Final = 4096
EXCERPT_CHARACTERS_MAX: Final = 1000
LEASE_SECONDS: Final = 30.0
IN_FLIGHT_MAX: Final = 16
OUTCOMES_BATCH: Final = 100
COALESCE_SECONDS: Final = 0.02
RESOLVER_THREADS_MAX: Final = 64
DNS_CACHE_SECONDS: Final = 30

log = structlog.get_logger(__name__)

Clock = Callable[[], datetime]


class AddressRefused(OSError):
    """The endpoint's host leads to an address that webhooks may not reach."""


class PublicResolver(AbstractResolver):
    """Resolves names and keeps only the addresses that webhooks may reach."""

    def __init__(self, *, allow_loopback: bool, inner: AbstractResolver | None = None) -> None:
        self._inner = ThreadedResolver() if inner is None else inner
        self._allow_loopback = allow_loopback

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        allowed = [
            result
            for result in found
            if rules.address_allowed(result["host"], allow_loopback=self._allow_loopback)
        ]
        if not allowed:
            raise AddressRefused("the host does not resolve to a public address")
        return allowed

    async def close(self) -> None:
        await self._inner.close()


def open_checked_socket(addr_info: Any, *, allow_loopback: bool) -> socket.socket:
    """Make the socket for one connection, after judging the very address it connects to.

    Every connection passes here, whether the host was a name, a number or a cached answer: what
    a name resolved to a moment ago does not matter.
    """
    family, kind, protocol, _, address = addr_info
    if not rules.address_allowed(str(address[0]), allow_loopback=allow_loopback):
        raise AddressRefused("the host does not lead to a public address")
    return socket.socket(family=family, type=kind, proto=protocol)


def public_connector(*, allow_loopback: bool) -> aiohttp.TCPConnector:
    """Connections to public addresses alone, each judged when it is made."""
    return aiohttp.TCPConnector(
        resolver=PublicResolver(allow_loopback=allow_loopback),
        socket_factory=lambda info: open_checked_socket(info, allow_loopback=allow_loopback),
    )


@dataclass(frozen=True, slots=True)
class Try:
    """What one request came to. ``status`` None: no answer, and ``error`` says why."""

    claim: Claim
    started_at: datetime
    duration_ms: int
    status: int | None
    retry_after: str | None = None
    excerpt: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """A claim that was not sent: its lease would not have covered the request."""

    claim: Claim


@dataclass(slots=True)
class _Lane:
    """One endpoint's queue in the sender."""

    waiting: deque[tuple[Claim, float]] = field(default_factory=deque)
    in_flight: int = 0


class Sender:
    """The event loop in a thread, and its one HTTP session. Results arrive in ``results``."""

    def __init__(
        self,
        *,
        allow_loopback: bool,
        clock: Clock,
        ready: threading.Event,
        send_seconds_max: float = SEND_SECONDS_MAX,
        lease_seconds: float = LEASE_SECONDS,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self.results: queue.SimpleQueue[Try | Released] = queue.SimpleQueue()
        self._allow_loopback = allow_loopback
        self._clock = clock
        self._ready = ready
        self._send_seconds_max = send_seconds_max
        self._lease_seconds = lease_seconds
        self._inner_resolver = resolver
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="webhook-sender")
        self._lanes: dict[str, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._unseen = 0
        self._session: aiohttp.ClientSession | None = None
        self._executor: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def submit(self, claims: Sequence[Claim]) -> None:
        """Hand claims over to be sent; called from another thread."""
        self._loop.call_soon_threadsafe(self._accept, claims)

    def stop(self, seconds_max: float) -> None:
        """Give back what waits, let what is open finish for a moment, then cut it off.

        A request that is cut off has no result: its lease ends, and it is sent again.
        """
        asyncio.run_coroutine_threadsafe(self._close(seconds_max), self._loop).result()

    async def _open(self) -> None:
        # A name server that does not answer holds a thread; the others still resolve.
        self._executor = ThreadPoolExecutor(
            RESOLVER_THREADS_MAX, thread_name_prefix="webhook-resolver"
        )
        self._loop.set_default_executor(self._executor)
        connector = aiohttp.TCPConnector(
            limit=0,  # the lanes are the limit
            resolver=PublicResolver(
                allow_loopback=self._allow_loopback, inner=self._inner_resolver
            ),
            ttl_dns_cache=DNS_CACHE_SECONDS,
            socket_factory=lambda info: open_checked_socket(
                info, allow_loopback=self._allow_loopback
            ),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=self._send_seconds_max),
            # One endpoint's cookies are not another's business.
            cookie_jar=aiohttp.DummyCookieJar(),
            # A compressed answer is kept as it is: nothing here can be made to swell.
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding",),
            headers={"User-Agent": rules.USER_AGENT, "Content-Type": "application/json"},
        )

    async def _close(self, seconds_max: float) -> None:
        for lane in self._lanes.values():
            while lane.waiting:
                self.results.put(Released(lane.waiting.popleft()[0]))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds_max)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def _accept(self, claims: Sequence[Claim]) -> None:
        send_before = self._loop.time() + self._lease_seconds - self._send_seconds_max
        for claim in claims:
            lane = self._lanes.setdefault(claim.endpoint_id, _Lane())
            lane.waiting.append((claim, send_before))
        for endpoint_id in {claim.endpoint_id for claim in claims}:
            self._pump(endpoint_id)

    def _pump(self, endpoint_id: str) -> None:
        """Start what an endpoint's limit allows."""
        lane = self._lanes[endpoint_id]
        while lane.waiting and lane.in_flight < IN_FLIGHT_MAX:
            claim, send_before = lane.waiting.popleft()
            if self._loop.time() > send_before:
                self._put(Released(claim))
                continue
            lane.in_flight += 1
            task = self._loop.create_task(self._run(claim))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if not lane.in_flight and not lane.waiting:
            del self._lanes[endpoint_id]

    async def _run(self, claim: Claim) -> None:
        try:
            result = await self._send(claim)
        finally:
            self._lanes[claim.endpoint_id].in_flight -= 1
            self._pump(claim.endpoint_id)
        self._put(result)

    def _put(self, result: Try | Released) -> None:
        """Pass a result on, and wake the stage: at once when idle, else a batch at a time."""
        self.results.put(result)
        self._unseen += 1
        if not self._lanes or self._unseen >= OUTCOMES_BATCH:
            self._wake()
        elif self._unseen == 1:
            self._loop.call_later(COALESCE_SECONDS, self._wake)

    def _wake(self) -> None:
        if self._unseen:
            self._unseen = 0
            self._ready.set()

    async def _send(self, claim: Claim) -> Try:
        started_at, started = self._clock(), self._loop.time()

        def result(status: int | None, **rest: str | None) -> Try:
            duration_ms = int((self._loop.time() - started) * 1000)
            return Try(claim, started_at, duration_ms, status, **rest)

        try:
            # The row may be older than the rule, or the rule than a setting.
            rules.check_url(claim.url, allow_loopback=self._allow_loopback)
            status, retry_after, excerpt = await self._post(claim, started_at)
        except ParameterInvalid as refused:
            return result(None, error=refused.message)
        except TimeoutError:
            return result(None, error=f"no answer within {self._send_seconds_max:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return result(None, error=_describe(error))
        except Exception as error:
            # One delivery that cannot be sent must not stop the others.
            # A plain trace: a pretty one shows local variables, and here they are secrets.
            log.error(
                "webhook.send_failed", delivery=claim.id, trace=traceback.format_exc(limit=-5)
            )
            return result(None, error=f"internal error ({type(error).__name__})")
        return result(status, retry_after=retry_after, excerpt=excerpt)

    async def _post(self, claim: Claim, started_at: datetime) -> tuple[int, str | None, str | None]:
        assert self._session is not None
        body = claim.body.encode()
        headers = rules.sign(
            body,
            event_id=claim.event_id,
            timestamp=int(started_at.timestamp()),
            secrets=_signing_secrets(claim, now=started_at),
        )
        failpoint("webhook.send.before")
        async with self._session.post(
            claim.url, data=body, headers=headers, allow_redirects=False
        ) as response:
            failpoint("webhook.send.after")
            excerpt = await _read_excerpt(response)
            return response.status, response.headers.get("Retry-After"), excerpt


def _signing_secrets(claim: Claim, *, now: datetime) -> list[str]:
    """The current secret, and the one before it while its overlap lasts."""
    chosen = [claim.secret]
    if (
        claim.previous_secret is not None
        and claim.previous_secret_until is not None
        and now < claim.previous_secret_until
    ):
        chosen.append(claim.previous_secret)
    return chosen


async def _read_excerpt(response: aiohttp.ClientResponse) -> str | None:
    """The beginning of the answer, for people who look for the mistake.

    The status has decided already: a body that is too long, too slow or broken off is cut, and
    its connection is not used again.
    """
    if response.content.at_eof():
        return None
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            while len(data) < RESPONSE_BYTES_MAX:
                chunk = await response.content.read(RESPONSE_BYTES_MAX - len(data))
                if not chunk:
                    break
                data += chunk
    except (TimeoutError, aiohttp.ClientError, OSError):
        response.close()
    if not response.content.at_eof():
        response.close()
    # PostgreSQL's text refuses NUL.
    found = data.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    return found[:EXCERPT_CHARACTERS_MAX] or None


def _describe(error: Exception) -> str:
    """Why there was no answer, in words that give away nothing of the network inside."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, AddressRefused):
        return str(cause)
    if isinstance(error, aiohttp.ClientSSLError):
        return "the TLS connection failed; check the certificate"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name does not resolve"
    if isinstance(cause, OSError):
        # Not its own text, which names the address that was tried.
        reason = os.strerror(cause.errno) if cause.errno else type(cause).__name__
        return f"the connection failed ({reason})"
    return f"the answer was not valid HTTP ({type(error).__name__})"
