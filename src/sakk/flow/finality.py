"""Finality: a pay-in is confirmed once the chain has built enough on its block.

The height is that of the chain as we have followed it by parent hash, not what a node claims. One
node can forge all of it, so a pay-in of its asset's ``compare_above`` and more is confirmed only
when two providers give the same receipt for it.
"""

from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection, exists

from sakk.core import event
from sakk.core.errors import SakkError
from sakk.core.network import Asset, Network, Quirk
from sakk.core.payin import PayIn, PayInStatus
from sakk.flow.context import Parts
from sakk.flow.payin import payin_event
from sakk.flow.stage import PAYIN_LANE, Stage, wake
from sakk.rails.evm.rpc import RpcDisagreement
from sakk.rails.rail import TransferSeen
from sakk.store import event as events
from sakk.store import network
from sakk.store import payin as store
from sakk.store.database import fetch, update_records
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, give_back, retry_delay, settle
from sakk.store.network import assets, cursors, networks

# Small: what came first is told before what came last is begun.
BATCH_MAX = 50

COMPARED_MAX = 20
WAIT_PROVIDER = timedelta(seconds=10)

log = structlog.get_logger(__name__)

_is_large = exists().where(
    assets.c.asset == store.payins.c.asset, assets.c.compare_above <= store.payins.c.token_amount
)
# By network, so that the index leads to what is final and the rest is not looked at.
_final = store.in_status(
    PayInStatus.seen,
    cursors.c.network == store.payins.c.network,
    networks.c.network == cursors.c.network,
    store.payins.c.matched_at.is_not(None),
    ~store.payins.c.orphaned,
    store.payins.c.block_number <= cursors.c.block_number - networks.c.confirmations,
    ~_is_large,
    limit=BATCH_MAX,
)
_to_compare = claimable(
    store.payins,
    PayIn,
    store.payins.c.status == PayInStatus.seen.value,
    store.payins.c.matched_at.is_not(None),
    ~store.payins.c.orphaned,
    _is_large,
    exists().where(
        cursors.c.network == store.payins.c.network,
        networks.c.network == cursors.c.network,
        store.payins.c.block_number <= cursors.c.block_number - networks.c.confirmations,
    ),
    limit=COMPARED_MAX,
)


def finality_stage(parts: Parts) -> Stage:
    """The stage that confirms matched pay-ins whose blocks are deep enough."""

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            rows = fetch(connection, _final)
            if not rows:
                return 0
            changes = [
                {"id": row.id, "status": PayInStatus.confirmed.value, "confirmed_at": now}
                for row in rows
            ]
            update_records(connection, store.payins, changes)
            for row in rows:
                _tell(connection, row, now=now)
            return len(rows)

    return Stage("payin.finality", run, due=(_final,), lane=PAYIN_LANE, many=BATCH_MAX)


def compare_stage(parts: Parts) -> Stage:
    """The stage that asks two providers of large pay-ins whose blocks are deep enough."""

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _to_compare, token=token, now=parts.clock())
            if not rows:
                return 0
            listed = {each.network: each for each in network.list_networks(connection)}
            known = {each.asset: each for each in network.list_assets(connection)}
        return sum(
            _compare(parts, row, listed[row.network], known[row.asset], token=token) for row in rows
        )

    return Stage("payin.compare", run, due=(_to_compare,))


def _compare(parts: Parts, row: PayIn, found: Network, asset: Asset, *, token: str) -> int:
    """Confirm a pay-in of which two providers say the same, and give 1; else ask again later."""
    try:
        parts.rail_of(found).confirm(_seen(row), takes_fee=Quirk.fee_on_transfer in asset.quirks)
    except SakkError as error:
        now = parts.clock()
        log.warning("payin.disputed", payin=row.id, code=error.code, reason=error.message)
        differ = isinstance(error, RpcDisagreement)
        again = {
            "id": row.id,
            # Of those alone in which they differed: the first is told, however often one was away.
            "failures": row.failures + differ,
            "retry_at": now + (retry_delay(row.failures) if differ else WAIT_PROVIDER),
        }
        with parts.database.begin() as connection:
            settled = settle(connection, store.payins, [again], token=token)
            if settled and differ and not row.failures:
                events.append(connection, [payin_event(row, event.PAYIN_DISPUTED)], now=now)
        return 0
    now = parts.clock()
    confirmed = {
        "id": row.id,
        "status": PayInStatus.confirmed.value,
        "confirmed_at": now,
        "failures": 0,
        "retry_at": None,
    }
    with parts.database.begin() as connection:
        current = store.lock_one(connection, row.id)
        # Its block may have left the chain since, and whoever closed it asks for no lease.
        if current is None or current.orphaned or current.status != row.status:
            give_back(connection, store.payins, [row.id], token=token)
            return 0
        if not settle(connection, store.payins, [confirmed], token=token):
            return 0
        _tell(connection, row, now=now)
        wake(connection, "payin.screen")
    return 1


def _seen(row: PayIn) -> TransferSeen:
    return TransferSeen(
        network=row.network,
        asset=row.asset,
        contract=row.contract or "",
        tx_hash=row.tx_hash,
        log_index=row.log_index,
        block_number=row.block_number,
        block_hash=row.block_hash,
        sender=row.sender,
        receiver=row.address,
        units=row.token_amount,
        direction="in",
    )


def _tell(connection: Connection, row: PayIn, *, now: datetime) -> None:
    if row.account_id is not None:
        confirmed = replace(row, status=PayInStatus.confirmed.value, confirmed_at=now)
        events.append(connection, [payin_event(confirmed, event.PAYIN_CONFIRMED)], now=now)
