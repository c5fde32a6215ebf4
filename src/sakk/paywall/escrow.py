"""``batch-settlement``: a deposit in x402's escrow contract, and a signed voucher a call.

A call is reserved before the application sees it, as a session's is, by the payer's voucher and at
the Sakk whose account is paid (`sakk.paywall.voucher` has the bytes). It is charged when the head
of a good answer is on its way. A metered answer is held until it is whole, since x402's clients
read what a call cost from its head; one too large for that is told as charged in full there, and
charged what it used. A deposit is waited for until it is final, and a payer that asks its deposit
back is answered by the door alone.
"""

import hashlib
import time
from binascii import b2a_base64
from typing import Any, Final, Literal

import msgspec

from sakk.client.x402 import Requirement, Settlement, encode_header
from sakk.paywall.charge import AuthorityAway, Charges
from sakk.paywall.errors import (
    AUTHORITY_AWAY,
    UNKNOWN_OUTCOME,
    UNREADABLE,
    PaywallError,
    Refusal,
)
from sakk.paywall.facilitator import Away, Declined, Facilitator, Unknown
from sakk.paywall.payment import Answered, Payment, Sent, Terms, failed_response
from sakk.paywall.voucher import (
    COMMIT,
    MISMATCH,
    RELEASE,
    WHOLE,
    Reserved,
    Voucher,
    asset_tag,
    end_record,
    read_reserved,
    reserve_record,
)

try:
    from sakk.paywall.compiled import call as quick_call
    from sakk.paywall.compiled import record as quick
except ImportError:  # where it is not built, what is read serves
    quick = quick_call = None  # type: ignore[assignment]

NAME: Final = "batch-settlement"
TIMEOUT_SECONDS: Final = 3_600
RESERVE_SECONDS: Final = 300
# What waits while one request is checked and written goes together with the next: two connections
# carry fewer and larger ones than four.
CONNECTIONS: Final = 2
# A deposit is answered when it is final, or after a minute.
SETTLE_SECONDS: Final = 75.0
WITHDRAW_DELAY_SECONDS: Final = 86_400
# As x402's own servers advise: a deposit costs whoever settles it a transaction.
DEPOSIT_CALLS: Final = 10
DEPOSIT_LOW: Final = "invalid_batch_settlement_evm_deposit_below_min_deposit"
_RESERVE_SHARE: Final = 0.9
_RETRY_SECONDS: Final = 2


def away(error: AuthorityAway) -> Refusal:
    """It is not known whether a call was reserved: it is not served."""
    message = f"{error}. Nothing was charged: send the same payment again."
    return Refusal(AUTHORITY_AWAY, message, 503, 1)


