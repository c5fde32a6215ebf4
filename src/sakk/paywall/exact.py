"""``exact``: one authorisation that moves coins on chain, settled by a facilitator.

By default it is settled before the handler runs. So a copy never reaches the handler, an effect of
the handler is never unpaid, and an answer streams; the payer waits for the block either way. A
settled payment that was answered with an error is good again, for one answer: `Used` keeps it.

With ``settle="after"`` it goes as x402's own servers do: verify, handler, settle, and only then the
answer, which is held so long. The handler's work is at risk then, never the answer.
"""

import hashlib
import time
from typing import Any, Final, Literal

import msgspec

from sakk.client.x402 import Requirement, encode_header
from sakk.paywall.errors import (
    AUTHORITY_AWAY,
    BUSY,
    EXPIRED,
    IN_USE,
    UNKNOWN_OUTCOME,
    UNREADABLE,
    USED,
    PaywallError,
    Refusal,
)
from sakk.paywall.facilitator import Away, Declined, Facilitator, Unknown
from sakk.paywall.payment import Clock, Payment, Sent, Terms, failed_response
from sakk.paywall.used import Claim, State, Used

TIMEOUT_SECONDS: Final = 60
TIMEOUT_SECONDS_MAX: Final = 3_600
_RETRY_SECONDS: Final = 2
_UNREAD_SECONDS: Final = 24 * 3_600
# How far a payer's clock may be ahead of ours.
_CLOCK_SKEW_SECONDS: Final = 30


class Exact:
    """Coins on chain. ``name`` and ``version`` are the token's EIP-712 domain (EIP-3009).

    ``permit2`` asks for Permit2 instead, for tokens without EIP-3009.
    """

    scheme = "exact"
    is_metered = False

    def __init__(
        self,
        facilitator: Facilitator | str,
        *,
        network: str,
        asset: str,
        pay_to: str,
        currency: str,
        decimals: int,
        name: str | None = None,
        version: str | None = None,
        permit2: bool = False,
        max_timeout_seconds: int = TIMEOUT_SECONDS,
        settle: Literal["before", "after"] = "before",
        used: Used | None = None,
        clock: Clock = time.time,
    ) -> None:
        if ":" not in network:
            raise PaywallError(f"network: must be CAIP-2, as 'eip155:8453', not {network!r}.")
        if not 0 < max_timeout_seconds <= TIMEOUT_SECONDS_MAX:
            raise PaywallError(f"max_timeout_seconds: must be 1 to {TIMEOUT_SECONDS_MAX}.")
        if settle not in ("before", "after"):
            raise PaywallError(f"settle: must be 'before' or 'after', not {settle!r}.")
        if not permit2 and network.startswith("eip155:") and not (name and version):
            raise PaywallError(
                "name, version: the token's EIP-712 domain is needed, or permit2=True."
            )
        if isinstance(facilitator, str):
            facilitator = Facilitator(facilitator)
        self.facilitator = facilitator
        self.network = network
        self.asset = asset
        self.pay_to = pay_to
        self.currency = currency.lower()
        self.decimals = decimals
        self.used = used or Used()
        self._timeout_seconds = max_timeout_seconds
        self._settles_first = settle == "before"
        self._clock = clock
        self._extra: dict[str, Any] = {}
        if name:
            self._extra["name"] = name
        if version:
            self._extra["version"] = version
        if permit2:
            self._extra["assetTransferMethod"] = "permit2"

    def requirement(self, units: int) -> Requirement:
        """What is asked of the payer."""
        return Requirement(
            scheme=self.scheme,
            network=self.network,
            asset=self.asset,
            amount=str(units),
            pay_to=self.pay_to,
            max_timeout_seconds=self._timeout_seconds,
            extra=dict(self._extra),
        )

    async def take(self, sent: Sent, terms: Terms) -> "ExactTaken | Refusal":
        """Take an authorisation: settle it, or where that comes after, verify it."""
        now = int(self._clock())
        authorisation = _read(sent.payload)
        # With what was asked: a settlement is never good for more than it was made for.
        digest = hashlib.sha256(
            msgspec.json.encode([terms.requirement, sent.payload], order="deterministic")
        ).digest()
        wrong = None if authorisation is None else authorisation.wrong(terms.requirement, now)
        # Whose coins moved in time is not to pay anew because the answer came late.
        if wrong is not None and not (wrong.code == EXPIRED and self.used.is_settled(digest)):
            return wrong
        # Of another family it is not known how long it could be used.
        expires = now + _UNREAD_SECONDS if authorisation is None else authorisation.expires
        try:
            claim = self.used.claim(digest, now=now, expires=expires)
        except OverflowError:
            return Refusal(BUSY, "Too many payments are remembered here. Try later.", 503, 60)
        if claim is State.done:
            return Refusal(USED, "This payment was used already. Pay anew.")
        if isinstance(claim, State):
            return Refusal(IN_USE, "This payment is being used by another request.")
        taken = ExactTaken(self, terms, sent, claim, authorisation)
        if claim.settlement is not None:
            taken.response = claim.settlement
            return taken
        try:
            # What may have been settled before is not verified: its nonce may be used by that.
            first = self._settles_first or not claim.is_first
            refusal = await (taken.settled() if first else taken.verified())
        except BaseException:
            # Cancelled or broken in the middle: what was asked may have been done.
            self.used.end(claim, State.open)
            raise
        return taken if refusal is None else refusal

    async def close(self) -> None:
        """Close the connections and the file."""
        await self.facilitator.close()
        self.used.close()


