"""Payout batches: rows, their lines, and sums that are added up when they are asked for."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    exists,
    func,
    or_,
    select,
    update,
)

from sakk.core import ids
from sakk.core.payout import HoldStatus, Payout, PayoutStatus
from sakk.core.payout_batch import PayoutBatch, SkippedLine, Total
from sakk.store.database import among, fetch_all, fetch_one, insert_records
from sakk.store.lease import is_free
from sakk.store.payout import payouts
from sakk.store.schema import Document, Timestamp, metadata

payout_batches = Table(
    "payout_batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("description", Text),
    Column("metadata", Document, nullable=False),
    Column("allow_duplicates", Boolean, nullable=False),
    Column("canceled_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    Column("on_invalid", Text, nullable=False, server_default="refuse"),
    Column("skipped", Integer, nullable=False, server_default="0"),
    Column("asked", Text),
    Index("ix_payout_batches_account", "account_id", "livemode", "id"),
    Index("ix_payout_batches_digest", "account_id", "livemode", "digest"),
    Index("ix_payout_batches_asked", "account_id", "livemode", "asked"),
)

payout_batch_skipped_lines = Table(
    "payout_batch_skipped_lines",
    metadata,
    Column("id", Text, primary_key=True),
    Column("batch", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("line", Integer, nullable=False),
    Column("faults", Document, nullable=False),
    Column("said", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_payout_batch_skipped_lines_batch", "batch", "id"),
)

# A payout that came to nothing may be asked for again under the same reference.
_CAME_TO_NOTHING = (
    PayoutStatus.rejected.value,
    PayoutStatus.canceled.value,
    PayoutStatus.failed.value,
)
_CANCELABLE = (
    PayoutStatus.requested.value,
    PayoutStatus.screened.value,
    PayoutStatus.approved.value,
)


def insert(connection: Connection, batch: PayoutBatch, skipped: Sequence[SkippedLine]) -> None:
    """Record a batch, and the lines that are left out of it."""
    insert_records(connection, payout_batches, [batch])
    insert_records(connection, payout_batch_skipped_lines, skipped)


def list_skipped(connection: Connection, identifier: str) -> list[SkippedLine]:
    """All lines that were left out of a batch, in their order."""
    statement = (
        select(payout_batch_skipped_lines)
        .where(payout_batch_skipped_lines.c.batch == identifier)
        .order_by(payout_batch_skipped_lines.c.id)
    )
    return fetch_all(connection, statement, SkippedLine)


def find(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> PayoutBatch | None:
    """One batch of an account, or of any account for the operator (``account_id`` None)."""
    statement = select(payout_batches).where(
        payout_batches.c.id == identifier, payout_batches.c.livemode == livemode
    )
    if account_id is not None:
        statement = statement.where(payout_batches.c.account_id == account_id)
    if lock:
        statement = statement.with_for_update()
    return fetch_one(connection, statement, PayoutBatch)


def lock_account(connection: Connection, account_id: str, *, livemode: bool) -> None:
    """Until the transaction ends no other batch of the account is looked at for doubles."""
    key = ids.digest128("payout_batch", account_id, int(livemode)) >> 65
    connection.execute(select(func.pg_advisory_xact_lock(key)))


def known_references(
    connection: Connection, account_id: str, *, livemode: bool, references: Sequence[str]
) -> dict[str, str]:
    """Of the references given, those that a payout of the account has, with its id."""
    if not references:
        return {}
    rows = connection.execute(
        select(payouts.c.reference, payouts.c.id).where(
            payouts.c.account_id == account_id,
            payouts.c.livemode == livemode,
            payouts.c.reference.is_not(None),
            among(payouts.c.reference, references),
            payouts.c.status.not_in(_CAME_TO_NOTHING),
        )
    )
    return {row.reference: row.id for row in rows}


def find_same(
    connection: Connection,
    account_id: str,
    *,
    livemode: bool,
    digest: str,
    asked: str,
    since: datetime,
) -> str | None:
    """Another batch of the account that asked for the same not long ago. One that was canceled does
    not count where nothing of it goes on."""
    goes_on = exists().where(
        payouts.c.batch == payout_batches.c.id, payouts.c.status.not_in(_CAME_TO_NOTHING)
    )
    return connection.execute(
        select(payout_batches.c.id)
        .where(
            payout_batches.c.account_id == account_id,
            payout_batches.c.livemode == livemode,
            or_(payout_batches.c.digest == digest, payout_batches.c.asked == asked),
            payout_batches.c.created > since,
            payout_batches.c.canceled_at.is_(None) | goes_on,
        )
        .order_by(payout_batches.c.id.desc())
        .limit(1)
    ).scalar_one_or_none()


def list_unheld(connection: Connection, identifier: str) -> list[Payout]:
    """The payouts of a batch whose money the ledger was not asked for yet, as far as we know."""
    statement = (
        select(payouts)
        .where(
            payouts.c.batch == identifier,
            payouts.c.hold == HoldStatus.none.value,
            payouts.c.status == PayoutStatus.requested.value,
        )
        .order_by(payouts.c.line)
    )
    return fetch_all(connection, statement, Payout)


def totals(connection: Connection, identifiers: Sequence[str]) -> dict[str, list[Total]]:
    """Counts and sums by currency and status, added up from the payouts of each batch."""
    statement = (
        select(
            payouts.c.batch,
            payouts.c.currency,
            payouts.c.decimals,
            payouts.c.status,
            func.count().label("count"),
            func.sum(payouts.c.amount).label("amount"),
            func.sum(payouts.c.fee + payouts.c.service_fee + payouts.c.application_fee).label(
                "fee"
            ),
            func.count().filter(payouts.c.under_review).label("under_review"),
        )
        .where(payouts.c.batch.is_not(None), among(payouts.c.batch, identifiers))
        .group_by(payouts.c.batch, payouts.c.currency, payouts.c.decimals, payouts.c.status)
        .order_by(payouts.c.batch, payouts.c.currency, payouts.c.status)
    )
    found: dict[str, list[Total]] = {identifier: [] for identifier in identifiers}
    for total in fetch_all(connection, statement, Total):
        found[total.batch].append(total)
    return found


def cancel_lines(connection: Connection, identifier: str, *, now: datetime) -> list[Payout]:
    """Call off every payout of a batch that no transaction carries; what they are afterwards.

    Rows that a stage holds in a transaction of its own are waited for. Approved ones that are
    leased are being made into a transaction, and left; others are being screened.
    """
    statement = (
        update(payouts)
        .where(
            payouts.c.batch == identifier,
            payouts.c.hold == HoldStatus.held.value,
            payouts.c.status.in_(_CANCELABLE),
            payouts.c.transaction.is_(None),
            (payouts.c.status != PayoutStatus.approved.value) | is_free(payouts, now),
        )
        .values(
            status=PayoutStatus.canceled.value,
            under_review=False,
            canceled_at=now,
            lease_token=None,
            lease_until=None,
        )
        .returning(payouts)
    )
    found = fetch_all(connection, statement, Payout)
    return sorted(found, key=lambda each: each.line or 0)


def mark_canceled(connection: Connection, identifier: str, *, now: datetime) -> None:
    """Say when a batch was first called off."""
    connection.execute(
        update(payout_batches)
        .where(payout_batches.c.id == identifier, payout_batches.c.canceled_at.is_(None))
        .values(canceled_at=now)
    )