class Escrow:
    """Coins of a payer's channel. ``authorizer`` is what ``/x402/supported`` names for it.

    ``name`` and ``version`` are the token's EIP-712 domain; ``permit2`` has deposits made by
    Permit2, for tokens without EIP-3009. ``min_deposit``: less is not put up, in the smallest unit.
    """

    scheme = NAME
    is_metered = True

    def __init__(
        self,
        charges: Charges,
        facilitator: Facilitator,
        *,
        network: str,
        asset: str,
        pay_to: str,
        currency: str,
        decimals: int,
        authorizer: str,
        name: str | None = None,
        version: str | None = None,
        permit2: bool = False,
        min_deposit: int | None = None,
        reserve_seconds: int = RESERVE_SECONDS,
    ) -> None:
        if not network.startswith("eip155:"):
            raise PaywallError(f"network: must be an EVM chain (eip155:N), not {network!r}.")
        if not permit2 and not (name and version):
            raise PaywallError(
                "name, version: the token's EIP-712 domain is needed, or permit2=True."
            )
        if not 0 < reserve_seconds <= TIMEOUT_SECONDS:
            raise PaywallError(f"reserve_seconds: must be 1 to {TIMEOUT_SECONDS}.")
        self.charges = charges
        self.facilitator = facilitator
        self.network = network
        self.asset = asset
        self.pay_to = pay_to
        self.currency = currency.lower()
        self.decimals = decimals
        self.reserve_seconds = reserve_seconds
        self.tag = asset_tag(network, asset)
        # How what a call is told begins.
        self.told = f'{{"success":true,"transaction":"","network":"{network}'.encode()
        self._min_deposit = min_deposit
        self._extra: dict[str, Any] = {
            "receiverAuthorizer": authorizer,
            "withdrawDelay": WITHDRAW_DELAY_SECONDS,
        }
        if name and version:
            self._extra |= {"name": name, "version": version}
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
            max_timeout_seconds=TIMEOUT_SECONDS,
            extra={**self._extra, "minDeposit": str(self._least(units))},
        )

    async def take(self, sent: Sent, terms: Terms) -> "EscrowTaken | Answered | Refusal":
        """Reserve a call by its voucher, after the deposit that it comes with; or give back."""
        payload = msgspec.convert(sent.payload, _Payload)
        match payload.type:
            case "voucher":
                return await self._reserve(payload, terms, None)
            case "deposit":
                return await self._deposit(sent, payload, terms)
            case "refund":
                return await self._give_back(sent, payload, terms)
            case other:
                raise ValueError(f"its type {other[:40]!r} is not known")

    def call(self, sent: "QuickVoucher", terms: Terms) -> "quick_call.VoucherCall | None":
        """Ask for a call at a fixed price; None where `take` has to."""
        record = quick.voucher_record(
            sent.channel_id,
            sent.max_claimable_amount,
            sent.signature,
            terms.units,
            self.tag,
            self.reserve_seconds,
        )
        if record is None:
            return None
        return quick_call.VoucherCall(self, terms.units, record, self.charges.reserve(record))

    async def close(self) -> None:
        """Wait for commits that are on their way."""
        await self.charges.close()
        await self.facilitator.close()

    def _least(self, units: int) -> int:
        return max(units, self._min_deposit or DEPOSIT_CALLS * units)

    async def _reserve(
        self, payload: "_Payload", terms: Terms, deposit: Settlement | None
    ) -> "EscrowTaken | Refusal":
        voucher = payload.voucher.read()
        amount = terms.units
        record = reserve_record(voucher, amount, self.tag, self.reserve_seconds)
        try:
            if record is None:
                # Numbers that a record has no room for.
                reserved = None
            else:
                reserved = read_reserved(await self.charges.reserve(record))
            if reserved is None or reserved.reason == MISMATCH:
                # Where the channel stands is said at length alone; or it fits by now.
                reserved = await self._reserve_at_length(payload, amount)
        except AuthorityAway as error:
            return away(error)
        if reserved.reason is not None:
            return self._refused(reserved, terms)
        return EscrowTaken(self, terms, voucher, reserved, deposit)

    async def _reserve_at_length(self, payload: "_Payload", amount: int) -> Reserved:
        operation = {
            "op": "voucher",
            "network": self.network,
            "asset": self.asset,
            "amount": str(amount),
            "payload": {"type": "voucher", "voucher": msgspec.to_builtins(payload.voucher)},
            "timeout_seconds": self.reserve_seconds,
        }
        [result] = await self.charges.ask_at_length([operation])
        return Reserved.of_document(result)

    def _refused(self, reserved: Reserved, terms: Terms) -> Refusal:
        """With where the channel stands, so that its payer finds its place by itself."""
        reason = reserved.reason or UNREADABLE
        corrected = _corrected(terms.requirement, reserved.extra) if reserved.extra else None
        return Refusal(reason, f"The voucher is refused: {reason}.", corrected=corrected)

    async def _deposit(
        self, sent: Sent, payload: "_Payload", terms: Terms
    ) -> "EscrowTaken | Refusal":
        if payload.deposit is None:
            raise ValueError("the deposit is missing")
        units = _units(payload.deposit.amount)
        if self._min_deposit is not None and units < self._least(terms.units):
            return Refusal(DEPOSIT_LOW, f"A deposit is at least {self._least(terms.units)}.")
        # It alone: the call is charged when it was served.
        outcome = await self._settle(sent, terms.requirement, amount="0")
        if isinstance(outcome, Refusal):
            return outcome
        deposit = msgspec.structs.replace(outcome, amount=str(units))
        return await self._reserve(payload, terms, deposit)

    async def _give_back(self, sent: Sent, payload: "_Payload", terms: Terms) -> Answered | Refusal:
        outcome = await self._settle(sent, terms.requirement)
        if isinstance(outcome, Refusal):
            return outcome
        body = {"message": "Refund acknowledged", "channelId": payload.voucher.channel_id}
        return Answered(msgspec.json.encode(body), encode_header(outcome).encode())

    async def _settle(
        self, sent: Sent, wanted: Requirement, *, amount: str | None = None
    ) -> Settlement | Refusal:
        """Have the Sakk carry out a call of the escrow, and stay with it.

        ``amount``: what of it is to be charged, where that is not what is wanted.
        """
        requirement = msgspec.structs.replace(wanted, amount=amount or wanted.amount)
        asked = _corrected(requirement, {"channels": "sakk"})
        body = msgspec.json.encode(
            {"x402Version": 2, "paymentPayload": sent.document, "paymentRequirements": asked}
        )
        key = hashlib.sha256(body).hexdigest()
        outcome = await self.facilitator.settle(
            body, key, requirement=requirement, payer=None, is_exact=False
        )
        if isinstance(outcome, Settlement):
            return outcome
        if isinstance(outcome, Away):
            return Refusal(AUTHORITY_AWAY, outcome.message, 503, _RETRY_SECONDS)
        if isinstance(outcome, Unknown):
            return Refusal(
                UNKNOWN_OUTCOME,
                f"Whether it went through is not known yet. {outcome.message} Send the same payment"
                " again; do not pay anew.",
                503,
                _RETRY_SECONDS,
            )
        return self._declined(outcome, wanted)

    def _declined(self, outcome: Declined, wanted: Requirement) -> Refusal:
        if outcome.extra:
            # Nothing was settled, says an answer without PAYMENT-RESPONSE: x402's clients find
            # their place again then, and ask once more.
            return Refusal(
                outcome.reason, outcome.message, corrected=_corrected(wanted, outcome.extra)
            )
        settlement = failed_response(self.network, None, outcome.reason, outcome.message)
        return Refusal(outcome.reason, outcome.message, settlement=settlement)

    def finish(self, step: int, voucher: Voucher, reserved: Reserved, amount: int) -> None:
        """Commit or release a call; nobody waits."""
        self.charges.finish(end_record(step, voucher, reserved, amount))


