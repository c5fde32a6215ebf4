"""A door without a server: requests are made, and answers kept, message by message."""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from sakk.client.x402 import Requirement, Settlement
from sakk.paywall import Exact
from sakk.paywall.facilitator import Away, Declined, Unknown, Verdict

NETWORK = "eip155:84532"
USDC = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
PAY_TO = "0x" + "ab" * 20
PAYER = "0x" + "cd" * 20
NOW = 1_800_000_000
Pairs = Sequence[tuple[bytes, bytes]]


@dataclass(slots=True)
class Reply:
    """What the client saw."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def challenge(self) -> dict[str, Any]:
        return decoded(self.headers["payment-required"])

    @property
    def receipt(self) -> dict[str, Any]:
        return decoded(self.headers["payment-response"])


def decoded(value: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(b64decode(value))
    return found


def encoded(document: Any) -> str:
    return b64encode(json.dumps(document).encode()).decode()


async def ask(
    app: Any,
    path: str = "/paid",
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    query: bytes = b"",
    body: Sequence[bytes] = (b"",),
    on_chunk: Callable[[bytes], None] | None = None,
    gone: bool = False,
) -> Reply:
    """One request; ``gone``: the client has left before the answer."""
    reply = Reply()
    incoming = [
        {"type": "http.request", "body": part, "more_body": index + 1 < len(body)}
        for index, part in enumerate(body)
    ]
    ended = asyncio.Event()
    if gone:
        incoming = [{"type": "http.disconnect"}]

    async def receive() -> Any:
        if incoming:
            return incoming.pop(0)
        # The client is there until it has its answer.
        await ended.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            assert reply.status == 0
            reply.status = message["status"]
            reply.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            assert len(reply.headers) == len(message["headers"])
        elif message["type"] == "http.response.body":
            reply.chunks.append(message.get("body", b""))
            if on_chunk is not None:
                on_chunk(message.get("body", b""))
            if not message.get("more_body", False):
                ended.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [
            (b"host", b"shop.test"),
            *((k.lower().encode(), v.encode()) for k, v in (headers or {}).items()),
        ],
    }
    await app(scope, receive, send)
    return reply


def run(
    work: Coroutine[Any, Any, Any],
    *,
    seconds: float = 30,
    loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> Any:
    if loop is not None:
        with asyncio.Runner(loop_factory=loop) as runner:
            return runner.run(asyncio.wait_for(work, seconds))
    return asyncio.run(asyncio.wait_for(work, seconds))


class Counter:
    """An application that counts who reaches it, and answers as it is told."""

    def __init__(self, status: int = 200, *, fault: Exception | None = None) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.status = status
        self.fault = fault
        self.headers: list[tuple[bytes, bytes]] = []
        self.started = asyncio.Event()
        self.hold: asyncio.Event | None = None

    @property
    def calls(self) -> int:
        return len(self.scopes)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        self.started.set()
        await receive()
        if self.hold is not None:
            await self.hold.wait()
        if self.fault is not None:
            raise self.fault
        await send(
            {"type": "http.response.start", "status": self.status, "headers": list(self.headers)}
        )
        await send({"type": "http.response.body", "body": b"served"})


class FakeFacilitator:
    """Says what it is told to; honest about nonces, as a chain is, unless it is told to lie."""

    def __init__(self) -> None:
        self.url = "http://facilitator.test"
        self.settled: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []
        self.outcomes: list[Any] = []
        self.verdicts: list[Any] = []
        self.lies = False
        self.pause: asyncio.Event | None = None

    async def verify(self, body: bytes) -> Verdict | Away:
        self.asked.append(("verify", _nonce(body)))
        if self.verdicts:
            found: Verdict | Away = self.verdicts.pop(0)
            return found
        return Verdict(is_valid=True, payer=PAYER)

    async def settle(
        self,
        body: bytes,
        key: str,
        *,
        requirement: Requirement,
        payer: str | None,
        was_asked: bool = False,
    ) -> Settlement | Declined | Away | Unknown:
        nonce = _nonce(body)
        self.asked.append(("settle", nonce))
        if self.pause is not None:
            await self.pause.wait()
        else:
            await asyncio.sleep(0)
        if self.outcomes:
            outcome: Any = self.outcomes.pop(0)
            if outcome is not None:
                if isinstance(outcome, Declined) and was_asked:
                    return Unknown("It was asked before.")
                if isinstance(outcome, Unknown):
                    self.settled.setdefault(nonce, key)
                return outcome  # type: ignore[no-any-return]
        before = self.settled.setdefault(nonce, key)
        if before != key and not self.lies:
            return Declined("invalid_exact_evm_nonce_already_used", "Used.")
        return Settlement(
            success=True,
            transaction="0x" + nonce[2:].rjust(64, "0"),
            network=requirement.network,
            payer=PAYER,
        )

    async def close(self) -> None:
        pass


def _nonce(body: bytes) -> str:
    payload = json.loads(body)["paymentPayload"]["payload"]
    return str(payload["authorization"]["nonce"])


@pytest.fixture
def facilitator() -> FakeFacilitator:
    return FakeFacilitator()


def exact(facilitator: Any, **more: Any) -> Exact:
    return Exact(
        facilitator,
        network=NETWORK,
        asset=USDC,
        pay_to=PAY_TO,
        currency="usdc",
        decimals=6,
        name="USDC",
        version="2",
        **{"clock": lambda: NOW, **more},
    )


def authorisation(number: int = 1, *, amount: int = 1000, **changes: Any) -> dict[str, Any]:
    given = {
        "from": PAYER,
        "to": PAY_TO,
        "value": str(amount),
        "validAfter": str(NOW - 600),
        "validBefore": str(NOW + 60),
        "nonce": f"0x{number:064x}",
    }
    return {"signature": "0x" + "11" * 65, "authorization": {**given, **changes}}


def paid(
    challenge: dict[str, Any],
    nonce: int = 1,
    *,
    index: int = 0,
    payload: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[str, str]:
    """The header of an honest client that answers a challenge."""
    accepted = challenge["accepts"][index]
    if payload is None:
        payload = authorisation(nonce, amount=int(accepted["amount"]), **changes)
    document = {
        "x402Version": 2,
        "payload": payload,
        "accepted": accepted,
        "resource": challenge["resource"],
    }
    return {"payment-signature": encoded(document)}
