"""Tools that are paid for: a price on a tool of any MCP server of the Python SDK.

    server = MCPServer("weather")
    paid = PaidTools(server, offers=[Exact("https://pay.example/x402", …)])

    @paid.tool(price="$0.001")
    async def forecast(city: str) -> str: ...

A middleware of the server: a call without a payment is answered by x402's challenge, as a result
with ``isError``; one with a payment reaches the tool when the payment is taken; where the tool
fails it is let go or given back, as the seller's door does with HTTP. Wire: x402's
``specs/transports-v2/mcp.md``.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec
from mcp.server import MCPServer
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp_types import CallToolResult, TextContent

from sakk.client.x402 import VERSION, Challenge, Resource, Settlement, decode_header
from sakk.mcp.buyer import PAYMENT_META, RESPONSE_META, canonical
from sakk.paywall.errors import PaywallError, Refusal
from sakk.paywall.payment import Answered, Offer, Sent, Taken, Terms
from sakk.paywall.price import Price
from sakk.paywall.terms import corrected, is_same, terms_of

UNPAID: Final = "Payment required to access this tool"
NO_SUCH_OFFER: Final = "no_matching_requirements"
UNREADABLE: Final = "invalid_payload"
OTHER_ARGUMENTS: Final = "body_mismatch"

Tool = TypeVar("Tool", bound=Callable[..., Any])


class PaidTools:
    """Prices of a server's tools; tools without one are free."""

    def __init__(self, server: MCPServer, *, offers: Sequence[Offer]) -> None:
        if not offers:
            raise PaywallError("offers: name at least one way to be paid.")
        self._server = server
        self._offers = tuple(offers)
        self._terms: dict[str, tuple[Terms, ...]] = {}
        server.middleware.append(self._serve)

    def tool(self, *, price: str | Sequence[str] | Price, **options: Any) -> Callable[[Tool], Tool]:
        """Register a tool with a price; ``options`` are MCPServer.tool's."""

        def register(function: Tool) -> Tool:
            name = options.get("name") or function.__name__
            terms = tuple(terms_of(price, self._offers))
            if not terms:
                raise PaywallError(f"price: no offer is in its currency, of the tool {name!r}.")
            self._terms[name] = terms
            self._server.tool(**options)(function)
            return function

        return register

    async def close(self) -> None:
        """End what is under way."""
        for offer in self._offers:
            await offer.close()

    async def _serve(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        params = ctx.params or {}
        name = params.get("name") if ctx.method == "tools/call" else None
        terms = self._terms.get(name) if isinstance(name, str) else None
        if terms is None:
            return await call_next(ctx)
        assert isinstance(name, str)
        sent = (ctx.meta or {}).get(PAYMENT_META)
        if sent is None:
            return _challenge(name, terms, None)
        taken = await _take(sent, terms, name)
        if isinstance(taken, Refusal):
            return _challenge(name, terms, taken)
        if isinstance(taken, Answered):
            return _answered(taken)
        if taken.body_hash is not None and taken.body_hash != _arguments_hash(params):
            taken.failed()
            return _challenge(name, terms, Refusal(OTHER_ARGUMENTS, "It pays for other arguments."))
        return await _pass(taken, ctx, call_next, lambda refusal: _challenge(name, terms, refusal))


async def _take(sent: Any, terms: Sequence[Terms], name: str) -> Taken | Answered | Refusal:
    if not isinstance(sent, dict) or not isinstance(sent.get("payload"), dict):
        return Refusal(UNREADABLE, "The payment is no object with a payload.")
    if sent.get("x402Version") != VERSION:
        return Refusal(UNREADABLE, "x402Version must be 2.")
    target = f"/{quote(name, safe='')}".encode()
    for each in terms:
        if _is_meant(sent, each):
            try:
                taken = Sent(sent, sent["payload"], "tools/call", target)
                return await each.offer.take(taken, each)
            except (ValueError, RecursionError) as error:
                return Refusal(UNREADABLE, f"The payment can not be read: {error}")
    return Refusal(NO_SUCH_OFFER, "What was accepted is not offered (any more).")


def _is_meant(sent: dict[str, Any], terms: Terms) -> bool:
    """Does the payment take this way? A call of a session may name its scheme and network alone."""
    ours = terms.requirement
    accepted = sent.get("accepted")
    if isinstance(accepted, dict):
        return is_same(accepted, ours) and accepted.get("amount") == ours.amount
    return (sent.get("scheme"), sent.get("network")) == (ours.scheme, ours.network)


def _arguments_hash(params: Mapping[str, Any]) -> bytes:
    """What a session's call binds as its body: the arguments as JSON, keys sorted, no spaces."""
    arguments = params.get("arguments") or {}
    return hashlib.sha256(canonical(arguments)).digest()


async def _pass(
    taken: Taken,
    ctx: ServerRequestContext[Any, Any],
    call_next: CallNext,
    refused: Callable[[Refusal], CallToolResult],
) -> HandlerResult:
    """Call the tool, and end the payment as the call ended."""
    try:
        result = await call_next(ctx)
    except BaseException:
        taken.failed()
        raise
    document = _document(result)
    if document.get("isError"):
        taken.failed()
        return result
    response = taken.response
    if response is None:
        try:
            settled = await taken.settle(is_whole=True)
        except BaseException:
            taken.failed()
            raise
        if isinstance(settled, Refusal):
            taken.failed()
            return refused(settled)
        response = settled
    taken.began()
    taken.ended()
    meta = document.get("_meta") or {}
    settlement = decode_header(response, dict[str, Any])
    return document | {"_meta": {**meta, RESPONSE_META: settlement}}


def _answered(answered: Answered) -> HandlerResult:
    """What the payer asked of the offer itself is done, without the tool."""
    settlement = decode_header(answered.response, dict[str, Any])
    text = TextContent(text=answered.body.decode())
    return _document(CallToolResult(content=[text])) | {"_meta": {RESPONSE_META: settlement}}


def _document(result: HandlerResult) -> dict[str, Any]:
    """A result as it goes over the wire."""
    if isinstance(result, dict):
        return result
    assert result is not None
    return result.model_dump(mode="json", by_alias=True, exclude_none=True)


def _challenge(name: str, terms: Sequence[Terms], refusal: Refusal | None) -> CallToolResult:
    """The 402 of a tool: a result that says how to pay, for programs and for models.

    Where it is not the payment's fault, a plain error: the same payment may be sent again.
    """
    if refusal is not None and refusal.status != 402:
        return CallToolResult(content=[TextContent(text=refusal.message)], is_error=True)
    accepts = [each.requirement for each in terms]
    if refusal is not None and refusal.corrected is not None:
        accepts = corrected(accepts, refusal.corrected)
    challenge = Challenge(
        x402_version=VERSION,
        accepts=accepts,
        error=UNPAID if refusal is None else refusal.code,
        resource=Resource(url=f"mcp://tool/{name}", mime_type="application/json"),
    )
    document = msgspec.to_builtins(challenge)
    meta = None
    if refusal is not None and refusal.settlement is not None:
        decode_header(refusal.settlement, Settlement)
        meta = {RESPONSE_META: decode_header(refusal.settlement, dict[str, Any])}
    return CallToolResult(
        content=[TextContent(type="text", text=json.dumps(document))],
        structured_content=document,
        is_error=True,
        _meta=meta,
    )
