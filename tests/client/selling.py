"""A seller of the tests: takes authorisations as a token's contract would, and can misbehave."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from eth_account import Account
from eth_account.messages import encode_typed_data
from tests.serving import Handler, served

from sakk.client.exact import typed_data
from sakk.client.x402 import (
    PAYMENT_REQUIRED,
    PAYMENT_RESPONSE,
    PAYMENT_SIGNATURE,
    VERSION,
    Challenge,
    Payment,
    Requirement,
    Resource,
    Settlement,
    decode_header,
    encode_header,
)

NETWORK = "eip155:84532"
USDC = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
PAYEE = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
PRICE = 1_000
URL = "https://shop.example/goods"

Misbehave = Callable[["Seller", httpx2.Request, Payment], httpx2.Response | None]


def offer(**changed: Any) -> Requirement:
    fields: dict[str, Any] = {
        "scheme": "exact",
        "network": NETWORK,
        "asset": USDC,
        "amount": str(PRICE),
        "pay_to": PAYEE,
        "max_timeout_seconds": 60,
        "extra": {"name": "USDC", "version": "2"},
    }
    return Requirement(**(fields | changed))


class Gone(Exception):
    """The seller's connection ends here, without an answer."""


class Seller:
    """Sells every path. ``taken``: nonce → (payer, units), as the token has it on chain."""

    def __init__(self, *offers: Requirement, misbehave: Misbehave | None = None) -> None:
        self.offers = list(offers) or [offer()]
        self.misbehave = misbehave
        self.taken: dict[str, tuple[str, int]] = {}
        self.headers_seen: list[str] = []
        self.asked = 0
        self.served = 0
        self._lock = threading.Lock()

    @property
    def revenue(self) -> int:
        return sum(units for _, units in self.taken.values())

    def transport(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(self)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        with self._lock:
            self.asked += 1
            header = request.headers.get(PAYMENT_SIGNATURE)
            if header is None:
                return self.demand()
            self.headers_seen.append(header)
            payment = decode_header(header, Payment)
            if self.misbehave is not None:
                answer = self.misbehave(self, request, payment)
                if answer is not None:
                    return answer
            if not self.take(payment):
                return self.demand("nonce_already_used")
            return self.serve(payment)

    def take(self, payment: Payment) -> bool:
        """Move the money, once a nonce, when the signature is the payer's."""
        authorization = payment.payload["authorization"]
        message = encode_typed_data(full_message=typed_data(payment.accepted, authorization))
        signer = Account.recover_message(message, signature=payment.payload["signature"])
        assert signer == authorization["from"]
        assert payment.accepted in self.offers
        assert authorization["to"] == payment.accepted.pay_to
        if authorization["nonce"] in self.taken:
            return False
        self.taken[authorization["nonce"]] = (signer, int(authorization["value"]))
        return True

    def serve(self, payment: Payment) -> httpx2.Response:
        self.served += 1
        settlement = Settlement(
            success=True,
            transaction="0x" + "ab" * 32,
            network=payment.accepted.network,
            payer=payment.payload["authorization"]["from"],
        )
        return httpx2.Response(
            200, text="the goods", headers={PAYMENT_RESPONSE: encode_header(settlement)}
        )

    def demand(self, error: str = "payment required") -> httpx2.Response:
        challenge = Challenge(
            VERSION, self.offers, error=error, resource=Resource("https://shop.example/goods")
        )
        return httpx2.Response(402, headers={PAYMENT_REQUIRED: encode_header(challenge)})


class _Shop(Handler):
    seller: Seller

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        url = "https://shop.example" + self.path
        asked = httpx2.Request(self.command, url, headers=dict(self.headers), content=body)
        try:
            answer = self.seller(asked)
        except Gone:
            self.close_connection = True
            return
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST


@contextmanager
def serving(seller: Seller) -> Iterator[str]:
    """The seller behind a real socket; gives the address of its goods."""
    with served(type("Here", (_Shop,), {"seller": seller})) as url:
        yield f"{url}/goods"
