"""Settle: book what a final transaction did: the hold, the coins, and the gas in any case."""

from datetime import datetime

import structlog
from sqlalchemy import Connection

from sakk.core.payout import Payout
from sakk.core.transaction import ChainTransaction, GasCoin, TransactionStatus
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.payout import hold_set
from sakk.flow.stage import Stage
from sakk.flow.transaction import Subject, find_subject, finish_subject, settlement
from sakk.ledger.types import CreateTransferStatus
from sakk.store import event as events
from sakk.store import network
from sakk.store import transaction as store
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, given_back_on_error, retry_delay, settle

BATCH_MAX = 100

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
            coins = network.gas_coins(connection)
            subjects = _subjects(connection, rows)
        with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
            for row in rows:
                failpoint("transaction.settle.before")
                booked = _book(parts, row, subjects.get(row.subject), coins[row.network])
                failpoint("transaction.settle.after")
                with parts.database.begin() as connection:
                    _record(connection, row, booked=booked, token=token, now=parts.clock())
        return len(rows)

    return Stage("transaction.settle", run)


def _subjects(connection: Connection, rows: list[ChainTransaction]) -> dict[str, Subject]:
    found = {row.subject: find_subject(connection, row) for row in rows}
    return {identifier: subject for identifier, subject in found.items() if subject is not None}


def _book(parts: Parts, row: ChainTransaction, subject: Subject, coin: GasCoin) -> bool:
    """Post everything the transaction did, all or none; False if the ledger refused."""
    if row.succeeded and isinstance(subject, Payout) and not _post_hold(parts, row, subject):
        return False
    moved = settlement(row, subject, coin=coin)
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
        events.append(connection, finish_subject(connection, row, now=now), now=now)
