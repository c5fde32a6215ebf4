"""Payouts: a merchant's money sent out to an address.

``requested → screened → approved → signed → broadcast → confirmed → posted``, or
``rejected | canceled | failed``, or ``unknown`` while the outcome is not known.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core import chart, money
from sakk.core.approval import approval_message
from sakk.core.chart import TransferCode
from sakk.core.evm import checksum_address
from sakk.core.policy import Action, Decision, Facts
from sakk.core.posting import Posting

# The merchant reads it: the rule itself is the operator's.
POLICY_BLOCKED: Final = "The payout is not allowed by the policy of the operator."


class PayoutStatus(StrEnum):
    requested = "requested"
    screened = "screened"
    approved = "approved"
    signed = "signed"
    broadcast = "broadcast"
    unknown = "unknown"
    confirmed = "confirmed"
    posted = "posted"
    rejected = "rejected"
    canceled = "canceled"
    failed = "failed"


class HoldStatus(StrEnum):
    """What became of the ledger's pending transfer that reserves the money."""

    none = "none"
    held = "held"
    refused = "refused"
    voided = "voided"
    posted = "posted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """One payout. ``amount`` and ``fee`` in the currency's unit, ``token_amount`` atomic units.

    With ``fee_mode`` sender the beneficiary receives exactly ``amount`` and the account is debited
    ``amount + fee``; with receiver it receives ``amount - fee``. ``waits_for``: why an approved one
    has no transaction yet, in words for the operator.
    """

    id: str
    account_id: str
    livemode: bool
    amount: int
    fee: int
    currency: str
    decimals: int
    network: str
    asset: str
    token_amount: int
    destination: str
    beneficiary: str | None = None
    fee_mode: str
    status: str
    hold: str
    screening: str | None = None
    under_review: bool = False
    # Who asked for it: an API key, and the person whose key it is.
    initiator: str | None = None
    initiator_person: str | None = None
    # What the policy said: its version, the rule that fitted, and how many approvals of whom.
    policy_version: str | None = None
    rule: str | None = None
    approvals_needed: int = 0
    approver_role: str | None = None
    decided_at: datetime | None = None
    transaction: str | None = None
    tx_hash: str | None = None
    waits_for: str | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    description: str | None = None
    metadata: dict[str, str]
    attempt: int = 0
    canceled_at: datetime | None = None
    confirmed_at: datetime | None = None
    posted_at: datetime | None = None
    retry_at: datetime | None = None
    failures: int = 0
    lease_token: str | None = None
    lease_until: datetime | None = None
    created: datetime


def debited(payout: Payout) -> int:
    """What the payout takes from the account's balance, in the currency's unit."""
    return payout.amount + payout.fee if payout.fee_mode == "sender" else payout.amount


def delivered(payout: Payout) -> int:
    """What the beneficiary receives, in the currency's unit."""
    return payout.amount if payout.fee_mode == "sender" else payout.amount - payout.fee


def approved_content(payout: Payout) -> bytes:
    """What a person approves of a payout, and may sign: see `sakk.core.approval`."""
    return approval_message(
        intent_id=payout.id,
        purpose="payout",
        network=payout.network,
        asset=payout.asset,
        destination=payout.destination,
        token_amount=payout.token_amount,
    )


def is_awaiting_approvals(payout: Payout) -> bool:
    """Was it judged, and does it wait for people?"""
    return payout.status == PayoutStatus.screened and payout.decided_at is not None


def facts_of(payout: Payout, roles: Iterable[str] = ()) -> Facts:
    """What a policy judges a payout by; ``roles`` are those of the person who asked for it."""
    return Facts(
        account=payout.account_id,
        currency=payout.currency,
        decimals=payout.decimals,
        network=payout.network,
        asset=payout.asset,
        destination=payout.destination,
        amount=payout.amount,
        beneficiary=payout.beneficiary,
        key=payout.initiator,
        person=payout.initiator_person,
        roles=frozenset(roles),
    )


def decided(
    payout: Payout,
    decision: Decision,
    *,
    version: str | None,
    was_approved: bool,
    now: datetime,
) -> Payout:
    """The payout as the policy's decision leaves it: approved, rejected, or waiting for people.

    ``was_approved``: it has the approvals already that the decision asks for.
    """
    judged = replace(
        payout,
        policy_version=version,
        rule=decision.rule,
        approvals_needed=decision.approvals,
        approver_role=decision.role,
        decided_at=now,
    )
    match decision.action:
        case Action.allow:
            return replace(judged, status=PayoutStatus.approved.value)
        case Action.approve:
            waits = PayoutStatus.screened
            return replace(judged, status=(PayoutStatus.approved if was_approved else waits).value)
        case Action.block:
            return replace(
                judged,
                status=PayoutStatus.rejected.value,
                failure_code="policy_blocked",
                failure_message=POLICY_BLOCKED,
            )


