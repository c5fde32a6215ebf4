"""Redemptions: what was charged on escrow channels is claimed, many channels in one transaction.

A redemption is one channel's part of such a transaction. It is worth its gas, or a deadline is
near: the end of a payer's own way out, after which what was not claimed is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sakk.core import chart
from sakk.core.chart import TransferCode
from sakk.core.escrow import Claim
from sakk.core.escrow_channel import EscrowChannel
from sakk.core.posting import Posting

PREFIX: Final = "rdm"
# Gas as measured on a local chain: of the transaction with its one payment, and
# of each channel that is claimed.
GAS_FIRST: Final = 95_000
GAS_EACH: Final = 32_000
# At most so much of what is redeemed goes to the network.
GAS_PERCENT_MAX: Final = 2
# What can not be claimed so long before a deadline is an operator's alarm.
ALARM_BEFORE: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redemption:
    """A row: claim a channel from the total ``claimed_from`` to ``claimed_to``, by a voucher.

    ``call_id``: the call of the escrow that carries it.
    """

    id: str
    call_id: str
    channel_id: str
    account_id: str
    claimed_from: int
    claimed_to: int
    ceiling: int
    signature: bytes
    created: datetime

    @property
    def units(self) -> int:
        return self.claimed_to - self.claimed_from


@dataclass(frozen=True, slots=True)
class Due:
    """A channel with what is charged on it and not claimed, and the voucher that allows it.

    ``refunds``: how many refunds of its charges were known when it was looked at.
    """

    channel: EscrowChannel
    charged: int
    ceiling: int
    signature: bytes
    refunds: int = 0

    @property
    def units(self) -> int:
        return self.charged - self.channel.redeemed

    @property
    def claim(self) -> Claim:
        """The total is what was charged, however much more the payer has signed for."""
        return Claim(self.channel.config, self.ceiling, self.signature, self.charged)


def is_pressing(channel: EscrowChannel) -> bool:
    """Is its payer on its way out? Then what was charged is claimed at once, at any price."""
    return channel.withdraw_ends_at is not None


def is_late(channel: EscrowChannel, *, now: datetime) -> bool:
    """Does a deadline end before what was charged is likely to be claimed?"""
    ends = channel.withdraw_ends_at
    return ends is not None and ends - ALARM_BEFORE <= now


def worth_redeeming(due: Sequence[Due], *, first_units: int, each_units: int) -> list[Due]:
    """Those of one receiver and token that go together now; none while it does not pay.

    ``first_units``: what a transaction has to bring, by what gas costs now, and ``each_units`` what
    each of its channels has to bring besides. What is less waits until more is charged on it.
    """
    worth = [one for one in due if one.units >= max(each_units, 1)]
    least = first_units + each_units * len(worth)
    return worth if sum(one.units for one in worth) >= least else []


def redeemed_postings(
    redemptions: Sequence[tuple[Redemption, EscrowChannel]],
) -> list[Posting]:
    """A final redemption: coins out of the escrow, and each payee may use what it earned."""
    legs = []
    for each, channel in redemptions:
        place = chart.custody(channel.asset, "deposit")
        held = chart.escrow(channel.asset)
        legs.append(Posting(place, held, each.units, TransferCode.escrow_redeemed))
        available = chart.merchant(channel.account_id, "available", channel.unit)
        legs.append(Posting(channel.incoming, available, each.units, TransferCode.escrow_redeemed))
    return legs
