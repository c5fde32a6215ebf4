"""The facilitator's door on the event loop: asked together, and waited for where blocks are."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request as HttpRequest
from fastapi import Response as HttpResponse

from sakk.api.answer import refusal
from sakk.api.exchange import read_whole, request_id, request_of, response_of
from sakk.api.gate import Gate, Gathering
from sakk.api.observation import observer
from sakk.api.pipeline import Request
from sakk.api.x402 import DISCOVERY, KEY_HEADER, SETTLE, SUPPORTED, VERIFY, X402Door, told
from sakk.api.x402_waiting import WAITING_MAX, Waiters
from sakk.core.errors import SakkError
from sakk.core.escrow_call import EscrowCall
from sakk.core.x402 import BODY_BYTES_MAX, Settled
from sakk.flow.escrow import CALL_SECONDS_MAX, Ordered
from sakk.flow.escrow_call import ENDED as CALL_ENDED
from sakk.flow.facilitator import SETTLE_SECONDS_MAX, Waiting
from sakk.flow.idempotency import Answer
from sakk.flow.x402_payment import ENDED as PAYMENT_ENDED

T = TypeVar("T")
Endpoint = Callable[[HttpRequest], Awaitable[HttpResponse]]
Answering = Callable[[HttpRequest, Request], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class X402Waiters:
    """Who waits for settlements of ``exact``, and who for calls of the escrow."""

    payments: Waiters[Settled]
    calls: Waiters[EscrowCall]

    def __len__(self) -> int:
        return len(self.payments) + len(self.calls)

    def close(self) -> None:
        self.payments.close()
        self.calls.close()


def waiters_of(database_url: str, door: X402Door) -> X402Waiters:
    return X402Waiters(
        Waiters(database_url, door.exact.facilitator.hand_out, ended=PAYMENT_ENDED),
        Waiters(database_url, door.ended_calls, ended=CALL_ENDED),
    )


def x402_endpoints(
    gate: Gate, door: X402Door, waiters: X402Waiters
) -> dict[tuple[str, str], Endpoint]:
    """The facilitator, for whoever sells by HTTP 402."""

    def of(answer: Answering, path: str) -> Endpoint:
        observe = observer("GET" if path in (SUPPORTED, DISCOVERY) else "POST", path)

        async def endpoint(request: HttpRequest) -> HttpResponse:
            began = time.perf_counter()
            try:
                body = await read_whole(request, BODY_BYTES_MAX)
            except SakkError as error:
                given = refusal(error, request_id=request_id(request))
            else:
                given = await answer(request, request_of(request, request.method, body))
            observe(time.perf_counter() - began, given.status)
            response = response_of(given)
            if path == SETTLE and given.status == 200 and KEY_HEADER in request.headers:
                # Whoever sent it knows by this that it was understood.
                response.headers[KEY_HEADER] = request.headers[KEY_HEADER]
            return response

        return endpoint

    async def resources(_: HttpRequest, arrived: Request) -> Answer:
        return await gate.beside(lambda: door.resources(arrived))

    async def supported(_: HttpRequest, arrived: Request) -> Answer:
        return await gate.beside(lambda: door.supported(arrived))

    verify, settle = _x402_answers(gate, door, waiters)
    return {
        ("POST", VERIFY): of(verify, VERIFY),
        ("POST", SETTLE): of(settle, SETTLE),
        ("GET", SUPPORTED): of(supported, SUPPORTED),
        ("GET", DISCOVERY): of(resources, DISCOVERY),
    }


def _x402_answers(gate: Gate, door: X402Door, waiters: X402Waiters) -> tuple[Answering, Answering]:
    """To verify, and to settle: asked together, network by network."""
    verifying, beginning = gate.gathering(door.verify), gate.gathering(door.begin)

    async def ask(
        request: HttpRequest, arrived: Request, group: Gathering[Request, T]
    ) -> T | Answer:
        place = door.place(arrived.body)
        if place is not None:
            return await gate.counted(request, lambda: group.ask(place, arrived))
        return await gate.run(request, lambda: group.alone(arrived), outside=True)

    async def verify(request: HttpRequest, arrived: Request) -> Answer:
        return await ask(request, arrived, verifying)

    async def settle(request: HttpRequest, arrived: Request) -> Answer:
        if len(waiters) >= WAITING_MAX:
            return door.too_many(arrived)
        begun = await ask(request, arrived, beginning)
        if isinstance(begun, Ordered):
            ordered = begun
            called = waiters.calls.wait(ordered.call, is_keyed=True)
            try:
                await _ended(request, called, CALL_SECONDS_MAX)
            finally:
                waiters.calls.leave(ordered.call, called)
            return await gate.run(request, lambda: door.finished(arrived, ordered), outside=True)
        if isinstance(begun, Waiting):
            waiting = begun
            future = waiters.payments.wait(waiting.payment, is_keyed=waiting.is_keyed)
            try:
                is_there = await _ended(request, future, SETTLE_SECONDS_MAX)
                if future.done():
                    return told(future.result())
                return await gate.beside(lambda: door.given_up(arrived, waiting, is_there=is_there))
            finally:
                waiters.payments.leave(waiting.payment, future)
        return begun

    return verify, settle


async def _ended(request: HttpRequest, future: asyncio.Future[T], seconds: float) -> bool:
    """Wait until something has ended, for so long; False when the caller has gone meanwhile."""
    gone = asyncio.ensure_future(_disconnected(request))
    either: set[asyncio.Future[Any]] = {future, gone}
    try:
        first = asyncio.FIRST_COMPLETED
        await asyncio.wait(either, timeout=seconds, return_when=first)
        return not gone.done()
    finally:
        gone.cancel()


async def _disconnected(request: HttpRequest) -> None:
    """Until the caller is gone; its body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
