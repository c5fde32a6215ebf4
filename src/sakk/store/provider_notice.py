"""Notices of providers: those that were told, so that each counts once."""

from datetime import datetime

from sqlalchemy import Column, Connection, Index, Table, Text, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.store.provider_order import UNDER_WAY, provider_orders
from sakk.store.schema import Timestamp, metadata

provider_notices = Table(
    "provider_notices",
    metadata,
    Column("bank_account", Text, primary_key=True),
    Column("notice", Text, primary_key=True),
    Column("received_at", Timestamp, nullable=False),
    Index("ix_provider_notices_received", "received_at"),
)


def remember(connection: Connection, bank_account: str, notice: str, *, now: datetime) -> bool:
    """False for one that was told before."""
    c = provider_notices.c
    statement = (
        upsert(provider_notices)
        .values(bank_account=bank_account, notice=notice, received_at=now)
        .on_conflict_do_nothing()
    )
    return connection.execute(statement.returning(c.notice)).scalar_one_or_none() is not None


def hint(
    connection: Connection, bank_account: str, *, key: str | None, reference: str | None
) -> int:
    """Have the provider asked now of the orders of one account that a notice may be about.

    By our key or its reference; one that was placed and whose reference is not known yet may be it.
    """
    c = provider_orders.c
    about = [c.payout == key] if key is not None else []
    if reference is not None:
        about += [c.reference == reference, c.reference.is_(None) & (c.status == "placing")]
    if not about:
        about = [c.status != "new"]
    statement = (
        update(provider_orders)
        .where(c.bank_account == bank_account, UNDER_WAY, or_(*about))
        .values(retry_at=None, hints=c.hints + 1)
    )
    return connection.execute(statement).rowcount


def forget(connection: Connection, *, before: datetime, limit: int) -> int:
    """Drop those that nobody would believe any more."""
    c = provider_notices.c
    old = (
        select(c.bank_account, c.notice)
        .where(c.received_at < before)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    return connection.execute(
        delete(provider_notices).where(
            c.bank_account == old.c.bank_account, c.notice == old.c.notice
        )
    ).rowcount
