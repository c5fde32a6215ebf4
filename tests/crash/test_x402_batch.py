"""x402's own servers keep their channels, unmodified; our facilitator carries out what they ask.

Python: their client, their FastAPI middleware. TypeScript: their fetch client, their express
middleware, in one Node process. From the deposit to the last coin.
"""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account import Account
from fastapi import FastAPI
from x402.http import FacilitatorConfig, HTTPFacilitatorClient
from x402.http.middleware.fastapi import PaymentMiddlewareASGI
from x402.http.types import PaymentOption, RouteConfig
from x402.mechanisms.evm.batch_settlement.authorizer_signer import LocalAuthorizerSigner
from x402.mechanisms.evm.batch_settlement.server import (
    BatchSettlementEvmScheme,
    BatchSettlementEvmSchemeServerConfig,
)
from x402.server import x402ResourceServer

from sakk.core.escrow import ChannelState
from sakk.rails.evm.escrow import read_states
from sakk.rails.evm.rpc import Rpc
from tests.crash.house import House, await_true
from tests.crash.job import Merchant
from tests.crash.paying import Shop
from tests.crash.voucher_payer import Payer, receipt_of

SCRIPT = Path(__file__).parent / "x402_batch.mjs"
PRICE = 10_000


def state_of(house: House, channel: str) -> ChannelState:
    """What the contract says."""
    rpc = Rpc([house.network()["rpc"]])
    try:
        return read_states(rpc, [bytes.fromhex(channel[2:])])[0]
    finally:
        rpc.close()


def is_balanced(merchant: Merchant) -> bool:
    balance = merchant.client.get("/v1/balance")
    amounts = {each["currency"]: each["amount"] for each in balance["available"]}
    return int(amounts.get("usdc", 0)) == merchant.balance_units


@pytest.mark.parametrize("signs", [False, True], ids=["ours", "its-own"])
def test_their_fastapi_server_keeps_channels_by_our_facilitator(
    house: House, merchant: Merchant, signs: bool
) -> None:
    """The one that claims is our key, or one of the server's own, which signs then."""
    shop, payer = Shop(house, merchant), Payer(house)
    network = str(house.network()["network"])
    signer = None
    if signs:
        signer = LocalAuthorizerSigner(Account.from_key("0x" + os.urandom(32).hex()))

    async def run() -> str:
        facilitator = HTTPFacilitatorClient(FacilitatorConfig(url=shop.facilitator, timeout=120))
        scheme: Any = BatchSettlementEvmScheme(
            shop.pay_to, BatchSettlementEvmSchemeServerConfig(receiver_authorizer_signer=signer)
        )
        server = x402ResourceServer(facilitator).register(network, scheme)
        app = FastAPI()

        @app.get("/paid")
        async def paid() -> dict[str, str]:
            return {"page": "what was paid for"}

        option = PaymentOption(
            scheme="batch-settlement", pay_to=shop.pay_to, price="$0.01", network=network
        )
        app.add_middleware(
            PaymentMiddlewareASGI, routes={"GET /paid": RouteConfig(accepts=option)}, server=server
        )
        transport = payer.transport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            replies = [await client.get("/paid") for _ in range(3)]
        assert [each.status_code for each in replies] == [200] * 3, replies[0].text
        assert [receipt_of(each).extra["chargedAmount"] for each in replies] == [str(PRICE)] * 3
        [kept] = scheme.get_storage().list()
        channel = str(kept.channel_id)
        assert state_of(house, channel) == ChannelState(10 * PRICE, 0, 0, 0, 0)
        manager = scheme.create_channel_manager(facilitator, network)
        done = await manager.claim_and_settle()
        assert [each.transaction[:2] for each in done["claims"]] == ["0x"]
        assert state_of(house, channel).total_claimed == 3 * PRICE
        [given] = await manager.refund()
        assert given.transaction.startswith("0x")
        assert state_of(house, channel).balance == 3 * PRICE
        await facilitator.aclose()
        return channel

    asyncio.run(run())
    merchant.balance_units += 3 * PRICE
    await_true(lambda: is_balanced(merchant), "the coins on the balance")


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_their_express_server_keeps_channels_by_our_facilitator(
    house: House, merchant: Merchant
) -> None:
    shop, network = Shop(house, merchant), house.network()
    wanted: dict[str, Any] = {
        "facilitator": shop.facilitator,
        "network": network["network"],
        "payTo": shop.pay_to,
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
    assert said["statuses"] == [200] * 3, said
    assert [each["transaction"][:2] for each in said["claims"]] == ["0x"]
    assert said["refund"]["success"], said
    state = state_of(house, said["channel"])
    assert (state.balance, state.total_claimed) == (3 * PRICE, 3 * PRICE)
    merchant.balance_units += 3 * PRICE
    await_true(lambda: is_balanced(merchant), "the coins on the balance")
