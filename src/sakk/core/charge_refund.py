"""Refunds of charges: a payee gives back all or part of what a call cost.

It goes back to the channel while that is open, so that it can be spent again, and else to the
payer. Of one charge no more goes back than was charged.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core import ids, money
from sakk.core.channel import Channel, ChannelStatus
from sakk.core.chart import TransferCode
from sakk.core.errors import ParameterInvalid
from sakk.core.escrow_channel import PREFIX as ESCROW_PREFIX
from sakk.core.payout import Payout, PayoutStatus
from sakk.core.posting import Posting

PREFIX: Final = "crf"
STEP: Final = "post"


class ChargeRefundStatus(StrEnum):
    """``sent``: a payout is on its way with it. ``rejected``: the payee's balance did not cover it;
    ``failed``: its payout did not arrive. Both moved nothing, and may be asked for again."""

    requested = "requested"
    sent = "sent"
    posted = "posted"
    rejected = "rejected"
    failed = "failed"


# Those that give nothing back.
OVER: Final = (ChargeRefundStatus.rejected, ChargeRefundStatus.failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeRefund:
    """A row. ``account_id``: the payee. ``to_payer``: past the channel, which is closed.

    ``dispute``: what it was given back for, if anything. ``attempt``: how often it was refused, or
    did not arrive, before. Of a charge by voucher ``session_id`` is its name, and ``nonce`` is 0;
    past the channel it goes by a ``payout`` to the payer's address, of the refund's number.
    """

    id: str
    account_id: str
    livemode: bool
    channel_id: str
    session_id: str
    nonce: int
    amount: int
    currency: str
    decimals: int
    to_payer: bool
    dispute: str | None
    status: str
    attempt: int
    created: datetime
    payout: str | None = None


def amount_of(asked: int | None, *, charged: int, refunded: int) -> int:
    """What a refund gives back: what is asked for, or all that is left. ParameterInvalid."""
    left = charged - refunded
    if left <= 0:
        raise ParameterInvalid("All of this charge was given back already.", param="amount")
    if asked is not None and asked > left:
        raise ParameterInvalid(f"Of this charge {left} can be given back.", param="amount")
    return left if asked is None else asked


def goes_to_payer(channel: Channel) -> bool:
    """Past the channel?"""
    return channel.status != ChannelStatus.open


def posting(channel: Channel, amount: int, *, to_payer: bool) -> Posting:
    """From the payee to the channel, or to the payer."""
    back = channel.payer_account if to_payer else channel.ledger_account
    return Posting(channel.payee_account, back, amount, TransferCode.channel_refunded)


def payout_id(refund: ChargeRefund) -> str:
    """The id of the payout that carries a refund of a charge by voucher past its channel.

    Another one at each attempt: what was refused once is refused under its id for ever.
    """
    return ids.encode("po", ids.decode(refund.id)[1] ^ refund.attempt)


def status_by(payout: Payout) -> ChargeRefundStatus:
    """What a refund is by the payout that carries it out."""
    match PayoutStatus(payout.status):
        case PayoutStatus.posted:
            return ChargeRefundStatus.posted
        case PayoutStatus.rejected | PayoutStatus.failed | PayoutStatus.canceled:
            return ChargeRefundStatus.failed
        case (
            PayoutStatus.requested
            | PayoutStatus.screened
            | PayoutStatus.approved
            | PayoutStatus.signed
            | PayoutStatus.broadcast
            | PayoutStatus.unknown
            | PayoutStatus.confirmed
        ):
            return ChargeRefundStatus.sent


def charge_of(session_id: str, nonce: int) -> dict[str, str | None]:
    """Which charge a row is about, as it is shown: a call of a session, or one by a voucher."""
    if session_id.startswith(f"{ESCROW_PREFIX}_"):
        return {"charge": session_id, "nonce": None, "session": None}
    return {"charge": None, "nonce": str(nonce), "session": session_id}


def public_charge_refund(refund: ChargeRefund) -> dict[str, Any]:
    """The API's object ``charge_refund``."""
    return {
        "id": refund.id,
        "object": "charge_refund",
        "amount": refund.amount,
        "amount_decimal": money.format_decimal(refund.amount, refund.decimals),
        "channel": refund.channel_id,
        "created": int(refund.created.timestamp()),
        "currency": refund.currency,
        "dispute": refund.dispute,
        "livemode": refund.livemode,
        "metadata": {},
        **charge_of(refund.session_id, refund.nonce),
        "payout": refund.payout,
        "status": refund.status,
        "to": "payer" if refund.to_payer else "channel",
    }
