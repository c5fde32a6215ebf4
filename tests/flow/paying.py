"""x402 payments as payers make them, on a world's chain, and what becomes of them."""

import json
from typing import Any

from eth_account import Account
from sqlalchemy import select
from tests.core.x402ing import authorized, body, permitted, requirement
from tests.flow.harness import World

from sakk.core.evm import checksum_address
from sakk.core.receiving_address import ReceivingAddress
from sakk.core.x402 import Request, Settled, Verified, read_request
from sakk.core.x402_payment import X402Payment
from sakk.flow.facilitator import Asked, Facilitator, Waiting
from sakk.flow.receiving_address import obtain
from sakk.store.database import fetch_all
from sakk.store.identity import new_id
from sakk.store.x402_payment import x402_payments


class Till:
    """A merchant's receiving address, and a facilitator of this world for it."""

    def __init__(self, world: World, *, any_recipient: bool = False) -> None:
        self.world = world
        self.facilitator = Facilitator(world.parts, any_recipient=any_recipient)
        self.receiving = self.receive()
        self.pay_to = checksum_address(self.receiving.address)
        self.payer_key = world.chain.contracts.payer_private_key
        self.payer = str(Account.from_key(self.payer_key).address)
        self._nonces = 0

    def receive(self) -> ReceivingAddress:
        with self.world.database.begin() as connection:
            return obtain(
                connection,
                identifier=new_id("ra"),
                account_id=self.world.account,
                livemode=False,
                name=self.world.chain.network,
                now=self.world.clock(),
            )

    def wanted(self, units: int = 1000, **changes: Any) -> dict[str, Any]:
        return requirement(**{"amount": str(units), "payTo": self.pay_to} | changes)

    def authorized(self, units: int = 1000, **changes: Any) -> Any:
        """A fresh authorization of the payer's, signed."""
        self._nonces += 1
        soon = int(self.world.clock().timestamp()) + 60
        fields = {
            "to": self.pay_to,
            "value": str(units),
            "validBefore": str(soon),
            "nonce": f"0x{self._nonces:064x}",
        }
        return authorized(changes.pop("key", self.payer_key), **fields | changes)

    def permitted(self, units: int = 1000, **changes: Any) -> Any:
        self._nonces += 1
        soon = int(self.world.clock().timestamp()) + 60
        fields = {
            "to": self.pay_to,
            "amount": str(units),
            "deadline": str(soon),
            "nonce": str(self._nonces),
        }
        return permitted(changes.pop("key", self.payer_key), **fields | changes)

    def request(self, payload: Any, units: int = 1000, **wanted: Any) -> Request:
        return read_request(body(payload, wanted=self.wanted(units, **wanted)))

    def verify(self, payload: Any, units: int = 1000, **wanted: Any) -> Verified:
        [told] = self.facilitator.verify([Asked(self.request(payload, units, **wanted))])
        return told

    def begin(self, payload: Any, units: int = 1000, *, key: str | None = None) -> Any:
        [begun] = self.facilitator.begin([Asked(self.request(payload, units), idempotency_key=key)])
        return begun

    def asked(self, payload: Any, units: int = 1000, *, key: str | None = None) -> Waiting:
        begun = self.begin(payload, units, key=key)
        assert isinstance(begun, Waiting), begun
        return begun

    def outcome(self, waiting: Waiting) -> Settled | None:
        """What is told to who waits, if there is something to tell."""
        keyed = [waiting.payment] if waiting.is_keyed else []
        once = [] if waiting.is_keyed else [waiting.payment]
        return self.facilitator.hand_out(once, keyed).get(waiting.payment)

    def rows(self, **columns: Any) -> list[X402Payment]:
        statement = select(x402_payments).order_by(x402_payments.c.id)
        for name, value in columns.items():
            statement = statement.where(x402_payments.c[name] == value)
        with self.world.database.begin() as connection:
            return fetch_all(connection, statement, X402Payment)


def shown(answer: object) -> str:
    return json.dumps(answer, default=str)