class ExactTaken:
    """One authorisation, held by one request."""

    __slots__ = (
        "_authorisation",
        "_body",
        "_claim",
        "_is_unclear",
        "_offer",
        "_payload",
        "_terms",
        "payment",
        "response",
    )

    # Its coins moved, whatever the answer is.
    stands = True
    body_hash: bytes | None = None
    until: float | None = None

    def __init__(
        self,
        offer: Exact,
        terms: Terms,
        sent: Sent,
        claim: Claim,
        authorisation: "_Authorisation | None",
    ) -> None:
        self._offer = offer
        self._terms = terms
        self._payload = sent.payload
        self._claim = claim
        self._authorisation = authorisation
        # It was asked to be settled, and whether it was is not known.
        self._is_unclear = False
        self._body = msgspec.json.encode(
            {
                "x402Version": 2,
                "paymentPayload": sent.document,
                "paymentRequirements": terms.requirement,
            }
        )
        self.response: bytes | None = None
        self.payment = Payment(
            offer.scheme,
            offer.network,
            offer.currency,
            terms.units,
            authorisation.payer if authorisation is not None else "",
            "",
            None,
        )

    async def verified(self) -> Refusal | None:
        """Ask whether it would be settled, and bind its nonce to this request."""
        offer = self._offer
        verdict = await offer.facilitator.verify(self._body)
        if isinstance(verdict, Away):
            offer.used.forget(self._claim)
            return Refusal(AUTHORITY_AWAY, verdict.message, 503, _RETRY_SECONDS)
        if not verdict.is_valid:
            offer.used.forget(self._claim)
            reason = verdict.invalid_reason or UNREADABLE
            return Refusal(reason, verdict.invalid_message or "The payment is not valid.")
        if verdict.payer:
            self.payment.payer = verdict.payer
        if not offer.used.bind(self._claim, self._nonce()):
            offer.used.forget(self._claim)
            return Refusal(USED, "This authorisation was used already. Pay anew.")
        return None

    async def settled(self) -> Refusal | None:
        """Settle it now; what is left is to serve."""
        offer, claim = self._offer, self._claim
        self._is_unclear = True
        outcome = await offer.facilitator.settle(
            self._body,
            claim.key,
            requirement=self._terms.requirement,
            payer=self.payment.payer or None,
            was_asked=not claim.is_first,
        )
        if isinstance(outcome, Away):
            # Not known of an earlier request's, so that it is good again under the same key.
            if claim.is_first:
                self._forget()
            else:
                offer.used.end(claim, State.open)
            return Refusal(AUTHORITY_AWAY, outcome.message, 503, _RETRY_SECONDS)
        if isinstance(outcome, Unknown):
            offer.used.end(claim, State.open)
            return Refusal(
                UNKNOWN_OUTCOME,
                f"Whether it was settled is not known yet. {outcome.message} Send the same payment"
                " again; do not pay anew.",
                503,
                _RETRY_SECONDS,
            )
        if isinstance(outcome, Declined):
            self._forget()
            return self._declined(outcome)
        self.payment.transaction = outcome.transaction
        self.payment.payer = outcome.payer or self.payment.payer
        self.response = encode_header(outcome).encode()
        if not offer.used.bind(claim, self._nonce(), self.response):
            # Two proofs of one nonce, and a facilitator that says yes to both.
            self._forget()
            return Refusal(USED, "This authorisation was used already. Pay anew.")
        return None

    async def settle(self, *, is_whole: bool) -> bytes | Refusal:
        """Settle after the handler; its price is fixed, however much is still to come."""
        refusal = await self.settled()
        if refusal is not None:
            return refusal
        assert self.response is not None
        return self.response

    def began(self) -> None:
        """From here on it is served."""
        self._offer.used.end(self._claim, State.done)

    def ended(self) -> None:
        """Nothing is left to do."""

    def failed(self) -> None:
        """Good again when it was settled, or may have been; forgotten when nothing was taken."""
        if self.response is None and not self._is_unclear:
            self._forget()
        else:
            self._offer.used.end(self._claim, State.open)

    def _forget(self) -> None:
        self._is_unclear = False
        self._offer.used.forget(self._claim)

    def _declined(self, outcome: Declined) -> Refusal:
        settlement = failed_response(
            self._offer.network, self.payment.payer or None, outcome.reason, outcome.message
        )
        return Refusal(outcome.reason, outcome.message, settlement=settlement)

    def _nonce(self) -> str | None:
        if self._authorisation is None:
            # Of a family whose payers sign a whole transaction: its id is of this payment alone,
            # however the payload around it is written.
            signs_whole = isinstance(self._payload.get("transaction"), str)
            if not signs_whole or not self.payment.transaction:
                return None
            return f"{self._offer.network}|transaction|{self.payment.transaction}"
        who = f"{self._authorisation.payer}|{self._authorisation.nonce}"
        return f"{self._offer.network}|{self._offer.asset.lower()}|{who}"


