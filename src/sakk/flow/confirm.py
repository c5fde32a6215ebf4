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
from sakk.core.network import Network, Quirk
from sakk.core.payout import Payout, PayoutStatus, owed_posting, undone_posting
from sakk.core.posting import reversed_postings
from sakk.core.sweep import SweepStatus
from sakk.core.transaction import (
    REBROADCAST_AFTER,
    ChainTransaction,
    Purpose,
    TransactionStatus,
    rebroadcast_delay,
)
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.payout import hold_set, payout_event
from sakk.flow.stage import Stage, wake
from sakk.flow.sweep import confirm_collected, note_arrived, sweep_event
from sakk.flow.transaction import (
    Subject,
    arrived_units,
    collected_units,
    find_subject,
    finish_subject,
    settlement,
)
from sakk.rails.evm.rail import EvmRail, TransactionReference
from sakk.rails.evm.status import TransactionState
from sakk.rails.evm.status import TransactionStatus as ChainStatus
from sakk.store import address, network
from sakk.store import event as events
from sakk.store import payout as payouts
from sakk.store import sweep as sweeps
from sakk.store import transaction as store
from sakk.store.database import update_records
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, give_back, settle

BATCH_MAX = 100
_BOOKED = [TransactionStatus.posted.value, TransactionStatus.failed.value]

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
                | (table.c.orphaned & table.c.status.in_(_BOOKED)),
                token=token,
                now=parts.clock(),
                limit=BATCH_MAX,
                early=True,
            )
            networks = {each.network: each for each in network.list_networks(connection)}
            taking = {
                each.asset
                for each in network.list_assets(connection)
                if Quirk.fee_on_transfer in each.quirks
            }
        changed = 0
        for row in rows:
            try:
                changed += _look_up(parts, row, networks[row.network], taking, token=token)
            except SakkError as error:
                log.warning("confirm.waits", transaction=row.id, code=error.code)
                with parts.database.begin() as connection:
                    give_back(connection, table, [row.id], token=token, until=parts.clock())
        return changed

    return Stage("transaction.confirm", run)


def _look_up(
    parts: Parts, row: ChainTransaction, found: Network, taking: set[str], *, token: str
) -> int:
    assert row.hash is not None
    rail = parts.rail_of(found)
    chain = rail.status(
        TransactionReference(
            tx_hash=row.hash,
            sender=row.sender,
            nonce=row.nonce,
            since_block=row.since_block,
            confirmations=found.confirmations,
        )
    )
    change = _change(row, chain, found, now=parts.clock())
    collected: dict[str, int] = {}
    if change is not None and change.get("succeeded"):
        if row.purpose == Purpose.collect:
            collected = _collected(parts, rail, row, chain, taking)
        else:
            takes_fee = row.asset in taking
            change["arrived_units"] = arrived_units(rail, row, chain, takes_fee=takes_fee)
    if row.orphaned and change is not None and "status" in change:
        return _record_again(parts, row, change, collected, found, token=token)
    failpoint("transaction.confirm.before")
    with parts.database.begin() as connection:
        if change is None:
            give_back(connection, store.transactions, [row.id], token=token, until=parts.clock())
            return 0
        kept = {"retry_at": row.retry_at, "failures": row.failures}
        settled = settle(
            connection, store.transactions, [{"id": row.id, **kept, **change}], token=token
        )
        if settled and "status" in change:
            now = parts.clock()
            happened = _follow_subject(connection, row, change, collected, now)
            events.append(connection, happened, now=now)
            wake(connection, "transaction.settle")
    failpoint("transaction.confirm.after")
    return settled if "status" in change else 0


def _collected(
    parts: Parts, rail: EvmRail, row: ChainTransaction, chain: ChainStatus, taking: set[str]
) -> dict[str, int]:
    with parts.database.begin() as connection:
        carried = sweeps.of_transaction(connection, row.id)
        treasuries = {each.address for each in address.list_treasury(connection)}
    return collected_units(rail, row, carried, chain, treasuries=treasuries, taking_fees=taking)


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
                "arrived_units": 0,
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
            # Out of the pool and not in a block: the same bytes go out again, soon.
            gone = {"block_number": None, "block_hash": None, "retry_at": _soon(row)}
            now_known = {name: getattr(row, name) for name in gone}
            return gone if gone != now_known else None
        case TransactionState.pending:
            return None if row.block_hash is None else {"block_number": None, "block_hash": None}
        case _:
            return None


