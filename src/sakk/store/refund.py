"""Refunds: rows and queries."""

from collections.abc import Collection, Sequence

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    func,
    select,
    text,
    update,
)

from sakk.core.payout import HoldStatus, PayoutStatus
from sakk.core.refund import LIVE, Refund, RefundStatus
from sakk.store.database import among, due, fetch_all, fetch_one, insert_records
from sakk.store.lease import NOW, lease_columns
from sakk.store.payin import payins
from sakk.store.payment import lock_many, payment_intents
from sakk.store.payout import payouts
from sakk.store.schema import Document, Timestamp, Units, metadata

refunds = Table(
    "refunds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("payment_intent", Text),
    Column("payin", Text),
    Column("source", Text, nullable=False),
    Column("amount", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("coin", Text, nullable=False),
    Column("coin_amount", Units, nullable=False),
    Column("coin_decimals", Integer, nullable=False),
    Column("fee", Units, server_default="0"),
    Column("fee_mode", Text, nullable=False, server_default="merchant"),
    Column("service_fee", Units, nullable=False, server_default="0"),
    Column("fee_terms", Document),
    Column("fee_returned", Units, nullable=False, server_default="0"),
    Column("refund_application_fee", Boolean),
    Column("network", Text),
    Column("asset", Text),
    Column("token_amount", Units),
    Column("destination", Text),
    Column("status", Text, nullable=False),
    Column("hold", Text, nullable=False),
    Column("payout", Text),
    Column("tx_hash", Text),
    Column("reason", Text),
    Column("failure_reason", Text),
    Column("description", Text),
    Column("metadata", Document, nullable=False),
    Column("initiator", Text),
    Column("initiator_person", Text),
    Column("claim_hash", Text),
    Column("claim_expires_at", Timestamp),
    Column("claimed_at", Timestamp),
    Column("canceled_at", Timestamp),
    Column("succeeded_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    Index("ix_refunds_account", "account_id", "livemode", "id"),
    Index("ix_refunds_payment_intent", "payment_intent", "id"),
    Index("ix_refunds_payin", "payin", "id"),
    Index("uq_refunds_claim", "claim_hash", unique=True),
    Index("uq_refunds_payout", "payout", unique=True),
    Index(
        "ix_refunds_work",
        "status",
        "hold",
        postgresql_where=text(
            "status in ('requires_action', 'pending') or (hold = 'held' and payout is null)"
        ),
    ),
)

_ENDED = [
    PayoutStatus.posted.value,
    PayoutStatus.rejected.value,
    PayoutStatus.canceled.value,
    PayoutStatus.failed.value,
]


def insert(connection: Connection, refund: Refund) -> None:
    insert_records(connection, refunds, [refund])


def find(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
) -> Refund | None:
    """One refund of an account, or of any account for the operator (``account_id`` None)."""
    statement = select(refunds).where(refunds.c.id == identifier, refunds.c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(refunds.c.account_id == account_id)
    return fetch_one(connection, statement, Refund)


def lock_one(connection: Connection, identifier: str) -> Refund | None:
    """One refund by its id alone, locked; its payment intent is locked before, if it changes."""
    statement = select(refunds).where(refunds.c.id == identifier).with_for_update()
    return fetch_one(connection, statement, Refund)


def lock_carried(connection: Connection, transaction: str) -> None:
    """Lock the refunds that a transaction's payouts carry out: after their intents and before the
    payouts, as everybody does."""
    c = refunds.c
    carried = select(c.id, c.payment_intent).join(payouts, payouts.c.id == c.payout)
    rows = connection.execute(carried.where(payouts.c.transaction == transaction)).all()
    if rows:
        lock_many(connection, {row.payment_intent for row in rows if row.payment_intent})
        _lock(connection, among(c.id, sorted(row.id for row in rows)))


def lock_live(connection: Connection, *, intents: Collection[str], payins: Collection[str]) -> None:
    """Lock the refunds that count against these, in one order by everybody; see `list_live`."""
    c = refunds.c
    of_these = among(c.payment_intent, sorted(intents)) | among(c.payin, sorted(payins))
    _lock(connection, of_these & c.status.in_(LIVE))


def _lock(connection: Connection, which: ColumnElement[bool]) -> None:
    statement = select(refunds.c.id).where(which).order_by(refunds.c.id).with_for_update()
    connection.execute(statement).all()


def find_intent(connection: Connection, identifier: str) -> str | None:
    """The payment intent of a refund, which never changes."""
    return connection.execute(
        select(refunds.c.payment_intent).where(refunds.c.id == identifier)
    ).scalar_one_or_none()


def find_claim(connection: Connection, claim_hash: str) -> Refund | None:
    """The refund whose claim link has this token's hash."""
    return fetch_one(connection, select(refunds).where(refunds.c.claim_hash == claim_hash), Refund)


def list_live(
    connection: Connection, *, payment_intent: str | None = None, payin: str | None = None
) -> list[Refund]:
    """The refunds that count against a payment intent's cap, or a pay-in's, newest first."""
    of_what = (
        refunds.c.payin == payin
        if payin is not None
        else (refunds.c.payment_intent == payment_intent) & refunds.c.payin.is_(None)
    )
    statement = (
        select(refunds).where(of_what, refunds.c.status.in_(LIVE)).order_by(refunds.c.id.desc())
    )
    return fetch_all(connection, statement, Refund)


def sum_live(connection: Connection, payment_intent: str) -> int:
    """What goes back of what was credited for a payment intent, in its unit; lock it before."""
    return sum(each.amount for each in list_live(connection, payment_intent=payment_intent))


def carried_by(connection: Connection, sources: Sequence[str]) -> dict[str, str]:
    """Which refund each of some payouts carries out, where it carries one."""
    statement = select(refunds.c.payout, refunds.c.id).where(refunds.c.payout.in_(sources))
    return {row.payout: row.id for row in connection.execute(statement)}


def find_by_payout(connection: Connection, payout: str) -> Refund | None:
    """The refund that a payout carries out."""
    return fetch_one(connection, select(refunds).where(refunds.c.payout == payout), Refund)


def any_with_application_fee(connection: Connection, identifiers: Sequence[str]) -> bool:
    """Does one of these refunds say by itself that a platform's fee goes back?"""
    statement = select(refunds.c.id).where(
        among(refunds.c.id, identifiers), refunds.c.refund_application_fee.is_(True)
    )
    return connection.execute(statement.limit(1)).first() is not None


# Pending refunds whose payout has come to its end, or has a transaction since, by their ids.
moved = due(
    select(refunds.c.id)
    .join(payouts, payouts.c.id == refunds.c.payout)
    .where(
        refunds.c.status == RefundStatus.pending.value,
        among(payouts.c.status, _ENDED) | payouts.c.tx_hash.is_distinct_from(refunds.c.tx_hash),
    ),
    str,
    refunds.c.id,
)


# Refunds whose payer did not say where to in time, by their ids.
overdue = due(
    select(refunds.c.id).where(
        refunds.c.status == RefundStatus.requires_action.value,
        refunds.c.hold == HoldStatus.held.value,
        refunds.c.claim_expires_at <= NOW,
    ),
    str,
    refunds.c.id,
)


def reopen(connection: Connection, payout: str) -> None:
    """The chain decided on a payout once more: the refund that it carries is looked at again."""
    reopened = connection.execute(
        update(refunds)
        .where(
            refunds.c.payout == payout,
            refunds.c.status.in_([RefundStatus.succeeded.value, RefundStatus.failed.value]),
        )
        .values(status=RefundStatus.pending.value)
        .returning(refunds.c.payment_intent)
    ).scalars()
    count_refunded(connection, [each for each in reopened if each is not None])


def count_refunded(connection: Connection, intents: Sequence[str]) -> None:
    """Write what the refunds that count add up to on their payment intents, which are locked.

    Of a pay-in's own refunds those count whose pay-in counted towards the intent.
    """
    total = (
        select(func.coalesce(func.sum(refunds.c.amount), 0))
        .select_from(refunds.outerjoin(payins, payins.c.id == refunds.c.payin))
        .where(
            refunds.c.payment_intent == payment_intents.c.id,
            refunds.c.status.in_(LIVE),
            refunds.c.payin.is_(None) | payins.c.counts,
        )
        .scalar_subquery()
    )
    connection.execute(
        update(payment_intents)
        .where(payment_intents.c.id.in_(sorted(intents)))
        .values(amount_refunded=total)
    )
