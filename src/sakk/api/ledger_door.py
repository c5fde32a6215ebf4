"""The ledger's own HTTP door: no process between the client and the writer.

It serves the hot routes, postings and charges, with the same keys, bodies, answers and errors as
the API, and hands what one turn of the event loop brought to the writer together. Answers are
written when the writer's group is durable. Everything else that the API does is the API's.
"""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from email.utils import formatdate
from functools import partial
from typing import Any, NamedTuple

from sakk.api.answer import headers as answer_headers
from sakk.api.answer import refusal
from sakk.api.authentication import Authenticator
from sakk.api.charge import Charges, Sessions
from sakk.api.charge import resource as charge
from sakk.api.connection import Connection, Exchange
from sakk.api.context import Caller
from sakk.api.dependencies import ApiSettings
from sakk.api.ledger import resource as ledger
from sakk.api.ledger_body import BODY_BYTES_MAX
from sakk.api.limit import Limits
from sakk.api.observation import Observe, observer
from sakk.api.posting import Admission, Head, Postings, Question
from sakk.api.route import HOT, Kind
from sakk.api.voucher import VoucherDesk
from sakk.core.errors import MethodNotAllowed, RouteUnknown, SakkError
from sakk.flow.book import Books
from sakk.flow.context import Parts
from sakk.ledger.calls import Calls, Op, OpenLedger
from sakk.ledger.joint import is_joinable, shares
from sakk.ledger.line import LocalLine
from sakk.store.database import Database
from sakk.store.identity import new_id
from sakk.store.vault import Vault

CONNECTIONS_MAX = 1_024
# Requests that are asked as one: with the longest of each they are one group of the writer's.
JOINED_MAX = 256
# Of all bodies that are arriving.
BODIES_BYTES_MAX = 64 << 20
THREADS = 2
SWEEP_SECONDS = 1.0
DRAIN_SECONDS_MAX = 8.0
HEALTH = b"/healthz"
POST, OPTIONS = METHODS = (b"POST", b"OPTIONS")
# Whether a key may post here, which costs the ledger nothing.
_ALLOW = b"request-id: %b\r\nallow: POST, OPTIONS\r\n"


class _Asked(NamedTuple):
    """What one exchange asks of the ledger."""

    exchange: Exchange
    route: "_Routed"
    question: Question


class _Routed(NamedTuple):
    """A path's route, and who counts its answers."""

    admission: Admission
    observe: Observe
    observe_options: Observe


class _Admitted(NamedTuple):
    """An exchange that may be asked."""

    routed: _Routed
    head: Head
    caller: Caller


