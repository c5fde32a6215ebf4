"""Freezes: rows, and the conditions under which a claim leaves alone what they stop."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Table,
    Text,
    and_,
    any_,
    exists,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.freeze import Freeze, FreezeOrigin, Lift, LiftStatus
from sakk.core.payout import BANK
from sakk.core.transaction import ChainTransaction
from sakk.store.database import fetch_all, fetch_one, insert_records, row_of, update_records
from sakk.store.payout import payouts
from sakk.store.schema import Document, Timestamp, metadata
from sakk.store.sweep import sweeps
from sakk.store.transaction import transactions
from sakk.store.x402_payment import x402_payments

freezes = Table(
    "freezes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("network", Text),
    Column("asset", Text),
    Column("account_id", Text),
    Column("holds_rebroadcasts", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("signer_at", Timestamp),
    Column("lifted_at", Timestamp),
    Column("lift_reason", Text),
    Column("created", Timestamp, nullable=False),
    # Every claim of what goes out looks here: as a rule it is empty.
    Index("ix_freezes_in_force", "id", postgresql_where=text("lifted_at is null")),
)

# What one person asks to end, and another has to confirm.
lifts = Table(
    "freeze_lifts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("freeze", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("approvals", Document, nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    Index(
        "uq_freeze_lifts_proposed",
        "freeze",
        unique=True,
        postgresql_where=text("status = 'proposed'"),
    ),
)


def insert(connection: Connection, freeze: Freeze) -> bool:
    """Record a freeze; False if it is there already."""
    statement = upsert(freezes).values(row_of(freeze)).on_conflict_do_nothing()
    first = connection.execute(statement.returning(freezes.c.id)).scalar_one_or_none()
    return first is not None


def complete(connection: Connection, freeze: Freeze) -> None:
    """The signer's own telling came first: what only the order says is added."""
    connection.execute(
        update(freezes)
        .where(freezes.c.id == freeze.id, freezes.c.origin == FreezeOrigin.signer.value)
        .values(origin=freeze.origin, holds_rebroadcasts=freeze.holds_rebroadcasts)
    )


def find(connection: Connection, identifier: str) -> Freeze | None:
    return fetch_one(connection, select(freezes).where(freezes.c.id == identifier), Freeze)


def list_in_force(connection: Connection, *, lock: bool = False) -> list[Freeze]:
    """Those that nobody has lifted, oldest first."""
    statement = select(freezes).where(freezes.c.lifted_at.is_(None)).order_by(freezes.c.id)
    return fetch_all(connection, statement.with_for_update() if lock else statement, Freeze)


def known(connection: Connection, identifiers: Sequence[str]) -> set[str]:
    """Which of these the database has, lifted ones too."""
    statement = select(freezes.c.id).where(freezes.c.id.in_(list(identifiers)))
    return set(connection.execute(statement).scalars())


def note_signer(connection: Connection, identifiers: Sequence[str], *, now: datetime) -> None:
    """The signer has them."""
    connection.execute(
        update(freezes)
        .where(freezes.c.id.in_(list(identifiers)), freezes.c.signer_at.is_(None))
        .values(signer_at=now)
    )


def lift(connection: Connection, identifiers: Sequence[str], *, reason: str, now: datetime) -> None:
    """They are over, and what waited because of them is due at once."""
    connection.execute(
        update(freezes)
        .where(freezes.c.id.in_(list(identifiers)), freezes.c.lifted_at.is_(None))
        .values(lifted_at=now, lift_reason=reason)
    )
    for table in (payouts, sweeps):
        waiting = (table.c.status == "approved", table.c.transaction.is_(None))
        connection.execute(update(table).where(*waiting).values(retry_at=None))
    unsigned = transactions.c.status == "built"
    connection.execute(update(transactions).where(unsigned).values(retry_at=None))


def insert_lift(connection: Connection, row: Lift) -> None:
    insert_records(connection, lifts, [row])


def find_lift(connection: Connection, freeze: str) -> Lift | None:
    """The lift of a freeze that is proposed now, or was last; locked."""
    statement = (
        select(lifts)
        .where(lifts.c.freeze == freeze)
        .order_by(lifts.c.id.desc())
        .limit(1)
        .with_for_update()
    )
    return fetch_one(connection, statement, Lift)


def change_lift(connection: Connection, row: Lift, *fields: str) -> None:
    """Write these fields of a lift."""
    changed = {name: getattr(row, name) for name in ("id", *fields)}
    update_records(connection, lifts, [changed])


def signed_lifts(connection: Connection, identifiers: Sequence[str]) -> list[Lift]:
    """Of these freezes the lifts that were confirmed, and that people signed for the signer."""
    statement = select(lifts).where(
        lifts.c.freeze.in_(list(identifiers)), lifts.c.status == LiftStatus.confirmed.value
    )
    return [each for each in fetch_all(connection, statement, Lift) if each.approvals]


def is_account_stopped(connection: Connection, account_id: str) -> bool:
    """Does a freeze of everything, or of all that is an account's, stop what it pays?"""
    columns = freezes.c
    statement = select(columns.id).where(
        columns.lifted_at.is_(None),
        columns.network.is_(None),
        columns.asset.is_(None),
        or_(columns.account_id.is_(None), columns.account_id == account_id),
    )
    return connection.execute(statement.limit(1)).first() is not None