def hold_posting(payout: Payout) -> Posting:
    """The reservation: pending from the merchant's available balance."""
    unit = chart.currency_unit(payout.currency, livemode=payout.livemode)
    return Posting(
        chart.merchant(payout.account_id, "available", unit),
        chart.payout_in_flight(unit),
        debited(payout),
        TransferCode.payout_hold,
    )


def settlement_postings(payout: Payout) -> list[Posting]:
    """After the hold is posted: money in flight becomes coins that left custody, and the fee."""
    unit = chart.currency_unit(payout.currency, livemode=payout.livemode)
    in_flight = chart.payout_in_flight(unit)
    result = [
        Posting(
            in_flight,
            chart.conversion_currency(payout.asset, unit),
            delivered(payout),
            TransferCode.payout,
        ),
        Posting(
            chart.conversion_asset(payout.asset),
            chart.custody(payout.asset, "hot"),
            payout.token_amount,
            TransferCode.payout,
        ),
    ]
    if payout.fee:
        result.append(Posting(in_flight, chart.fee_revenue(unit), payout.fee, TransferCode.payout))
    return result


def undone_posting(payout: Payout) -> Posting:
    """A settled payout was undone by the chain: the balance gets its money back."""
    unit = chart.currency_unit(payout.currency, livemode=payout.livemode)
    return Posting(
        chart.payout_in_flight(unit),
        chart.merchant(payout.account_id, "available", unit),
        debited(payout),
        TransferCode.payout_void,
    )


def owed_posting(payout: Payout) -> Posting:
    """A payout whose money had been given back was made by the chain after all: it is owed to us.

    The balance may not cover it any more, and no limit may stop what has happened already.
    """
    unit = chart.currency_unit(payout.currency, livemode=payout.livemode)
    return Posting(
        chart.receivable(payout.account_id, unit),
        chart.payout_in_flight(unit),
        debited(payout),
        TransferCode.payout,
    )


def is_cancelable(payout: Payout) -> bool:
    """A payout may be called off until a transaction carries its nonce.

    Not before its money is reserved either: the ledger may hold what the row does not say yet, and
    only a held one is given back.
    """
    if payout.hold != HoldStatus.held:
        return False
    match PayoutStatus(payout.status):
        case PayoutStatus.requested | PayoutStatus.screened | PayoutStatus.approved:
            return payout.transaction is None
        case (
            PayoutStatus.signed
            | PayoutStatus.broadcast
            | PayoutStatus.unknown
            | PayoutStatus.confirmed
            | PayoutStatus.posted
            | PayoutStatus.rejected
            | PayoutStatus.canceled
            | PayoutStatus.failed
        ):
            return False


def public(payout: Payout, *, operator: bool) -> dict[str, Any]:
    """The API's object ``payout``, in Stripe's shape where Stripe has the field."""
    return {
        "id": payout.id,
        "object": "payout",
        "amount": payout.amount,
        "amount_decimal": money.format_decimal(payout.amount, payout.decimals),
        "approvals_needed": payout.approvals_needed if operator else None,
        "approver_role": payout.approver_role if operator else None,
        "asset": payout.asset,
        "awaiting_approvals": is_awaiting_approvals(payout),
        "created": int(payout.created.timestamp()),
        "currency": payout.currency,
        "description": payout.description,
        "destination": {
            "network": payout.network,
            "address": checksum_address(payout.destination),
            "beneficiary": payout.beneficiary,
        },
        "failure_code": payout.failure_code,
        "failure_message": payout.failure_message,
        "fee": payout.fee,
        "fee_mode": payout.fee_mode,
        "initiator": (payout.initiator_person or payout.initiator) if operator else None,
        "livemode": payout.livemode,
        "metadata": payout.metadata,
        "network": payout.network,
        "policy_version": payout.policy_version if operator else None,
        "rule": payout.rule if operator else None,
        "screening": payout.screening if operator else None,
        "status": payout.status,
        "token_amount": str(payout.token_amount),
        "tx_hash": payout.tx_hash,
        "under_review": payout.under_review,
        "waits_for": payout.waits_for if operator else None,
    }
