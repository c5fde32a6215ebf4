"""The buyer's wallet: answers 402 by a policy, pays once, and keeps what it paid for.

    wallet = Wallet("0x…", Policy(hosts={"api.example"}))
    with wallet.client() as http:
        answer = http.get("https://api.example/premium")

The wallet's logic is a coroutine over what is outside of it (`Step`), so that the same code serves
httpx, httpx2 and requests, with threads and with an event loop: see ``wallet_transport.py``.

For one request at most one payment is signed. A payment whose fate is not known is never replaced
by another: the same bytes may be sent again, under the request's ``Idempotency-Key``.
"""

import hashlib
import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx2

from sakk.client.exact import Exact, account_of
from sakk.client.wallet_log import PaymentLog, Receipt, State, new_id, now_ms, settled
from sakk.client.wallet_policy import Choice, Latencies, Policy, Scheme, choose, host_of
from sakk.client.wallet_step import Answer, Ask, Flow, NoAnswer, Read, Send, Step
from sakk.client.wallet_transport import AsyncWalletTransport, WalletTransport
from sakk.client.x402 import (
    PAYMENT_REQUIRED,
    PAYMENT_RESPONSE,
    PAYMENT_SIGNATURE,
    VERSION,
    Challenge,
    Payment,
    Requirement,
    Settlement,
    X402Error,
    decode_header,
    encode_header,
    read_challenge,
)

IDEMPOTENCY_KEY: Final = "idempotency-key"
PAYMENT_STATUS: Final = 402


class WalletError(Exception):
    """What keeps a wallet from paying, or from knowing; ``receipt`` is the payment, if any."""

    def __init__(self, message: str, receipt: Receipt | None = None) -> None:
        super().__init__(message)
        self.receipt = receipt


class NoWayToPay(WalletError):
    """Nothing that the seller offers is within the policy; nothing was signed."""

    def __init__(self, url: str, choices: list[Choice]) -> None:
        reasons = (
            "; ".join(f"{one.scheme} on {one.network}: {one.refused}" for one in choices)
            or "nothing is offered"
        )
        super().__init__(f"{url} asks for payment, and no way to pay is open: {reasons}")
        self.choices = choices


class PaymentRefused(WalletError):
    """The seller did not take the payment. What was signed can be taken until it expires."""


class PaymentUnknown(WalletError):
    """Whether the seller took the payment is not known.

    Send the request again under the same ``Idempotency-Key``: the same bytes go out again.
    """


