"""Withdrawals: coins of the hot treasury go to a vault of the operator's own.

The policy judges them as it judges payouts, and people approve them as they approve payouts; then
they go the payouts' way. Nothing is owed to anybody for them, so nothing is held in the ledger.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sakk.core import chart
from sakk.core.approval import Approvable, approval_message
from sakk.core.chart import TransferCode
from sakk.core.evm import checksum_address
from sakk.core.money import format_decimal, rescale
from sakk.core.network import Asset, Currency
from sakk.core.payout import PayoutStatus as WithdrawalStatus
from sakk.core.person import Actor
from sakk.core.policy import Action, Decision, Facts
from sakk.core.posting import Posting

__all__ = [
    "Withdrawal",
    "WithdrawalStatus",
    "amount_of",
    "approvable",
    "decided",
    "facts_of",
    "may_be_rejected",
    "postings",
    "public",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """One transfer from the treasury to a vault, on the way of a payout.

    ``amount`` in the currency's unit, rounded up: what the policy judges. What it said stands here
    as in a payout.
    """

    id: str
    livemode: bool
    network: str
    asset: str
    destination: str
    token_amount: int
    currency: str
    decimals: int
    amount: int
    status: str
    initiator: str | None = None
    initiator_person: str | None = None
    policy_version: str | None = None
    rule: str | None = None
    approvals_needed: int = 0
    approver_role: str | None = None
    decided_at: datetime | None = None
    transaction: str | None = None
    tx_hash: str | None = None
    failure_code: str | None = None
    waits_for: str | None = None
    attempt: int = 0
    posted_at: datetime | None = None
    retry_at: datetime | None = None
    failures: int = 0
    lease_token: str | None = None
    lease_until: datetime | None = None
    created: datetime


def amount_of(units: int, asset: Asset, currency: Currency) -> int:
    """Atomic units in their currency's unit, rounded up: what the policy judges is never less."""
    kept, rest = rescale(units, from_decimals=asset.decimals, to_decimals=currency.decimals)
    return kept + bool(rest)


def approvable(withdrawal: Withdrawal) -> Approvable:
    """What a person is asked to approve, and the signer is shown their signatures of."""
    return Approvable(
        id=withdrawal.id,
        account_id=None,
        livemode=withdrawal.livemode,
        noun="withdrawal",
        content=approval_message(
            intent_id=withdrawal.id,
            purpose="withdrawal",
            network=withdrawal.network,
            asset=withdrawal.asset,
            destination=withdrawal.destination,
            token_amount=withdrawal.token_amount,
        ),
        rule=withdrawal.rule,
        approvals_needed=withdrawal.approvals_needed,
        approver_role=withdrawal.approver_role,
        asked_by=Actor(withdrawal.initiator or "", withdrawal.initiator_person),
    )


def may_be_rejected(withdrawal: Withdrawal) -> bool:
    """Does it wait for people, or for the transaction that is to carry it?"""
    if withdrawal.status == WithdrawalStatus.screened:
        return True
    return withdrawal.status == WithdrawalStatus.approved and withdrawal.transaction is None


def facts_of(withdrawal: Withdrawal, roles: Iterable[str] = ()) -> Facts:
    """What a policy judges a withdrawal by; ``roles`` are those of the person who asked for it."""
    return Facts(
        account="",
        currency=withdrawal.currency,
        decimals=withdrawal.decimals,
        network=withdrawal.network,
        asset=withdrawal.asset,
        destination=withdrawal.destination,
        amount=withdrawal.amount,
        purpose="withdrawal",
        key=withdrawal.initiator,
        person=withdrawal.initiator_person,
        roles=frozenset(roles),
        is_vault=True,
    )


def decided(
    withdrawal: Withdrawal, decision: Decision, *, version: str | None, now: datetime
) -> Withdrawal:
    """The withdrawal as the policy's decision leaves it: approved, rejected, or waiting."""
    judged = replace(
        withdrawal,
        policy_version=version,
        rule=decision.rule,
        approvals_needed=decision.approvals,
        approver_role=decision.role,
        decided_at=now,
    )
    match decision.action:
        case Action.allow:
            return replace(judged, status=WithdrawalStatus.approved.value)
        case Action.approve:
            return replace(judged, status=WithdrawalStatus.screened.value)
        case Action.block:
            rejected = WithdrawalStatus.rejected.value
            return replace(judged, status=rejected, failure_code="policy_blocked")


def postings(withdrawal: Withdrawal) -> list[Posting]:
    """Coins move from the hot treasury to a vault of ours."""
    return [
        Posting(
            chart.custody(withdrawal.asset, "cold"),
            chart.custody(withdrawal.asset, "hot"),
            withdrawal.token_amount,
            TransferCode.withdrawal,
        )
    ]


def public(withdrawal: Withdrawal) -> dict[str, Any]:
    """The operator's object ``withdrawal``."""
    return {
        "id": withdrawal.id,
        "object": "withdrawal",
        "amount": withdrawal.amount,
        "amount_decimal": format_decimal(withdrawal.amount, withdrawal.decimals),
        "approvals_needed": withdrawal.approvals_needed,
        "approver_role": withdrawal.approver_role,
        "asset": withdrawal.asset,
        "awaiting_approvals": withdrawal.status == WithdrawalStatus.screened,
        "created": int(withdrawal.created.timestamp()),
        "currency": withdrawal.currency,
        "destination": checksum_address(withdrawal.destination),
        "failure_code": withdrawal.failure_code,
        "livemode": withdrawal.livemode,
        "metadata": {},
        "network": withdrawal.network,
        "rule": withdrawal.rule,
        "status": withdrawal.status,
        "token_amount": str(withdrawal.token_amount),
        "tx_hash": withdrawal.tx_hash,
        "waits_for": withdrawal.waits_for,
    }