class LedgerDoor:
    """All connections of one door, in the event loop that is running when it is made."""

    def __init__(
        self,
        calls: Calls,
        database: Database,
        settings: ApiSettings,
        vault: Vault | None = None,
    ) -> None:
        self.body_bytes_max = BODY_BYTES_MAX
        self.is_closing = False
        self.date = b""
        self._calls = calls
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="ledger-door")
        limits = Limits(
            requests_per_second=None,
            failures_per_minute=settings.authentication_failures_per_minute,
            processes=settings.processes,
        )
        authenticator = Authenticator(database, limits)
        sessions = Sessions(database, vault)
        # Its threads ask the writer of this very process.
        parts = Parts(database, Books(database, OpenLedger(calls)))
        desk = VoucherDesk(parts, LocalLine(calls), self._in_thread, time.time)
        self._routes = {
            route.path.encode(): _Routed(
                Postings(route, authenticator, settings, self._in_thread)
                if route.kind is Kind.posting
                else Charges(route, authenticator, settings, self._in_thread, sessions, desk),
                observer(route.method, route.path),
                observer(OPTIONS.decode(), route.path),
            )
            for route in (*ledger.routes, *charge.routes)
            if route.kind in HOT
        }
        self._observe_health = observer("GET", HEALTH.decode())
        self._connections: set[Connection] = set()
        self._bodies_bytes = 0
        self._asked: list[_Asked] = []
        self._answered: deque[tuple[list[_Asked], Future[bytes]]] = deque()
        self._is_woken = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket, until: asyncio.Event) -> None:
        """Answer until the event; what is under way is answered then."""
        server = await self._loop.create_server(lambda: Connection(self), sock=listener)
        sweeping = self._loop.create_task(self._sweep())
        try:
            await until.wait()
        finally:
            self.is_closing = True
            server.close()
            for connection in list(self._connections):
                connection.finish()
            deadline = time.monotonic() + DRAIN_SECONDS_MAX
            while self._connections and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
            sweeping.cancel()
            for connection in list(self._connections):
                connection.abort()
            self._threads.shutdown(wait=False, cancel_futures=True)

    # For its connections

    def opened(self, connection: Connection) -> bool:
        self._connections.add(connection)
        return not self.is_closing and len(self._connections) <= CONNECTIONS_MAX

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def grow(self, count: int) -> bool:
        self._bodies_bytes += count
        return count < 0 or self._bodies_bytes <= BODIES_BYTES_MAX

    def begin(self, exchange: Exchange) -> None:
        """Who asks, before the body is taken."""
        routed = self._routes.get(exchange.path)
        if routed is None or exchange.method not in METHODS:
            if exchange.path != HEALTH or exchange.method != b"GET":
                exchange.refusal = self._unrouted(exchange, is_known=routed is not None)
            return
        head = Head(exchange.headers, exchange.query, exchange.peer)
        try:
            caller = routed.admission.admit_at_once(head)
        except Exception as error:
            exchange.refusal = error
            return
        if caller is None:
            exchange.hold()
            self._start(self._admit(exchange, routed, head))
        else:
            exchange.context = _Admitted(routed, head, caller)

    def finish(self, exchange: Exchange) -> None:
        """Ask the ledger what the body says."""
        if exchange.refusal is not None:
            self._refuse(exchange, exchange.refusal)
            return
        admitted = exchange.context
        if not isinstance(admitted, _Admitted):
            self._answer(exchange, self._observe_health, b"application/json", b'{"status":"ok"}')
            return
        if exchange.method == OPTIONS:
            exchange.answer(200, _ALLOW % new_id("req").encode(), b"")
            admitted.routed.observe_options(time.perf_counter() - exchange.began, 200)
            return
        routed, head, caller = admitted
        body = exchange.body()
        try:
            question = routed.admission.read_at_once(head, body, caller)
        except Exception as error:
            self._refuse(exchange, error)
            return
        if question is None:
            self._start(self._read(exchange, admitted, body))
        else:
            self._ask(_Asked(exchange, routed, question))

    # The ledger

    def _ask(self, asked: _Asked) -> None:
        """Together with all that this turn of the loop brings: small ones as one request."""
        if not asked.question.records:
            # A body of which everything was refused before the ledger.
            self._send_one(asked, b"")
            return
        if not self._asked:
            self._loop.call_soon(self._submit)
        self._asked.append(asked)

    def _submit(self) -> None:
        waiting, self._asked = self._asked, []
        joint: dict[Op, list[_Asked]] = {}
        for asked in waiting:
            op, records = asked.question.op, asked.question.records
            if asked.question.vouchers and not self._keep(asked):
                continue
            if not is_joinable(op, records):
                self._hand_over(op, records, [asked])
                continue
            together = joint.setdefault(op, [])
            together.append(asked)
            if len(together) == JOINED_MAX:
                self._hand_over_all(op, joint.pop(op))
        for op, together in joint.items():
            self._hand_over_all(op, together)

    def _keep(self, asked: _Asked) -> bool:
        """Have vouchers kept before what they pay: who is answered after them has them durable."""
        try:
            self._calls.submit(Op.keep_vouchers, asked.question.vouchers)
        except Exception as error:
            self._fail(asked, error)
            return False
        return True

    def _fail(self, asked: _Asked, error: BaseException) -> None:
        asked.question.fail()
        self._refuse(asked.exchange, error)

    def _hand_over_all(self, op: Op, together: list[_Asked]) -> None:
        self._hand_over(op, b"".join([asked.question.records for asked in together]), together)

    def _hand_over(self, op: Op, records: bytes, together: list[_Asked]) -> None:
        try:
            future = self._calls.submit(op, records)
        except Exception as error:
            for asked in together:
                self._fail(asked, error)
        else:
            future.add_done_callback(partial(self._wake, together))

    def _wake(self, together: list[_Asked], done: Future[bytes]) -> None:
        """In the writer's thread: have the loop look, once for many."""
        self._answered.append((together, done))
        if not self._is_woken:
            self._is_woken = True
            # The loop may be closed already when the writer answers the last ones.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._send)

    def _send(self) -> None:
        # First this: what is answered from here on wakes again.
        self._is_woken = False
        answered = self._answered
        while answered:
            together, done = answered.popleft()
            try:
                results = done.result()
            except Exception as error:
                for asked in together:
                    self._fail(asked, error)
                continue
            parts = shares(results, [asked.question.records for asked in together])
            for asked, part in zip(together, parts, strict=True):
                self._send_one(asked, part)

    def _send_one(self, asked: _Asked, results: bytes) -> None:
        try:
            told = asked.question.answer(results)
        except Exception as error:
            self._refuse(asked.exchange, error)
        else:
            if told is None:
                self._start(self._go_on(asked))
            else:
                self._answer(asked.exchange, asked.route.observe, *told)

    async def _go_on(self, asked: _Asked) -> None:
        """What the ledger's answer did not settle."""
        assert asked.question.go_on is not None
        try:
            told = await asked.question.go_on()
        except Exception as error:
            self._refuse(asked.exchange, error)
        else:
            self._answer(asked.exchange, asked.route.observe, *told)

    # What is not done at once

    async def _admit(self, exchange: Exchange, routed: _Routed, head: Head) -> None:
        try:
            caller = await routed.admission.admit(head)
            exchange.context = _Admitted(routed, head, caller)
        except Exception as error:
            exchange.refusal = error
        exchange.release()

    async def _read(self, exchange: Exchange, admitted: _Admitted, body: bytes) -> None:
        routed, head, caller = admitted
        try:
            question = await routed.admission.read(head, body, caller)
        except Exception as error:
            self._refuse(exchange, error)
        else:
            self._ask(_Asked(exchange, routed, question))

    # Answers

    def _answer(self, exchange: Exchange, observe: Observe, media_type: bytes, body: bytes) -> None:
        head = b"request-id: %b\r\ncontent-type: %b\r\n" % (new_id("req").encode(), media_type)
        exchange.answer(200, head, body)
        observe(time.perf_counter() - exchange.began, 200)

    def _refuse(self, exchange: Exchange, error: BaseException) -> None:
        identifier = new_id("req")
        assert isinstance(error, Exception)
        told = refusal(error, request_id=identifier, public_url=self._settings.public_url)
        lines = [(b"request-id", identifier.encode())]
        # The length is the connection's to say.
        lines += [pair for pair in answer_headers(told) if pair[0] != b"content-length"]
        exchange.answer(told.status, b"".join(b"%b: %b\r\n" % pair for pair in lines), told.body)
        routed = self._routes.get(exchange.path)
        if routed is not None and exchange.method == POST:
            routed.observe(time.perf_counter() - exchange.began, told.status)

    def _unrouted(self, exchange: Exchange, *, is_known: bool) -> SakkError:
        where = f"{exchange.method.decode()} {exchange.path.decode('latin-1')}"
        if is_known or exchange.path == HEALTH:
            return MethodNotAllowed(f"There is no {where} at the ledger's own door. Ask the API.")
        return RouteUnknown(
            f"Unrecognized request URL ({where}). The ledger's own door takes"
            f" {' and '.join(sorted(path.decode() for path in self._routes))}; ask the API."
        )

    # The loop

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await self._loop.run_in_executor(self._threads, work)

    async def _sweep(self) -> None:
        """The date, and whose time is over: once a second for all."""
        while True:
            self.date = b"date: %b\r\n" % formatdate(usegmt=True).encode()
            now = time.monotonic()
            for connection in [each for each in self._connections if each.deadline < now]:
                connection.expire()
            await asyncio.sleep(SWEEP_SECONDS)


def open_listener(host: str, port: int) -> socket.socket:
    """A socket that listens for the door's clients; OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=CONNECTIONS_MAX)
