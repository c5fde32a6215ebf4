"""x402's own clients pay by voucher at our door, unmodified; and what is left after a kill."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account import Account
from x402 import x402Client
from x402.http import decode_payment_response_header
from x402.http.clients.httpx import x402AsyncTransport
from x402.mechanisms.evm import EthAccountSignerWithRPC
from x402.mechanisms.evm.batch_settlement.client import (
    BatchSettlementEvmScheme,
    InMemoryClientChannelStorage,
    sign_voucher,
)
from x402.mechanisms.evm.batch_settlement.client.config import BatchSettlementEvmSchemeOptions
from x402.mechanisms.evm.batch_settlement.client.refund import RefundOptions, _RefundResponse
from x402.mechanisms.evm.batch_settlement.utils import compute_channel_id
from x402.schemas import PaymentRequirements

from sakk.paywall import Paywall, Route
from sakk.paywall.sakk import Sakk
from tests.crash.house import House, await_true
from tests.crash.job import Merchant, query
from tests.paywall.conftest import encoded

SCRIPT = Path(__file__).parent / "voucher_client.mjs"
PRICE = 1_000

pytestmark = pytest.mark.xdist_group("crash")


class Payer:
    """x402's client with a channel of its own, and what the books say of it."""

    def __init__(self, house: House) -> None:
        self.house = house
        network = house.network()
        account = Account.from_key(network["payer_private_key"])
        self.signer = EthAccountSignerWithRPC(account, network["rpc"])
        self.storage = InMemoryClientChannelStorage()
        self.salt = "0x" + os.urandom(32).hex()
        self.scheme = BatchSettlementEvmScheme(
            self.signer, BatchSettlementEvmSchemeOptions(storage=self.storage, salt=self.salt)
        )
        self.client = x402Client().register(network["network"], self.scheme)
        self.sent: list[str] = []

    def transport(self, app: Any = None) -> x402AsyncTransport:
        real = httpx.AsyncHTTPTransport() if app is None else httpx.ASGITransport(app)
        return x402AsyncTransport(self.client, Recorder(real, self.sent))

    async def offered(self, http: httpx.AsyncClient, url: str) -> dict[str, Any]:
        """What the door asks for by vouchers."""
        challenge = (await http.get(url)).json()
        [offer] = [
            each
            for each in challenge["accepts"]
            if each["scheme"] == "batch-settlement"
            and each["network"] == self.house.network()["network"]
            and each["asset"].lower() == self.house.token().lower()
        ]
        return dict(offer)

    def channel(self, offer: dict[str, Any]) -> str:
        wanted = PaymentRequirements.model_validate(offer)
        return compute_channel_id(self.scheme.build_channel_config(wanted), offer["network"])

    def header(self, offer: dict[str, Any], ceiling: int) -> dict[str, str]:
        """A call by a voucher for a total of our choice, in the official form."""
        wanted = PaymentRequirements.model_validate(offer)
        voucher = sign_voucher(self.signer, self.channel(offer), str(ceiling), offer["network"])
        payload = {
            "type": "voucher",
            "channelConfig": self.scheme.build_channel_config(wanted).to_dict(),
            "voucher": voucher.to_dict(),
        }
        document = {"x402Version": 2, "accepted": offer, "payload": payload}
        return {"payment-signature": encoded(document)}

    def standing(self, channel: str) -> dict[str, int]:
        """What the ledger says that was signed, charged and is reserved."""
        [(credits, debits, pending)] = query(
            self.house,
            "SELECT a.credits_posted, a.debits_posted, a.debits_pending FROM ledger_accounts a"
            " JOIN ledger_account_names n ON n.id = a.id"
            " JOIN escrow_channels c ON n.name = 'channel:' || c.id || '#test/usdc'"
            " WHERE c.channel = %s",
            channel,
        )
        return {"signed": int(credits), "charged": int(debits), "reserved": int(pending)}

    def await_charged(self, channel: str, units: int) -> None:
        await_true(lambda: self.standing(channel)["charged"] == units, f"{units} to be charged")


