"""Payments by HTTP 402 from outside: the wire alone, as a seller's server sends it."""

from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx2

from tests.core.x402ing import authorized, requirement
from tests.crash.house import House, await_value
from tests.crash.job import Merchant, query

_nonces = count(1)


@dataclass
class Shop:
    """What a merchant sells, and a payer's payments for it."""

    house: House
    merchant: Merchant

    @property
    def facilitator(self) -> str:
        return str(self.house.description["x402"]["facilitator"])

    @property
    def pay_to(self) -> str:
        body = {"network": self.house.network()["network"]}
        return str(self.merchant.client.post("/v1/receiving_addresses", body)["address"])

    def message(self, units: int) -> dict[str, Any]:
        """A payment of so many units, signed, with what it is for."""
        token, key = self.house.token(), self.house.network()["payer_private_key"]
        pay_to = self.pay_to
        wanted = requirement(
            amount=str(units), payTo=pay_to, asset=token, network=self.house.network()["network"]
        )
        payload = authorized(
            key,
            to=pay_to,
            value=str(units),
            token=token,
            validBefore=str(4_000_000_000),
            nonce=f"0x{(0x402 << 128) + next(_nonces):064x}",
        )
        payment = {"x402Version": 2, "accepted": wanted, "payload": payload}
        return {"x402Version": 2, "paymentPayload": payment, "paymentRequirements": wanted}

    def ask(self, path: str, message: dict[str, Any], key: str | None = None) -> dict[str, Any]:
        """One request; nothing in it when there was no answer."""
        headers = {} if key is None else {"Idempotency-Key": key}
        try:
            answer = httpx2.post(
                f"{self.facilitator}/{path}", json=message, headers=headers, timeout=60
            )
        except httpx2.TransportError:
            return {}
        found: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
        return found

    def settle(self, message: dict[str, Any], key: str) -> dict[str, Any]:
        """Ask under one key until it is told what became of the payment."""

        def once() -> dict[str, Any] | None:
            found = self.ask("settle", message, key)
            again = not found or found.get("errorReason") == "settlement_pending"
            return None if again else found

        return await_value(once, "the payment to be settled")

    def posted(self, transaction: str) -> None:
        """Wait until the pay-in of a transaction is on the balance."""

        def look() -> bool | None:
            rows = query(
                self.house,
                "SELECT p.status, x.status FROM x402_payments x JOIN payins p"
                " ON p.tx_hash = x.tx_hash AND p.log_index = x.log_index WHERE x.tx_hash = %s",
                transaction,
            )
            return True if rows and set(rows) == {("posted", "posted")} else None

        await_value(look, "the payment on the balance")
