"""``session``: calls debit a prepaid channel at a Sakk, a MAC each, and no chain is waited for.

A call is reserved before the application sees it, and committed when the head of a good answer is
on its way; a metered one when the application is done, with what it used. What is answered with an
error is released. The Sakk decides (docs/reference/session-scheme.md); the door has no key of a
session and keeps nothing: a copy meets the same nonce there, whichever door it was shown to.
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, Final, Literal, Protocol

import msgspec

from sakk.client.session import NO_BODY, request_hash, uuid_bytes
from sakk.client.x402 import Requirement
from sakk.paywall import record
from sakk.paywall.answer import Answer, Receive, Send, answer_to
from sakk.paywall.charge import AuthorityAway, Charges
from sakk.paywall.errors import AUTHORITY_AWAY, PaywallError, Refusal
from sakk.paywall.payment import Payment, Sent, Terms

try:
    from sakk.paywall.compiled import call as quick_call
    from sakk.paywall.compiled import record as quick
except ImportError:  # where it is not built, what is read serves
    quick = record  # type: ignore[misc]
    quick_call = None  # type: ignore[assignment]

TIMEOUT_SECONDS: Final = 60
# A handler has so long until its answer begins, and a metered one until it ends.
RESERVE_SECONDS: Final = 300
# A metered answer that takes longer is ended, so that what it used is charged in time.
_RESERVE_SHARE: Final = 0.9
_COMMIT, _RELEASE = 2, 3
_WHOLE: Final = (1 << 128) - 1
_REMEMBERED_MAX: Final = 16_384
REASONS: Final = {
    1: "malformed",
    2: "session_unknown",
    3: "session_expired",
    4: "mac_invalid",
    5: "currency_mismatch",
    6: "over_limit",
    7: "nonce_used",
    8: "ceiling_exceeded",
    9: "channel_closed",
    10: "charge_unknown",
    11: "charge_ended",
    12: "amount_exceeds_reserved",
}


class CallPayload(msgspec.Struct, rename="camel"):
    """The scheme's proof: a call of a session."""

    session: str
    nonce: str
    amount: str
    mac: str
    body_hash: str | None = None


class _Accepted(msgspec.Struct):
    asset: str


class Call(msgspec.Struct):
    """The header of a call, as far as it is read; ``accepted`` is needed for several coins."""

    scheme: Literal["session"]
    payload: CallPayload
    network: str = ""
    accepted: _Accepted | None = None


read_call = msgspec.json.Decoder(Call).decode


def decoded(header: bytes) -> bytes:
    """What a header of base64 holds; binascii.Error."""
    # What is not plainly base64 is refused by the way that says why.
    return quick.decode(header) or record.decode(header)