class Recorder(httpx.AsyncBaseTransport):
    """Keeps the headers that were sent."""

    def __init__(self, real: httpx.AsyncBaseTransport, sent: list[str]) -> None:
        self._real = real
        self._sent = sent

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "payment-signature" in request.headers:
            self._sent.append(request.headers["payment-signature"])
        return await self._real.handle_async_request(request)

    async def aclose(self) -> None:
        await self._real.aclose()


def receipt_of(reply: httpx.Response) -> Any:
    return decode_payment_response_header(reply.headers["PAYMENT-RESPONSE"])


def at_door(
    house: House, routes: list[Route], app: Any, work: Callable[[Any], Awaitable[None]]
) -> None:
    """Do something at a door of the merchant's; what it charged is known when this returns."""

    async def run() -> None:
        source = Sakk(
            house.description["api"],
            house.description["secret_key"],
            charges_url=house.description["ledger"],
            schemes=["batch-settlement"],
        )
        door = Paywall(app, routes=routes, offers=source)
        try:
            await work(door)
        finally:
            await door.close()

    asyncio.run(run())


def test_their_python_client_pays_by_voucher_and_has_the_rest_back(
    house: House, merchant: Merchant
) -> None:
    """A deposit and then vouchers at the sandbox's own shop; copies are refused."""
    payer = Payer(house)
    url = str(house.description["x402"]["paid_url"])

    async def run() -> str:
        async with httpx.AsyncClient(transport=payer.transport(), timeout=90) as http:
            replies = [await http.get(url) for _ in range(4)]
        assert [each.status_code for each in replies] == [200] * 4, replies[0].text
        assert {each.json()["scheme"] for each in replies} == {"batch-settlement"}
        receipts = [receipt_of(each) for each in replies]
        assert [each.extra["chargedAmount"] for each in receipts] == [str(PRICE)] * 4
        totals = [each.extra["channelState"]["chargedCumulativeAmount"] for each in receipts]
        assert totals == [str(PRICE * place) for place in range(1, 5)]
        assert receipts[0].transaction.startswith("0x")
        assert [each.transaction for each in receipts[1:]] == [""] * 3
        async with httpx.AsyncClient(timeout=90) as http:
            # The last first, the deposit too: each was used.
            for header in reversed(payer.sent):
                copy = await http.get(url, headers={"payment-signature": header})
                assert copy.status_code == 402, copy.text
            return payer.channel(await payer.offered(http, url))

    channel = asyncio.run(run())
    payer.await_charged(channel, 4 * PRICE)

    def fetch(url: str, headers: dict[str, str]) -> _RefundResponse:
        reply = httpx.get(url, headers=headers, timeout=90)
        return _RefundResponse(reply.status_code, dict(reply.headers))

    done = payer.scheme.refund(url, RefundOptions(fetch=fetch))
    assert done.success
    assert done.amount == str(6 * PRICE)
    merchant.balance_units += 4 * PRICE

    def is_redeemed() -> bool:
        rows = query(house, "SELECT redeemed FROM escrow_channels WHERE channel = %s", channel)
        return rows == [(4 * PRICE,)]

    await_true(is_redeemed, "the channel to be redeemed")
    merchant.compare_balance()


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_their_typescript_client_pays_by_voucher(house: House, merchant: Merchant) -> None:
    network = house.network()
    wanted = {
        "url": house.description["x402"]["paid_url"],
        "network": network["network"],
        "privateKey": network["payer_private_key"],
        "rpc": network["rpc"],
        "salt": "0x" + os.urandom(32).hex(),
        "calls": 3,
    }
    done = subprocess.run(
        ["node", str(SCRIPT), json.dumps(wanted)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert [each["status"] for each in said["answers"]] == [200] * 3, said
    assert [each["receipt"]["extra"]["chargedAmount"] for each in said["answers"]] == ["1000"] * 3
    assert said["refund"]["success"]
    merchant.balance_units += 3 * PRICE
