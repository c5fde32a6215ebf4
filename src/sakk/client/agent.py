"""A Sakk as an agent sees it: under its mandate, by its own key, and without an API key.

    with AgentClient("mnd_…", "0x…", "https://pay.example") as sakk:
        sakk.budgets()                              # what every limit leaves
        sakk.spend("order 7", 1_000, {"account": "acct_…"})
        sakk.park("night", 500_000)                 # where the mandate allows it
        sakk.unpark("morning", 500_000)

Every request is signed (EIP-712): method, path with its query, the hash of the body, and the time,
so that a copy of it is good for a few minutes and moves nothing twice. What a `SakkClient` has is
here too, as far as a mandate's agent may ask for it: ``sakk.mandates``.
"""

import hashlib
import time
from collections.abc import Generator, Mapping
from typing import Any, Final

import httpx2
from eth_account.messages import encode_typed_data

from sakk.client.client import BASE_URL, SakkClient
from sakk.client.exact import account_of
from sakk.client.mandate import Budget, Mandate, MandateSpend, PoolMovement
from sakk.client.objects import PaymentIntent
from sakk.client.transport import TIMEOUT_SECONDS, RetryPolicy, Transport

_TEXT: Final = {"type": "string"}
TYPES: Final[dict[str, list[dict[str, str]]]] = {
    "EIP712Domain": [{"name": "name", **_TEXT}, {"name": "version", **_TEXT}],
    "AgentRequest": [
        {"name": "mandate", **_TEXT},
        {"name": "method", **_TEXT},
        {"name": "path", **_TEXT},
        {"name": "body", "type": "bytes32"},
        {"name": "time", "type": "uint64"},
    ],
}
DOMAIN: Final = {"name": "Sakk mandate", "version": "1"}


class AgentClient(SakkClient):
    """Acts under one mandate. Safe to share between threads."""

    def __init__(
        self,
        mandate: str,
        key: str | bytes,
        base_url: str = BASE_URL,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        retry: RetryPolicy | None = None,
    ) -> None:
        """``key``: the agent's, which the mandate names by its address."""
        self.mandate = mandate
        self._use(_Signing(mandate, key, base_url, timeout_seconds=timeout_seconds, retry=retry))

    def standing(self) -> Mandate:
        """The mandate, with what every limit leaves."""
        return self.mandates.retrieve(self.mandate)

    def budgets(self) -> list[Budget]:
        """What every limit leaves now."""
        return self.standing().budgets or []

    def spend(
        self, reference: str, amount: int, payee: Mapping[str, str], **more: Any
    ) -> MandateSpend:
        """Spend; under one reference it is one spend, however often it is asked for."""
        return self.mandates.spend(
            self.mandate, reference=reference, amount=amount, payee=payee, **more
        )

    def park(self, reference: str, amount: int) -> PoolMovement:
        """Move idle balance into the pool, where nothing spends it."""
        return self.mandates.park(self.mandate, reference=reference, amount=amount)

    def unpark(self, reference: str, amount: int) -> PoolMovement:
        """Take parked balance back, at once."""
        return self.mandates.unpark(self.mandate, reference=reference, amount=amount)

    def invoice(self, reference: str, amount: int, **more: Any) -> PaymentIntent:
        """Ask others to pay the account, where the mandate allows it; under one reference once."""
        return self.mandates.invoice(self.mandate, reference=reference, amount=amount, **more)

    def invoiced(self, payment_intent: str) -> PaymentIntent:
        """An invoice as it stands."""
        return self.mandates.retrieve_invoice(self.mandate, payment_intent)

    def cancel_invoice(self, payment_intent: str) -> PaymentIntent:
        """Call off an invoice of the mandate that nobody has begun to pay; again it is the same."""
        return self.mandates.cancel_invoice(self.mandate, payment_intent)


class _Signing(Transport):
    """Signs each try and each download by itself, since a signature is good for minutes."""

    def __init__(
        self,
        mandate: str,
        key: str | bytes,
        base_url: str,
        *,
        timeout_seconds: float,
        retry: RetryPolicy | None,
    ) -> None:
        super().__init__(mandate, base_url, timeout_seconds=timeout_seconds, retry=retry)
        self._http.auth = _Signature(mandate, key)


class _Signature(httpx2.Auth):
    """Stands under every request of a client, in the place of its API key."""

    requires_request_body = True

    def __init__(self, mandate: str, key: str | bytes) -> None:
        self._mandate = mandate
        self._account = account_of(key)

    def auth_flow(
        self, request: httpx2.Request
    ) -> Generator[httpx2.Request, httpx2.Response, None]:
        target = request.url.raw_path.decode("ascii")
        request.headers["authorization"] = self._word(request.method, target, request.content)
        yield request

    def _word(self, method: str, target: str, body: bytes) -> str:
        now = int(time.time())
        message = {
            "mandate": self._mandate,
            "method": method,
            "path": target,
            "body": hashlib.sha256(body).digest(),
            "time": now,
        }
        words = {"types": TYPES, "primaryType": "AgentRequest", "domain": DOMAIN}
        signable = encode_typed_data(full_message={**words, "message": message})
        signature = bytes(self._account.sign_message(signable).signature).hex()
        return f"Agent {self._mandate}:{now}:0x{signature}"