class Wallet:
    """Pays by one key under one policy. Safe to share between threads.

    ``log`` is a file that several processes may share, so that they share the budget too; without
    it the budget is this object's.
    """

    def __init__(
        self,
        key: str | bytes,
        policy: Policy | None = None,
        *,
        log: str | Path | PaymentLog | None = None,
    ) -> None:
        self.policy = policy or Policy()
        self.log = log if isinstance(log, PaymentLog) else PaymentLog(log)
        self._latencies = Latencies()
        self._exact = Exact(account_of(key), self.policy)
        self._schemes: dict[str, Scheme] = {self._exact.name: self._exact}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address})"

    @property
    def address(self) -> str:
        """Who pays."""
        return self._exact.address

    def close(self) -> None:
        self.log.close()

    def client(self, **options: Any) -> httpx2.Client:
        """An HTTP client that pays; ``options`` are httpx2.Client's. Redirects are not followed."""
        paying: Any = WalletTransport(self, httpx2.HTTPTransport())
        return httpx2.Client(transport=paying, **options)

    def async_client(self, **options: Any) -> httpx2.AsyncClient:
        """The same for an event loop."""
        paying: Any = AsyncWalletTransport(self, httpx2.AsyncHTTPTransport())
        return httpx2.AsyncClient(transport=paying, **options)

    def left(self, host: str = "") -> dict[str, int]:
        """What each limit leaves, in millionths of a dollar."""
        return self.log.left(self.policy.limits, host=host, now_ms=now_ms())

    def quote(self, challenge: Challenge, url: str) -> list[Choice]:
        """What the wallet would do with a challenge: every way, and the one that it would take."""
        return self._route(challenge.accepts, host_of(url))[1]

    def flow(self, ask: Ask) -> Flow:
        """Send a request, pay for it if it asks for that, and give the receipt of what was paid."""
        key = _key_of(ask)
        earlier = None if key is None else self.log.under(key)
        if earlier is not None:
            receipt, header = earlier
            return (yield from self._carry(ask, receipt, header))
        answer = yield Send(ask)
        if answer.status != PAYMENT_STATUS:
            return None
        challenge = yield from _challenge(answer)
        if ask.body is None:
            raise WalletError(
                f"{ask.url} asks for payment, and the request's body can be sent only once: send "
                "it as bytes"
            )
        place, choices = self._route(challenge.accepts, host_of(ask.url))
        if place is None:
            raise NoWayToPay(ask.url, choices)
        return (yield from self._pay_exact(ask, challenge, challenge.accepts[place], choices, key))

    def _route(self, offers: list[Requirement], host: str) -> tuple[int | None, list[Choice]]:
        place, choices = choose(
            offers,
            host=host,
            policy=self.policy,
            schemes=self._schemes,
            left=self.left(host),
            latencies=self._latencies,
        )
        if place is not None:
            choices[place] = replace(choices[place], taken=True)
        return place, choices

    def _pay_exact(
        self,
        ask: Ask,
        challenge: Challenge,
        offer: Requirement,
        choices: list[Choice],
        key: str | None,
    ) -> Flow:
        payload, expires = self._exact.sign(offer, now=int(time.time()))
        header = encode_header(
            Payment(VERSION, payload, offer, challenge.resource, challenge.extensions)
        )
        asset = self._exact.asset_of(offer)
        assert asset is not None
        receipt = Receipt(
            id=new_id(),
            method=ask.method,
            url=ask.url,
            scheme=offer.scheme,
            network=offer.network,
            asset=offer.asset,
            amount=offer.units,
            value=asset.value_of(offer.units),
            payee=offer.pay_to,
            payer=self.address,
            state=State.signed,
            created_ms=now_ms(),
            expires_ms=1_000 * expires,
            key=key,
            route=[choice.to_dict() for choice in choices],
        )
        begun = self.log.begin(receipt, header, host=host_of(ask.url), limits=self.policy.limits)
        if begun.id != receipt.id:
            # Another thread or process pays for the same request: its bytes are sent, not ours.
            header = self.log.header_of(begun.id) or header
        return (yield from self._carry(ask, begun, header))

    def _carry(self, ask: Ask, receipt: Receipt, header: str) -> Flow:
        """Send the request with its payment, and write down what became of it."""
        began = time.monotonic()
        paid = replace(ask, headers={**ask.headers, PAYMENT_SIGNATURE: header})
        try:
            answer: Answer = yield Send(paid)
        except NoAnswer as error:
            receipt = self._ended(receipt, State.unknown, None, str(error))
            raise PaymentUnknown(
                f"no answer to a paid request ({error}); send it again under the same "
                "Idempotency-Key to send the same payment again",
                receipt,
            ) from error
        settlement = _settlement(answer)
        if settlement is not None and settlement.get("success") is True:
            self._latencies.saw(
                host_of(ask.url),
                receipt.scheme,
                receipt.network,
                int(1_000 * (time.monotonic() - began)),
            )
            receipt = replace(receipt, is_verified=None if _agrees(receipt, settlement) else False)
            return self._ended(receipt, State.paid, settlement, None)
        if answer.status == PAYMENT_STATUS or settlement is not None:
            said = yield from _reason(answer, settlement)
            receipt = self._ended(receipt, State.refused, settlement, said)
            raise PaymentRefused(f"{ask.url} did not take the payment: {said}", receipt)
        if answer.status >= 500:
            receipt = self._ended(receipt, State.unknown, None, f"status {answer.status}")
            raise PaymentUnknown(
                f"{ask.url} failed with status {answer.status} after it was paid; send it again "
                "under the same Idempotency-Key to send the same payment again",
                receipt,
            )
        return self._ended(receipt, State.unknown, None, "served without a receipt")

    def _ended(
        self, receipt: Receipt, state: State, settlement: dict[str, Any] | None, said: str | None
    ) -> Receipt:
        # What was paid once stays paid, whatever a second sending of the same bytes is told.
        if receipt.state is State.paid:
            return receipt
        return self.log.update(settled(receipt, state, settlement=settlement, said=said))


def _key_of(ask: Ask) -> str | None:
    """The request's key in the log: its Idempotency-Key, bound to what is asked."""
    for name, value in ask.headers.items():
        if name.lower() == IDEMPOTENCY_KEY:
            asked = f"{ask.method}\n{ask.url}\n{value}".encode()
            return hashlib.sha256(asked + b"\n" + (ask.body or b"")).hexdigest()
    return None


def _challenge(answer: Answer) -> Generator[Step, Any, Challenge]:
    body: bytes = yield Read()
    try:
        return read_challenge(answer.headers.get(PAYMENT_REQUIRED.lower()), body)
    except X402Error as error:
        raise WalletError(
            f"the seller asks for payment in a form that can not be read: {error}"
        ) from error


def _settlement(answer: Answer) -> dict[str, Any] | None:
    """What PAYMENT-RESPONSE says, kept whole; None where it is absent or can not be read."""
    value = answer.headers.get(PAYMENT_RESPONSE.lower())
    if value is None:
        return None
    try:
        decode_header(value, Settlement)
        return decode_header(value, dict[str, Any])
    except X402Error:
        return None


def _agrees(receipt: Receipt, settlement: Mapping[str, Any]) -> bool:
    """Is what the seller says of it what was signed? It may leave out all but success."""
    said = (
        (settlement.get("network"), receipt.network),
        (settlement.get("payer"), receipt.payer),
        (settlement.get("amount"), str(receipt.amount)),
    )
    return all(not one or str(one).lower() == ours.lower() for one, ours in said)


def _reason(answer: Answer, settlement: dict[str, Any] | None) -> Generator[Step, Any, str]:
    """Why a payment was refused, as far as the seller says."""
    if settlement is not None:
        return str(settlement.get("errorReason") or "no reason was given")[:200]
    body: bytes = yield Read()
    try:
        challenge = read_challenge(answer.headers.get(PAYMENT_REQUIRED.lower()), body)
    except X402Error:
        return "no reason was given"
    return (challenge.error or "no reason was given")[:200]
