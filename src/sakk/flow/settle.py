"""Settle: book what a final transaction did: the hold, the coins, and the gas in any case."""

from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from sakk.core import event
from sakk.core import payout as payout_rules
from sakk.core import sweep as sweep_rules
from sakk.core.event import NewEvent
from sakk.core.payout import HoldStatus, Payout, PayoutStatus
from sakk.core.sweep import Sweep, SweepStatus
from sakk.core.transaction import (
    ChainTransaction,
    Purpose,
    TransactionStatus,
    gas_postings,
    topup_postings,
)
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.payout import hold_set, payout_event
from sakk.flow.stage import Stage, wake
from sakk.flow.sweep import sweep_event
from sakk.ledger.types import CreateTransferStatus
from sakk.store import address, network
from sakk.store import event as events
from sakk.store import payout as payouts
from sakk.store import sweep as sweeps
from sakk.store import transaction as store
from sakk.store.database import update_records
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, given_back_on_error, retry_delay, settle

BATCH_MAX = 100
SWEEP_AGAIN_AFTER = timedelta(hours=1)

log = structlog.get_logger(__name__)


def settle_stage(parts: Parts) -> Stage:
    """The stage that brings final transactions into the ledger."""
    table = store.transactions

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(
                connection,
                table,
                ChainTransaction,
                table.c.status == TransactionStatus.confirmed.value,
                token=token,
                now=parts.clock(),
                limit=BATCH_MAX,
            )
            natives = {
                each.network: each.native_asset for each in network.list_networks(connection)
            }
            subjects = _subjects(connection, rows)
        with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
            for row in rows:
                failpoint("transaction.settle.before")
                booked = _book(parts, row, subjects.get(row.subject), natives[row.network])
                failpoint("transaction.settle.after")
                with parts.database.begin() as connection:
                    _record(connection, row, booked=booked, token=token, now=parts.clock())
        return len(rows)

    return Stage("transaction.settle", run)


def _subjects(connection: Connection, rows: list[ChainTransaction]) -> dict[str, Payout | Sweep]:
    found: dict[str, Payout | Sweep] = {}
    for row in rows:
        subject = (
            sweeps.find(connection, row.subject)
            if row.purpose in (Purpose.sweep, Purpose.topup)
            else payouts.lock_one(connection, row.subject)
        )
        if subject is not None:
            found[row.subject] = subject
    return found


def _book(parts: Parts, row: ChainTransaction, subject: Payout | Sweep | None, native: str) -> bool:
    """Post everything the transaction did, all or none; False if the ledger refused."""
    moved = gas_postings(row, native_asset=native)
    if row.succeeded:
        match Purpose(row.purpose):
            case Purpose.topup:
                moved += topup_postings(row, native_asset=native)
            case Purpose.sweep:
                assert isinstance(subject, Sweep)
                moved += sweep_rules.postings(subject, arrived_units=row.arrived_units or 0)
            case Purpose.payout | Purpose.refund:
                assert isinstance(subject, Payout)
                if not _post_hold(parts, row, subject):
                    return False
                moved += payout_rules.settlement_postings(subject)
    [outcome] = parts.books.post([PostingSet(row.id, "settle", row.attempt, moved)])
    if not outcome.booked:
        log.error("settle.refused", transaction=row.id, why=str(outcome.refusal))
    return outcome.booked


def _post_hold(parts: Parts, row: ChainTransaction, payout: Payout) -> bool:
    outcome = parts.books.settle_hold(
        hold_set(payout), step="settle", attempt=row.attempt, void=False
    )
    if outcome.booked or outcome.refusal is CreateTransferStatus.pending_transfer_already_posted:
        return True
    log.error("settle.hold_refused", transaction=row.id, why=str(outcome.refusal))
    return False


def _record(
    connection: Connection, row: ChainTransaction, *, booked: bool, token: str, now: datetime
) -> None:
    if not booked:
        # Journalled as refused, so nothing of the set is booked: the next attempt has new ids.
        settle(
            connection,
            store.transactions,
            [
                {
                    "id": row.id,
                    "attempt": row.attempt + 1,
                    "failures": row.failures + 1,
                    "retry_at": now + retry_delay(row.failures),
                }
            ],
            token=token,
        )
        return
    status = TransactionStatus.posted if row.succeeded else TransactionStatus.failed
    settled = settle(
        connection,
        store.transactions,
        [{"id": row.id, "status": status.value, "posted_at": now}],
        token=token,
    )
    if settled:
        events.append(connection, _follow_subject(connection, row, now=now), now=now)


def _follow_subject(
    connection: Connection, row: ChainTransaction, *, now: datetime
) -> list[NewEvent]:
    match Purpose(row.purpose):
        case Purpose.topup:
            wake(connection, "sweep.build")
            return []
        case Purpose.sweep:
            return [_finish_sweep(connection, row, now=now)]
        case Purpose.payout | Purpose.refund:
            return [_finish_payout(connection, row, now=now)]


def _finish_payout(connection: Connection, row: ChainTransaction, *, now: datetime) -> NewEvent:
    payout = payouts.lock_one(connection, row.subject)
    assert payout is not None
    if row.succeeded:
        done = replace(
            payout,
            status=PayoutStatus.posted.value,
            hold=HoldStatus.posted.value,
            posted_at=now,
        )
        name = event.PAYOUT_POSTED
    else:
        done = replace(
            payout,
            status=PayoutStatus.failed.value,
            failure_code="transaction_failed",
            failure_message=row.error or "The transaction reverted on the chain.",
        )
        name = event.PAYOUT_FAILED
        wake(connection, "payout.release")
    fields = ("id", "status", "hold", "posted_at", "failure_code", "failure_message")
    update_records(connection, payouts.payouts, [{field: getattr(done, field) for field in fields}])
    return payout_event(done, name)


def _finish_sweep(connection: Connection, row: ChainTransaction, *, now: datetime) -> NewEvent:
    sweep = sweeps.lock_one(connection, row.subject)
    assert sweep is not None
    if row.succeeded:
        done = replace(sweep, status=SweepStatus.posted.value, posted_at=now)
        name = event.SWEEP_POSTED
        wake(connection, "payout.build")
    else:
        done = replace(sweep, status=SweepStatus.failed.value, failure_code="transaction_failed")
        name = event.SWEEP_FAILED
        address.add_deposits(connection, [(sweep.address, sweep.asset, sweep.token_amount)])
        sweeps.postpone(
            connection, address=sweep.address, asset=sweep.asset, until=now + SWEEP_AGAIN_AFTER
        )
    fields = ("id", "status", "posted_at", "failure_code")
    update_records(connection, sweeps.sweeps, [{field: getattr(done, field) for field in fields}])
    return sweep_event(done, name)
