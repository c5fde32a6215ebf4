"""Charges asked of a Sakk: what one turn of the event loop brings goes out as one request.

``POST /v1/charges``, in the binary form of docs/reference/session-scheme.md: a reserve is waited
for, since nothing is served before it is known; a commit or release is not, but is asked again
until its outcome is known. A few connections stay open and carry one request each at a time; what
comes while all are busy goes out together with the next, so that batches grow with the load.
"""

import asyncio
import logging
import ssl
import time
from collections import deque
from typing import Any, Final, cast
from urllib.parse import urlsplit

import aiohttp
import httptools
import msgspec

from sakk.paywall.errors import PaywallError
from sakk.paywall.voucher import STATUS_MISMATCH, release_of

log = logging.getLogger("sakk.paywall")

PATH: Final = "/v1/charges"
RECORD_BYTES: Final = 128
RESULT_BYTES: Final = 96
OPERATIONS_MAX: Final = 1_024
CONNECTIONS_DEFAULT: Final = 4
# Calls that wait for an answer; more are turned away at once.
WAITING_MAX: Final = 16_384
ANSWER_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 5.0
# A commit waits so long for a reserve to go with: half the requests, and larger groups.
FINISH_PAUSE_SECONDS: Final = 0.004
# For as long as a reservation can stand, a commit is worth being asked again.
FINISH_SECONDS_MAX: Final = 600.0
DRAIN_SECONDS_MAX: Final = 10.0
_ANSWER_BYTES_MAX: Final = OPERATIONS_MAX * 4_096
_SWEEP_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = (0.05, 0.2, 1.0, 2.0)
_DONE, _NONCE_USED, _CHARGE_ENDED = 0, 7, 11
_USED: Final = (_NONCE_USED, STATUS_MISMATCH)
_MEDIA_TYPE: Final = "application/vnd.sakk.charges"


class AuthorityAway(Exception):
    """The Sakk could not be asked, or its answer did not come: nothing may be served."""


class _Operation:
    """One operation on its way. ``future`` None: nobody waits, but it is asked until known."""

    __slots__ = ("began", "future", "is_repeated", "record", "tries", "waits_from")

    def __init__(self, record: bytes, future: "asyncio.Future[bytes] | None") -> None:
        self.record = record
        self.future = future
        self.is_repeated = False
        self.tries = 0
        self.began = 0.0
        self.waits_from = 0.0


class _AtLength(msgspec.Struct):
    results: list[dict[str, Any]]