class EscrowTaken:
    """One call, reserved by its voucher."""

    __slots__ = (
        "_deposit",
        "_is_ended",
        "_offer",
        "_reserved",
        "_terms",
        "_voucher",
        "payment",
        "response",
        "until",
    )

    # What is released was never paid.
    stands = False
    body_hash: bytes | None = None

    def __init__(
        self,
        offer: Escrow,
        terms: Terms,
        voucher: Voucher,
        reserved: Reserved,
        deposit: Settlement | None,
    ) -> None:
        self._offer = offer
        self._terms = terms
        self._voucher = voucher
        self._reserved = reserved
        self._deposit = deposit
        self._is_ended = False
        meter = terms.meter
        self.response = self._response(terms.units) if meter is None else None
        self.until = None
        if meter is not None:
            self.until = time.monotonic() + offer.reserve_seconds * _RESERVE_SHARE
        self.payment = Payment(
            NAME,
            offer.network,
            offer.currency,
            terms.units,
            reserved.payer,
            f"{voucher.channel_id}:{voucher.ceiling}",
            None if meter is None else meter.units_max,
        )

    async def settle(self, *, is_whole: bool) -> bytes | Refusal:
        """What a metered call cost is told before its head goes; all of it where more is to come.

        Its payer believes the most then, until the next refusal or refund tells it better.
        """
        amount = self._used() if is_whole else self._terms.units
        return self._response(amount)

    def began(self) -> None:
        """A fixed price is due once the answer has begun; a metered one is not known yet."""
        if self._terms.meter is None:
            self._commit(self._terms.units)

    def ended(self) -> None:
        """What was used is due, and all that was reserved where nothing was said."""
        if self._terms.meter is not None:
            self._commit(self._used())

    def failed(self) -> None:
        """Nothing was served: the payer has it back, and the same voucher may pay again."""
        self._commit(0)

    def _used(self) -> int:
        meter, used = self._terms.meter, self.payment.units_used
        assert meter is not None
        return meter.amount(meter.units_max if used is None else used)

    def _commit(self, amount: int) -> None:
        if self._is_ended:
            return
        self._is_ended = True
        step = COMMIT if amount else RELEASE
        whole = amount == self._terms.units
        self._offer.finish(step, self._voucher, self._reserved, WHOLE if whole else amount)

    def _response(self, charged: int) -> bytes:
        """The value of PAYMENT-RESPONSE: what the call cost, and the total so far."""
        voucher, reserved, deposit = self._voucher, self._reserved, self._deposit
        total = voucher.ceiling - self._terms.units + charged
        transaction, amount = "", ""
        if deposit is not None:
            transaction, amount = deposit.transaction, deposit.amount or ""
        return b2a_base64(
            (
                f'{{"success":true,"transaction":"{transaction}","network":"{self._offer.network}",'
                f'"payer":"{reserved.payer}","amount":"{amount}",'
                f'"extra":{{"chargedAmount":"{charged}","channelState":{{'
                f'"channelId":"{voucher.channel_id}","balance":"{reserved.balance}",'
                f'"totalClaimed":"{reserved.claimed}",'
                f'"withdrawRequestedAt":{reserved.withdraw_begun},"refundNonce":"0",'
                f'"chargedCumulativeAmount":"{total}"}}}}}}'
            ).encode(),
            newline=False,
        )


class _Voucher(msgspec.Struct, rename="camel", frozen=True):
    channel_id: str
    max_claimable_amount: str
    signature: str

    def read(self) -> Voucher:
        """The voucher as bytes; ValueError where it is none."""
        return Voucher.read(self.channel_id, self.max_claimable_amount, self.signature)


class QuickVoucher(msgspec.Struct, rename="camel"):
    """A voucher as it stands in a header."""

    channel_id: str
    max_claimable_amount: str
    signature: str


class _QuickPayload(msgspec.Struct):
    type: Literal["voucher"]
    voucher: QuickVoucher


class QuickHeader(msgspec.Struct, rename={"version": "x402Version"}):
    """The header of a call by voucher, as far as it is read; ``accepted`` as its bytes."""

    version: Literal[2]
    accepted: msgspec.Raw
    payload: _QuickPayload


read_quick = msgspec.json.Decoder(QuickHeader).decode
# Is the short way built?
IS_QUICK: Final = quick_call is not None


class _Deposit(msgspec.Struct, frozen=True):
    amount: str


class _Payload(msgspec.Struct, frozen=True):
    type: str
    voucher: _Voucher
    deposit: _Deposit | None = None


def _corrected(requirement: Requirement, extra: dict[str, Any]) -> Requirement:
    return msgspec.structs.replace(requirement, extra={**requirement.extra, **extra})


def _units(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 39:
        raise ValueError("an amount is a whole number in digits")
    return int(text)
