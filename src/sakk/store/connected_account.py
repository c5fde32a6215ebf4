"""Connected accounts: rows, and whether a platform acts for an account now."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    func,
    or_,
    select,
    text,
    update,
)

from sakk.core.connected_account import ConnectedAccount, ConnectionStatus
from sakk.store.database import fetch_all, fetch_one, insert_records
from sakk.store.schema import Document, Timestamp, metadata

connected_accounts = Table(
    "connected_accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("permissions", ARRAY(Text), nullable=False),
    Column("fee_ppm_max", Integer, nullable=False),
    Column("metadata", Document, nullable=False),
    Column("accepted_at", Timestamp),
    Column("ended_at", Timestamp),
    Column("ended_by", Text),
    Column("created", Timestamp, nullable=False),
    Index("ix_connected_accounts_account", "account_id", "livemode", "id"),
    Index("ix_connected_accounts_platform", "platform", "livemode", "id"),
    # One at a time between two accounts, asked for or agreed to.
    Index(
        "uq_connected_accounts_standing",
        "platform",
        "account_id",
        "livemode",
        unique=True,
        postgresql_where=text("status <> 'ended'"),
    ),
)


def insert(connection: Connection, connected: ConnectedAccount) -> None:
    insert_records(connection, connected_accounts, [connected])


def find(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> ConnectedAccount | None:
    """A connection that an account is a side of; any where ``account_id`` is None."""
    c = connected_accounts.c
    statement = select(connected_accounts).where(c.id == identifier, c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(or_(c.account_id == account_id, c.platform == account_id))
    return fetch_one(
        connection, statement.with_for_update() if lock else statement, ConnectedAccount
    )


def find_standing(
    connection: Connection, *, platform: str, account_id: str, livemode: bool
) -> ConnectedAccount | None:
    """The connection between two accounts that is asked for or agreed to."""
    c = connected_accounts.c
    statement = select(connected_accounts).where(
        c.platform == platform,
        c.account_id == account_id,
        c.livemode == livemode,
        c.status != ConnectionStatus.ended.value,
    )
    return fetch_one(connection, statement, ConnectedAccount)


def lock_platform(connection: Connection, platform: str) -> None:
    """One connection of a platform is asked for at a time: so that their number holds."""
    key = func.hashtextextended(f"connected_accounts:{platform}", 0)
    connection.execute(select(func.pg_advisory_xact_lock(key)))


def count_pending(connection: Connection, platform: str, *, livemode: bool) -> int:
    """How many of a platform's connections wait for a merchant's word."""
    c = connected_accounts.c
    statement = select(func.count()).where(
        c.platform == platform,
        c.livemode == livemode,
        c.status == ConnectionStatus.pending.value,
    )
    return int(connection.execute(statement).scalar_one())


def is_platform(connection: Connection, account_id: str, *, livemode: bool) -> bool:
    """Does an account act for others, or ask to, or did it?"""
    c = connected_accounts.c
    newest = (
        select(c.id)
        .where(c.platform == account_id, c.livemode == livemode)
        .order_by(c.id.desc())
        .limit(1)
    )
    return connection.execute(newest).first() is not None


def list_asked(
    connection: Connection, account_id: str, *, livemode: bool, limit: int
) -> list[ConnectedAccount]:
    """Of the newest connections of an account those that wait for its word."""
    c = connected_accounts.c
    newest = (
        select(connected_accounts)
        .where(c.account_id == account_id, c.livemode == livemode)
        .order_by(c.id.desc())
        .limit(limit)
        .subquery()
    )
    statement = select(newest).where(newest.c.status == ConnectionStatus.pending.value)
    return fetch_all(connection, statement.order_by(newest.c.id.desc()), ConnectedAccount)


def change(connection: Connection, identifier: str, values: Mapping[str, Any]) -> None:
    connection.execute(
        update(connected_accounts).where(connected_accounts.c.id == identifier).values(dict(values))
    )
