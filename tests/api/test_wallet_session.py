"""The whole of a session: the buyer's wallet, the seller's door, and the authority between them."""

import asyncio
from typing import Any

import httpx2
import pytest

from sakk.client.wallet import NoWayToPay, Wallet
from sakk.client.wallet_log import Limits, Receipt, State
from sakk.client.wallet_policy import Policy
from sakk.client.wallet_transport import RECEIPT, AsyncWalletTransport
from sakk.paywall import Metered, Paywall, Route
from sakk.paywall.charge import Charges
from sakk.paywall.session import Session
from tests.api.paying import Path, call, conserved, open_path, open_tenant
from tests.api.world import Api, Tenant

SHOP = "http://shop.example"
PRICE = 1_000


class Shop:
    """A seller's application behind our door; counts what it served."""

    def __init__(self, api: Api, payee: Tenant) -> None:
        self._api = api
        self._payee = payee
        self._network = httpx2.get(f"{api.url}/x402/sessions").json()["network"]
        self.served = 0
        self.fails = False

    def open(self) -> Paywall:
        """The application, for the event loop that is running."""
        offer = Session(
            Charges(self._api.door, self._payee.key),
            network=self._network,
            account=self._payee.account,
            currency="usdc",
            decimals=6,
            authority=self._api.url,
        )
        return Paywall(
            self._serve,
            routes=[
                Route("GET /weather", price="$0.001"),
                Route("POST /words", price=Metered("$0.0001", units_max=10, unit="word")),
            ],
            offers=[offer],
        )

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        self.served += 1
        if scope["path"] == "/words":
            scope["sakk.payment"].use(4)
        status = 500 if self.fails else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"served"})


class Street(httpx2.AsyncBaseTransport):
    """What is at the shop's address is the shop; everything else is the network."""

    def __init__(self, shop: Paywall) -> None:
        self._shop = httpx2.ASGITransport(shop)
        self._network = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        inner = self._shop if request.url.host == "shop.example" else self._network
        return await inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._network.aclose()


def visit(wallet: Wallet, shop: Shop, *, count: int = 1, post: bool = False) -> list[Receipt]:
    """So many calls at once; their receipts."""

    async def run() -> list[httpx2.Response]:
        app = shop.open()
        paying: Any = AsyncWalletTransport(wallet, Street(app))
        async with httpx2.AsyncClient(transport=paying, timeout=30) as http:
            method, path = ("POST", "/words") if post else ("GET", "/weather?city=Bern")
            answers = await asyncio.gather(
                *(http.request(method, SHOP + path) for _ in range(count)), return_exceptions=True
            )
        await app.close()
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [answer for answer in answers if isinstance(answer, httpx2.Response)]

    return [answer.extensions[RECEIPT] for answer in asyncio.run(run())]


def agent(api: Api, number: int, **options: Any) -> Wallet:
    """A wallet of a key of its own, which keeps sessions with this server."""
    policy = Policy(authorities={api.url: ""}, **options)
    return Wallet(f"0x{number:064x}", policy)


def channel_for(api: Api, wallet: Wallet, amount: int = 50_000) -> Path:
    return open_path(api, amount, signer=wallet.address)


def test_a_wallet_finds_its_channel_and_pays_call_by_call(api: Api) -> None:
    wallet = agent(api, 0x5E55_0001)
    path = channel_for(api, wallet)
    shop = Shop(api, path.payee)
    with conserved([path]):
        [receipt] = visit(wallet, shop)
        assert (receipt.state, receipt.scheme, receipt.amount) == (State.paid, "session", PRICE)
        # The authority's own word for this call, by the session's key.
        assert receipt.is_verified is True
        assert receipt.payee == path.payee.account
        assert receipt.counts is False
        assert len(visit(wallet, shop, count=8)) == 8
        assert path.balances() == (950_000, 41_000, 9_000)
    assert shop.served == 9


