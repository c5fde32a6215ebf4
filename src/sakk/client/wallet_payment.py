"""One payment on its way: what is bought, how it is carried, and what became of it.

What every scheme shares. A scheme signs; what is here writes down before sending, sends, reads what
the seller says, and raises where the caller has to know.
"""

import hashlib
import json
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

from sakk.client.wallet_fact import is_open, signed_of
from sakk.client.wallet_log import PaymentLog, Receipt, State, new_id, now_ms, settled
from sakk.client.wallet_node import NodeAway, ask_node
from sakk.client.wallet_policy import Asset, Choice, Latencies, Policy, host_of
from sakk.client.wallet_step import Answer, Ask, NoAnswer, Read, Send, Step
from sakk.client.x402 import (
    PAYMENT_REQUIRED,
    PAYMENT_RESPONSE,
    PAYMENT_SIGNATURE,
    Challenge,
    Requirement,
    Settlement,
    X402Error,
    decode_header,
    read_challenge,
)

IDEMPOTENCY_KEY: Final = "idempotency-key"
PAYMENT_STATUS: Final = 402
# What is shown of a seller's own words.
WORDS_MAX: Final = 200


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
    """The seller did not take the payment. What was signed can be taken until it expires.

    ``challenge``: how the seller asks for payment now, where it says so.
    """

    def __init__(
        self, message: str, receipt: Receipt | None = None, challenge: Challenge | None = None
    ) -> None:
        super().__init__(message, receipt)
        self.challenge = challenge


class PaymentUnknown(WalletError):
    """Whether the seller took the payment is not known.

    Send the request again under the same ``Idempotency-Key``: the same bytes go out again.
    """


class AskedAgain(Exception):
    """A payment was refused before it took anything, and the seller says again how to pay."""

    def __init__(self, challenge: Challenge) -> None:
        super().__init__(challenge.error)
        self.challenge = challenge


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be paid: a request, the challenge that it met, and the offer that was taken.

    ``challenge`` is None where the price was known before it was asked for; ``key`` is the
    request's in the log, if it has one.
    """

    ask: Ask
    challenge: Challenge | None
    offer: Requirement
    asset: Asset
    choices: list[Choice]
    key: str | None

    @property
    def host(self) -> str:
        return host_of(self.ask.url)


@dataclass(frozen=True, slots=True)
class Payments:
    """What all schemes of one wallet share: its log, its policy, and who pays."""

    log: PaymentLog
    policy: Policy
    latencies: Latencies
    payer: str

    def receipt_of(self, order: Order) -> Receipt:
        """The receipt of an order, before anything was sent."""
        offer = order.offer
        return Receipt(
            id=new_id(),
            method=order.ask.method,
            url=order.ask.url,
            scheme=offer.scheme,
            network=offer.network,
            asset=offer.asset,
            amount=offer.units,
            value=order.asset.value_of(offer.units),
            payee=offer.pay_to,
            payer=self.payer,
            state=State.signed,
            created_ms=now_ms(),
            expires_ms=0,
            key=order.key,
            route=[choice.to_dict() for choice in order.choices],
        )

    def note(self, receipt: Receipt) -> Receipt:
        """Write a call's receipt down: at once where it has a key, else with the next ones."""
        if receipt.key is not None:
            return self.log.update(receipt)
        self.log.note(receipt)
        return receipt

    def carry(
        self, ask: Ask, receipt: Receipt, header: str, *, is_typical: bool = True
    ) -> Generator[Step, Any, Receipt]:
        """Send the request with its payment, and write down what became of it.

        ``is_typical``: what it takes says what the next one will.
        """
        began = time.monotonic()
        try:
            answer: Answer = yield Send(with_payment(ask, header))
        except NoAnswer as error:
            receipt = self.ended(receipt, State.unknown, None, str(error))
            receipt = yield from self.looked_up(receipt)
            raise PaymentUnknown(
                f"no answer to a paid request ({error}); send it again under the same "
                "Idempotency-Key to send the same payment again",
                receipt,
            ) from error
        settlement = settlement_of(answer)
        if settlement is not None and settlement.get("success") is True:
            took = int(1_000 * (time.monotonic() - began))
            if is_typical:
                self.latencies.saw(host_of(ask.url), receipt.scheme, receipt.network, took)
            receipt = replace(receipt, is_verified=None if agrees(receipt, settlement) else False)
            return self.ended(receipt, State.paid, settlement, None)
        if answer.status == PAYMENT_STATUS or settlement is not None:
            challenge = (yield from _asked_again(answer)) if answer.status == 402 else None
            said = _reason(settlement, challenge)
            receipt = self.ended(receipt, State.refused, settlement, said)
            raise PaymentRefused(f"{ask.url} did not take the payment: {said}", receipt, challenge)
        if answer.status >= 500:
            said = f"status {answer.status}{(yield from _words(answer))}"
            receipt = self.ended(receipt, State.unknown, None, said)
            receipt = yield from self.looked_up(receipt)
            raise PaymentUnknown(
                f"{ask.url} failed with {said} after it was paid; send it again "
                "under the same Idempotency-Key to send the same payment again",
                receipt,
            )
        return self.ended(receipt, State.unknown, None, f"status {answer.status} without a receipt")

    def looked_up(self, receipt: Receipt) -> Generator[Step, Any, Receipt]:
        """The receipt by what the chain says of it, where it is open and a node can be asked.

        ``paid`` when its coins have moved, ``released`` when they can not any more; else as it was.
        """
        node, header = self.policy.nodes.get(receipt.network), self.log.header_of(receipt.id)
        if node is None or not header or not is_open(receipt):
            return receipt
        signed = signed_of(receipt, header)
        try:
            state = signed.state(*(yield from ask_node(node, signed.calls)))
        except (NodeAway, ValueError):
            return receipt
        if state is None:
            return receipt
        return self.log.update(replace(receipt, state=state, is_verified=True))

    def ended(
        self, receipt: Receipt, state: State, settlement: dict[str, Any] | None, said: str | None
    ) -> Receipt:
        # What was paid once stays paid, whatever a second sending of the same bytes is told.
        if receipt.state is State.paid:
            return receipt
        return self.log.update(settled(receipt, state, settlement=settlement, said=said))


