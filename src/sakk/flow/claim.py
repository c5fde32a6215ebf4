"""Claims: who holds a link looks at what waits, and says where to; once, and then it is final."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import event, money
from sakk.core import recovery as recovery_rules
from sakk.core import refund as refund_rules
from sakk.core.claim import Claim, ClaimNetwork, ClaimStatus
from sakk.core.errors import ResourceMissing, UnexpectedState
from sakk.core.payout import HoldStatus
from sakk.core.recovery import Recovery
from sakk.core.refund import Refund, RefundStatus
from sakk.flow import recovery as recovery_flow
from sakk.flow.refund import dispatch, lock_refund, refund_event, write_refund
from sakk.flow.refund_draft import Place, aim, payable_assets
from sakk.store import account as accounts
from sakk.store import event as events
from sakk.store import network
from sakk.store import recovery as recoveries
from sakk.store import refund as refunds


def look(connection: Connection, claim_hash: str, *, now: datetime) -> Claim:
    """What waits behind a link; ResourceMissing when nobody made it."""
    refund = refunds.find_claim(connection, claim_hash)
    if refund is not None:
        return _of_refund(connection, refund, now=now)
    recovery = recoveries.find_claim(connection, claim_hash)
    if recovery is None:
        raise _unknown()
    return _of_recovery(connection, recovery, now=now)


def give(
    connection: Connection, claim_hash: str, place: Place, *, now: datetime, confirm: bool
) -> Claim:
    """Say where to. Without ``confirm`` the address is only checked, and nothing is final.

    Raises ResourceMissing, ParameterInvalid for the address, and UnexpectedState when the link was
    used or its time is over.
    """
    recovery = recoveries.find_claim(connection, claim_hash, lock=True)
    if recovery is not None:
        return _give_recovery(connection, recovery, place, now=now, confirm=confirm)
    found = refunds.find_claim(connection, claim_hash)
    refund = None if found is None else lock_refund(connection, found.id)
    if refund is None or refund.claim_hash != claim_hash:
        raise _unknown()
    if not refund_rules.is_claimable(refund, now):
        raise _over()
    aimed = aim(connection, refund, place, now=now)
    if not confirm:
        return replace(
            _of_refund(connection, aimed, now=now),
            status=ClaimStatus.unconfirmed,
            network=aimed.network,
            address=aimed.destination,
        )
    if refund.hold != HoldStatus.held:
        raise UnexpectedState("This refund is just being prepared: try again in a moment.")
    claimed = replace(dispatch(connection, aimed), claimed_at=now)
    write_refund(connection, claimed)
    events.append(connection, [refund_event(claimed, event.REFUND_UPDATED)], now=now)
    return _of_refund(connection, claimed, now=now)


def _give_recovery(
    connection: Connection, recovery: Recovery, place: Place, *, now: datetime, confirm: bool
) -> Claim:
    if not recovery_rules.is_claimable(recovery, now):
        raise _over()
    aimed = recovery_flow.aim(connection, recovery, network=place.network, address=place.address)
    if confirm:
        claimed = recovery_flow.claim(connection, aimed, now=now)
        return _of_recovery(connection, claimed, now=now)
    return replace(
        _of_recovery(connection, recovery, now=now),
        status=ClaimStatus.unconfirmed,
        network=aimed.network,
        address=aimed.destination,
    )


def _of_recovery(connection: Connection, recovery: Recovery, *, now: datetime) -> Claim:
    account = None
    if recovery.account_id is not None:
        account = accounts.find_account(connection, recovery.account_id)
    found = network.find_network(connection, recovery.network)
    assert found is not None
    status = _status_of(recovery.status, recovery_rules.is_claimable(recovery, now))
    return Claim(
        status=status,
        merchant=None if account is None else account.name,
        amount=recovery.token_amount,
        amount_decimal=money.format_decimal(recovery.token_amount, recovery.decimals),
        currency=recovery.symbol,
        networks=[ClaimNetwork(found.network, found.name, recovery.symbol)]
        if status is ClaimStatus.open
        else [],
        network=recovery.network if recovery.destination is not None else None,
        network_name=found.name if recovery.destination is not None else None,
        address=recovery.destination,
        tx_hash=recovery.tx_hash,
        expires_at=recovery.claim_expires_at,
        livemode=recovery.livemode,
    )


def _of_refund(connection: Connection, refund: Refund, *, now: datetime) -> Claim:
    account = accounts.find_account(connection, refund.account_id)
    names = {each.network: each.name for each in network.list_networks(connection)}
    status = _status_of(refund.status, refund_rules.is_claimable(refund, now))
    return Claim(
        status=status,
        merchant=None if account is None else account.name,
        amount=refund_rules.sent_units(refund),
        amount_decimal=money.format_decimal(refund_rules.sent_units(refund), refund.coin_decimals),
        currency=refund.coin,
        networks=[
            ClaimNetwork(asset.network, names[asset.network], asset.symbol)
            for asset in payable_assets(connection, refund, now=now)
        ]
        if status is ClaimStatus.open
        else [],
        network=refund.network if refund.destination is not None else None,
        network_name=names.get(refund.network or "") if refund.destination is not None else None,
        address=refund.destination,
        tx_hash=refund.tx_hash,
        expires_at=refund.claim_expires_at,
        livemode=refund.livemode,
    )


def _status_of(status: str, claimable: bool) -> ClaimStatus:
    match RefundStatus(status):
        case RefundStatus.requires_action:
            return ClaimStatus.open if claimable else ClaimStatus.over
        case RefundStatus.pending:
            return ClaimStatus.given
        case RefundStatus.succeeded:
            return ClaimStatus.sent
        case RefundStatus.failed | RefundStatus.canceled:
            return ClaimStatus.over


def _over() -> UnexpectedState:
    return UnexpectedState(
        "This link has been used, or its time is over. Ask the merchant for what became of it."
    )


def _unknown() -> ResourceMissing:
    return ResourceMissing(
        "There is no such claim. Ask the merchant for a fresh link.", param="token"
    )
