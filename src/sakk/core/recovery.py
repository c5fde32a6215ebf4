"""Recoveries: coins on a deposit address that are nobody's payment here go back to who sent them.

A token that is on no list, a transfer that screening holds, native coin that no transaction names,
or any of these on another EVM chain, where the same key holds the same address. Refunds' words for
the status; what sends the coins is a sweep of method ``recovery``, from the deposit address itself,
so that what is held never mixes with the treasury.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sakk.core import ids, money
from sakk.core.approval import Approvable, approval_message
from sakk.core.evm import checksum_address
from sakk.core.money import rescale
from sakk.core.network import Currency
from sakk.core.person import Actor
from sakk.core.policy import Decision, Facts
from sakk.core.refund import FailureReason, RefundStatus
from sakk.core.sweep import Sweep, SweepMethod, SweepStatus

# What still claims the coins.
LIVE = (RefundStatus.requires_action.value, RefundStatus.pending.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """One recovery of ``token_amount`` atomic units from a deposit address.

    ``source``: where the coins stand in the ledger (see ``SweepSource``). ``symbol`` and
    ``decimals`` are what the token says of itself. ``account_id`` and ``payment_intent`` are those
    that the address was given out for: they say who may be asked. ``case_id``: the compliance case
    that two people decided by, which named the destination.
    """

    id: str
    livemode: bool
    network: str
    asset: str
    address: str
    key_index: int
    token_amount: int
    symbol: str
    decimals: int
    source: str
    account_id: str | None
    payment_intent: str | None
    payin: str | None
    case_id: str | None = None
    status: str
    destination: str | None = None
    screening: str | None = None
    under_review: bool = False
    # Who offered it, and what the policy said once its destination was clear.
    initiator: str | None = None
    initiator_person: str | None = None
    policy_version: str | None = None
    rule: str | None = None
    approvals_needed: int = 0
    approver_role: str | None = None
    decided_at: datetime | None = None
    sweep: str | None = None
    tx_hash: str | None = None
    failure_reason: str | None = None
    claim_hash: str | None = None
    claim_expires_at: datetime | None = None
    claimed_at: datetime | None = None
    succeeded_at: datetime | None = None
    created: datetime


def is_claimable(recovery: Recovery, now: datetime) -> bool:
    """May the payer still say where to?"""
    return (
        recovery.status == RefundStatus.requires_action
        and recovery.claim_expires_at is not None
        and now < recovery.claim_expires_at
    )


def is_awaiting_approvals(recovery: Recovery) -> bool:
    """Was it judged, and does it wait for people?"""
    return (
        recovery.status == RefundStatus.pending
        and recovery.decided_at is not None
        and recovery.sweep is None
    )


def approvable(recovery: Recovery) -> Approvable:
    """What a person is asked to approve: the transfer of the sweep that will carry it out."""
    assert recovery.destination is not None
    return Approvable(
        id=recovery.id,
        account_id=None,
        livemode=recovery.livemode,
        noun="recovery",
        content=approval_message(
            intent_id=carrier_id(recovery.id),
            purpose="recovery",
            network=recovery.network,
            asset=recovery.asset,
            destination=recovery.destination,
            token_amount=recovery.token_amount,
        ),
        rule=recovery.rule,
        approvals_needed=recovery.approvals_needed,
        approver_role=recovery.approver_role,
        asked_by=Actor(recovery.initiator or "", recovery.initiator_person),
    )


def facts_of(recovery: Recovery, currency: Currency | None, roles: Iterable[str] = ()) -> Facts:
    """What a policy judges a recovery by.

    ``currency``: the listed token's; of a token on no list the asset stands for it, and ``whole``
    units are those that the token itself says.
    """
    assert recovery.destination is not None
    decimals = recovery.decimals if currency is None else currency.decimals
    kept, rest = rescale(
        recovery.token_amount, from_decimals=recovery.decimals, to_decimals=decimals
    )
    return Facts(
        account=recovery.account_id or "",
        currency=recovery.asset if currency is None else currency.currency,
        decimals=decimals,
        network=recovery.network,
        asset=recovery.asset,
        destination=recovery.destination,
        amount=kept + bool(rest),
        purpose="recovery",
        key=recovery.initiator,
        person=recovery.initiator_person,
        roles=frozenset(roles),
    )


def decided(
    recovery: Recovery, decision: Decision, *, version: str | None, now: datetime
) -> Recovery:
    """The recovery with what the policy said of it."""
    return replace(
        recovery,
        policy_version=version,
        rule=decision.rule,
        approvals_needed=decision.approvals,
        approver_role=decision.role,
        decided_at=now,
    )


def carrier_id(recovery: str) -> str:
    """The id of the sweep that carries a recovery out."""
    return ids.encode("sw", ids.decode(recovery)[1])


def recovery_id(carrier: str) -> str:
    """The recovery that a sweep of method ``recovery`` carries out."""
    return ids.encode("rec", ids.decode(carrier)[1])


def carrier(recovery: Recovery, *, factory: str | None = None, now: datetime) -> Sweep:
    """The sweep that carries a recovery out, once its destination is clear.

    ``factory``: whose clone the address is.
    """
    assert recovery.destination is not None
    return Sweep(
        id=carrier_id(recovery.id),
        livemode=recovery.livemode,
        network=recovery.network,
        asset=recovery.asset,
        address=recovery.address,
        key_index=recovery.key_index,
        destination=recovery.destination,
        token_amount=recovery.token_amount,
        method=SweepMethod.recovery.value,
        source=recovery.source,
        factory=factory,
        status=SweepStatus.approved.value,
        created=now,
    )


def outcome(sweep: Sweep, *, moved: bool) -> tuple[RefundStatus, FailureReason | None]:
    """What a recovery's status is by that of its sweep; ``moved``: something left the address."""
    match SweepStatus(sweep.status):
        case SweepStatus.posted if moved:
            return RefundStatus.succeeded, None
        case SweepStatus.posted | SweepStatus.failed | SweepStatus.rejected:
            return RefundStatus.failed, FailureReason.transfer_failed
        case SweepStatus.canceled:
            return RefundStatus.canceled, None
        case (
            SweepStatus.requested
            | SweepStatus.screened
            | SweepStatus.approved
            | SweepStatus.signed
            | SweepStatus.broadcast
            | SweepStatus.unknown
            | SweepStatus.confirmed
        ):
            return RefundStatus.pending, None