def with_payment(ask: Ask, header: str) -> Ask:
    return replace(ask, headers={**ask.headers, PAYMENT_SIGNATURE: header})


def path_of(url: str) -> str:
    """What a price is remembered by: the address without its query."""
    return url.partition("#")[0].partition("?")[0]


def target_of(url: str) -> str:
    """Path and query, as they stand in the request line."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def key_of(ask: Ask) -> str | None:
    """The request's key in the log: its Idempotency-Key, bound to what is asked."""
    for name, value in ask.headers.items():
        if name.lower() == IDEMPOTENCY_KEY:
            asked = f"{ask.method}\n{ask.url}\n{value}".encode()
            return hashlib.sha256(asked + b"\n" + (ask.body or b"")).hexdigest()
    return None


def challenge_of(answer: Answer) -> Generator[Step, Any, Challenge]:
    try:
        body: bytes = yield Read()
    except NoAnswer:
        # The head says the same.
        body = b""
    try:
        return read_challenge(answer.headers.get(PAYMENT_REQUIRED.lower()), body)
    except X402Error as error:
        raise WalletError(
            f"the seller asks for payment in a form that can not be read: {error}"
        ) from error


def settlement_of(answer: Answer) -> dict[str, Any] | None:
    """What PAYMENT-RESPONSE says, kept whole; None where it is absent or can not be read."""
    value = answer.headers.get(PAYMENT_RESPONSE.lower())
    if value is None:
        return None
    try:
        decode_header(value, Settlement)
        return decode_header(value, dict[str, Any])
    except X402Error:
        return None


def agrees(receipt: Receipt, settlement: Mapping[str, Any]) -> bool:
    """Is what the seller says of it what was signed? It may leave out all but success."""
    said = (
        (settlement.get("network"), receipt.network),
        (settlement.get("payer"), receipt.payer),
        (settlement.get("amount"), str(receipt.amount)),
    )
    return all(not one or str(one).lower() == ours.lower() for one, ours in said)


def _asked_again(answer: Answer) -> Generator[Step, Any, Challenge | None]:
    try:
        return (yield from challenge_of(answer))
    except WalletError:
        return None


def _words(answer: Answer) -> Generator[Step, Any, str]:
    """What a seller says of its failure, where it says that as a document."""
    if "json" not in answer.headers.get("content-type", ""):
        return ""
    try:
        body: bytes = yield Read()
        document = json.loads(body)
    except (NoAnswer, ValueError, RecursionError):
        return ""
    said = document.get("message") if isinstance(document, dict) else None
    shown = "".join(filter(str.isprintable, said)) if isinstance(said, str) else ""
    return f" ({shown[:WORDS_MAX]})" if shown else ""


def _reason(settlement: dict[str, Any] | None, challenge: Challenge | None) -> str:
    """Why a payment was refused, as far as the seller says."""
    said = None if settlement is None else settlement.get("errorReason")
    if not said and challenge is not None:
        said = challenge.error
    return str(said or "no reason was given")[:WORDS_MAX]