class Session:
    """A balance at a Sakk. ``account`` (``acct_…``) is paid; ``network`` is ``sakk:<id>``.

    ``authority`` is the address of that Sakk as payers reach it; ``step`` is what a payer is
    advised to put up at once, in the smallest unit of ``currency``.
    """

    scheme = "session"
    is_metered = True

    def __init__(
        self,
        charges: Charges,
        *,
        network: str,
        account: str,
        currency: str,
        decimals: int,
        authority: str,
        step: int | None = None,
        max_timeout_seconds: int = TIMEOUT_SECONDS,
        reserve_seconds: int = RESERVE_SECONDS,
    ) -> None:
        if not network.startswith("sakk:"):
            raise PaywallError(f"network: must be 'sakk:<installation>', not {network!r}.")
        if not 0 < reserve_seconds < 1 << 16:
            raise PaywallError("reserve_seconds: must be 1 to 65535.")
        self.charges = charges
        self.network = network
        self.asset = self.currency = currency.lower()
        self.decimals = decimals
        self.pay_to = account
        self._authority = authority.rstrip("/")
        self._step = step
        self._timeout_seconds = max_timeout_seconds
        self.reserve_seconds = reserve_seconds
        self._currency = self.currency.encode().ljust(16, b"\0")
        self._sessions: dict[str, _Known] = {}
        self._requests: dict[tuple[str, bytes], bytes] = {}
        uuid_bytes(account)

    def requirement(self, units: int) -> Requirement:
        """What is asked of the payer."""
        extra: dict[str, Any] = {"authority": self._authority, "currency": self.currency}
        if self._step is not None:
            extra["step"] = str(max(self._step, units))
        return Requirement(
            scheme=self.scheme,
            network=self.network,
            asset=self.asset,
            amount=str(units),
            pay_to=self.pay_to,
            max_timeout_seconds=self._timeout_seconds,
            extra=extra,
        )

    async def take(self, sent: Sent, terms: Terms) -> "SessionTaken | Refusal":
        """Reserve a call that came with all that x402 puts around it."""
        payload = msgspec.convert(sent.payload, CallPayload)
        asked = self._ask(payload, terms, sent.method, sent.target)
        if isinstance(asked, Refusal):
            return asked
        taken = SessionTaken(self, terms, *asked, payload.body_hash)
        return await taken.reserved() or taken

    def call(
        self, payload: CallPayload, terms: Terms, method: str, target: bytes
    ) -> "Calling | Refusal":
        """Ask for a call, of which `hear` is to be told; ValueError where it is none.

        A price that fell is charged as it is now, one that rose is a refusal.
        """
        asked = self._ask(payload, terms, method, target)
        if isinstance(asked, Refusal):
            return asked
        if quick_call is not None and terms.meter is None and payload.body_hash is None:
            return quick_call.Call(self, terms.units, *asked)
        return SessionTaken(self, terms, *asked, payload.body_hash)

    def refused(self, status: int) -> Refusal:
        """Why the Sakk did not reserve a call."""
        reason = REASONS.get(status, "refused")
        return Refusal(reason, f"The session's Sakk refuses this call: {reason}.")

    def _ask(
        self, payload: CallPayload, terms: Terms, method: str, target: bytes
    ) -> "_Asked | Refusal":
        amount, nonce = int(payload.amount), int(payload.nonce)
        if amount < terms.units:
            return Refusal("amount_too_low", f"{terms.units} {self.asset} are asked for.")
        if not 0 <= nonce < 1 << 63 or amount >= 1 << 128:
            raise ValueError("the nonce has 63 bits, the amount 128")
        body = payload.body_hash
        session = self._sessions.get(payload.session) or self._session(payload.session)
        if body is None:
            # Of many calls the same is asked for.
            request = self._requests.get((method, target)) or self._request(method, target)
        else:
            request = request_hash(method, target.decode("latin-1"), record.of_digits(body))
        asked = self.charges.reserve(
            quick.reserve_record(
                session.key,
                nonce,
                amount,
                request,
                payload.mac,
                self._currency,
                self.reserve_seconds,
            )
        )
        return session, nonce, amount, request, asked

    async def close(self) -> None:
        """Wait for commits that are on their way."""
        await self.charges.close()

    def finish(self, operation: int, call: "SessionTaken", amount: int, units: int) -> None:
        """Commit or release a call; nobody waits."""
        self.charges.finish(
            quick.end_record(operation, call.session.key, call.nonce, amount, units)
        )

    def _session(self, identifier: str) -> "_Known":
        if not identifier.startswith("ses_"):
            raise ValueError("the session must be ses_…")
        found = _Known(identifier, uuid_bytes(identifier), self.network, self.pay_to)
        if len(self._sessions) >= _REMEMBERED_MAX:
            self._sessions.clear()
        self._sessions[identifier] = found
        return found

    def _request(self, method: str, target: bytes) -> bytes:
        found = request_hash(method, target.decode("latin-1"), NO_BODY)
        if len(self._requests) >= _REMEMBERED_MAX:
            self._requests.clear()
        self._requests[(method, target)] = found
        return found


class _Known:
    """What every receipt of a session begins and goes on with, around the fields that vary."""

    __slots__ = ("go_on", "identifier", "key", "start")

    def __init__(self, identifier: str, key: bytes, network: str, payee: str) -> None:
        self.identifier = identifier
        self.key = key
        self.start = (
            f'{{"success":true,"scheme":"session","network":"{network}",'
            f'"receipt":{{"session":"{identifier}","units":"0","payee":"{payee}","nonce":"'
        ).encode()
        self.go_on = f'"}},"transaction":"{identifier}:'.encode()