def public(recovery: Recovery, *, claim_url: str | None = None) -> dict[str, Any]:
    """The operator's object ``recovery``; ``claim_url`` in the answer that made the link alone."""
    destination = recovery.destination
    return {
        "id": recovery.id,
        "object": "recovery",
        "account": recovery.account_id,
        "address": checksum_address(recovery.address),
        "amount_decimal": money.format_decimal(recovery.token_amount, recovery.decimals),
        "approvals_needed": recovery.approvals_needed,
        "approver_role": recovery.approver_role,
        "asset": recovery.asset,
        "awaiting_approvals": is_awaiting_approvals(recovery),
        "claim_expires_at": None
        if recovery.claim_expires_at is None
        else int(recovery.claim_expires_at.timestamp()),
        "claim_url": claim_url,
        "created": int(recovery.created.timestamp()),
        "destination": None if destination is None else checksum_address(destination),
        "failure_reason": recovery.failure_reason,
        "livemode": recovery.livemode,
        "metadata": {},
        "network": recovery.network,
        "payin": recovery.payin,
        "payment_intent": recovery.payment_intent,
        "rule": recovery.rule,
        "screening": recovery.screening,
        "source": recovery.source,
        "status": recovery.status,
        "sweep": recovery.sweep,
        "symbol": recovery.symbol,
        "token_amount": str(recovery.token_amount),
        "tx_hash": recovery.tx_hash,
        "under_review": recovery.under_review,
    }