class Charges:
    """All charges of one process at one Sakk, by the key of the account that is paid.

    In the event loop that is running when it is first asked.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        connections: int = CONNECTIONS_DEFAULT,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PaywallError(f"url: must be the address of a Sakk, not {url!r}.")
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise PaywallError("api_key: must be the key as it was given: sk_… or rk_…")
        self._host = parts.hostname
        self._is_tls = parts.scheme == "https"
        self._port = parts.port or (443 if self._is_tls else 80)
        self._address = url.rstrip("/") + PATH
        self._api_key = api_key
        self._http: aiohttp.ClientSession | None = None
        self._head = (
            f"POST {parts.path.rstrip('/')}{PATH} HTTP/1.1\r\nhost: {parts.netloc}\r\n"
            f"authorization: Bearer {api_key}\r\n"
            f"content-type: {_MEDIA_TYPE}\r\ncontent-length: "
        ).encode()
        self.answer_seconds = answer_seconds
        self.unfinished = 0
        self._connections_max = connections
        self._waiting: deque[_Operation] = deque()
        self._idle: list[_Slot] = []
        self._slots: set[_Slot] = set()
        self._is_scheduled = False
        self._is_pausing = False
        self._is_closed = False
        self._sweeping: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def reserve(self, record: bytes) -> "asyncio.Future[bytes]":
        """Ask for a reserve of 128 bytes: its result of 96 bytes; raises AuthorityAway."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        future = loop.create_future()
        if self._is_closed:
            future.set_exception(AuthorityAway("this door is closed"))
        elif len(self._waiting) >= WAITING_MAX:
            future.set_exception(AuthorityAway("too many calls wait for their charge"))
        else:
            self._add(_Operation(record, future))
        return future

    def finish(self, record: bytes) -> None:
        """Commit or release, until it is known; nobody waits, so it goes with the next reserves."""
        self._add(_Operation(record, None), is_urgent=False)

    async def ask_at_length(self, operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Ask in JSON, for what a record has no room for; raises AuthorityAway."""
        if self._http is None:
            self._http = aiohttp.ClientSession(
                headers={"authorization": f"Bearer {self._api_key}"},
                timeout=aiohttp.ClientTimeout(total=self.answer_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            async with self._http.post(
                self._address, json={"operations": operations}, allow_redirects=False
            ) as response:
                body = await response.content.read(_ANSWER_BYTES_MAX)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AuthorityAway(f"the Sakk did not answer: {type(error).__name__}") from error
        try:
            results = msgspec.json.decode(body, type=_AtLength).results
        except msgspec.MsgspecError:
            results = []
        if response.status != 200 or len(results) != len(operations):
            raise AuthorityAway(f"the Sakk answered {response.status}: {_excerpt(body)}")
        return results

    async def close(self) -> None:
        """Wait for what is on its way, up to a time, and close the connections."""
        deadline = time.monotonic() + DRAIN_SECONDS_MAX
        while self.unfinished and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        if self.unfinished:
            log.error("%d charges were not finished: they will be released", self.unfinished)
        self.abandon()
        if self._http is not None:
            http, self._http = self._http, None
            await http.close()

    def abandon(self) -> None:
        """Close the connections at once, whatever is on its way."""
        self._is_closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for slot in list(self._slots):
            slot.close()
        for task in self._tasks:
            task.cancel()

    async def connect(self, slot: "_Slot") -> None:
        """Open a slot's connection; OSError, TimeoutError."""
        context = ssl.create_default_context() if self._is_tls else None
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().create_connection(
                lambda: slot, self._host, self._port, ssl=context
            )

    # Sending

    def _add(self, operation: _Operation, *, is_urgent: bool = True) -> None:
        self.unfinished += 1
        self._waiting.append(operation)
        if is_urgent:
            self._schedule()
        elif not self._is_scheduled and not self._is_pausing:
            self._is_pausing = True
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            self._loop.call_later(FINISH_PAUSE_SECONDS, self._end_pause)
        if self._sweeping is None:
            assert self._loop is not None
            operation.waits_from = self._loop.time()
            self._sweeping = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def _end_pause(self) -> None:
        self._is_pausing = False
        if self._waiting:
            self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            # What this turn of the loop brings goes together.
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_scheduled = False
        waiting = self._waiting
        while waiting:
            if not self._idle:
                if len(self._slots) < self._connections_max and not self._is_closed:
                    self._open()
                return
            slot = self._idle.pop()
            count = min(len(waiting), OPERATIONS_MAX)
            batch = [waiting.popleft() for _ in range(count)]
            records = b"".join([each.record for each in batch])
            slot.send(b"%b%d\r\n\r\n%b" % (self._head, len(records), records), batch)

    def _open(self) -> None:
        slot = _Slot(self)
        self._slots.add(slot)
        assert self._loop is not None
        task = self._loop.create_task(self._connect(slot))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, slot: "_Slot") -> None:
        try:
            await self.connect(slot)
        except Exception as error:
            # Whatever it is, whoever waits must hear of it.
            self._slots.discard(slot)
            if not self._slots:
                # Nobody is there: whoever waits is told, and what must be known is asked later.
                waiting, self._waiting = list(self._waiting), deque()
                self._fail(waiting, AuthorityAway(f"the Sakk can not be reached: {error}"))

    def _sweep(self) -> None:
        """Turn away who has waited for a connection as long as for an answer."""
        self._sweeping = None
        if not self._waiting:
            return
        assert self._loop is not None
        now = self._loop.time()
        late: list[_Operation] = []
        while self._waiting:
            first = self._waiting[0]
            first.waits_from = first.waits_from or now
            if now - first.waits_from < self.answer_seconds:
                break
            late.append(self._waiting.popleft())
        self._fail(late, AuthorityAway("the Sakk has too much to do"))
        self._sweeping = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    # For its slots

    def opened(self, slot: "_Slot") -> None:
        self._idle.append(slot)
        self._schedule()

    def lost(self, slot: "_Slot", batch: list[_Operation], *, was_used: bool) -> None:
        """A connection is gone, with a batch whose answer did not come."""
        self._slots.discard(slot)
        if slot in self._idle:
            self._idle.remove(slot)
        again: list[_Operation] = []
        failed: list[_Operation] = []
        for each in batch:
            # A connection that was kept may have been closed before it saw this: once more, then.
            if each.future is not None and was_used and not each.is_repeated:
                each.is_repeated = True
                again.append(each)
            else:
                failed.append(each)
        self._waiting.extendleft(reversed(again))
        self._fail(failed, AuthorityAway("the Sakk did not answer"))
        if self._waiting:
            self._schedule()

    def answered(self, slot: "_Slot", batch: list[_Operation], status: int, body: bytes) -> None:
        """An answer to a batch."""
        if not slot.is_closing:
            self._idle.append(slot)
        if self._waiting:
            self._schedule()
        if status != 200:
            self._fail(batch, AuthorityAway(f"the Sakk answered {status}: {_excerpt(body)}"))
            return
        try:
            results = _split(body, len(batch))
        except ValueError as error:
            self._fail(batch, AuthorityAway(f"the Sakk's answer can not be read: {error}"))
            return
        for each, result in zip(batch, results, strict=True):
            self.unfinished -= 1
            if each.future is None:
                _look_at(each, result)
            elif not each.future.done():
                if each.is_repeated and result[0] in _USED:
                    # By us, the first time, or by another: it can not be told apart.
                    each.future.set_exception(AuthorityAway("the first answer was lost"))
                else:
                    each.future.set_result(result)
            elif result[0] == _DONE:
                # Whoever asked is gone, and is served nothing.
                release = release_of(each.record, result) or _release_of(each.record)
                self._add(_Operation(release, None))

    def _fail(self, batch: list[_Operation], error: AuthorityAway) -> None:
        later: list[_Operation] = []
        now = time.monotonic()
        for each in batch:
            if each.future is not None:
                self.unfinished -= 1
                if not each.future.done():
                    each.future.set_exception(error)
                continue
            each.began = each.began or now
            each.tries += 1
            if self._is_closed or now - each.began > FINISH_SECONDS_MAX:
                self.unfinished -= 1
                log.error("a charge was not finished and will be released: %s", error)
            else:
                later.append(each)
        if later:
            tries = max(each.tries for each in later)
            pause = _PAUSE_SECONDS[min(tries, len(_PAUSE_SECONDS)) - 1]
            assert self._loop is not None
            self._loop.call_later(pause, self._again, later)

    def _again(self, later: list[_Operation]) -> None:
        self._waiting.extend(later)
        self._schedule()


