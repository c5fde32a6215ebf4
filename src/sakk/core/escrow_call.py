"""Calls of the escrow that we send: deposits, redemptions, refunds, and what others ask for.

``requested → sent → posted``, or ``failed`` when the chain proves that it did nothing. A refund is
``asked`` before, until what it takes is set aside, and ``failing`` until that is given back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core import chart
from sakk.core.chart import TransferCode
from sakk.core.escrow_channel import EscrowChannel, deposit_postings, refund_postings
from sakk.core.posting import Posting
from sakk.core.redemption import Redemption, redeemed_postings

PREFIX: Final = "ecl"
# Why a refund could not be set aside: its payer spent it in the meantime.
SIGNED_MEANWHILE: Final = "It was signed for meanwhile."


class CallKind(StrEnum):
    """``relay``: asked for by a server that keeps its own channels; nothing here changes by it."""

    deposit = "deposit"
    redemption = "redemption"
    refund = "refund"
    relay = "relay"


class CallStatus(StrEnum):
    # A refund whose money is not set aside yet, and one whose money is to be given back.
    asked = "asked"
    failing = "failing"
    requested = "requested"
    sent = "sent"
    posted = "posted"
    failed = "failed"

    @property
    def is_over(self) -> bool:
        return self in (CallStatus.posted, CallStatus.failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class EscrowCall:
    """A row. ``data``: the calldata; ``token_amount``: what it deposits or gives back.

    ``key``: what it may be asked for once alone (an authorization's nonce on its network).
    ``sender``: the address that has to make it, None where any of ours may. ``destination``: whom
    the token's Transfer pays.
    """

    id: str
    kind: str
    livemode: bool
    network: str
    asset: str
    channel_id: str | None
    account_id: str | None
    key: str
    sender: str | None
    destination: str
    token_amount: int
    data: bytes
    status: str
    transaction: str | None = None
    failure: str | None = None
    waits_for: str | None = None
    posted_at: datetime | None = None
    attempt: int = 0
    failures: int = 0
    retry_at: datetime | None = None
    lease_token: str | None = None
    lease_until: datetime | None = None
    created: datetime

    @property
    def failed_status(self) -> CallStatus:
        return CallStatus.failing if self.kind == CallKind.refund else CallStatus.failed


def public_refund(call: EscrowCall, *, currency: str, tx_hash: str | None) -> dict[str, Any]:
    """The API's object ``escrow_refund``.

    Why the chain refused stands in the row, for the operator: it may be a list of the token's
    issuer.
    """
    reason = None
    match CallStatus(call.status):
        case CallStatus.asked | CallStatus.requested | CallStatus.sent | CallStatus.failing:
            status = "pending"
        case CallStatus.posted:
            status = "succeeded"
        case CallStatus.failed:
            status = "failed"
            reason = "spent" if call.failure == SIGNED_MEANWHILE else "not_carried_out"
    return {
        "id": call.id,
        "object": "escrow_refund",
        "amount": call.token_amount,
        "created": int(call.created.timestamp()),
        "currency": currency,
        "escrow_channel": call.channel_id,
        "failure_reason": reason,
        "livemode": call.livemode,
        "metadata": {},
        "network": call.network,
        "status": status,
        "tx_hash": tx_hash,
    }


@dataclass(frozen=True, slots=True)
class CarriedCall:
    """A call with the channel that it is about, or with the channels that it redeems."""

    call: EscrowCall
    channel: EscrowChannel | None
    redemptions: Sequence[tuple[Redemption, EscrowChannel]] = ()


def settlement_postings(carried: CarriedCall, *, arrived_units: int) -> list[Posting]:
    """What a call did that is final and succeeded; ``arrived_units``: by the token's own log.

    What a redemption brought beyond our claims was claimed by somebody else for the same receiver:
    a person finds out whose it is.
    """
    match CallKind(carried.call.kind):
        case CallKind.deposit:
            assert carried.channel is not None
            return deposit_postings(carried.channel, carried.call.token_amount)
        case CallKind.refund:
            assert carried.channel is not None
            return refund_postings(carried.channel, carried.call.token_amount)
        case CallKind.redemption:
            legs = redeemed_postings(carried.redemptions)
            beyond = arrived_units - sum(each.units for each, _ in carried.redemptions)
            if beyond > 0:
                place = chart.custody(carried.call.asset, "deposit")
                waiting = chart.suspense(carried.call.asset)
                legs.append(Posting(place, waiting, beyond, TransferCode.payin_suspense))
            return legs
        case CallKind.relay:
            return []
