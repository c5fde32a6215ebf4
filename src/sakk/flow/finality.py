"""Finality: a pay-in is confirmed once the chain has built enough on its block.

The height is that of the chain as we have followed it by parent hash, not what a node claims.
"""

from dataclasses import replace

from sakk.core import event
from sakk.core.payin import PayInStatus
from sakk.flow.context import Parts
from sakk.flow.payin import payin_event
from sakk.flow.stage import PAYIN_LANE, Stage
from sakk.store import event as events
from sakk.store import payin as store
from sakk.store.database import fetch, update_records
from sakk.store.network import cursors, networks

# Small: what came first is told before what came last is begun.
BATCH_MAX = 50

# By network, so that the index leads to what is final and the rest is not looked at.
_final = store.in_status(
    PayInStatus.seen,
    cursors.c.network == store.payins.c.network,
    networks.c.network == cursors.c.network,
    store.payins.c.matched_at.is_not(None),
    ~store.payins.c.orphaned,
    store.payins.c.block_number <= cursors.c.block_number - networks.c.confirmations,
    limit=BATCH_MAX,
)


def finality_stage(parts: Parts) -> Stage:
    """The stage that confirms matched pay-ins whose blocks are deep enough."""

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            rows = fetch(connection, _final)
            if not rows:
                return 0
            confirmed = [
                replace(row, status=PayInStatus.confirmed.value, confirmed_at=now) for row in rows
            ]
            update_records(
                connection,
                store.payins,
                [
                    {"id": row.id, "status": row.status, "confirmed_at": row.confirmed_at}
                    for row in confirmed
                ],
            )
            events.append(
                connection,
                [
                    payin_event(row, event.PAYIN_CONFIRMED)
                    for row in confirmed
                    if row.account_id is not None
                ],
                now=now,
            )
            return len(rows)

    return Stage("payin.finality", run, due=(_final,), lane=PAYIN_LANE, many=BATCH_MAX)
