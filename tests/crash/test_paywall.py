"""The official x402 clients, unmodified, at our door; and what a merchant has of it afterwards."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account import Account
from x402 import x402Client
from x402.http import decode_payment_response_header, x402HTTPClient
from x402.http.clients.httpx import x402AsyncTransport
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact import register_exact_evm_client

from tests.crash.house import House, await_value
from tests.crash.job import Merchant, query
from tests.crash.paying import Shop

SCRIPT = Path(__file__).parent / "x402_client.mjs"
UNITS = 1_000


@pytest.fixture
def shop(house: House, merchant: Merchant) -> Shop:
    return Shop(house, merchant)


def paid_url(shop: Shop) -> str:
    return str(shop.house.description["x402"]["paid_url"])


class Recorder(httpx.AsyncBaseTransport):
    """Keeps the headers that were sent."""

    def __init__(self) -> None:
        self._real = httpx.AsyncHTTPTransport()
        self.sent: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "payment-signature" in request.headers:
            self.sent.append(request.headers["payment-signature"])
        return await self._real.handle_async_request(request)

    async def aclose(self) -> None:
        await self._real.aclose()


def test_their_python_client_pays_at_our_door_and_is_refunded(shop: Shop) -> None:
    """Once, whoever shows the payment how often; and the merchant gives it back like any other."""
    network = shop.house.network()
    account = Account.from_key(network["payer_private_key"])

    async def run() -> tuple[httpx.Response, list[httpx.Response]]:
        payer = register_exact_evm_client(x402Client(), EthAccountSigner(account))
        recorder = Recorder()
        transport = x402AsyncTransport(payer, recorder)
        async with httpx.AsyncClient(transport=transport, timeout=60) as client:
            served = await client.get(paid_url(shop))
        async with httpx.AsyncClient(timeout=60) as client:
            headers = {"payment-signature": recorder.sent[0]}
            copies = await asyncio.gather(
                *(client.get(paid_url(shop), headers=headers) for _ in range(6))
            )
        return served, list(copies)

    served, copies = asyncio.run(run())
    assert served.status_code == 200, served.text
    assert served.json()["payer"].lower() == account.address.lower()
    receipt = decode_payment_response_header(served.headers["PAYMENT-RESPONSE"])
    assert receipt.success
    assert [copy.status_code for copy in copies] == [402] * 6
    shop.posted(receipt.transaction)
    _refund(shop, receipt.transaction, account.address)


def _refund(shop: Shop, transaction: str, address: str) -> None:
    client = shop.merchant.client
    [payment] = client.get("/v1/x402_payments", tx_hash=transaction)["data"]
    assert (payment["status"], payment["token_amount"]) == ("posted", str(UNITS))
    before = shop.merchant.balance_units
    place = {"network": shop.house.network()["network"], "address": address}
    refund = client.post("/v1/refunds", {"payin": payment["payin"], "destination": place})
    assert (refund["amount"], refund["currency"]) == (UNITS, "usdc")

    def look() -> bool | None:
        status = client.get(f"/v1/refunds/{refund['id']}")["status"]
        assert status in ("pending", "succeeded")
        # A payout that compliance looks at waits for people, and never for time.
        assert query(
            shop.house,
            "SELECT p.under_review FROM payouts AS p JOIN refunds AS r ON r.payout = p.id"
            " WHERE r.id = %s",
            refund["id"],
        ) in ([], [(False,)])
        return status == "succeeded" or None

    await_value(look, "the refund to be sent")
    assert before == shop.merchant.balance_units
    shop.merchant.compare_balance()


def test_of_six_copies_at_once_one_is_served_and_none_reverts(shop: Shop) -> None:
    network = shop.house.network()
    account = Account.from_key(network["payer_private_key"])

    async def run() -> list[httpx.Response]:
        payer = register_exact_evm_client(x402Client(), EthAccountSigner(account))
        async with httpx.AsyncClient(timeout=60) as client:
            challenge = await client.get(paid_url(shop))
            headers, _ = await x402HTTPClient(payer).handle_402_response(
                dict(challenge.headers), challenge.content, paid_url(shop)
            )
            return list(
                await asyncio.gather(
                    *(client.get(paid_url(shop), headers=headers) for _ in range(6))
                )
            )

    replies = asyncio.run(run())
    assert sorted(reply.status_code for reply in replies) == [200, *[402] * 5]
    [served] = [reply for reply in replies if reply.status_code == 200]
    receipt = decode_payment_response_header(served.headers["PAYMENT-RESPONSE"])
    shop.posted(receipt.transaction)
    shop.merchant.balance_units += UNITS
    shop.merchant.compare_balance()
    [[count]] = query(
        shop.house,
        "SELECT count(*) FROM x402_payments WHERE tx_hash = %s AND status = 'posted'",
        receipt.transaction,
    )
    assert count == 1


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_their_typescript_client_pays_at_our_door(shop: Shop) -> None:
    network = shop.house.network()
    wanted: dict[str, Any] = {
        "url": paid_url(shop),
        "network": network["network"],
        "privateKey": network["payer_private_key"],
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
    assert (said["status"], said["receipt"]["success"]) == (200, True), said
    shop.posted(said["receipt"]["transaction"])
    shop.merchant.balance_units += UNITS
    shop.merchant.compare_balance()
