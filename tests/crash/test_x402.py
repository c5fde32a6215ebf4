"""The official x402 parts, unmodified, against our facilitator; and what comes after a kill.

Python: their httpx client, their FastAPI server. TypeScript: their fetch client, their express
server, in one Node process.
"""

import asyncio
import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account import Account
from fastapi import FastAPI
from x402 import x402Client
from x402.http import FacilitatorConfig, HTTPFacilitatorClient, decode_payment_response_header
from x402.http.clients.httpx import x402AsyncTransport
from x402.http.middleware.fastapi import PaymentMiddlewareASGI
from x402.http.types import PaymentOption, RouteConfig
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact import register_exact_evm_client, register_exact_evm_server
from x402.server import x402ResourceServer

from tests.crash.house import House, await_true, await_value
from tests.crash.job import Merchant, query
from tests.crash.paying import Shop

SCRIPT = Path(__file__).parent / "x402.mjs"
PRICES = ("$0.000001", "$0.01", "$0.5")
UNITS = (1, 10_000, 500_000)


@pytest.fixture
def shop(house: House, merchant: Merchant) -> Shop:
    return Shop(house, merchant)


def check_sold(shop: Shop, transactions: list[str], units: list[int]) -> None:
    """What the receipts name is on the chain once, and on the merchant's balance."""
    for transaction in set(transactions):
        shop.posted(transaction)
    rows = query(
        shop.house,
        "SELECT p.token_amount FROM payins p JOIN x402_payments x"
        " ON p.tx_hash = x.tx_hash AND p.log_index = x.log_index"
        " WHERE x.tx_hash = ANY(%s)",
        list(set(transactions)),
    )
    assert sorted(int(row[0]) for row in rows) == sorted(units)
    shop.merchant.balance_units += sum(units)
    shop.merchant.compare_balance()


def test_their_python_client_pays_their_fastapi_server(shop: Shop) -> None:
    network = shop.house.network()
    served: list[int] = []

    async def run() -> list[httpx.Response]:
        facilitator = HTTPFacilitatorClient(FacilitatorConfig(url=shop.facilitator))
        server = register_exact_evm_server(x402ResourceServer(facilitator))
        app = FastAPI()

        @app.get("/paid/{place}")
        async def paid(place: int) -> dict[str, str]:
            served.append(place)
            return {"page": "what was paid for"}

        routes = {
            f"GET /paid/{place}": RouteConfig(
                accepts=PaymentOption(
                    scheme="exact", pay_to=shop.pay_to, price=price, network=network["network"]
                )
            )
            for place, price in enumerate(PRICES)
        }
        app.add_middleware(PaymentMiddlewareASGI, routes=routes, server=server)
        account = Account.from_key(network["payer_private_key"])
        payer = register_exact_evm_client(x402Client(), EthAccountSigner(account))
        transport = x402AsyncTransport(payer, httpx.ASGITransport(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            found = await asyncio.gather(*(client.get(f"/paid/{i}") for i in range(len(PRICES))))
        await facilitator.aclose()
        return list(found)

    answers = asyncio.run(run())
    assert [each.status_code for each in answers] == [200] * len(PRICES), answers[0].text
    assert sorted(served) == list(range(len(PRICES)))
    receipts = [
        decode_payment_response_header(each.headers["PAYMENT-RESPONSE"]) for each in answers
    ]
    assert all(each.success for each in receipts)
    check_sold(shop, [each.transaction for each in receipts], list(UNITS))


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_their_typescript_client_pays_their_express_server(shop: Shop) -> None:
    network = shop.house.network()
    wanted: dict[str, Any] = {
        "facilitator": shop.facilitator,
        "network": network["network"],
        "payTo": shop.pay_to,
        "privateKey": network["payer_private_key"],
        "prices": PRICES,
    }
    done = subprocess.run(
        ["node", str(SCRIPT), json.dumps(wanted)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert [each["status"] for each in said["answers"]] == [200] * len(PRICES), said
    assert said["served"] == len(PRICES)
    receipts = [each["receipt"] for each in said["answers"]]
    assert all(each["success"] for each in receipts)
    check_sold(shop, [each["transaction"] for each in receipts], list(UNITS))


def test_of_six_copies_in_parallel_one_is_settled(shop: Shop) -> None:
    message = shop.message(7)
    with ThreadPoolExecutor(6) as threads:
        verified = list(threads.map(lambda _: shop.ask("verify", message), range(6)))
        assert sorted(each["isValid"] for each in verified) == [False] * 5 + [True]
        settled = list(threads.map(lambda _: shop.ask("settle", message), range(6)))
    [good] = [each for each in settled if each["success"]]
    used = "invalid_exact_evm_nonce_already_used"
    assert [each["errorReason"] for each in settled if not each["success"]] == [used] * 5
    check_sold(shop, [good["transaction"]], [7])
    assert query(
        shop.house,
        "SELECT DISTINCT succeeded FROM transactions WHERE purpose = 'capture'",
    ) == [(True,)]


def test_others_hostile_client_finds_no_second_settlement(shop: Shop) -> None:
    """PyPI ``hostile-facilitator``: hangs up on an answer, or shows one payment again at once.

    What it can not see, how often the coins of an answer that it did not read moved, is counted.
    """
    hostile = pytest.importorskip(
        "hostile_facilitator.hostile_client", reason="hostile-facilitator is not installed"
    )
    messages = [shop.message(17) for _ in hostile.ALL_PROBES]

    def post(url: str, body: dict[str, Any], **more: Any) -> Any:
        return hostile._post(url, {"x402Version": 2, **body}, **more)

    def probe(name: str, message: dict[str, Any]) -> Any:
        [found] = hostile.probe(
            f"{shop.facilitator}/settle",
            message["paymentPayload"],
            message["paymentRequirements"],
            probes=[name],
            settle_gap=0.1,
            timeout=60,
            poster=post,
        )
        return found

    with ThreadPoolExecutor(3) as threads:
        results = list(threads.map(probe, hostile.ALL_PROBES, messages))
    verdicts = {each.probe: each.verdict for each in results}
    abandoned = verdicts.pop(hostile.ABANDONED_REPLY)
    assert set(verdicts.values()) == {hostile.SAFE}, [each.detail for each in results]
    assert abandoned in (hostile.SAFE, hostile.UNDETERMINED), [each.detail for each in results]

    def settled() -> list[str] | None:
        rows = query(shop.house, "SELECT tx_hash FROM x402_payments WHERE token_amount = 17")
        hashes = [row[0] for row in rows if row[0] is not None]
        return hashes if len(hashes) == len(messages) else None

    check_sold(shop, await_value(settled, "all three on the chain"), [17] * len(messages))


def test_a_facilitator_that_is_killed_in_settle_settles_once(shop: Shop) -> None:
    """The API dies while a seller waits for the block; the seller asks again under its key."""
    message = shop.message(11)
    with ThreadPoolExecutor(1) as threads:
        with shop.house.miner.away_from(0):
            asked = threads.submit(shop.ask, "settle", message, "call-11")

            def is_sent() -> bool:
                rows = query(shop.house, "SELECT status FROM x402_payments WHERE token_amount = 11")
                return rows == [("sent",)]

            await_true(is_sent, "the payment to be sent")
            killed = shop.house.kill("api")
            assert asked.result() == {}
        shop.house.await_role("api", other_than=killed)
    told = shop.settle(message, "call-11")
    assert told["success"]
    assert shop.settle(message, "call-11") == told
    assert not shop.ask("settle", message)["success"]
    check_sold(shop, [told["transaction"]], [11])
