"""A wallet under an MCP client: calls tools that are paid for.

    paying = PayingTools(client, wallet, seller="weather.example")
    result = await paying.call_tool("forecast", {"city": "Baghdad"})

Follows x402's ``specs/transports-v2/mcp.md``: the challenge is a result with ``isError`` whose
structured content is the 402's document, the payment goes in ``_meta["x402/payment"]``, what became
of it comes back in ``_meta["x402/payment-response"]``. To the wallet a call is a request like any
other: it pays once, by the same policy, and keeps the receipt.
"""

import asyncio
import json
from collections import defaultdict
from typing import Any, Final
from urllib.parse import quote

import httpx2
from mcp_types import CallToolResult, TextContent

from mcp import Client
from sakk.client.wallet import Wallet
from sakk.client.wallet_log import Receipt
from sakk.client.wallet_payment import IDEMPOTENCY_KEY
from sakk.client.wallet_step import Answer, Ask, Enter, Leave, NoAnswer, Read, Send, Step
from sakk.client.x402 import (
    PAYMENT_REQUIRED,
    PAYMENT_RESPONSE,
    PAYMENT_SIGNATURE,
    Challenge,
    X402Error,
    decode_header,
    encode_header,
    read_challenge,
)

PAYMENT_META: Final = "x402/payment"
RESPONSE_META: Final = "x402/payment-response"
TIMEOUT_SECONDS: Final = 60.0


class PayingTools:
    """Calls a server's tools and pays for them. ``seller``: the server's name in the policy."""

    def __init__(self, client: Client, wallet: Wallet, *, seller: str) -> None:
        self._client = client
        self._wallet = wallet
        self._seller = seller
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._http = httpx2.AsyncClient(timeout=TIMEOUT_SECONDS)

    async def __aenter__(self) -> "PayingTools":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        *,
        key: str | None = None,
        value_max: int | None = None,
    ) -> tuple[CallToolResult, Receipt | None]:
        """The tool's result, and the receipt if it was paid for.

        ``key``: the same call under it is paid once; ``value_max``: the most that it may cost, in
        millionths of a dollar. Raises what `Wallet` raises.
        """
        ask = Ask(
            "tools/call",
            f"mcp://{self._seller}/{quote(name, safe='')}",
            {} if key is None else {IDEMPOTENCY_KEY: key},
            canonical(arguments or {}),
            value_max,
        )
        call = _Call(name, arguments)
        flow = self._wallet.flow(ask)
        try:
            step = next(flow)
            while True:
                try:
                    came = await self._take(step, call)
                except NoAnswer as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(came)
        except StopIteration as end:
            assert call.result is not None
            return call.result, end.value
        finally:
            for held in call.held:
                self._locks[held].release()

    async def _take(self, step: Step, call: "_Call") -> Any:
        match step:
            case Send(ask, True):
                return await self._call(ask, call)
            case Send(ask, False):
                return await self._send(ask, call)
            case Read():
                return call.body
            case Enter(name):
                await self._locks[name].acquire()
                call.held.add(name)
            case Leave(name):
                call.held.remove(name)
                self._locks[name].release()
        return None

    async def _call(self, ask: Ask, call: "_Call") -> Answer:
        """One call of the tool, with its payment if there is one, as an answer of HTTP."""
        header = ask.headers.get(PAYMENT_SIGNATURE)
        meta: Any = None
        if header is not None:
            meta = {PAYMENT_META: decode_header(header, dict[str, Any])}
        try:
            call.result = await self._client.call_tool(call.name, call.arguments, meta=meta)
        except Exception as error:
            if header is None:
                raise
            raise NoAnswer(f"{type(error).__name__}: {error}") from error
        headers: dict[str, str] = {}
        settled = (call.result.meta or {}).get(RESPONSE_META)
        if isinstance(settled, dict):
            headers[PAYMENT_RESPONSE.lower()] = encode_header(settled)
        challenge = challenge_of(call.result)
        if challenge is None:
            return Answer(200, headers)
        headers[PAYMENT_REQUIRED.lower()] = encode_header(challenge)
        return Answer(402, headers)

    async def _send(self, ask: Ask, call: "_Call") -> Answer:
        """A request to the Sakk that keeps the wallet's sessions."""
        try:
            answer = await self._http.request(
                ask.method, ask.url, headers=ask.headers, content=ask.body
            )
        except httpx2.TransportError as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from error
        call.body = answer.content
        return Answer(answer.status_code, {n.lower(): v for n, v in answer.headers.items()})


class _Call:
    def __init__(self, name: str, arguments: dict[str, Any] | None) -> None:
        self.name = name
        self.arguments = arguments
        self.result: CallToolResult | None = None
        self.body = b""
        self.held: set[str] = set()


def canonical(arguments: Any) -> bytes:
    """Arguments as bytes that both sides make alike: JSON with sorted keys and without spaces."""
    return json.dumps(arguments, separators=(",", ":"), sort_keys=True).encode()


def challenge_of(result: CallToolResult) -> Challenge | None:
    """The challenge in a tool's result: its structured content, or its first text."""
    if not result.is_error:
        return None
    first = result.content[0] if result.content else None
    texts = [] if not isinstance(first, TextContent) else [first.text.encode()]
    if result.structured_content is not None:
        texts.insert(0, json.dumps(result.structured_content).encode())
    for text in texts:
        try:
            return read_challenge(None, text)
        except X402Error:
            continue
    return None
