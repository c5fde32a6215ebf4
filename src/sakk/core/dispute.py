"""Disputes: a payer says that a charge was not what it paid for, and both sides' records are shown.

The part that is disputed is held on the payee's balance, as far as that covers it, until the payee
gives it back, the payer takes the dispute back, or the operator decides.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, assert_never

from sakk.core import money
from sakk.core.charge_refund import charge_of
from sakk.core.errors import UnexpectedState

PREFIX: Final = "cdp"
STEP_HOLD: Final = "hold"
STEP_SETTLE: Final = "settle"


class DisputeStatus(StrEnum):
    """``requested``: written down; ``open``: to be decided; the rest is how it ended."""

    requested = "requested"
    open = "open"
    refunded = "refunded"
    rejected = "rejected"
    withdrawn = "withdrawn"


class Outcome(StrEnum):
    """How a dispute may end."""

    refund = "refund"
    reject = "reject"
    withdraw = "withdraw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A row. ``account_id``: the payer. ``records``: what both sides have of it (`sides`).

    Of a charge by voucher there is no payer's account, but ``payer``, an address; ``session_id`` is
    the charge's name, and ``nonce`` is 0.
    ``is_held``: the amount is held on the payee's balance. ``outcome``: how it ends, decided before
    the ledger is told. ``note``: of who ended it. ``attempt``: how often it was opened again,
    because what was given back did not arrive.
    """

    id: str
    account_id: str | None
    payer: str | None = None
    payee: str
    livemode: bool
    channel_id: str
    session_id: str
    nonce: int
    amount: int
    currency: str
    decimals: int
    reason: str
    records: dict[str, Any]
    is_held: bool
    status: str
    outcome: str | None
    note: str | None
    created: datetime
    ended_at: datetime | None
    attempt: int = 0


def check_open(dispute: Dispute) -> None:
    """Raise UnexpectedState for a dispute that is over, or of which somebody has decided."""
    if dispute.status != DisputeStatus.open or dispute.outcome is not None:
        raise UnexpectedState(f"The dispute is {dispute.status}.", param="dispute")


def status_after(outcome: Outcome) -> DisputeStatus:
    """What a dispute is once its outcome is carried out."""
    match outcome:
        case Outcome.refund:
            return DisputeStatus.refunded
        case Outcome.reject:
            return DisputeStatus.rejected
        case Outcome.withdraw:
            return DisputeStatus.withdrawn
        case _ as never:
            assert_never(never)


def public_dispute(dispute: Dispute) -> dict[str, Any]:
    """The API's object ``channel_dispute``."""
    return {
        "id": dispute.id,
        "object": "channel_dispute",
        "amount": dispute.amount,
        "amount_decimal": money.format_decimal(dispute.amount, dispute.decimals),
        "channel": dispute.channel_id,
        "created": int(dispute.created.timestamp()),
        "currency": dispute.currency,
        "ended_at": None if dispute.ended_at is None else int(dispute.ended_at.timestamp()),
        "held": dispute.is_held,
        "livemode": dispute.livemode,
        "metadata": {},
        **charge_of(dispute.session_id, dispute.nonce),
        "note": dispute.note,
        "payee": dispute.payee,
        "payer": dispute.account_id or dispute.payer,
        "reason": dispute.reason,
        "records": dispute.records,
        "status": dispute.status,
    }
