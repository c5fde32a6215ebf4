"""Tools that x402's own wrapper sells, on the official server: our wallet pays for them.

There is no ``@x402/mcp`` in npm's registry; x402's part for MCP is its Python package's.
"""

import asyncio
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import CallToolResult, TextContent
from x402.mcp.server_async import PaymentWrapperConfig, create_payment_wrapper
from x402.mcp.types import MCPToolResult
from x402.mechanisms.evm.exact import ExactEvmServerScheme
from x402.schemas import (
    PaymentRequirements,
    SettleResponse,
    SupportedKind,
    SupportedResponse,
    VerifyResponse,
)
from x402.server import x402ResourceServer

from mcp import Client
from sakk.client.wallet import Wallet
from sakk.client.wallet_log import Receipt, State
from sakk.mcp.buyer import PayingTools
from tests.paywall.conftest import NETWORK, PAY_TO, USDC

KEY = "0x" + "33" * 32
PRICE = 1_000
TRANSACTION = "0x" + "cd" * 32


class Facilitator:
    """Whom their server asks: carries out what it is shown, and remembers the nonces."""

    def __init__(self) -> None:
        self.settled: list[str] = []

    def get_supported(self) -> SupportedResponse:
        kind = SupportedKind(x402_version=2, scheme="exact", network=NETWORK)
        return SupportedResponse(kinds=[kind], extensions=[], signers={})

    async def verify(self, payload: Any, *_: Any, **__: Any) -> VerifyResponse:
        return VerifyResponse(is_valid=True, payer=payload.payload["authorization"]["from"])

    async def settle(self, payload: Any, *_: Any, **__: Any) -> SettleResponse:
        authorization = payload.payload["authorization"]
        self.settled.append(authorization["nonce"])
        return SettleResponse(
            success=True, transaction=TRANSACTION, network=NETWORK, payer=authorization["from"]
        )


def selling(facilitator: Facilitator) -> MCPServer:
    """The official server with one tool, wrapped as their documents say."""
    theirs: Any = facilitator
    scheme: Any = ExactEvmServerScheme
    resources = x402ResourceServer(theirs)
    resources.register(NETWORK, scheme())
    resources.initialize()
    price = PaymentRequirements(
        scheme="exact",
        network=NETWORK,
        asset=USDC,
        amount=str(PRICE),
        pay_to=PAY_TO,
        max_timeout_seconds=60,
        extra={"name": "USDC", "version": "2"},
    )
    paid = create_payment_wrapper(resources, PaymentWrapperConfig(accepts=[price]))

    async def handler(arguments: dict[str, Any], _: Any) -> MCPToolResult:
        return MCPToolResult([{"type": "text", "text": f"sun over {arguments['city']}"}])

    wrapped: Any = paid(handler)
    server = MCPServer("theirs")

    @server.tool()
    async def forecast(city: str, context: Context) -> CallToolResult:
        meta = dict(context.request_context.meta or {})
        said = await wrapped({"city": city}, {"_meta": meta, "toolName": "forecast"})
        return CallToolResult(
            content=[TextContent(**each) for each in said.content],
            is_error=said.is_error,
            structured_content=said.structured_content,
            _meta=said.meta,
        )

    return server


def test_our_wallet_pays_for_tools_that_x402s_own_wrapper_sells() -> None:
    facilitator, wallet = Facilitator(), Wallet(KEY)

    async def buy() -> list[tuple[CallToolResult, Receipt | None]]:
        async with (
            Client(selling(facilitator)) as client,
            PayingTools(client, wallet, seller="theirs") as tools,
        ):
            return [await tools.call_tool("forecast", {"city": city}) for city in ("Ur", "Uruk")]

    for city, (result, receipt) in zip(("Ur", "Uruk"), asyncio.run(buy()), strict=True):
        assert isinstance(result.content[0], TextContent)
        assert result.content[0].text == f"sun over {city}"
        assert receipt is not None
        assert (receipt.state, receipt.amount, receipt.transaction) == (
            State.paid,
            PRICE,
            TRANSACTION,
        )
    assert len(set(facilitator.settled)) == len(facilitator.settled) == 2
    assert wallet.log.spent() == 2 * PRICE
    wallet.close()