class _Authorisation(msgspec.Struct, frozen=True):
    """What is signed, by EIP-3009 or Permit2, as far as a door must understand it."""

    payer: str
    nonce: str
    to: str
    value: str
    token: str | None
    expires: int
    begins: int

    def wrong(self, requirement: Requirement, now: int) -> Refusal | None:
        """What anybody can see to be wrong with it, without a chain."""
        if self.to.lower() != requirement.pay_to.lower():
            return Refusal("invalid_exact_evm_payload_recipient_mismatch", "It pays somebody else.")
        if self.value != requirement.amount:
            return Refusal(
                "invalid_exact_evm_payload_authorization_value_mismatch",
                f"It is of {self.value[:80]}, and {requirement.amount} is asked for.",
            )
        if self.token is not None and self.token.lower() != requirement.asset.lower():
            return Refusal("permit2_token_mismatch", "It is of another token.")
        if self.expires <= now:
            return Refusal(EXPIRED, "It has expired. Pay anew.")
        if self.begins > now + _CLOCK_SKEW_SECONDS:
            return Refusal(
                "invalid_exact_evm_payload_authorization_valid_after", "It is not valid yet."
            )
        return None


def _read(payload: dict[str, Any]) -> _Authorisation | None:
    """The authorisation of an EVM payload; None where it is another family's."""
    given = payload.get("authorization")
    permit = payload.get("permit2Authorization")
    try:
        if isinstance(given, dict):
            return _Authorisation(
                payer=_hex(given["from"], 20),
                nonce=_hex(given["nonce"], 32),
                to=_text(given["to"]),
                value=str(_number(given["value"])),
                token=None,
                expires=_number(given["validBefore"]),
                begins=_number(given["validAfter"]),
            )
        if isinstance(permit, dict):
            return _Authorisation(
                payer=_hex(permit["from"], 20),
                nonce=str(_number(permit["nonce"])),
                to=_text(permit["witness"]["to"]),
                value=str(_number(permit["permitted"]["amount"])),
                token=_text(permit["permitted"]["token"]),
                expires=_number(permit["deadline"]),
                begins=_number(permit["witness"]["validAfter"]),
            )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the authorisation can not be read: {error}") from error
    return None


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 256:
        raise ValueError("a text is missing")
    return value


def _hex(value: Any, size: int) -> str:
    """One spelling of so many bytes, so that one nonce is not taken for two."""
    text = _text(value).lower()
    if len(text) != 2 + 2 * size or not text.startswith("0x"):
        raise ValueError(f"{text[:80]!r} are not {size} bytes in hex")
    return "0x" + bytes.fromhex(text[2:]).hex()


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("a number is missing")
    text = str(value)
    if len(text) > 78 or not text.isascii() or not text.isdigit():
        raise ValueError(f"{text[:80]!r} is no number")
    return int(text)
