"""Outflows: book coins that left our addresses without us, and take that back if the chain does.

At finality the ledger says that they are gone, against suspense. A reorganisation before that
closes the row; after, new transfers bring the coins back. What an issuer destroys without a
Transfer is found by reconciliation alone, and booked when the operator says so.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, select

from sakk.core import event
from sakk.core import outflow as rules
from sakk.core.errors import ResourceMissing
from sakk.core.event import NewEvent
from sakk.core.evm import ZERO_ADDRESS
from sakk.core.outflow import Outflow, OutflowStatus
from sakk.flow.book import Outcome, PostingSet
from sakk.flow.context import Parts
from sakk.flow.reconcile import final_block, settled_snapshot
from sakk.flow.stage import Stage, wake
from sakk.rails.evm.balances import balances
from sakk.store import address, network
from sakk.store import event as events
from sakk.store import outflow as store
from sakk.store.database import Due
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, retry_delay, settle
from sakk.store.network import cursors, networks

BATCH_MAX = 100
STEP = "outflow"

log = structlog.get_logger(__name__)

_table = store.outflows
_final_height = (
    select(cursors.c.block_number - networks.c.confirmations)
    .where(cursors.c.network == _table.c.network, networks.c.network == cursors.c.network)
    .scalar_subquery()
)
_final = claimable(
    _table,
    Outflow,
    _table.c.status == OutflowStatus.seen.value,
    ~_table.c.orphaned,
    _table.c.block_number <= _final_height,
    limit=BATCH_MAX,
)
_unbooked_and_gone = claimable(
    _table, Outflow, _table.c.status == OutflowStatus.seen.value, _table.c.orphaned, limit=BATCH_MAX
)
_booked_and_gone = claimable(
    _table,
    Outflow,
    _table.c.status == OutflowStatus.posted.value,
    _table.c.orphaned,
    limit=BATCH_MAX,
)


def outflow_stage(parts: Parts) -> Stage:
    """The stage that books coins which left our addresses without us, at finality."""

    def run() -> int:
        return _book(
            parts,
            _final,
            step=STEP,
            postings=rules.postings,
            status=OutflowStatus.posted,
        )

    return Stage("outflow.post", run, due=(_final,))


def outflow_reverse_stage(parts: Parts) -> Stage:
    """The stage that undoes outflows which the chain has undone."""

    def run() -> int:
        closed = _close_unbooked(parts)
        return closed + _book(
            parts,
            _booked_and_gone,
            step="outflow.reverse",
            postings=rules.reversal,
            status=OutflowStatus.reversed,
        )

    return Stage("outflow.reverse", run, due=(_unbooked_and_gone, _booked_and_gone))


def write_off(parts: Parts, name: str) -> list[Outflow]:
    """Have what is missing of a token on deposit addresses at the final block booked as outflows.

    An issuer can take tokens without a Transfer (Tether's destroyBlackFunds). Again, it finds
    nothing more. ResourceMissing for an asset that is not listed.
    """
    with settled_snapshot(parts.database) as connection:
        asset = network.find_asset(connection, name)
        if asset is None or asset.is_native:
            raise ResourceMissing(f"There is no listed token {name!r}.", param="asset")
        found = network.find_network(connection, asset.network)
        assert found is not None
        block = final_block(connection, found)
        expected = store.untouched_deposits(connection, name, block=block.number)
    held = balances(parts.rail_of(found).rpc, [(each, name) for each in expected], block.hash)
    now = parts.clock()
    rows = [
        Outflow(
            id=new_id("out"),
            livemode=found.livemode,
            network=found.network,
            asset=name,
            token_amount=units - held[holder, name],
            address=holder,
            place="deposit",
            receiver=ZERO_ADDRESS,
            tx_hash="",
            log_index=-1,
            block_number=block.number,
            block_hash=block.hash,
            status=OutflowStatus.seen.value,
            created=now,
        )
        for holder, units in expected.items()
        if units > held[holder, name]
    ]
    with parts.database.begin() as connection:
        # Whoever else writes off the same token waits here, and then finds nothing more to do.
        network.lock_asset(connection, name)
        settled = store.untouched_deposits(connection, name, block=block.number)
        rows = [row for row in rows if settled.get(row.address) == expected[row.address]]
        fresh = store.insert_seen(connection, rows)
        rows = [row for row in rows if row.id in fresh]
        events.append(connection, [outflow_event(row, event.OUTFLOW_SEEN) for row in rows], now=now)
        wake(connection, "outflow.post")
    return rows


def outflow_event(row: Outflow, name: str) -> NewEvent:
    """An event about an outflow; the operator's alone."""
    return NewEvent(
        account_id=None,
        livemode=row.livemode,
        type=name,
        object_id=row.id,
        object=rules.public(row),
    )


def _close_unbooked(parts: Parts) -> int:
    """What left the chain before it was booked is closed; what the ledger has, since whoever
    booked it died with its answer, is recorded first, and undone as any other."""
    token = new_id("lease")
    now = parts.clock()
    with parts.database.begin() as connection:
        rows = claim(connection, _unbooked_and_gone, token=token, now=now)
    if not rows:
        return 0
    moved = parts.books.amounts_moved(
        [PostingSet(row.id, STEP, row.attempt, ()).transfer_id(0) for row in rows]
    )
    with parts.database.begin() as connection:
        told = []
        for row, units in zip(rows, moved, strict=True):
            if units:
                booked = Outcome(None)
                _record(connection, parts, row, booked, status=OutflowStatus.posted, token=token)
                continue
            change = {"id": row.id, "status": OutflowStatus.orphaned.value}
            if settle(connection, _table, [change], token=token):
                closed = replace(row, status=OutflowStatus.orphaned.value)
                told.append(outflow_event(closed, event.OUTFLOW_ORPHANED))
        events.append(connection, told, now=now)
    return len(rows)


def _book(
    parts: Parts,
    due: Due[Outflow],
    *,
    step: str,
    postings: Callable[[Outflow], list[Any]],
    status: OutflowStatus,
) -> int:
    token = new_id("lease")
    with parts.database.begin() as connection:
        rows = claim(connection, due, token=token, now=parts.clock())
    if not rows:
        return 0
    failpoint("outflow.post.before")
    outcomes = parts.books.post(
        [PostingSet(row.id, step, row.attempt, postings(row)) for row in rows]
    )
    failpoint("outflow.post.after")
    with parts.database.begin() as connection:
        if status is OutflowStatus.reversed:
            # Before all else, so that no block can come back unnoticed before the commit.
            places = {(row.network, row.block_hash) for row in rows}
            standing = network.lock_canonical(connection, places)
        else:
            standing = set()
        for row, outcome in zip(rows, outcomes, strict=True):
            _record(connection, parts, row, outcome, status=status, token=token)
        returned = [row for row in rows if row.block_hash in standing]
        if store.insert_seen(connection, [_seen_again(row, parts.clock()) for row in returned]):
            wake(connection, "outflow.post")
    return len(rows)


def _seen_again(row: Outflow, now: datetime) -> Outflow:
    """The outflow of a block that came back while it was being taken back."""
    return replace(
        row,
        id=new_id("out"),
        status=OutflowStatus.seen.value,
        orphaned=False,
        attempt=0,
        failures=0,
        retry_at=None,
        lease_token=None,
        lease_until=None,
        created=now,
    )


def _record(
    connection: Connection,
    parts: Parts,
    row: Outflow,
    outcome: Outcome,
    *,
    status: OutflowStatus,
    token: str,
) -> None:
    now = parts.clock()
    change: dict[str, Any] = {"id": row.id, "status": status.value, "attempt": 0}
    if not outcome.booked:
        log.error("outflow.refused", outflow=row.id, refusal=str(outcome.refusal))
        change = {
            "id": row.id,
            "status": row.status,
            "attempt": row.attempt + 1,
            "failures": row.failures + 1,
            "retry_at": now + retry_delay(row.failures),
        }
    if not settle(connection, store.outflows, [change], token=token) or not outcome.booked:
        return
    left = -row.token_amount if status is OutflowStatus.posted else row.token_amount
    if row.place == "deposit":
        address.add_deposits(connection, [(row.address, row.asset, left)])
    name = event.OUTFLOW_POSTED if status is OutflowStatus.posted else event.OUTFLOW_ORPHANED
    events.append(connection, [outflow_event(replace(row, status=status.value), name)], now=now)