class SessionTaken:
    """One call, asked for and then reserved."""

    __slots__ = (
        "_amount",
        "_is_ended",
        "_offer",
        "_request",
        "_terms",
        "asked",
        "body_hash",
        "nonce",
        "payment",
        "response",
        "session",
        "until",
    )

    # What is released was never paid.
    stands = False

    payment: Payment
    response: bytes | None
    until: float | None

    def __init__(
        self,
        offer: Session,
        terms: Terms,
        session: _Known,
        nonce: int,
        amount: int,
        request: bytes,
        asked: "asyncio.Future[bytes]",
        body_hash: str | None,
    ) -> None:
        self._offer = offer
        self._terms = terms
        self._amount = amount
        self._request = request
        self.asked = asked
        self._is_ended = False
        self.session = session
        self.nonce = nonce
        self.body_hash = None if body_hash is None else bytes.fromhex(body_hash)

    async def reserved(self) -> Refusal | None:
        """Wait until it is known whether it is reserved."""
        try:
            return self.hear(await self.asked)
        except AuthorityAway as error:
            return away(error)

    def hear(self, result: bytes) -> Refusal | None:
        """What the Sakk said of it."""
        if result[0]:
            return self._offer.refused(result[0])
        session, nonce, amount, meter = self.session, self.nonce, self._amount, self._terms.meter
        self.response, who = quick.told(
            session.start, session.go_on, nonce, amount, self._request, result
        )
        self.until = None
        if meter is not None:
            self.until = time.monotonic() + self._offer.reserve_seconds * _RESERVE_SHARE
        self.payment = Payment(
            "session",
            self._offer.network,
            self._offer.currency,
            amount,
            who,
            f"{session.identifier}:{nonce}",
            None if meter is None else meter.units_max,
        )
        return None

    def answer(self, receive: Receive, send: Send) -> Answer:
        """Its answer on its way to the client."""
        return answer_to(self, receive, send)

    async def settle(self, *, is_whole: bool) -> bytes | Refusal:
        """Never asked: it is reserved before the handler."""
        raise AssertionError("a session's call is not settled after the handler")

    def began(self) -> None:
        """A fixed price is due once the answer has begun; a metered one is not known yet."""
        if self._terms.meter is None:
            self._commit(self._terms.units, 0)

    def ended(self) -> None:
        """What was used is due, and all that was reserved where nothing was said."""
        meter = self._terms.meter
        if meter is not None:
            used = self.payment.units_used
            units = meter.units_max if used is None else used
            self._commit(meter.amount(units), units)

    def failed(self) -> None:
        """Nothing was served: the payer has it back."""
        if not self._is_ended:
            self._is_ended = True
            self._offer.finish(_RELEASE, self, 0, 0)

    def _commit(self, amount: int, units: int) -> None:
        if self._is_ended:
            return
        self._is_ended = True
        if amount == 0:
            self._offer.finish(_RELEASE, self, 0, 0)
            return
        self._offer.finish(_COMMIT, self, _WHOLE if amount == self._amount else amount, units)


# What is asked for: the session, nonce, amount, request, and what is heard of it.
_Asked = tuple[_Known, int, int, bytes, "asyncio.Future[bytes]"]


class Calling(Protocol):
    """One call that is asked for: `SessionTaken`, or the same in compiled code."""

    @property
    def asked(self) -> "asyncio.Future[bytes]": ...
    @property
    def payment(self) -> Payment: ...
    def hear(self, result: bytes) -> Refusal | None: ...
    def answer(self, receive: Receive, send: Send) -> "Answering": ...


class Answering(Protocol):
    """Its answer: see `sakk.paywall.answer.Answer`."""

    @property
    def is_good(self) -> bool: ...
    async def receive(self) -> Any: ...
    def send(self, message: Any) -> Awaitable[None]: ...
    def close(self) -> Refusal | None: ...


def away(error: AuthorityAway) -> Refusal:
    """It is not known whether a call was reserved: it is not served."""
    message = f"{error}. Nothing was charged: call again, with a new nonce."
    return Refusal(AUTHORITY_AWAY, message, 503, 1)
