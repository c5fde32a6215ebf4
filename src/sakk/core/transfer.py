"""Book transfers: money moves between two accounts here, at once, in the ledger alone.

``requested → posted``, or ``rejected``. To an e-mail address that no account has the money leaves
the sender and waits: ``requested → pending → claiming → posted``, or ``pending → returning →
returned`` when its time is over or the sender calls it off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sakk.core import chart, money
from sakk.core.chart import TransferCode
from sakk.core.policy import TRANSFER, Facts, Rule, rules_for_transfers
from sakk.core.posting import Posting

PREFIX: Final = "tr"
# How long money waits for who has no account yet.
CLAIM_LIFE: Final = timedelta(days=14)
# Of one account, so that nobody writes to the world's addresses to see which are known. What was
# called off counts for a while too: else whoever asks calls off, and asks on.
PENDING_MAX: Final = 50
PENDING_COUNTED: Final = timedelta(hours=24)


class TransferStatus(StrEnum):
    requested = "requested"
    pending = "pending"
    claiming = "claiming"
    returning = "returning"
    posted = "posted"
    returned = "returned"
    rejected = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class BookTransfer:
    """From one merchant's available balance to another's.

    ``destination`` None: nobody yet has the e-mail address ``recipient``, which is kept until
    ``expires_at``. ``reason``: the request for money that it pays. ``initiator``: the API key or
    person that asked for it.
    """

    id: str
    account_id: str
    livemode: bool
    destination: str | None
    amount: int
    currency: str
    decimals: int
    status: str
    failure_code: str | None
    description: str | None
    metadata: dict[str, str]
    created: datetime
    recipient: str | None = None
    expires_at: datetime | None = None
    reason: str | None = None
    initiator: str | None = None
    initiator_person: str | None = None
    # What whoever is paid by it is charged, where it pays a payment, and by which price.
    fee: int = 0
    fee_terms: dict[str, Any] | None = None


def postings(transfer: BookTransfer) -> list[Posting]:
    """What the step that a transfer is at moves; one that has ended moves nothing."""
    unit = chart.currency_unit(transfer.currency, livemode=transfer.livemode)
    own = chart.merchant(transfer.account_id, "available", unit)
    waiting = chart.unclaimed(transfer.account_id, unit)
    match TransferStatus(transfer.status):
        case TransferStatus.requested if transfer.destination is None:
            legs = (own, waiting, TransferCode.transfer_left)
        case TransferStatus.requested:
            legs = (own, _theirs(transfer, unit), TransferCode.book_transfer)
        case TransferStatus.claiming:
            legs = (waiting, _theirs(transfer, unit), TransferCode.transfer_claimed)
        case TransferStatus.returning:
            legs = (waiting, own, TransferCode.transfer_returned)
        case (
            TransferStatus.pending
            | TransferStatus.posted
            | TransferStatus.returned
            | TransferStatus.rejected
        ):
            return []
    moved = [Posting(legs[0], legs[1], transfer.amount, legs[2])]
    if transfer.fee:
        earned = chart.fee_revenue(unit)
        moved.append(Posting(legs[1], earned, transfer.fee, TransferCode.transfer_fee))
    return moved


def _theirs(transfer: BookTransfer, unit: str) -> chart.LedgerAccount:
    assert transfer.destination is not None, "who has it is known"
    return chart.merchant(transfer.destination, "available", unit)


def after(transfer: BookTransfer, *, booked: bool) -> TransferStatus:
    """Where a transfer is when the ledger has answered to its step."""
    match TransferStatus(transfer.status):
        case TransferStatus.requested:
            if not booked:
                return TransferStatus.rejected
            return TransferStatus.posted if transfer.destination else TransferStatus.pending
        case TransferStatus.claiming:
            return TransferStatus.posted
        case TransferStatus.returning:
            return TransferStatus.returned
        case status:
            return status


def facts_of(transfer: BookTransfer) -> Facts:
    """What a policy's rules for transfers are told: of chains there is nothing."""
    return Facts(
        account=transfer.account_id,
        currency=transfer.currency,
        decimals=transfer.decimals,
        network="",
        asset="",
        destination=transfer.destination or transfer.recipient or "",
        amount=transfer.amount,
        purpose=TRANSFER,
        key=transfer.initiator,
        person=transfer.initiator_person,
    )


def rules_to_judge(rules: Sequence[Rule], facts: Facts) -> list[Rule]:
    """The rules that name transfers; of nobody, yet, none adds up what they were paid."""
    return [
        rule
        for rule in rules_for_transfers(rules)
        if facts.destination or rule.period is None or rule.period.per != "destination"
    ]


def public(transfer: BookTransfer) -> dict[str, Any]:
    """The API's object ``transfer``, in Stripe's shape."""
    return {
        "id": transfer.id,
        "object": "transfer",
        "amount": transfer.amount,
        "amount_decimal": money.format_decimal(transfer.amount, transfer.decimals),
        "amount_reversed": 0,
        "created": int(transfer.created.timestamp()),
        "currency": transfer.currency,
        "description": transfer.description,
        "destination": transfer.destination,
        "expires_at": None if transfer.expires_at is None else int(transfer.expires_at.timestamp()),
        "failure_code": transfer.failure_code,
        "livemode": transfer.livemode,
        "metadata": transfer.metadata,
        "reason": transfer.reason,
        "recipient": transfer.recipient,
        "reversed": False,
        "source": transfer.account_id,
        "status": transfer.status,
    }
