"""The seller's door at a real Sakk: what is sold is in the merchant's balance, call by call."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sakk.client.session import call_mac, request_hash
from sakk.paywall import Metered, Paywall, PaywallError, Route
from sakk.paywall.sakk import Sakk
from tests.api.paying import Path, call, conserved, open_path
from tests.api.world import Api
from tests.paywall.conftest import Counter, Reply, ask, encoded, run

ROUTES = [
    Route("/paid", "$0.001"),
    Route("/metered", Metered("$0.0000015", units_max=1_000, unit="token")),
]


def at_door(api: Api, path: Path, app: Any, work: Callable[[Paywall], Awaitable[Any]]) -> Any:
    """Do something at a door of the payee's; what it charged is known when this returns."""

    async def scenario() -> Any:
        source = Sakk(api.url, path.payee.key, charges_url=api.door, schemes=["session"])
        shop = Paywall(app, routes=ROUTES, offers=source)
        try:
            return await work(shop)
        finally:
            await shop.close()

    return run(scenario())


def header(path: Path, offer: dict[str, Any], target: str, amount: int) -> dict[str, str]:
    """A call's header, as a wallet makes it of what is offered."""
    nonce = next(path.nonces)
    mac = call_mac(
        path.key,
        path.session,
        nonce=nonce,
        amount=amount,
        payee=offer["payTo"],
        request=request_hash("GET", target),
    )
    payload = {
        "session": path.session,
        "nonce": str(nonce),
        "amount": str(amount),
        "mac": mac.hex(),
    }
    document = {"x402Version": 2, "scheme": "session", "network": offer["network"]}
    return {"payment-signature": encoded({**document, "payload": payload})}


async def offered(shop: Paywall, target: str = "/paid") -> dict[str, Any]:
    accepts = (await ask(shop, target)).challenge["accepts"]
    [offer] = [each for each in accepts if each["asset"] == "usdc"]
    return dict(offer)


def test_calls_are_charged_at_once_and_the_revenue_is_the_merchants(api: Api) -> None:
    path = open_path(api)
    app = Counter()

    async def work(shop: Paywall) -> list[Reply]:
        offer = await offered(shop)
        assert offer["payTo"] == path.payee.account
        assert offer["network"].startswith("sakk:")
        headers = [header(path, offer, "/paid", 1_000) for _ in range(40)]
        together = await asyncio.gather(*(ask(shop, headers=each) for each in headers))
        # Copies, in another order and at once.
        copies = await asyncio.gather(*(ask(shop, headers=each) for each in reversed(headers)))
        assert {copy.challenge["error"] for copy in copies} == {"nonce_used"}
        # Ten are left of fifty.
        over = [header(path, offer, "/paid", 1_000) for _ in range(11)]
        rest = await asyncio.gather(*(ask(shop, headers=each) for each in over))
        assert sorted(reply.status for reply in rest) == [200] * 10 + [402]
        return list(together)

    with conserved([path]):
        replies = at_door(api, path, app, work)
        assert {reply.status for reply in replies} == {200}
        assert app.calls == 50
        assert path.balances() == (950_000, 0, 50_000)
    balance = call(api, path.payee, "GET", "/v1/balance")
    [available] = balance["available"]
    assert (available["amount"], available["currency"]) == (50_000, "usdc")


def test_what_was_not_served_or_not_used_is_the_payers(api: Api) -> None:
    path = open_path(api)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        status = 200 if scope["path"] == "/metered" else 500
        await send({"type": "http.response.start", "status": status, "headers": []})
        if status == 200:
            scope["state"]["payment"].use(100)
        await send({"type": "http.response.body", "body": b""})

    async def work(shop: Paywall) -> list[int]:
        fixed, metered = await offered(shop), await offered(shop, "/metered")
        assert metered["amount"] == "1500"
        return [
            (await ask(shop, "/paid", headers=header(path, fixed, "/paid", 1_000))).status,
            (await ask(shop, "/metered", headers=header(path, metered, "/metered", 1_500))).status,
        ]

    with conserved([path]):
        assert at_door(api, path, app, work) == [500, 200]
        assert path.balances() == (950_000, 49_850, 150)


def test_a_door_that_dies_after_the_reserve_charges_nothing(api: Api) -> None:
    """Its charge ends with the channel, in the payer's favour; nobody else's is touched."""
    path = open_path(api)

    async def dies(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        source = Sakk(api.url, path.payee.key, charges_url=api.door, schemes=["session"])
        shop = Paywall(dies, routes=ROUTES, offers=source)
        offer = await offered(shop)
        asking = asyncio.ensure_future(ask(shop, headers=header(path, offer, "/paid", 1_000)))
        while path.standing()["available"] == 50_000:
            await asyncio.sleep(0.01)
        # As if the process were gone: nothing of it is sent any more.
        for each in shop._offers:
            each.charges.abandon()  # type: ignore[attr-defined]
        asking.cancel()

    with conserved([path]):
        run(scenario())
        assert path.standing()["available"] == 49_000
        assert path.balances() == (950_000, 50_000, 0)


def test_a_key_that_may_not_charge_is_told(api: Api) -> None:
    path = open_path(api)

    async def start(shop: Paywall) -> None:
        await shop.start()

    path.payee = type(path.payee)(path.payee.account, "sk_test_wrong")
    with pytest.raises(PaywallError, match="401"):
        at_door(api, path, Counter(), start)
