"""Channels: what a payer has put up for one payee, and what may be done with it.

The money stands in one ledger account a channel, and the ledger alone says what may still be
charged. A row says how far the payer signed (``ceiling``, altogether since the channel was opened)
and how its end goes: ``opening → open → closing → closed``. Nothing is reserved on a channel that
is closing, because all that is not reserved has gone back by then; what was reserved is still
committed or runs out, and then the rest follows.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Literal

from sakk.core import chart, money
from sakk.core.chart import LedgerAccount, TransferCode
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.evm import checksum_address
from sakk.core.ledger import transfer_id
from sakk.core.money import UNITS_MAX
from sakk.core.posting import Posting

PREFIX: Final = "ch"
VOUCHER_PREFIX: Final = "vch"
FUNDING_PREFIX: Final = "cfd"
LIFE_DEFAULT: Final = timedelta(days=30)
LIFE_MIN: Final = timedelta(minutes=1)
LIFE_MAX: Final = timedelta(days=366)
# A channel on which nothing was charged or raised for so long is closed.
IDLE_MAX: Final = timedelta(days=30)
# An opening that was never funded is forgotten after so long.
OPENING_MAX: Final = timedelta(hours=1)
# The steps of a channel's row in the ledger; their ids follow from them.
STEP_FUND: Final = "fund"
STEP_DRAIN: Final = "drain"
STEP_FREEZE: Final = "freeze"
STEP_RESTORE: Final = "restore"
STEP_REVOKED: Final = "revoked"


class ChannelKind(StrEnum):
    """Where its money is: on this Sakk, or in the escrow contract on a chain."""

    balance = "balance"
    escrow = "escrow"


class ChannelStatus(StrEnum):
    opening = "opening"
    open = "open"
    closing = "closing"
    closed = "closed"


class FundingStatus(StrEnum):
    requested = "requested"
    posted = "posted"
    rejected = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A row.

    ``account_id``: the payer, None where it is no account here; ``payee``: an account here.
    ``signer``: the EVM address whose signature raises and closes it; None: the payer's API key
    alone. ``amount_min``, ``amount_max``: of one call. ``ceiling``: what was signed, ``funded``:
    what of that was put in, each altogether; the payer risks what is funded and not spent.
    ``returned``: what went back when it ended. ``spent``, ``charges`` and ``head`` are of the
    receipts up to the ledger's time ``head_ns`` (``sakk.core.receipt``). ``drains``: how often its
    rest was asked for. ``used_at``: when somebody last looked at it or put money in.
    """

    id: str
    account_id: str | None
    payee: str
    livemode: bool
    kind: str
    status: str
    currency: str
    decimals: int
    signer: str | None
    mandate: str | None
    amount_min: int | None
    amount_max: int | None
    ceiling: int
    funded: int
    returned: int
    spent: int
    charges: int
    head: bytes
    head_ns: int
    drains: int
    expires_at: datetime
    used_at: datetime
    closed_at: datetime | None
    metadata: dict[str, str]
    created: datetime

    @property
    def unit(self) -> str:
        return chart.currency_unit(self.currency, livemode=self.livemode)

    @property
    def ledger_account(self) -> LedgerAccount:
        return chart.channel(self.id, self.unit, payer=self.account_id)

    @property
    def payee_account(self) -> LedgerAccount:
        """Where charges go: at once the payee's where the money is on this Sakk."""
        balance: Literal["available", "incoming"] = (
            "available" if self.kind == ChannelKind.balance else "incoming"
        )
        return chart.merchant(self.payee, balance, self.unit)

    @property
    def payer_account(self) -> LedgerAccount:
        """Where what is not charged goes back to."""
        assert self.account_id is not None, "an escrow's money goes back on its chain"
        return chart.merchant(self.account_id, "available", self.unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Voucher:
    """A payer's signature of a ceiling, and of what it had seen of the charges by then.

    It never changes. ``signature``: 65 bytes; None where the payer's API key said so.
    """

    id: str
    channel_id: str
    ceiling: int
    spent: int
    charges: int
    head: bytes
    signature: bytes | None
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Funding:
    """A step of money into a channel, up to ``funded`` altogether. ``amount``: what it adds.

    ``attempt``: how often the ledger refused it before. ``created``: the time for which the
    mandate's periods are looked at, however late it is posted.
    """

    id: str
    channel_id: str
    amount: int
    funded: int
    status: str
    attempt: int
    created: datetime


def check_raise(channel: Channel, ceiling: int, *, now: datetime) -> None:
    """May the ceiling be raised, or money put in, now? Raises UnexpectedState, ParameterInvalid."""
    if channel.status not in (ChannelStatus.opening, ChannelStatus.open):
        raise UnexpectedState(f"The channel is {channel.status}. Open another.", param="channel")
    if channel.expires_at <= now:
        raise UnexpectedState("The channel's time is over. Open another.", param="channel")
    if ceiling > UNITS_MAX:
        raise ParameterInvalid(f"A ceiling is at most {UNITS_MAX}.", param="ceiling")


def life_of(seconds: int | None) -> timedelta:
    """How long a channel may live; ParameterInvalid."""
    if seconds is None:
        return LIFE_DEFAULT
    if not LIFE_MIN.total_seconds() <= seconds <= LIFE_MAX.total_seconds():
        raise ParameterInvalid(
            f"expires_in is {int(LIFE_MIN.total_seconds())} to"
            f" {int(LIFE_MAX.total_seconds())} seconds.",
            param="expires_in",
        )
    return timedelta(seconds=seconds)


def is_over(channel: Channel, *, used_at: datetime, now: datetime) -> bool:
    """Should a channel be closed, because its time is over or nobody uses it?"""
    idle = OPENING_MAX if channel.status == ChannelStatus.opening else IDLE_MAX
    return channel.expires_at <= now or used_at + idle <= now


def drain_ids(channel_id: str, drains: int) -> list[int]:
    """The ledger's ids of all transfers that gave a channel's rest back.

    One of them is made when its mandate is revoked, in the request that freezes the mandate.
    """
    steps = [(STEP_DRAIN, attempt) for attempt in range(drains)] + [(STEP_REVOKED, 0)]
    return [transfer_id(channel_id, step, leg=0, attempt=attempt) for step, attempt in steps]


def funding(channel: Channel, step: int) -> Posting:
    """A raise, out of the payer's balance."""
    return Posting(channel.payer_account, channel.ledger_account, step, TransferCode.channel_funded)


def returning(channel: Channel, at_most: int) -> Posting:
    """What is not reserved goes back; the ledger knows how much that is (a balancing transfer)."""
    return Posting(
        channel.ledger_account, channel.payer_account, at_most, TransferCode.channel_closed
    )


def public_channel(channel: Channel, *, available: int | None = None) -> dict[str, Any]:
    """The API's object ``channel``. ``available``: what may still be charged, by the ledger."""

    def decimal(units: int) -> str:
        return money.format_decimal(units, channel.decimals)

    return {
        "id": channel.id,
        "object": "channel",
        "amount_max": channel.amount_max,
        "amount_min": channel.amount_min,
        "available": available,
        "ceiling": channel.ceiling,
        "ceiling_decimal": decimal(channel.ceiling),
        "charges": channel.charges,
        "closed_at": None if channel.closed_at is None else int(channel.closed_at.timestamp()),
        "created": int(channel.created.timestamp()),
        "currency": channel.currency,
        "expires_at": int(channel.expires_at.timestamp()),
        "funded": channel.funded,
        "head": channel.head.hex(),
        "kind": channel.kind,
        "livemode": channel.livemode,
        "mandate": channel.mandate,
        "metadata": channel.metadata,
        "payee": channel.payee,
        "payer": channel.account_id,
        "returned": channel.returned,
        "signer": None if channel.signer is None else checksum_address(channel.signer),
        "spent": channel.spent,
        "spent_decimal": decimal(channel.spent),
        "status": channel.status,
    }
