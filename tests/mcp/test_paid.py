"""Paid tools: an official MCP client with our wallet buys from a server whose tools have prices."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from eth_account import Account
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult
from x402 import x402Client
from x402.mcp import wrap_mcp_client_with_payment
from x402.mcp.utils import extract_payment_required_from_result
from x402.mechanisms.evm.exact import ExactEvmScheme
from x402.mechanisms.evm.signers import EthAccountSigner

from mcp import Client
from sakk.client.wallet import NoWayToPay, PaymentRefused, Wallet
from sakk.client.wallet_log import Limits, State
from sakk.client.wallet_policy import Policy
from sakk.mcp.buyer import PAYMENT_META, RESPONSE_META, PayingTools
from sakk.mcp.paid import PaidTools
from sakk.paywall import Exact
from sakk.paywall.errors import PaywallError
from sakk.paywall.facilitator import Unknown
from tests.paywall.conftest import NETWORK, PAY_TO, USDC, FakeFacilitator

KEY = "0x" + "33" * 32
PRICE = 1_000


class Weather:
    """A server with a paid tool and a free one, and how often each ran."""

    def __init__(
        self, facilitator: FakeFacilitator, settle: Literal["before", "after"] = "before"
    ) -> None:
        self.server = MCPServer("weather")
        told: Any = facilitator
        offer = Exact(
            told,
            network=NETWORK,
            asset=USDC,
            pay_to=PAY_TO,
            currency="usdc",
            decimals=6,
            name="USDC",
            version="2",
            settle=settle,
        )
        self.paid = PaidTools(self.server, offers=[offer])
        self.ran = 0
        self.fails = False

        @self.paid.tool(price="$0.001")
        async def forecast(city: str) -> str:
            self.ran += 1
            if self.fails:
                raise ToolError("no weather today")
            return f"sun over {city}"

        @self.server.tool()
        async def hello() -> str:
            return "hello"


@pytest.fixture
def weather(facilitator: FakeFacilitator) -> Weather:
    return Weather(facilitator)


@pytest.fixture
def facilitator() -> FakeFacilitator:
    return FakeFacilitator()


def run(weather: Weather, wallet: Wallet, do: Callable[[PayingTools], Awaitable[Any]]) -> Any:
    """What the buyer's own code comes to; an error leaves the client's task groups as it is."""

    async def all_of_it() -> Any:
        async with Client(weather.server) as client:
            async with PayingTools(client, wallet, seller="weather.example") as paying:
                try:
                    return await do(paying)
                except Exception as error:
                    return error

    came = asyncio.run(all_of_it())
    if isinstance(came, Exception):
        raise came
    return came


def plainly(weather: Weather, tool: str, meta: Any = None, **arguments: Any) -> CallToolResult:
    async def all_of_it() -> CallToolResult:
        async with Client(weather.server) as client:
            return await client.call_tool(tool, arguments, meta=meta)

    return asyncio.run(all_of_it())


def test_a_tool_without_a_price_is_free(weather: Weather) -> None:
    result = plainly(weather, "hello")
    assert not result.is_error
    assert RESPONSE_META not in (result.meta or {})


def test_without_a_payment_the_challenge_is_what_the_official_client_reads(
    weather: Weather,
) -> None:
    result = plainly(weather, "forecast", city="Baghdad")
    assert result.is_error
    assert weather.ran == 0
    shown: Any = result
    read: Any = extract_payment_required_from_result(shown)
    [offered] = read.accepts
    assert (offered.network, offered.asset, offered.pay_to) == (NETWORK, USDC, PAY_TO)
    assert offered.amount == str(PRICE)


def test_the_wallet_pays_a_tool_once_and_keeps_the_receipt(
    weather: Weather, facilitator: FakeFacilitator
) -> None:
    wallet = Wallet(KEY)
    result, receipt = run(
        weather, wallet, lambda paying: paying.call_tool("forecast", {"city": "Baghdad"})
    )
    assert result.structured_content == {"result": "sun over Baghdad"}
    assert result.meta[RESPONSE_META]["success"] is True
    assert (receipt.state, receipt.amount, receipt.payee) == (State.paid, PRICE, PAY_TO)
    assert receipt.url == "mcp://weather.example/forecast"
    assert weather.ran == 1
    assert wallet.log.spent() == PRICE
    free, nothing = run(weather, wallet, lambda paying: paying.call_tool("hello"))
    assert (free.is_error, nothing) == (False, None)


def test_a_copy_of_a_payment_never_reaches_the_tool(weather: Weather) -> None:
    wallet = Wallet(KEY)
    run(weather, wallet, lambda paying: paying.call_tool("forecast", {"city": "Basra"}, key="one"))
    with pytest.raises(PaymentRefused):
        run(
            weather,
            wallet,
            lambda paying: paying.call_tool("forecast", {"city": "Basra"}, key="one"),
        )
    assert weather.ran == 1
    assert wallet.log.spent() == PRICE


def test_what_may_have_been_settled_after_the_tool_is_good_again(
    facilitator: FakeFacilitator,
) -> None:
    weather, wallet = Weather(facilitator, "after"), Wallet(KEY)
    facilitator.outcomes = [Unknown("Silence."), None]

    def call() -> Any:
        return run(
            weather,
            wallet,
            lambda paying: paying.call_tool("forecast", {"city": "Basra"}, key="one"),
        )

    unclear, receipt = call()
    assert (unclear.is_error, receipt.state) == (True, State.unknown)
    served, receipt = call()
    assert (served.is_error, receipt.state) == (False, State.paid)
    assert wallet.log.spent() == PRICE


def test_over_the_budget_nothing_is_signed(weather: Weather) -> None:
    wallet = Wallet(KEY, Policy(limits=Limits(total=PRICE - 1)))
    with pytest.raises(NoWayToPay, match="more than total leaves"):
        run(weather, wallet, lambda paying: paying.call_tool("forecast", {"city": "Mosul"}))
    assert weather.ran == 0
    wallet = Wallet(KEY)
    with pytest.raises(NoWayToPay, match="more than a call may cost"):
        run(
            weather,
            wallet,
            lambda paying: paying.call_tool("forecast", {"city": "Mosul"}, value_max=PRICE - 1),
        )


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        ("text", "invalid_payload"),
        ({"x402Version": 2, "payload": {}}, "no_matching_requirements"),
        ({"x402Version": 1, "payload": {}, "accepted": {}}, "invalid_payload"),
        (
            {"x402Version": 2, "payload": {}, "accepted": {"scheme": "exact"}},
            "no_matching_requirements",
        ),
    ],
)
def test_what_is_no_payment_is_refused(weather: Weather, sent: Any, error: str) -> None:
    result = plainly(weather, "forecast", {PAYMENT_META: sent}, city="Najaf")
    assert result.is_error
    assert isinstance(result.structured_content, dict)
    assert result.structured_content["error"] == error
    assert weather.ran == 0


def test_a_tool_that_fails_says_so_and_shows_no_receipt(weather: Weather) -> None:
    weather.fails = True
    wallet = Wallet(KEY)
    result, receipt = run(
        weather, wallet, lambda paying: paying.call_tool("forecast", {"city": "Erbil"})
    )
    assert result.is_error
    assert "no weather today" in result.content[0].text
    assert RESPONSE_META not in (result.meta or {})
    # The wallet does not know what became of it: what it signed counts until the chain says.
    assert receipt.state is State.unknown
    assert wallet.log.spent() == PRICE


def test_a_price_that_no_offer_can_take_is_refused_at_once(weather: Weather) -> None:
    with pytest.raises(PaywallError, match="no offer is in its currency"):
        weather.paid.tool(price="1 eur")(lambda: "never")
    with pytest.raises(PaywallError, match="at least one way"):
        PaidTools(weather.server, offers=[])


class OnTheWire:
    """The SDK's client as x402's wrapper takes it: requests and results by their wire's names."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call_tool(self, params: dict[str, Any], *, read_timeout_seconds: Any) -> Any:
        name, arguments, meta = params["name"], params["arguments"], params.get("_meta")
        result = await self.client.call_tool(name, arguments, meta=meta)
        return SimpleNamespace(**result.model_dump(by_alias=True))


def test_x402s_own_mcp_client_pays_a_tool(weather: Weather, facilitator: FakeFacilitator) -> None:
    """Its wrapper, unmodified: the challenge, the payment in ``_meta``, and the settlement back."""
    payer = x402Client().register(NETWORK, ExactEvmScheme(EthAccountSigner(Account.from_key(KEY))))

    async def all_of_it() -> list[Any]:
        async with Client(weather.server) as client:
            theirs = wrap_mcp_client_with_payment(OnTheWire(client), payer)
            return [await theirs.call_tool("forecast", {"city": city}) for city in ("Ur", "Uruk")]

    for city, result in zip(("Ur", "Uruk"), asyncio.run(all_of_it()), strict=True):
        assert not result.is_error
        assert result.payment_made
        assert f"sun over {city}" in str(result.content)
        assert result.payment_response.success
    assert (weather.ran, len(facilitator.settled)) == (2, 2)
