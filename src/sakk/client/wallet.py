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
from urllib.parse import urlsplit

import httpx2

from sakk.client.exact import Exact, account_of
from sakk.client.session import NO_BODY, request_hash
from sakk.client.session import SCHEME as SESSION
from sakk.client.wallet_log import Limits, PaymentLog, Receipt, State, new_id, now_ms, settled
from sakk.client.wallet_policy import Asset, Choice, Latencies, Policy, Scheme, choose, host_of
from sakk.client.wallet_session import CLOSE_PATH, Call, Sessions
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
SESSION_TRIALS_MAX: Final = 4
TIMEOUT_SECONDS: Final = 30.0
# Refusals of a call, as the authority names them (docs/reference/session-scheme.md).
CHANNEL_OVER: Final = frozenset(
    {"session_unknown", "session_expired", "channel_closed", "mac_invalid"}
)
CEILING_LOW: Final = frozenset({"ceiling_exceeded"})
USED: Final = frozenset({"nonce_used", "over_limit"})


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


class _AskedAgain(Exception):
    """A call was refused before it took anything, and the seller says again how to pay."""

    def __init__(self, challenge: Challenge) -> None:
        super().__init__(challenge.error)
        self.challenge = challenge


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
        account = account_of(key)
        self._exact = Exact(account, self.policy)
        self._sessions = Sessions(account, self.policy)
        self._schemes: dict[str, Scheme] = {
            self._exact.name: self._exact,
            self._sessions.name: self._sessions,
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address})"

    @property
    def address(self) -> str:
        """Who pays."""
        return self._exact.address

    def close(self) -> None:
        """Close the log. Channels stay open, for the next process; see `close_channels`."""
        self.log.close()

    def close_channels(self) -> int:
        """Close the channels of this wallet, so that what they hold comes back; says how many.

        One whose answer does not come stays open, and is closed by the authority when it idles.
        """
        count = 0
        for place, channel in self._sessions.open_channels():
            body = self._sessions.closing(channel.network, channel)
            try:
                answer = httpx2.post(place[0] + CLOSE_PATH, json=body, timeout=TIMEOUT_SECONDS)
                said = answer.raise_for_status().json()
                self._sessions.closed(place, channel, said, self.log)
            except (httpx2.HTTPError, ValueError, KeyError) as error:
                raise WalletError(f"{channel.id} could not be closed: {error}") from error
            count += 1
        return count

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
        return self._route(challenge.accepts, Ask("GET", url, {}))[1]

    def flow(self, ask: Ask) -> Flow:
        """Send a request, pay for it if it asks for that, and give the receipt of what was paid."""
        key = _key_of(ask)
        earlier = None if key is None else self.log.under(key)
        if earlier is not None:
            receipt, header = earlier
            return (yield from self._carry(ask, receipt, header))
        path = _path(ask.url)
        offer = self._sessions.remembered(ask.method, path)
        challenge: Challenge | None = None
        if offer is not None:
            _, choices = self._route([offer], ask)
            if choices[0].refused is None:
                try:
                    return (yield from self._pay_session(ask, offer, choices, key))
                except _AskedAgain as again:
                    challenge = again.challenge
        if challenge is None:
            answer = yield Send(ask)
            if answer.status != PAYMENT_STATUS:
                return None
            challenge = yield from _challenge(answer)
        return (yield from self._pay(ask, challenge, key))

    def _pay(self, ask: Ask, challenge: Challenge, key: str | None) -> Flow:
        """Pay what a challenge asks for, by the way that the policy takes."""
        if ask.body is None:
            raise WalletError(
                f"{ask.url} asks for payment, and the request's body can be sent only once: send "
                "it as bytes"
            )
        for _ in range(SESSION_TRIALS_MAX):
            place, choices = self._route(challenge.accepts, ask)
            if place is None:
                raise NoWayToPay(ask.url, choices)
            offer = challenge.accepts[place]
            if offer.scheme != SESSION:
                return (yield from self._pay_exact(ask, challenge, offer, choices, key))
            try:
                return (yield from self._pay_session(ask, offer, choices, key))
            except _AskedAgain as again:
                challenge = again.challenge
        raise PaymentRefused(f"{ask.url} did not take the payment: {challenge.error}")

    def _pay_session(
        self, ask: Ask, offer: Requirement, choices: list[Choice], key: str | None
    ) -> Flow:
        """One call under the ceiling; raises _AskedAgain where another try can be made."""
        asset = self._sessions.asset_of(offer)
        assert asset is not None
        try:
            channel, nonce = yield from self._sessions.ready(
                offer, asset, self.log, self.policy.limits
            )
        except (X402Error, NoAnswer) as error:
            raise WalletError(f"no session could be opened or raised: {error}") from error
        body_hash = hashlib.sha256(ask.body).digest() if ask.body else None
        request = request_hash(ask.method, _target(ask.url), body_hash or NO_BODY)
        call = self._sessions.sign_call(
            channel, offer, nonce=nonce, request=request, body_hash=body_hash
        )
        receipt = replace(
            self._receipt(ask, offer, asset, choices, key),
            counts=False,
            request_hash=request.hex(),
            transaction=f"{channel.session}:{nonce}",
        )
        header = encode_header(call.document)
        if key is not None:
            begun = self.log.begin(
                receipt, header, host=host_of(ask.url), limits=Limits(None, None)
            )
            if begun.id != receipt.id:
                self._sessions.refused(channel, offer.units)
                return (yield from self._carry(ask, begun, self.log.header_of(begun.id) or header))
        try:
            receipt = yield from self._carry_call(ask, receipt, header, call, offer)
        finally:
            self._sessions.answered(channel, offer.units)
        self._sessions.remember(ask.method, _path(ask.url), offer)
        return receipt

    def _carry_call(
        self, ask: Ask, receipt: Receipt, header: str, call: Call, offer: Requirement
    ) -> Generator[Step, Any, Receipt]:
        """Send a call, and read what became of it: another try where the session has to move on."""
        began = time.monotonic()
        try:
            answer: Answer = yield Send(_with_payment(ask, header))
        except NoAnswer as error:
            receipt = self._note(settled(receipt, State.unknown, settlement=None, said=str(error)))
            raise PaymentUnknown(f"no answer to a paid request ({error})", receipt) from error
        settlement = _settlement(answer)
        if settlement is not None and settlement.get("success") is True:
            took = int(1_000 * (time.monotonic() - began))
            self._latencies.saw(host_of(ask.url), receipt.scheme, receipt.network, took)
            verified = self._sessions.verifies(call, offer, settlement.get("receipt"))
            paid = settled(receipt, State.paid, settlement=settlement)
            return self._note(replace(paid, is_verified=verified))
        if answer.status != PAYMENT_STATUS:
            said = f"status {answer.status} without a receipt"
            return self._note(settled(receipt, State.unknown, settlement=settlement, said=said))
        challenge = yield from _challenge(answer)
        self._sessions.forget(ask.method, _path(ask.url))
        said = challenge.error or "no reason was given"
        self._sessions.refused(call.channel, call.amount)
        if said in CHANNEL_OVER:
            self._sessions.drop(offer, call.channel)
        if said in CEILING_LOW:
            self._sessions.exhaust(call.channel)
        receipt = self._note(settled(receipt, State.released, settlement=settlement, said=said))
        if receipt.key is None and ask.body is not None and said not in USED:
            raise _AskedAgain(challenge)
        raise PaymentRefused(f"{ask.url} did not take the payment: {said}", receipt)

    def _note(self, receipt: Receipt) -> Receipt:
        """Write a call's receipt down: at once where it has a key, else with the next ones."""
        if receipt.key is not None:
            return self.log.update(receipt)
        self.log.note(receipt)
        return receipt

    def _receipt(
        self,
        ask: Ask,
        offer: Requirement,
        asset: Asset,
        choices: list[Choice],
        key: str | None,
    ) -> Receipt:
        return Receipt(
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
            expires_ms=0,
            key=key,
            route=[choice.to_dict() for choice in choices],
        )

    def _route(self, offers: list[Requirement], ask: Ask) -> tuple[int | None, list[Choice]]:
        host = host_of(ask.url)
        place, choices = choose(
            offers,
            host=host,
            policy=self.policy,
            schemes=self._schemes,
            left=self.left(host),
            latencies=self._latencies,
            value_max=ask.value_max,
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
        receipt = replace(
            self._receipt(ask, offer, asset, choices, key), expires_ms=1_000 * expires
        )
        begun = self.log.begin(receipt, header, host=host_of(ask.url), limits=self.policy.limits)
        if begun.id != receipt.id:
            # Another thread or process pays for the same request: its bytes are sent, not ours.
            header = self.log.header_of(begun.id) or header
        return (yield from self._carry(ask, begun, header))

    def _carry(self, ask: Ask, receipt: Receipt, header: str) -> Flow:
        """Send the request with its payment, and write down what became of it."""
        began = time.monotonic()
        try:
            answer: Answer = yield Send(_with_payment(ask, header))
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


def _with_payment(ask: Ask, header: str) -> Ask:
    return replace(ask, headers={**ask.headers, PAYMENT_SIGNATURE: header})


def _path(url: str) -> str:
    """What a price is remembered by: the address without its query."""
    return url.partition("#")[0].partition("?")[0]


def _target(url: str) -> str:
    """Path and query, as they stand in the request line."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


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
