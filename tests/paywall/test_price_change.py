"""A price that changes between the 402 and the payment, with x402's own client on the other side.

It pays by the offer that it read, and is either served for that price or refused with nothing
taken; it never pays twice, and never more than it was asked for.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from eth_account import Account
from x402 import x402Client
from x402.http.clients.httpx import x402AsyncTransport
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact import register_exact_evm_client

from sakk.paywall import Paywall, Route
from sakk.paywall.config import read_config
from sakk.paywall.proxy import make_application

from .conftest import NETWORK, PAY_TO, USDC, Counter, FakeFacilitator, exact, run

PAYER = Account.from_key("0x" + "22" * 32)
URL = "http://shop.test/paid"
CONFIG = """
upstream = "{address}"
used_file = "{used}"

[[routes]]
pattern = "/paid"
price = "{price}"

[[exact]]
facilitator = "{address}/x402"
network = "{network}"
asset = "{asset}"
pay_to = "{pay_to}"
currency = "usdc"
decimals = 6
name = "USDC"
version = "2"
"""


@dataclass
class Behind:
    """A service, and a facilitator that settles all it is asked to: units, and who was served."""

    address: str = ""
    settled: list[int] = field(default_factory=list)
    served: list[str] = field(default_factory=list)

    async def settle(self, request: web.Request) -> web.Response:
        authorization = (await request.json())["paymentPayload"]["payload"]["authorization"]
        self.settled.append(int(authorization["value"]))
        document = {"success": True, "transaction": authorization["nonce"], "network": NETWORK}
        return web.json_response({**document, "payer": authorization["from"]})

    async def serve(self, request: web.Request) -> web.Response:
        self.served.append(request.headers["sakk-amount"])
        return web.Response(text="served")


@asynccontextmanager
async def behind() -> AsyncIterator[Behind]:
    found = Behind()
    application = web.Application()
    application.router.add_post("/x402/settle", found.settle)
    application.router.add_get("/paid", found.serve)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield found
    finally:
        await runner.cleanup()


class Changing(httpx.AsyncBaseTransport):
    """Asks one door first, and from its first 402 on another."""

    def __init__(self, before: Any, after: Any) -> None:
        self.door, self.after = httpx.ASGITransport(before), httpx.ASGITransport(after)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self.door.handle_async_request(request)
        if answer.status_code == 402:
            self.door = self.after
        return answer


async def end(app: Any) -> None:
    """The application ends, as its server ends it."""
    told = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(told)

    async def send(message: Any) -> None:
        assert message["type"].endswith(".complete")

    await app({"type": "lifespan"}, receive, send)


async def buy(transport: Changing) -> list[int]:
    """What the official client is told of two purchases, one after the other."""
    payer = register_exact_evm_client(x402Client(), EthAccountSigner(PAYER))
    async with httpx.AsyncClient(transport=x402AsyncTransport(payer, transport)) as client:
        return [(await client.get(URL)).status_code for _ in range(2)]


@pytest.mark.parametrize(("before", "after"), [(1_000, 1_001), (1_001, 1_000)])
def test_a_proxy_that_comes_back_with_another_price_takes_nothing_for_the_old_one(
    tmp_path: Path, before: int, after: int
) -> None:
    async def scenario() -> tuple[Behind, list[int]]:
        async with behind() as service:
            proxies = [
                make_application(
                    read_config(
                        CONFIG.format(
                            address=service.address,
                            used=tmp_path / "used.sqlite",
                            price=f"$0.00{units}",
                            network=NETWORK,
                            asset=USDC,
                            pay_to=PAY_TO,
                        )
                    ),
                    api_key=None,
                )
                for units in (before, after)
            ]
            try:
                return service, await buy(Changing(*proxies))
            finally:
                for proxy in proxies:
                    await end(proxy)

    service, statuses = run(scenario())
    assert statuses == [402, 200]
    assert service.settled == [after]
    assert service.served == [str(after)]


def test_a_price_that_moves_is_what_the_official_client_was_promised(
    facilitator: FakeFacilitator,
) -> None:
    app, prices = Counter(), ["$0.001"]
    offers = [exact(facilitator, clock=time.time)]
    shop = Paywall(app, routes=[Route("/paid", lambda _: prices[0])], offers=offers)

    async def moving(scope: Any, receive: Any, send: Any) -> None:
        await shop(scope, receive, send)
        prices[0] = "$0.002"

    assert run(buy(Changing(moving, moving))) == [200, 200]
    amounts = [scope["sakk.payment"].amount for scope in app.scopes]
    assert amounts == [1_000, 2_000]
    assert len(facilitator.settled) == 2
