"""A Sakk that knows charges alone, as the written scheme says; and a payer of its sessions.

It keeps what a ledger would: a nonce is used once, and what is reserved ends once.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from sakk.client.session import NO_BODY, call_mac, receipt_mac, request_hash, uuid_bytes
from sakk.paywall import Charges, Session

from .conftest import encoded

SESSION = "ses_01jabcdefghjkmnpqrstvwxyz0"
ACCOUNT = "acct_01jabcdefghjkmnpqrstvwxyz1"
AUTHORITY_NETWORK = "sakk:01jabcdefghjkmnpqrstvwxyz2"
KEY = bytes(range(32))
TIME = 1_800_000_000_000_000_000
_RECORD = struct.Struct(">BxHxxxxQ16s16s32s32s16s")
_RESULT = struct.Struct(">B3x20sQ16s32s16s")
WHOLE = (1 << 128) - 1


@dataclass(slots=True)
class Authority:
    """``reserved`` and ``ended`` by nonce; ``batches`` are the sizes of requests."""

    reserved: dict[int, int] = field(default_factory=dict)
    ended: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    # Called before each answer, with the number of the request: it may answer otherwise, or raise
    # ConnectionResetError. What was asked is done by then.
    fault: Callable[[int], Awaitable[web.StreamResponse | None]] | None = None
    ceiling: int = 1 << 100
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.keys.add(request.headers["authorization"])
        self.batches.append(len(body) // 128)
        results = [self._one(body[at : at + 128]) for at in range(0, len(body), 128)]
        if self.fault is not None:
            try:
                answer = await self.fault(len(self.batches))
            except ConnectionResetError:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            if answer is not None:
                return answer
        return web.Response(
            body=b"".join(results), content_type="application/vnd.sakk.charge-results"
        )

    def _one(self, record: bytes) -> bytes:
        operation, timeout, nonce, session, amount, request, mac, currency = _RECORD.unpack(record)
        amount = int.from_bytes(amount, "big")
        assert session == uuid_bytes(SESSION)
        if operation != 1:
            if nonce not in self.reserved:
                return self._result(10)
            if nonce in self.ended:
                return self._result(11)
            units = int.from_bytes(request[:8], "big")
            charged = self.reserved[nonce] if amount == WHOLE else amount
            if operation == 2:
                assert 0 < charged <= self.reserved[nonce]
            self.ended[nonce] = ("commit" if operation == 2 else "release", charged, units)
            return self._result(0)
        assert timeout > 0
        if currency.rstrip(b"\0") != b"usdc":
            return self._result(5)
        expected = call_mac(
            KEY, SESSION, nonce=nonce, amount=amount, payee=ACCOUNT, request=request
        )
        if mac != expected:
            return self._result(4)
        if nonce in self.reserved:
            return self._result(7)
        if amount > self.ceiling:
            return self._result(8)
        self.reserved[nonce] = amount
        self.ceiling -= amount
        receipt = receipt_mac(
            KEY,
            SESSION,
            step=1,
            nonce=nonce,
            amount=amount,
            units=0,
            payee=ACCOUNT,
            request=request,
            timestamp=TIME,
        )
        return self._result(0, amount, receipt)

    def _result(self, status: int, amount: int = 0, receipt: bytes = bytes(32)) -> bytes:
        return _RESULT.pack(
            status, b"\xcd" * 20, TIME, amount.to_bytes(16, "big"), receipt, bytes(16)
        )


@asynccontextmanager
async def serving(authority: Authority) -> AsyncIterator[str]:
    """The authority on a free port."""
    application = web.Application(client_max_size=1 << 20)
    application.router.add_post("/v1/charges", authority.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        authority.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield authority.url
    finally:
        await runner.cleanup()


def session(url: str, **more: Any) -> Session:
    charges = Charges(url, "sk_test_1", **more)
    return Session(
        charges,
        network=AUTHORITY_NETWORK,
        account=ACCOUNT,
        currency="usdc",
        decimals=6,
        authority=url,
    )


def call(
    number: int,
    units: int = 1_000,
    *,
    method: str = "GET",
    target: str = "/paid",
    body_hash: bytes | None = None,
    **changes: Any,
) -> dict[str, str]:
    """The header of a call."""
    request = request_hash(method, target, NO_BODY if body_hash is None else body_hash)
    mac = call_mac(KEY, SESSION, nonce=number, amount=units, payee=ACCOUNT, request=request)
    payload = {
        "session": SESSION,
        "nonce": str(number),
        "amount": str(units),
        "mac": mac.hex(),
    }
    if body_hash is not None:
        payload["bodyHash"] = body_hash.hex()
    document = {
        "x402Version": 2,
        "scheme": "session",
        "network": AUTHORITY_NETWORK,
        "payload": {**payload, **changes},
    }
    return {"payment-signature": encoded(document)}


async def settled(authority: Authority, count: int) -> None:
    """Until so many calls have ended at the authority."""
    while len(authority.ended) < count:
        await asyncio.sleep(0.001)