def account_may_pay(account: ColumnElement[str]) -> ColumnElement[bool]:
    """No freeze of everything, or of all that is the account's, stops what it pays."""
    return ~exists(
        select(freezes.c.id).where(
            freezes.c.lifted_at.is_(None),
            freezes.c.network.is_(None),
            freezes.c.asset.is_(None),
            or_(freezes.c.account_id.is_(None), freezes.c.account_id == account),
        )
    )


def payout_may_go() -> ColumnElement[bool]:
    """A payout that no freeze stops."""
    return ~_stopped(
        payouts.c.network,
        freezes.c.asset == payouts.c.asset,
        freezes.c.account_id == payouts.c.account_id,
    )


def bank_money_may_go(currency: ColumnElement[str]) -> ColumnElement[bool]:
    """Money at banks of a currency, which is no account's: a freeze of an account does not stop
    it."""
    return ~_stopped(literal(BANK), freezes.c.asset == literal("iso4217:").concat(currency))


def capture_may_go() -> ColumnElement[bool]:
    """An x402 payment that no freeze stops; an account's freeze does not, for the coins come in."""
    return ~_stopped(x402_payments.c.network, freezes.c.asset == x402_payments.c.asset)


def sweep_may_go() -> ColumnElement[bool]:
    """A sweep that no freeze stops; an account's freeze does not, for the coins stay ours."""
    return ~_stopped(sweeps.c.network, freezes.c.asset == sweeps.c.asset)


def sender_may_go() -> ColumnElement[bool]:
    """A transaction that no freeze of all, or of its network, stops."""
    whole = (freezes.c.asset.is_(None), freezes.c.account_id.is_(None))
    return ~_stopped(transactions.c.network, None, whole=whole)


def bytes_may_go() -> ColumnElement[bool]:
    """A signed transaction that may be handed to a node, for the first time or again."""
    first = transactions.c.broadcast_at.is_(None)
    return ~_stopped(
        transactions.c.network,
        _of_asset(),
        _of_account(),
        whole=(or_(first, freezes.c.holds_rebroadcasts),),
    )


def more_may_be_offered() -> ColumnElement[bool]:
    """A sent transaction that no freeze stops; one that is to be called off may go all the same."""
    stopped = _stopped(transactions.c.network, _of_asset(), _of_account())
    return or_(~stopped, and_(transactions.c.asked == "cancel", sender_may_go()))


def stopping(connection: Connection, row: ChainTransaction) -> Freeze | None:
    """The freeze that stops a transaction right now; to be asked just before the act itself."""
    again = row.broadcast_at is not None
    statement = (
        select(freezes)
        .join(transactions, transactions.c.id == row.id)
        .where(
            *_fits(transactions.c.network, _of_asset(), _of_account()),
            *((freezes.c.holds_rebroadcasts,) if again else ()),
        )
        # One that stops the whole sender comes before one that stops this transaction alone.
        .order_by(freezes.c.account_id.nulls_first(), freezes.c.asset.nulls_first(), freezes.c.id)
        .limit(1)
    )
    return fetch_one(connection, statement, Freeze)


def _of_account() -> ColumnElement[bool]:
    """Does a transaction carry money of the freeze's account? It may carry that of many."""
    # Not EXISTS, for which the planner may read all payouts once instead of a transaction's.
    carried = select(payouts.c.account_id).where(payouts.c.transaction == transactions.c.id)
    return or_(
        freezes.c.account_id == transactions.c.account_id,
        freezes.c.account_id == any_(carried.correlate(transactions).scalar_subquery()),
    )


def _of_asset() -> ColumnElement[bool]:
    """Does a transaction move coins of the freeze's asset? A call of the hub moves many."""
    collected = select(sweeps.c.asset).where(sweeps.c.transaction == transactions.c.id)
    return or_(
        freezes.c.asset == transactions.c.asset,
        freezes.c.asset == any_(collected.correlate(transactions).scalar_subquery()),
    )


def _stopped(
    network: ColumnElement[Any],
    of_asset: ColumnElement[bool] | None,
    of_account: ColumnElement[bool] | None = None,
    *,
    whole: Sequence[ColumnElement[bool]] = (),
) -> ColumnElement[bool]:
    return exists(select(freezes.c.id).where(*_fits(network, of_asset, of_account), *whole))


def _fits(
    network: ColumnElement[Any],
    of_asset: ColumnElement[bool] | None,
    of_account: ColumnElement[bool] | None,
) -> list[ColumnElement[bool]]:
    """In force, and all that it names is so."""
    conditions = [
        freezes.c.lifted_at.is_(None),
        or_(freezes.c.network.is_(None), freezes.c.network == network),
    ]
    if of_asset is not None:
        conditions.append(or_(freezes.c.asset.is_(None), of_asset))
    no_account = freezes.c.account_id.is_(None)
    conditions.append(no_account if of_account is None else or_(no_account, of_account))
    return [and_(*conditions)]
