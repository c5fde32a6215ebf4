"""x402's own Python client, with a channel of its own, and what the books say of it."""

import os
import time
from typing import Any

import httpx
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
from x402.mechanisms.evm.batch_settlement.utils import compute_channel_id
from x402.schemas import PaymentRequirements

from sakk.store.database import CHANNEL
from tests.crash.house import House, await_true
from tests.crash.job import query
from tests.paywall.conftest import encoded

RING_SECONDS = 0.5


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

    def refund(self, offer: dict[str, Any], charged: int) -> dict[str, str]:
        """What asks for everything back that was not charged."""
        return self.header(offer, charged, "refund")

    def header(self, offer: dict[str, Any], ceiling: int, kind: str = "voucher") -> dict[str, str]:
        """A call by a voucher for a total of our choice, in the official form."""
        wanted = PaymentRequirements.model_validate(offer)
        voucher = sign_voucher(self.signer, self.channel(offer), str(ceiling), offer["network"])
        payload = {
            "type": kind,
            "channelConfig": self.scheme.build_channel_config(wanted).to_dict(),
            "voucher": voucher.to_dict(),
        }
        document = {"x402Version": 2, "accepted": offer, "payload": payload}
        return {"payment-signature": encoded(document)}

    def standing(self, channel: str) -> dict[str, int]:
        """What the ledger says that was signed, charged and is reserved."""
        rows = query(
            self.house,
            "SELECT a.credits_posted, a.debits_posted, a.debits_pending FROM ledger_accounts a"
            " JOIN ledger_account_names n ON n.id = a.id"
            " JOIN escrow_channels c ON n.name = 'channel:' || c.id || '#test/usdc'"
            " WHERE c.channel = %s",
            channel,
        )
        # Its first charge opens the account.
        [(credits, debits, pending)] = rows or [(0, 0, 0)]
        return {"signed": int(credits), "charged": int(debits), "reserved": int(pending)}

    def await_standing(self, channel: str, *, signed: int, charged: int, reserved: int) -> None:
        """Until the ledger's rows, which follow it, say so."""
        wanted = {"signed": signed, "charged": charged, "reserved": reserved}
        await_true(lambda: self.standing(channel) == wanted, f"{wanted}")


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


def await_redeemed(house: House, channel: str, units: int) -> None:
    """Until so much of a channel is claimed and paid, finally.

    What is owed is looked at four times a minute, or when somebody rings; nobody waits here.
    """
    rung = float("-inf")

    def is_redeemed() -> bool:
        nonlocal rung
        if time.monotonic() - rung >= RING_SECONDS:
            rung = time.monotonic()
            query(house, "SELECT pg_notify(%s, 'redemption.order')", CHANNEL)
        rows = query(house, "SELECT redeemed FROM escrow_channels WHERE channel = %s", channel)
        return rows == [(units,)]

    await_true(is_redeemed, "the channel to be redeemed")
