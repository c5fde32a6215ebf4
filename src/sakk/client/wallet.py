"""The buyer's wallet: answers 402 by a policy, pays once, and keeps what it paid for.

    wallet = Wallet("0x…", Policy(hosts={"api.example"}))
    with wallet.client() as http:
        answer = http.get("https://api.example/premium")

The wallet's logic is a coroutine over what is outside of it (`Step`), so that the same code serves
httpx, httpx2 and requests, with threads and with an event loop: see ``wallet_transport.py``.

For one request at most one payment is signed. A payment whose fate is not known is never replaced
by another: the same bytes may be sent again, under the request's ``Idempotency-Key``.
"""

from collections.abc import Generator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

import httpx2

from sakk.client.exact import Exact, account_of
from sakk.client.permit2 import Approvals
from sakk.client.wallet_escrow import Escrow
from sakk.client.wallet_log import PaymentLog, Receipt, State, now_ms
from sakk.client.wallet_payment import (
    PAYMENT_STATUS,
    AskedAgain,
    NoWayToPay,
    Order,
    PaymentRefused,
    Payments,
    PaymentUnknown,
    WalletError,
    challenge_of,
    key_of,
    path_of,
)
from sakk.client.wallet_policy import Choice, Latencies, Policy, Scheme, choose, host_of
from sakk.client.wallet_session import CLOSE_PATH, Sessions
from sakk.client.wallet_step import Ask, Flow, Send, Step
from sakk.client.wallet_transport import AsyncWalletTransport, WalletTransport
from sakk.client.x402 import Challenge, Requirement, X402Error

__all__ = ["NoWayToPay", "PaymentRefused", "PaymentUnknown", "Wallet", "WalletError"]

# How often one request is paid anew, after refusals that took nothing.
TRIALS_MAX: Final = 8
TIMEOUT_SECONDS: Final = 30.0
# A first payment is answered when its block is final: longer than the five seconds of httpx2.
ANSWER_TIMEOUT: Final = httpx2.Timeout(60.0, connect=5.0)


class PayingScheme(Scheme, Protocol):
    """A way to pay, which pays."""

    def pay(self, payments: Payments, order: Order) -> Generator[Step, Any, Receipt]:
        """Pay an order; raises AskedAgain where nothing was taken and another try can be made."""
        ...


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
        self._approvals = Approvals(str(account.address), self.policy)
        self._exact = Exact(account, self.policy, self._approvals)
        self._sessions = Sessions(account, self.policy)
        escrow = Escrow(account, self.policy, self._approvals, self.log)
        schemes: list[PayingScheme] = [self._exact, self._sessions, escrow]
        self._schemes = {scheme.name: scheme for scheme in schemes}
        self._payments = Payments(self.log, self.policy, self._latencies, self.address)

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
        """An HTTP client that pays; ``options`` are httpx2.Client's. Redirects are not followed.

        It waits for an answer for a minute where ``timeout`` says nothing else.
        """
        paying: Any = WalletTransport(self, httpx2.HTTPTransport())
        return httpx2.Client(transport=paying, **({"timeout": ANSWER_TIMEOUT} | options))

    def async_client(self, **options: Any) -> httpx2.AsyncClient:
        """The same for an event loop."""
        paying: Any = AsyncWalletTransport(self, httpx2.AsyncHTTPTransport())
        return httpx2.AsyncClient(transport=paying, **({"timeout": ANSWER_TIMEOUT} | options))

    def left(self, host: str = "") -> dict[str, int]:
        """What each limit leaves, in millionths of a dollar."""
        return self.log.left(self.policy.limits, host=host, now_ms=now_ms())

    def quote(self, challenge: Challenge, url: str) -> list[Choice]:
        """What the wallet would do with a challenge: every way, and the one that it would take."""
        return self._route(challenge.accepts, Ask("GET", url, {}))[1]

    def flow(self, ask: Ask) -> Flow:
        """Send a request, pay for it if it asks for that, and give the receipt of what was paid."""
        key = key_of(ask)
        earlier = None if key is None else self.log.under(key)
        if earlier is not None:
            receipt, header = earlier
            receipt = yield from self._payments.looked_up(receipt)
            if receipt.state is not State.released:
                return (yield from self._payments.carry(ask, receipt, header))
        path = path_of(ask.url)
        offer = self._sessions.remembered(ask.method, path)
        challenge: Challenge | None = None
        if offer is not None:
            _, choices = self._route([offer], ask)
            if choices[0].refused is None:
                try:
                    return (yield from self._order(ask, None, offer, choices, key))
                except AskedAgain as again:
                    challenge = again.challenge
        if challenge is None:
            answer = yield Send(ask)
            if answer.status != PAYMENT_STATUS:
                return None
            challenge = yield from challenge_of(answer)
        return (yield from self._pay(ask, challenge, key))

    def _pay(self, ask: Ask, challenge: Challenge, key: str | None) -> Flow:
        """Pay what a challenge asks for, by the way that the policy takes."""
        if ask.body is None:
            raise WalletError(
                f"{ask.url} asks for payment, and the request's body can be sent only once: send "
                "it as bytes"
            )
        for _ in range(TRIALS_MAX):
            yield from self._approvals.look(self._to_look_at(challenge.accepts))
            place, choices = self._route(challenge.accepts, ask)
            if place is None:
                raise NoWayToPay(ask.url, choices)
            try:
                return (
                    yield from self._order(ask, challenge, challenge.accepts[place], choices, key)
                )
            except AskedAgain as again:
                challenge = again.challenge
        raise PaymentRefused(f"{ask.url} did not take the payment: {challenge.error}")

    def _to_look_at(self, offers: list[Requirement]) -> list[Requirement]:
        """Offers whose way to pay needs to know of an approval."""
        found = []
        for offer in offers:
            scheme = self._schemes.get(offer.scheme)
            with suppress(X402Error):
                if scheme is not None and scheme.asset_of(offer) and scheme.takes(offer):
                    found.append(offer)
        return found

    def _order(
        self,
        ask: Ask,
        challenge: Challenge | None,
        offer: Requirement,
        choices: list[Choice],
        key: str | None,
    ) -> Flow:
        scheme = self._schemes[offer.scheme]
        asset = scheme.asset_of(offer)
        assert asset is not None
        order = Order(ask, challenge, offer, asset, choices, key)
        return (yield from scheme.pay(self._payments, order))

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
