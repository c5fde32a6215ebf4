"""A channel in the escrow, paid by x402's own client, with a death beside each step."""

from collections.abc import Callable
from typing import Any

import httpx2
from eth_account import Account
from x402.mechanisms.evm.batch_settlement.client import (
    BatchSettlementEvmScheme,
    ChannelSettleLocal,
    InMemoryClientChannelStorage,
    sign_voucher,
    update_channel_from_settle,
)
from x402.mechanisms.evm.batch_settlement.client.config import BatchSettlementEvmSchemeOptions
from x402.mechanisms.evm.batch_settlement.utils import compute_channel_id
from x402.mechanisms.evm.signers import EthAccountSigner
from x402.schemas import PaymentRequirements

from tests.crash.house import House, await_true, await_value
from tests.crash.job import Merchant, query

PRICE = 1_000


class Buyer:
    """x402's client with one channel, and the wire to the facilitator."""

    def __init__(self, house: House, merchant: Merchant) -> None:
        self._house, self._merchant = house, merchant
        network = house.network()
        self.facilitator = str(house.description["x402"]["facilitator"])
        body = {"network": network["network"]}
        pay_to = merchant.client.post("/v1/receiving_addresses", body)["address"]
        supported = await_value(lambda: self._get("supported"), "the facilitator")
        [kind] = [
            each
            for each in supported["kinds"]
            if each["scheme"] == "batch-settlement" and each["network"] == network["network"]
        ]
        self.requirements = PaymentRequirements(
            scheme="batch-settlement",
            network=network["network"],
            asset=house.token(),
            amount=str(PRICE),
            pay_to=pay_to,
            max_timeout_seconds=3_600,
            extra={
                **kind["extra"],
                "withdrawDelay": 86_400,
                "name": "USDC",
                "version": "2",
                "channels": "sakk",
            },
        )
        self.signer = EthAccountSigner(Account.from_key(network["payer_private_key"]))
        self.storage = InMemoryClientChannelStorage()
        self.scheme = BatchSettlementEvmScheme(
            self.signer, BatchSettlementEvmSchemeOptions(storage=self.storage)
        )
        config = self.scheme.build_channel_config(self.requirements)
        self.config = config.to_dict()
        self.channel = compute_channel_id(config, network["network"])
        # Rows of the ledger trail it by a moment: what was paid is known here.
        self.paid = 0

    def pay(self) -> dict[str, Any]:
        """What the client pays the next call with, verified and settled; what it was answered."""
        payload = self.scheme.create_payment_payload(self.requirements)
        due = self.paid + PRICE
        self._ask("verify", payload)
        told = self._until(payload, lambda: self.charged() == due)
        self.paid = due
        local = ChannelSettleLocal(channel_id=self.channel, request_amount=str(PRICE))
        if payload["type"] == "deposit":
            local["deposit_amount"] = payload["deposit"]["amount"]
        update_channel_from_settle(
            self.storage, {"server": {"charged_amount": str(PRICE)}, "local": local}
        )
        return {"type": payload["type"], "told": told}

    def refund(self) -> None:
        """Everything that was not charged goes back."""
        voucher = sign_voucher(self.signer, self.channel, str(self.paid), self.requirements.network)
        payload = {
            "type": "refund",
            "channelConfig": self.config,
            "voucher": voucher.to_dict(),
        }
        self._until(payload, self.is_returned)

    def charged(self) -> int:
        """What the ledger says that was charged."""
        rows = query(
            self._house,
            "SELECT a.debits_posted FROM ledger_accounts a"
            " JOIN ledger_account_names n ON n.id = a.id"
            " JOIN escrow_channels c ON n.name = 'channel:' || c.id || '#test/usdc'"
            " WHERE c.channel = %s",
            self.channel,
        )
        return int(rows[0][0]) if rows else 0

    def redeemed(self) -> int:
        rows = query(
            self._house,
            "SELECT redeemed FROM escrow_channels WHERE channel = %s",
            self.channel,
        )
        return int(rows[0][0])

    def is_returned(self) -> bool:
        rows = query(
            self._house,
            "SELECT l.status FROM escrow_calls l JOIN escrow_channels c ON c.id = l.channel_id"
            " WHERE c.channel = %s AND l.kind = 'refund'",
            self.channel,
        )
        return [status for (status,) in rows] == ["posted"]

    def _until(self, payload: dict[str, Any], done: Callable[[], bool]) -> dict[str, Any]:
        """Settle until it is done: a refusal after a lost answer says that it was."""

        def once() -> dict[str, Any] | None:
            found = self._ask("settle", payload)
            return found if found.get("success") or (found and done()) else None

        return await_value(once, f"the {payload['type']} to be settled")

    def _ask(self, path: str, payload: dict[str, Any]) -> dict[str, Any]:
        wanted = self.requirements.model_dump(by_alias=True)
        payment = {"x402Version": 2, "accepted": wanted, "payload": payload}
        message = {"x402Version": 2, "paymentPayload": payment, "paymentRequirements": wanted}
        headers = {"Authorization": f"Bearer {self._house.description['secret_key']}"}
        url = f"{self.facilitator}/{path}"
        try:
            answer = httpx2.post(url, json=message, headers=headers, timeout=90)
        except httpx2.TransportError:
            return {}
        found: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
        return found

    def _get(self, path: str) -> dict[str, Any] | None:
        try:
            answer = httpx2.get(f"{self.facilitator}/{path}", timeout=30)
        except httpx2.TransportError:
            return None
        found: dict[str, Any] = answer.json()
        return found if any(each["scheme"] != "exact" for each in found["kinds"]) else None


def escrow_channel(house: House, merchant: Merchant) -> Callable[[], None]:
    """Opened by a deposit, paid by vouchers, and what is left goes back."""
    buyer = Buyer(house, merchant)
    first = buyer.pay()
    assert first["type"] == "deposit"
    assert [buyer.pay()["type"] for _ in range(2)] == ["voucher", "voucher"]
    buyer.refund()
    await_true(lambda: buyer.redeemed() == 3 * PRICE, "the channel to be redeemed")
    merchant.balance_units += 3 * PRICE

    def compare() -> None:
        assert buyer.charged() == 3 * PRICE
        left = query(
            house,
            "SELECT n.name, a.credits_posted - a.debits_posted - a.debits_pending"
            " FROM ledger_accounts a JOIN ledger_account_names n ON n.id = a.id"
            " JOIN escrow_channels c ON n.name LIKE 'channel:' || c.id || '%%'"
            " WHERE c.channel = %s",
            buyer.channel,
        )
        assert {int(units) for _, units in left} == {0}

    return compare