def _soon(row: ChainTransaction) -> datetime | None:
    """When a lost transaction is sent again: at most so often as one that was never taken."""
    if row.retry_at is None or not row.broadcasts:
        return None
    last = row.retry_at - rebroadcast_delay(row.broadcasts - 1)
    return min(row.retry_at, last + REBROADCAST_AFTER)


def _record_again(
    parts: Parts,
    row: ChainTransaction,
    change: dict[str, Any],
    collected: dict[str, int],
    found: Network,
    *,
    token: str,
) -> int:
    """A booked transaction lost its block and has another: book what is different this time."""
    facts = ("succeeded", "gas_cost", "arrived_units", "block_number", "block_hash")
    known: dict[str, Any] = {name: change.get(name) for name in facts}
    again = replace(row, orphaned=False, **known)
    status = TransactionStatus.posted if again.succeeded else TransactionStatus.failed
    with parts.database.begin() as connection:
        subject = find_subject(connection, row)
    after = _after(subject, collected)
    if not _book_again(parts, row, again, subject, after, native=found.native_asset):
        log.error("confirm.again_refused", transaction=row.id)
        with parts.database.begin() as connection:
            give_back(connection, store.transactions, [row.id], token=token, until=parts.clock())
        return 0
    now = parts.clock()
    with parts.database.begin() as connection:
        settled = settle(
            connection,
            store.transactions,
            [
                {
                    "id": row.id,
                    "status": status.value,
                    "orphaned": False,
                    **known,
                }
            ],
            token=token,
        )
        if settled and subject != after:
            log.error("confirm.collection_changed", transaction=row.id)
            note_arrived(connection, row.id, collected)
        if settled and again.succeeded != row.succeeded:
            log.error("confirm.outcome_changed", transaction=row.id, succeeded=again.succeeded)
        if settled and (again.succeeded != row.succeeded or subject != after):
            events.append(connection, finish_subject(connection, again, now=now), now=now)
    return settled


def _after(subject: Subject, collected: dict[str, int]) -> Subject:
    """The sweeps of a call of the hub as they end this time; anything else as it is."""
    if not isinstance(subject, tuple):
        return subject
    return tuple(replace(each, arrived_units=collected.get(each.id, 0)) for each in subject)


def _book_again(
    parts: Parts,
    row: ChainTransaction,
    again: ChainTransaction,
    subject: Subject,
    after: Subject,
    *,
    native: str,
) -> bool:
    """Undo what was booked and book what is true now; nothing where both are the same."""
    step = f"again:{again.block_hash}"
    was = settlement(row, subject, native=native)
    now_true = settlement(again, after, native=native)
    sets = []
    if was != now_true:
        undo = reversed_postings(was, TransferCode.transaction_undone)
        sets.append(PostingSet(row.id, step, 0, [*undo, *now_true]))
    if isinstance(subject, Payout) and again.succeeded != row.succeeded:
        if not again.succeeded:
            sets.append(PostingSet(subject.id, step, 0, [undone_posting(subject)]))
        elif not _post_hold(parts, subject, step):
            sets.append(PostingSet(subject.id, f"owed:{step}", 0, [owed_posting(subject)]))
    return all(outcome.booked for outcome in parts.books.post(sets))


def _post_hold(parts: Parts, payout: Payout, step: str) -> bool:
    """A failed payout's hold may not have been given back yet: then it is posted as usual."""
    outcome = parts.books.settle_hold(hold_set(payout), step=step, attempt=0, void=False)
    return outcome.booked


def _follow_subject(
    connection: Connection,
    row: ChainTransaction,
    change: dict[str, Any],
    collected: dict[str, int],
    now: datetime,
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
            swept = replace(sweep, status=SweepStatus.confirmed.value)
            update_records(connection, sweeps.sweeps, [{"id": swept.id, "status": swept.status}])
            return [sweep_event(swept, event.SWEEP_CONFIRMED)]
        case Purpose.collect:
            return confirm_collected(connection, row.id, collected)
        case Purpose.topup:
            return []
