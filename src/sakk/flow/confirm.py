"""Confirm: ask the chain what became of a transaction, and believe it only when it is final."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection

from sakk.core import event
from sakk.core.chart import TransferCode
from sakk.core.errors import SakkError
from sakk.core.event import NewEvent
from sakk.core.network import Network
from sakk.core.payout import PayoutStatus
from sakk.core.posting import reversed_postings
from sakk.core.sweep import SweepStatus
from sakk.core.transaction import ChainTransaction, Purpose, TransactionStatus, gas_postings
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.payout import payout_event
from sakk.flow.stage import Stage, wake
from sakk.flow.sweep import sweep_event
from sakk.flow.transaction import arrived_units
from sakk.rails.evm.rail import TransactionReference
from sakk.rails.evm.status import TransactionState
from sakk.rails.evm.status import TransactionStatus as ChainStatus
from sakk.store import event as events
from sakk.store import network
from sakk.store import payout as payouts
from sakk.store import sweep as sweeps
from sakk.store import transaction as store
from sakk.store.database import update_records
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, give_back, settle

BATCH_MAX = 100

log = structlog.get_logger(__name__)


def confirm_stage(parts: Parts) -> Stage:
    """The stage that looks up sent transactions whenever a network has a new head."""
    table = store.transactions

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(
                connection,
                table,
                ChainTransaction,
                table.c.hash.is_not(None),
                table.c.status.in_(
                    [TransactionStatus.broadcast.value, TransactionStatus.unknown.value]
                )
                | (
                    (table.c.status == TransactionStatus.posted.value)
                    & table.c.block_hash.is_(None)
                ),
                token=token,
                now=parts.clock(),
                limit=BATCH_MAX,
                early=True,
            )
            networks = {each.network: each for each in network.list_networks(connection)}
        changed = 0
        for row in rows:
            try:
                changed += _look_up(parts, row, networks[row.network], token=token)
            except SakkError as error:
                log.warning("confirm.waits", transaction=row.id, code=error.code)
                with parts.database.begin() as connection:
                    give_back(connection, table, [row.id], token=token)
        return changed

    return Stage("transaction.confirm", run)


def _look_up(parts: Parts, row: ChainTransaction, found: Network, *, token: str) -> int:
    assert row.hash is not None
    chain = parts.rail_of(found).status(
        TransactionReference(
            tx_hash=row.hash,
            sender=row.sender,
            nonce=row.nonce,
            since_block=row.since_block,
            confirmations=found.confirmations,
        )
    )
    change = _change(row, chain, found, now=parts.clock())
    if row.status == TransactionStatus.posted and change is not None:
        change = _mined_again(parts, row, chain, found)
    failpoint("transaction.confirm.before")
    with parts.database.begin() as connection:
        if change is None:
            give_back(connection, store.transactions, [row.id], token=token)
            return 0
        kept = {"retry_at": row.retry_at, "failures": row.failures}
        settled = settle(
            connection, store.transactions, [{"id": row.id, **kept, **change}], token=token
        )
        if settled and "status" in change:
            now = parts.clock()
            events.append(connection, _follow_subject(connection, row, change, now), now=now)
            wake(connection, "transaction.settle")
    failpoint("transaction.confirm.after")
    return settled if "status" in change else 0


def _change(
    row: ChainTransaction, chain: ChainStatus, found: Network, *, now: datetime
) -> dict[str, Any] | None:
    """What to write, or None if nothing new is known."""
    match chain.state:
        case TransactionState.mined:
            place = {"block_number": chain.block_number, "block_hash": chain.block_hash}
            if chain.confirmations < found.confirmations:
                return place if chain.block_hash != row.block_hash else None
            return {
                **place,
                "status": TransactionStatus.confirmed.value,
                "succeeded": chain.succeeded,
                "gas_cost": chain.fee_wei,
                "arrived_units": arrived_units(row, chain.logs) if chain.succeeded else 0,
                "confirmed_at": now,
                "retry_at": None,
                "failures": 0,
            }
        case TransactionState.replaced:
            # Final proof: another transaction used the nonce, so this one can never be mined.
            log.error("confirm.replaced", transaction=row.id, by=chain.replaced_by)
            return {
                "status": TransactionStatus.confirmed.value,
                "succeeded": False,
                "gas_cost": 0,
                "arrived_units": 0,
                "error": f"replaced by {chain.replaced_by}",
                "confirmed_at": now,
                "retry_at": None,
                "failures": 0,
            }
        case TransactionState.dropped:
            # Out of the pool and not in a block: the same bytes go out again, at once.
            gone = {"block_number": None, "block_hash": None, "retry_at": None}
            return gone if row.retry_at is not None or row.block_hash is not None else None
        case TransactionState.pending:
            return None if row.block_hash is None else {"block_number": None, "block_hash": None}
        case _:
            return None


def _mined_again(
    parts: Parts, row: ChainTransaction, chain: ChainStatus, found: Network
) -> dict[str, Any] | None:
    """A booked transaction has a block again: book what its gas cost more, or less, this time."""
    if chain.state is not TransactionState.mined or chain.confirmations < found.confirmations:
        return None
    if not chain.succeeded:
        log.critical("confirm.undone", transaction=row.id, hash=row.hash)
        return None
    again = replace(row, gas_cost=abs(chain.fee_wei - (row.gas_cost or 0)))
    difference = gas_postings(again, native_asset=found.native_asset)
    if chain.fee_wei < (row.gas_cost or 0):
        difference = reversed_postings(difference, TransferCode.gas)
    [outcome] = parts.books.post([PostingSet(row.id, f"gas.{chain.block_hash}", 0, difference)])
    if not outcome.booked:
        return None
    return {
        "block_number": chain.block_number,
        "block_hash": chain.block_hash,
        "gas_cost": chain.fee_wei,
    }


def _follow_subject(
    connection: Connection, row: ChainTransaction, change: dict[str, Any], now: datetime
) -> list[NewEvent]:
    """A success is told at once; a failure when its hold and gas are settled."""
    if not change["succeeded"]:
        return []
    match Purpose(row.purpose):
        case Purpose.payout | Purpose.refund:
            payout = payouts.lock_one(connection, row.subject)
            assert payout is not None
            confirmed = replace(payout, status=PayoutStatus.confirmed.value, confirmed_at=now)
            update_records(
                connection,
                payouts.payouts,
                [{"id": confirmed.id, "status": confirmed.status, "confirmed_at": now}],
            )
            return [payout_event(confirmed, event.PAYOUT_CONFIRMED)]
        case Purpose.sweep:
            sweep = sweeps.lock_one(connection, row.subject)
            assert sweep is not None
            collected = replace(sweep, status=SweepStatus.confirmed.value)
            update_records(
                connection, sweeps.sweeps, [{"id": collected.id, "status": collected.status}]
            )
            return [sweep_event(collected, event.SWEEP_CONFIRMED)]
        case Purpose.topup:
            return []
