"""Build sweeps: an approved one gets a transaction with a nonce, and the gas that it lacks."""

from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import Connection

from sakk.core import event
from sakk.core.caip import erc20_contract
from sakk.core.network import Network, Quirk
from sakk.core.sweep import Sweep, SweepMethod, SweepStatus, deposit_units
from sakk.core.transaction import Purpose
from sakk.flow.build import BATCH_MAX, Habits, Order, attempt
from sakk.flow.context import Parts
from sakk.flow.stage import Stage
from sakk.flow.sweep import SWEEP_AGAIN_AFTER, order_topup, sweep_event
from sakk.flow.trial import require_exact_transfer
from sakk.rails.evm.rail import EvmRail
from sakk.store import address, network
from sakk.store import event as events
from sakk.store import freeze as freezes
from sakk.store import sweep as sweeps
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, settle

log = structlog.get_logger(__name__)

_PURPOSES = {
    SweepMethod.key: Purpose.sweep,
    SweepMethod.recovery: Purpose.recovery,
    SweepMethod.seizure: Purpose.recovery,
}


_due = claimable(
    sweeps.sweeps,
    Sweep,
    sweeps.sweeps.c.status == SweepStatus.approved.value,
    sweeps.sweeps.c.method != SweepMethod.hub.value,
    sweeps.sweeps.c.factory.is_(None),
    sweeps.sweeps.c.transaction.is_(None),
    freezes.sweep_may_go(),
    limit=BATCH_MAX,
)


def sweep_build_stage(parts: Parts) -> Stage:
    """The stage that prepares sweeps, and orders the gas that a deposit address lacks."""
    table = sweeps.sweeps
    habits = Habits(
        table, check=partial(_check, parts), give_up=_fail_sweep, lacks_gas=_order_topup
    )

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _due, token=token, now=parts.clock())
        for row in rows:
            order = Order(
                livemode=row.livemode,
                network=row.network,
                purpose=_PURPOSES[SweepMethod(row.method)],
                subject=row.id,
                account_id=None,
                sender=row.address,
                key_branch="deposit",
                key_index=row.key_index,
                asset=row.asset,
                destination=row.destination,
                units=row.token_amount,
            )
            attempt(parts, habits, row, order, token=token)
        return len(rows)

    return Stage("sweep.build", run, due=(_due,))


def _check(parts: Parts, rail: EvmRail, order: Order) -> None:
    """All of it leaves and arrives, less what the token keeps if it is listed so.

    Of a token on no list, which only a recovery sends, nobody knows what it keeps.
    """
    with parts.database.begin() as connection:
        listed = network.find_asset(connection, order.asset)
    require_exact_transfer(
        parts,
        rail,
        sender=order.sender,
        receiver=order.destination,
        contract=erc20_contract(order.asset),
        units=order.units,
        takes_fee=listed is None or Quirk.fee_on_transfer in listed.quirks,
    )


def _order_topup(parts: Parts, row: Sweep, found: Network, needed: int, lacking: int) -> None:
    order_topup(parts, row, found, needed=needed, lacking=lacking)


def _fail_sweep(connection: Connection, row: Sweep, reason: str, token: str, now: datetime) -> None:
    """The coins stay where they are, and are tried again much later."""
    failed = replace(row, status=SweepStatus.failed.value, failure_code="transfer_would_fail")
    change = {name: getattr(failed, name) for name in ("id", "status", "failure_code")}
    if settle(connection, sweeps.sweeps, [change], token=token):
        log.warning("sweep.given_up", sweep=row.id, reason=reason)
        address.add_deposits(connection, deposit_units(row))
        sweeps.postpone(
            connection, address=row.address, asset=row.asset, until=now + SWEEP_AGAIN_AFTER
        )
        events.append(connection, [sweep_event(failed, event.SWEEP_FAILED)], now=now)