class _Slot(asyncio.Protocol):
    """One connection, which carries one request at a time (RFC 9112)."""

    def __init__(self, charges: Charges) -> None:
        self._charges = charges
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._batch: list[_Operation] = []
        self._chunks: list[bytes] = []
        self._size = 0
        self._answers = 0
        self._timer: asyncio.TimerHandle | None = None
        self.is_closing = False

    def send(self, request: bytes, batch: list[_Operation]) -> None:
        assert self._transport is not None
        self._batch = batch
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._charges.answer_seconds, self._expire)
        self._transport.write(request)

    def close(self) -> None:
        self.is_closing = True
        if self._transport is not None:
            self._transport.abort()

    # asyncio's

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # By name, not by class: uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._charges.opened(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closing = True
        self._stop_timer()
        batch, self._batch = self._batch, []
        self._charges.lost(self, batch, was_used=self._answers > 0 and not self._chunks)

    # httptools'

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > _ANSWER_BYTES_MAX:
            self.close()
            return
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        if not self._batch:
            # An answer that nobody asked for.
            self.close()
            return
        self._stop_timer()
        batch, self._batch = self._batch, []
        body = b"".join(self._chunks)
        self._chunks, self._size = [], 0
        self._answers += 1
        if not self._parser.should_keep_alive():
            self.is_closing = True
        self._charges.answered(self, batch, self._parser.get_status_code(), body)
        if self.is_closing:
            self.close()

    def _expire(self) -> None:
        self.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _split(body: bytes, count: int) -> list[bytes]:
    if len(body) != count * RESULT_BYTES:
        raise ValueError(f"{len(body)} bytes for {count} operations")
    return [body[at : at + RESULT_BYTES] for at in range(0, len(body), RESULT_BYTES)]


def _release_of(record: bytes) -> bytes:
    """The release of what a record reserves: the same session and nonce."""
    return b"\3" + bytes(7) + record[8:32] + bytes(RECORD_BYTES - 32)


def _look_at(operation: _Operation, result: bytes) -> None:
    """What became of a commit or release that nobody waited for."""
    status = result[0]
    # Asked again after a lost answer, what was done has ended.
    if status == _DONE or (status == _CHARGE_ENDED and operation.tries > 0):
        return
    log.error("a charge could not be finished: reason %d", status)


def _excerpt(body: bytes) -> str:
    return body[:200].decode("utf-8", "replace")
