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

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from mcp.server import MCPServer
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp_types import CallToolResult, TextContent

from sakk.client.x402 import VERSION, Challenge, Resource, Settlement, decode_header
from sakk.mcp.buyer import PAYMENT_META, RESPONSE_META
from sakk.paywall.errors import PaywallError, Refusal
from sakk.paywall.payment import Offer, Sent, Taken, Terms
from sakk.paywall.price import Price, parse_price

UNPAID: Final = "Payment required to access this tool"
NO_SUCH_OFFER: Final = "no_matching_requirements"
UNREADABLE: Final = "invalid_payload"

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
        parsed = parse_price(price)

        def register(function: Tool) -> Tool:
            name = options.get("name") or function.__name__
            terms = tuple(
                Terms(offer, offer.requirement(units), units)
                for offer in self._offers
                if (units := parsed.units(offer.currency, offer.decimals)) is not None
            )
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
        taken = await _take(sent, terms)
        if isinstance(taken, Refusal):
            return _challenge(name, terms, taken)
        return await _pass(taken, ctx, call_next, lambda refusal: _challenge(name, terms, refusal))


async def _take(sent: Any, terms: Sequence[Terms]) -> Taken | Refusal:
    if not isinstance(sent, dict) or not isinstance(sent.get("payload"), dict):
        return Refusal(UNREADABLE, "The payment is no object with a payload.")
    accepted = sent.get("accepted")
    if sent.get("x402Version") != VERSION or not isinstance(accepted, dict):
        return Refusal(UNREADABLE, "x402Version must be 2, and 'accepted' what was offered.")
    for each in terms:
        ours = msgspec.to_builtins(each.requirement)
        names = ("scheme", "network", "asset", "payTo", "amount")
        if all(str(accepted.get(one)).lower() == str(ours[one]).lower() for one in names):
            try:
                return await each.offer.take(Sent(sent, sent["payload"]), each)
            except (ValueError, RecursionError) as error:
                return Refusal(UNREADABLE, f"The payment can not be read: {error}")
    return Refusal(NO_SUCH_OFFER, "What was accepted is not offered (any more).")


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
        settled = await taken.settle()
        if isinstance(settled, Refusal):
            taken.failed()
            return refused(settled)
        response = settled
    taken.began()
    taken.ended()
    meta = document.get("_meta") or {}
    settlement = decode_header(response, dict[str, Any])
    return document | {"_meta": {**meta, RESPONSE_META: settlement}}


def _document(result: HandlerResult) -> dict[str, Any]:
    """A result as it goes over the wire."""
    if isinstance(result, dict):
        return result
    assert result is not None
    return result.model_dump(mode="json", by_alias=True, exclude_none=True)


def _challenge(name: str, terms: Sequence[Terms], refusal: Refusal | None) -> CallToolResult:
    """The 402 of a tool: a result that says how to pay, for programs and for models."""
    challenge = Challenge(
        x402_version=VERSION,
        accepts=[each.requirement for each in terms],
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
