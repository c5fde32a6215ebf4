"""Collect: decide which deposits are swept to the treasury."""

from datetime import timedelta

from sakk.core import event
from sakk.core.sweep import Sweep, SweepStatus
from sakk.flow.context import Parts
from sakk.flow.stage import Stage, wake
from sakk.flow.sweep import sweep_event
from sakk.store import address
from sakk.store import event as events
from sakk.store import sweep as store
from sakk.store.identity import new_id

BATCH_MAX = 100
IDLE = timedelta(seconds=2)


def collect_stage(parts: Parts) -> Stage:
    """The stage that turns clean deposits above their minimum into sweeps."""

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            treasury = address.list_treasury(connection)
            if not treasury:
                return 0
            due = store.lock_collectable(connection, now=now, limit=BATCH_MAX)
            if not due:
                return 0
            rows = [
                Sweep(
                    id=new_id("sw"),
                    livemode=each.livemode,
                    network=each.network,
                    asset=each.asset,
                    address=each.address,
                    key_index=each.key_index,
                    destination=treasury[0].address,
                    token_amount=each.units,
                    status=SweepStatus.approved.value,
                    created=now,
                )
                for each in due
            ]
            store.insert(connection, rows)
            address.add_deposits(
                connection, [(row.address, row.asset, -row.token_amount) for row in rows]
            )
            events.append(
                connection, [sweep_event(row, event.SWEEP_CREATED) for row in rows], now=now
            )
            wake(connection, "sweep.build")
            return len(rows)

    return Stage("sweep.collect", run, idle_seconds=IDLE.total_seconds())