def test_a_metered_call_pays_what_it_used(api: Api) -> None:
    wallet = agent(api, 0x5E55_0002)
    path = channel_for(api, wallet)
    shop = Shop(api, path.payee)
    [receipt] = visit(wallet, shop, post=True)
    assert receipt.amount == 1_000
    assert path.balances() == (950_000, 49_600, 400)


def test_a_call_that_fails_costs_nothing(api: Api) -> None:
    wallet = agent(api, 0x5E55_0003)
    path = channel_for(api, wallet)
    shop = Shop(api, path.payee)
    shop.fails = True
    [receipt] = visit(wallet, shop)
    assert (receipt.state, receipt.is_verified) == (State.unknown, None)
    assert path.balances() == (950_000, 50_000, 0)


def test_forty_calls_at_once_raise_the_ceiling_as_they_go(api: Api) -> None:
    wallet = agent(api, 0x5E55_0004, step=10 * PRICE)
    path = channel_for(api, wallet, 5_000)
    shop = Shop(api, path.payee)
    with conserved([path]):
        receipts = visit(wallet, shop, count=40)
        assert {receipt.state for receipt in receipts} == {State.paid}
        assert path.balances()[2] == 40 * PRICE
    steps = [one for one in wallet.log.receipts() if one.counts]
    assert {step.amount for step in steps} == {10 * PRICE}
    assert wallet.log.spent() == sum(step.value for step in steps) >= 35 * PRICE


def test_the_budget_bounds_the_steps_to_the_unit(api: Api) -> None:
    limits = Limits(total=3 * PRICE + PRICE - 1)
    wallet = agent(api, 0x5E55_0005, step=10 * PRICE, limits=limits)
    path = channel_for(api, wallet, PRICE)
    shop = Shop(api, path.payee)
    for _ in range(4):
        visit(wallet, shop)
    with pytest.raises(Exception, match="leaves") as caught:
        visit(wallet, shop)
    assert isinstance(caught.value, NoWayToPay)
    assert path.balances()[2] == 4 * PRICE
    assert wallet.log.spent() == 3 * PRICE


def test_a_new_process_goes_on_with_the_channel_of_the_last(api: Api) -> None:
    first = agent(api, 0x5E55_0006)
    path = channel_for(api, first)
    shop = Shop(api, path.payee)
    visit(first, shop)
    visit(agent(api, 0x5E55_0006), shop)
    assert path.balances() == (950_000, 48_000, 2_000)


def test_a_channel_that_is_closed_gives_its_rest_back(api: Api) -> None:
    wallet = agent(api, 0x5E55_0007, step=10 * PRICE)
    path = channel_for(api, wallet, PRICE)
    shop = Shop(api, path.payee)
    visit(wallet, shop, count=2)
    assert wallet.log.spent() == 10 * PRICE
    assert wallet.close_channels() == 1
    assert path.balances() == (998_000, 0, 2_000)
    assert wallet.log.spent() == PRICE
    assert wallet.close_channels() == 0


def test_a_seller_of_an_unknown_sakk_is_not_paid_by_session(api: Api) -> None:
    wallet = Wallet(f"0x{0x5E55_0008:064x}")
    shop = Shop(api, open_tenant(api, "payee"))
    with pytest.raises(NoWayToPay, match=r"extra.authority.* is not in the policy"):
        visit(wallet, shop)
    assert shop.served == 0


def test_the_payee_can_not_be_told_from_the_payers_word_alone(api: Api) -> None:
    """A channel to one seller pays no other."""
    wallet = agent(api, 0x5E55_0009)
    path = channel_for(api, wallet)
    other = Shop(api, open_tenant(api, "other"))
    with pytest.raises(Exception, match=r"mandate|refuses"):
        visit(wallet, other)
    assert path.balances() == (950_000, 50_000, 0)
    assert call(api, path.payer, "GET", f"/v1/channels/{path.channel}")["status"] == "open"
