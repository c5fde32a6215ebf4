"""Recoveries: rows and queries."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    exists,
    func,
    or_,
    select,
    text,
)

from sakk.core.adoption import AdoptionStatus
from sakk.core.payin import PayInStatus
from sakk.core.recovery import LIVE, Recovery, recovery_id
from sakk.core.refund import RefundStatus
from sakk.core.sweep import SweepSource, SweepStatus
from sakk.store.adoption import adoptions
from sakk.store.database import among, due, fetch_one, insert_records
from sakk.store.payin import payins
from sakk.store.schema import Timestamp, Units, metadata
from sakk.store.sweep import sweeps

recoveries = Table(
    "recoveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("network", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("key_index", BigInteger, nullable=False),
    Column("token_amount", Units, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("source", Text, nullable=False),
    Column("account_id", Text),
    Column("payment_intent", Text),
    Column("payin", Text),
    Column("case_id", Text),
    Column("status", Text, nullable=False),
    Column("destination", Text),
    Column("screening", Text),
    Column("under_review", Boolean, nullable=False),
    Column("initiator", Text),
    Column("initiator_person", Text),
    Column("policy_version", Text),
    Column("rule", Text),
    Column("approvals_needed", Integer, nullable=False, server_default="0"),
    Column("approver_role", Text),
    Column("decided_at", Timestamp),
    Column("sweep", Text),
    Column("tx_hash", Text),
    Column("failure_reason", Text),
    Column("claim_hash", Text),
    Column("claim_expires_at", Timestamp),
    Column("claimed_at", Timestamp),
    Column("succeeded_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    # Two recoveries at once would send the same coins twice.
    Index(
        "uq_recoveries_live",
        "address",
        "asset",
        unique=True,
        postgresql_where=text("status in ('requires_action', 'pending')"),
    ),
    Index("uq_recoveries_claim", "claim_hash", unique=True),
    Index("ix_recoveries_payin", "payin"),
    Index(
        "ix_recoveries_work",
        "status",
        postgresql_where=text("status in ('requires_action', 'pending')"),
    ),
)


def lock_unsent(connection: Connection, *, address: str, asset: str, units: int) -> Recovery | None:
    """The recovery of coins of an address that no sweep carries out yet, locked."""
    statement = select(recoveries).where(
        recoveries.c.address == address,
        recoveries.c.asset == asset,
        recoveries.c.token_amount == units,
        recoveries.c.status.in_(LIVE),
        recoveries.c.sweep.is_(None),
    )
    return fetch_one(connection, statement.limit(1).with_for_update(), Recovery)


def insert(connection: Connection, recovery: Recovery) -> None:
    insert_records(connection, recoveries, [recovery])


def find(connection: Connection, identifier: str, *, lock: bool = False) -> Recovery | None:
    statement = select(recoveries).where(recoveries.c.id == identifier)
    return fetch_one(connection, statement.with_for_update() if lock else statement, Recovery)


def find_claim(connection: Connection, claim_hash: str, *, lock: bool = False) -> Recovery | None:
    """The recovery whose claim link has this token's hash."""
    statement = select(recoveries).where(recoveries.c.claim_hash == claim_hash)
    return fetch_one(connection, statement.with_for_update() if lock else statement, Recovery)


def find_live(connection: Connection, *, address: str, asset: str) -> Recovery | None:
    """The recovery that claims an asset on an address now."""
    statement = select(recoveries).where(
        recoveries.c.address == address,
        recoveries.c.asset == asset,
        recoveries.c.status.in_(LIVE),
    )
    return fetch_one(connection, statement, Recovery)


def is_payin_claimed(connection: Connection, payin: str) -> bool:
    """Is a pay-in about to go back?"""
    statement = select(recoveries.c.id).where(
        recoveries.c.payin == payin, recoveries.c.status.in_(LIVE)
    )
    return connection.execute(statement.limit(1)).first() is not None


def is_returning(payin: ColumnElement[str]) -> ColumnElement[bool]:
    """The same, as a condition on pay-ins."""
    live = or_(*(recoveries.c.status == status for status in LIVE))
    return exists().where(recoveries.c.payin == payin, live)


# Recoveries whose destination is known and was not looked at, locked.
unscreened = due(
    select(recoveries).where(
        recoveries.c.status == RefundStatus.pending.value,
        recoveries.c.sweep.is_(None),
        recoveries.c.decided_at.is_(None),
        ~recoveries.c.under_review,
    ),
    Recovery,
    recoveries.c.id,
    lock=recoveries,
)


_ENDED = (SweepStatus.posted, SweepStatus.failed, SweepStatus.rejected, SweepStatus.canceled)
# Pending recoveries whose sweep has come to its end, or has a transaction since; locked.
moved = due(
    select(recoveries)
    .join(sweeps, sweeps.c.id == recoveries.c.sweep)
    .where(
        recoveries.c.status == RefundStatus.pending.value,
        among(sweeps.c.status, [each.value for each in _ENDED])
        | sweeps.c.tx_hash.is_distinct_from(recoveries.c.tx_hash),
    ),
    Recovery,
    recoveries.c.id,
    lock=recoveries,
)


def lock_ended(connection: Connection, sweep: str) -> Recovery | None:
    """The recovery that a sweep carried out, or did not, locked."""
    ended = [RefundStatus.succeeded.value, RefundStatus.failed.value]
    statement = select(recoveries).where(
        recoveries.c.id == recovery_id(sweep), recoveries.c.status.in_(ended)
    )
    return fetch_one(connection, statement.with_for_update(), Recovery)


def in_suspense(connection: Connection, *, address: str, asset: str) -> dict[SweepSource, int]:
    """Atomic units on an address that stand in suspense, by how they came, less what went back."""
    waiting = connection.execute(
        select(func.coalesce(func.sum(payins.c.suspense_units), 0)).where(
            payins.c.address == address,
            payins.c.asset == asset,
            payins.c.status.in_([PayInStatus.posted.value, PayInStatus.released.value]),
        )
    ).scalar_one()
    adopted = connection.execute(
        select(func.coalesce(func.sum(adoptions.c.token_amount), 0)).where(
            adoptions.c.address == address,
            adoptions.c.asset == asset,
            adoptions.c.status == AdoptionStatus.posted.value,
        )
    ).scalar_one()
    found = {SweepSource.suspense: int(waiting), SweepSource.adopted: int(adopted)}
    for source in found:
        gone = connection.execute(
            select(func.coalesce(func.sum(recoveries.c.token_amount), 0)).where(
                recoveries.c.address == address,
                recoveries.c.asset == asset,
                recoveries.c.source == source.value,
                recoveries.c.status.in_([*LIVE, RefundStatus.succeeded.value]),
            )
        ).scalar_one()
        found[source] -= int(gone)
    return found
