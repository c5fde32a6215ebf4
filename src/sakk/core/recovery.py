"""Recoveries: coins on a deposit address that are nobody's payment here go back to who sent them.

A token that is on no list, a transfer that screening holds, native coin that no transaction names,
or any of these on another EVM chain, where the same key holds the same address. Refunds' words for
the status; what sends the coins is a sweep of method ``recovery``, from the deposit address itself,
so that what is held never mixes with the treasury.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sakk.core import ids, money
from sakk.core.evm import checksum_address
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


def carrier(recovery: Recovery, *, now: datetime) -> Sweep:
    """The sweep that carries a recovery out, once its destination is clear."""
    assert recovery.destination is not None
    return Sweep(
        id=ids.encode("sw", ids.decode(recovery.id)[1]),
        livemode=recovery.livemode,
        network=recovery.network,
        asset=recovery.asset,
        address=recovery.address,
        key_index=recovery.key_index,
        destination=recovery.destination,
        token_amount=recovery.token_amount,
        method=SweepMethod.recovery.value,
        source=recovery.source,
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
        "asset": recovery.asset,
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
        "screening": recovery.screening,
        "source": recovery.source,
        "status": recovery.status,
        "sweep": recovery.sweep,
        "symbol": recovery.symbol,
        "token_amount": str(recovery.token_amount),
        "tx_hash": recovery.tx_hash,
        "under_review": recovery.under_review,
    }
