"""Broadcast: hand signed bytes to the network, the same bytes every time, until they are mined.

Of a transaction that was replaced every attempt is as good: all have one nonce, so one is mined.

No answer of a node makes a transaction failed: only the chain does. An unclear one is ``unknown``.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from sakk.core.network import Network
from sakk.core.transaction import (
    ASK_CANCEL,
    Attempt,
    ChainTransaction,
    TransactionStatus,
    rebroadcast_delay,
)
from sakk.flow.context import Parts
from sakk.flow.stage import REST_SECONDS, Stage
from sakk.flow.transaction import follow_status
from sakk.rails.evm.rail import EvmRail
from sakk.rails.evm.send import Broadcast, BroadcastOutcome
from sakk.store import event as events
from sakk.store import freeze as freezes
from sakk.store import network
from sakk.store import transaction as store
from sakk.store.database import among
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, give_back, settle

BATCH_MAX = 50

log = structlog.get_logger(__name__)

_table = store.transactions
_due = claimable(
    _table,
    ChainTransaction,
    _table.c.block_hash.is_(None),
    # What is to be called off waits for the bytes that do it.
    _table.c.asked.is_distinct_from(ASK_CANCEL),
    among(
        _table.c.status,
        [
            TransactionStatus.signed.value,
            TransactionStatus.broadcast.value,
            TransactionStatus.unknown.value,
        ],
    )
    | _table.c.orphaned,
    freezes.bytes_may_go(),
    limit=BATCH_MAX,
)


def broadcast_stage(parts: Parts) -> Stage:
    """The stage that sends what is signed, and sends again what no block holds yet."""

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _due, token=token, now=parts.clock())
            if not rows:
                return 0
            networks = {each.network: each for each in network.list_networks(connection)}
            attempts = store.list_attempts(connection, [row.id for row in rows if row.replacements])
        for row in sorted(rows, key=lambda each: (each.network, each.sender, each.nonce)):
            if _is_stopped(parts, row, token=token):
                continue
            found = networks[row.network]
            failpoint("transaction.broadcast.before")
            sent = _send(parts.rail_of(found), row, attempts.get(row.id, ()))
            failpoint("transaction.broadcast.after")
            now = parts.clock()
            with parts.database.begin() as connection:
                _record(connection, row, sent, found, token=token, now=now)
        return len(rows)

    return Stage("transaction.broadcast", run, due=(_due,), rest_seconds=REST_SECONDS)


def _is_stopped(parts: Parts, row: ChainTransaction, *, token: str) -> bool:
    """Was it frozen since the batch was claimed? Then it keeps its bytes and its turn."""
    with parts.database.begin() as connection:
        frozen = freezes.stopping(connection, row)
        if frozen is None:
            return False
        give_back(connection, store.transactions, [row.id], token=token)
    log.warning("broadcast.frozen", transaction=row.id, freeze=frozen.id)
    return True


def _send(rail: EvmRail, row: ChainTransaction, attempts: Sequence[Attempt]) -> Broadcast:
    """Send the dearest attempt; where no node takes it, those before it, which are as good."""
    assert row.raw is not None
    canceling = [each for each in attempts if each.cancels and each.raw is not None]
    # Once it is called off only what calls it off is sent; the rest may be mined, not by us.
    signed = [each.raw for each in reversed(canceling or attempts) if each.raw is not None]
    first: Broadcast | None = None
    for raw in signed or [row.raw]:
        sent = rail.broadcast(raw)
        if _status_after(row, sent.outcome) is not TransactionStatus.unknown:
            return sent
        first = first or sent
    assert first is not None
    return first


def _record(
    connection: Connection,
    row: ChainTransaction,
    sent: Broadcast,
    found: Network,
    *,
    token: str,
    now: datetime,
) -> None:
    status = _status_after(row, sent.outcome)
    replace_after = timedelta(seconds=found.replace_after_seconds)
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
                "replace_at": row.replace_at or now + replace_after,
                "error": _error_after(row, sent),
                "retry_at": now + rebroadcast_delay(row.broadcasts),
            }
        ],
        token=token,
    )
    if settled and status.value != row.status:
        # It is looked up when the watcher has seen the next block.
        events.append(connection, follow_status(connection, row, status), now=now)


def _status_after(row: ChainTransaction, outcome: BroadcastOutcome) -> TransactionStatus:
    if row.orphaned:
        # Booked before a reorganisation took its block away: it only has to be mined again.
        return TransactionStatus(row.status)
    match outcome:
        case BroadcastOutcome.accepted | BroadcastOutcome.already_known:
            return TransactionStatus.broadcast
        case BroadcastOutcome.nonce_too_low:
            # It was most likely used by these very bytes; the chain tells. Where it has told of
            # somebody else's, only the chain takes that back.
            unknown = row.status == TransactionStatus.unknown
            return TransactionStatus.unknown if unknown else TransactionStatus.broadcast
        case (
            BroadcastOutcome.underpriced
            | BroadcastOutcome.insufficient_funds
            | BroadcastOutcome.rejected
            | BroadcastOutcome.unknown
        ):
            return TransactionStatus.unknown


def _error_after(row: ChainTransaction, sent: Broadcast) -> str | None:
    if sent.outcome is BroadcastOutcome.nonce_too_low and row.error is not None:
        return row.error
    return sent.reason or None
