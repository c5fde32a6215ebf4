"""Refunds of charges: a payee gives back all or part of what a call cost.

It goes back to the channel while that is open, so that it can be spent again, and else to the
payer. Of one charge no more goes back than was charged.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core import money
from sakk.core.channel import Channel, ChannelStatus
from sakk.core.chart import TransferCode
from sakk.core.errors import ParameterInvalid
from sakk.core.posting import Posting

PREFIX: Final = "crf"
STEP: Final = "post"


class ChargeRefundStatus(StrEnum):
    requested = "requested"
    posted = "posted"
    rejected = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeRefund:
    """A row. ``account_id``: the payee. ``to_payer``: past the channel, which is closed.

    ``dispute``: what it was given back for, if anything. ``attempt``: how often the ledger refused
    it before.
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
        "nonce": str(refund.nonce),
        "session": refund.session_id,
        "status": refund.status,
        "to": "payer" if refund.to_payer else "channel",
    }
