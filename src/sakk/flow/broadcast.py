"""Broadcast: hand signed bytes to the network, the same bytes every time, until they are mined.

No answer of a node makes a transaction failed: only the chain does. An unclear one is ``unknown``.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection

from sakk.core import event
from sakk.core.event import NewEvent
from sakk.core.payout import PayoutStatus
from sakk.core.sweep import SweepStatus
from sakk.core.transaction import (
    ChainTransaction,
    Purpose,
    TransactionStatus,
    rebroadcast_delay,
)
from sakk.flow.context import Parts
from sakk.flow.payout import payout_event
from sakk.flow.stage import Stage, wake
from sakk.flow.sweep import advance_collected, sweep_event
from sakk.rails.evm.send import Broadcast, BroadcastOutcome
from sakk.store import event as events
from sakk.store import freeze as freezes
from sakk.store import network
from sakk.store import payout as payouts
from sakk.store import sweep as sweeps
from sakk.store import transaction as store
from sakk.store.database import update_records
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, give_back, settle

BATCH_MAX = 50

log = structlog.get_logger(__name__)


def broadcast_stage(parts: Parts) -> Stage:
    """The stage that sends what is signed, and sends again what no block holds yet."""
    table = store.transactions

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(
                connection,
                table,
                ChainTransaction,
                table.c.block_hash.is_(None),
                table.c.status.in_(
                    [
                        TransactionStatus.signed.value,
                        TransactionStatus.broadcast.value,
                        TransactionStatus.unknown.value,
                    ]
                )
                | table.c.orphaned,
                freezes.bytes_may_go(),
                token=token,
                now=parts.clock(),
                limit=BATCH_MAX,
            )
            networks = {each.network: each for each in network.list_networks(connection)}
        for row in sorted(rows, key=lambda each: (each.network, each.sender, each.nonce)):
            assert row.raw is not None
            if _is_stopped(parts, row, token=token):
                continue
            failpoint("transaction.broadcast.before")
            sent = parts.rail_of(networks[row.network]).broadcast(row.raw)
            failpoint("transaction.broadcast.after")
            now = parts.clock()
            with parts.database.begin() as connection:
                _record(connection, row, sent, token=token, now=now)
        return len(rows)

    return Stage("transaction.broadcast", run)


def _is_stopped(parts: Parts, row: ChainTransaction, *, token: str) -> bool:
    """Was it frozen since the batch was claimed? Then it keeps its bytes and its turn."""
    with parts.database.begin() as connection:
        frozen = freezes.stopping(connection, row)
        if frozen is None:
            return False
        give_back(connection, store.transactions, [row.id], token=token)
    log.warning("broadcast.frozen", transaction=row.id, freeze=frozen.id)
    return True


def _record(
    connection: Connection, row: ChainTransaction, sent: Broadcast, *, token: str, now: datetime
) -> None:
    status = _status_after(row, sent.outcome)
    if status is TransactionStatus.unknown:
        log.warning("broadcast.unclear", transaction=row.id, outcome=sent.outcome.value)
    settled = settle(
        connection,
        store.transactions,
        [
            {
                "id": row.id,
                "status": status.value,
                "broadcasts": row.broadcasts + 1,
                "broadcast_at": row.broadcast_at or now,
                "error": sent.reason or None,
                "retry_at": now + rebroadcast_delay(row.broadcasts),
            }
        ],
        token=token,
    )
    if settled and status.value != row.status:
        events.append(connection, _follow_subject(connection, row, status), now=now)
        wake(connection, "transaction.confirm")


def _status_after(row: ChainTransaction, outcome: BroadcastOutcome) -> TransactionStatus:
    if row.orphaned:
        # Booked before a reorganisation took its block away: it only has to be mined again.
        return TransactionStatus(row.status)
    match outcome:
        case (
            BroadcastOutcome.accepted
            | BroadcastOutcome.already_known
            | BroadcastOutcome.nonce_too_low
        ):
            # A nonce that is used up was most likely used by these very bytes; the chain tells.
            return TransactionStatus.broadcast
        case (
            BroadcastOutcome.underpriced
            | BroadcastOutcome.insufficient_funds
            | BroadcastOutcome.rejected
            | BroadcastOutcome.unknown
        ):
            return TransactionStatus.unknown


def _follow_subject(
    connection: Connection, row: ChainTransaction, status: TransactionStatus
) -> list[NewEvent]:
    """The payout or sweep takes its transaction's status; a top-up has no row of its own."""
    unknown = status is TransactionStatus.unknown
    change: dict[str, Any] = {"id": row.subject}
    match Purpose(row.purpose):
        case Purpose.payout | Purpose.refund:
            payout = payouts.lock_one(connection, row.subject)
            assert payout is not None
            after = PayoutStatus.unknown if unknown else PayoutStatus.broadcast
            update_records(connection, payouts.payouts, [{**change, "status": after.value}])
            name = event.PAYOUT_UNKNOWN if unknown else event.PAYOUT_BROADCAST
            return [payout_event(replace(payout, status=after.value), name)]
        case Purpose.sweep:
            sweep = sweeps.lock_one(connection, row.subject)
            assert sweep is not None
            swept = SweepStatus.unknown if unknown else SweepStatus.broadcast
            update_records(connection, sweeps.sweeps, [{**change, "status": swept.value}])
            name = event.SWEEP_UNKNOWN if unknown else event.SWEEP_BROADCAST
            return [sweep_event(replace(sweep, status=swept.value), name)]
        case Purpose.collect:
            swept = SweepStatus.unknown if unknown else SweepStatus.broadcast
            name = event.SWEEP_UNKNOWN if unknown else event.SWEEP_BROADCAST
            return advance_collected(connection, row.id, swept, name)
        case Purpose.topup:
            return []
