"""Settle: book what a final transaction did: the hold, the coins, and the gas in any case."""

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy import Connection

from sakk.core.payout import Payout
from sakk.core.transaction import ChainTransaction, GasCoin, TransactionStatus
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.payout import hold_set
from sakk.flow.stage import REST_SECONDS, Stage
from sakk.flow.transaction import Subject, find_subject, finish_subject, settlement
from sakk.ledger.types import CreateTransferStatus
from sakk.store import event as events
from sakk.store import network
from sakk.store import transaction as store
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, given_back_on_error, retry_delay, settle

BATCH_MAX = 100

log = structlog.get_logger(__name__)

_due = claimable(
    store.transactions,
    ChainTransaction,
    store.transactions.c.status == TransactionStatus.confirmed.value,
    limit=BATCH_MAX,
)


def settle_stage(parts: Parts) -> Stage:
    """The stage that brings final transactions into the ledger."""
    table = store.transactions

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _due, token=token, now=parts.clock())
            if not rows:
                return 0
            coins = network.gas_coins(connection)
            subjects = {row.id: find_subject(connection, row) for row in rows}
        with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
            for row in rows:
                failpoint("transaction.settle.before")
                booked = _book(parts, row, subjects[row.id], coins[row.network])
                failpoint("transaction.settle.after")
                with parts.database.begin() as connection:
                    _record(connection, row, booked=booked, token=token, now=parts.clock())
        return len(rows)

    return Stage("transaction.settle", run, due=(_due,), rest_seconds=REST_SECONDS)


def _book(parts: Parts, row: ChainTransaction, subject: Subject, coin: GasCoin) -> bool:
    """Post everything the transaction did, all or none; False if the ledger refused."""
    paid = [payout for payout in _payouts(subject) if row.pays(payout.transaction_line)]
    if not _post_holds(parts, row, paid):
        return False
    moved = settlement(row, subject, coin=coin)
    [outcome] = parts.books.post([PostingSet(row.id, "settle", row.attempt, moved)])
    if not outcome.booked:
        log.error("settle.refused", transaction=row.id, why=str(outcome.refusal))
    return outcome.booked


def _payouts(subject: Subject) -> Sequence[Payout]:
    return subject if isinstance(subject, list) else ()


def _post_holds(parts: Parts, row: ChainTransaction, paid: Sequence[Payout]) -> bool:
    """Spend the holds of what was paid; one that was spent before is spent."""
    holds = [(hold_set(payout), row.attempt) for payout in paid]
    refused = [
        outcome
        for outcome in parts.books.settle_holds(holds, step="settle", void=False)
        if not outcome.booked
        and outcome.refusal is not CreateTransferStatus.pending_transfer_already_posted
    ]
    for outcome in refused:
        log.error("settle.hold_refused", transaction=row.id, why=str(outcome.refusal))
    return not refused


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
        events.append(connection, finish_subject(connection, row, now=now), now=now)
