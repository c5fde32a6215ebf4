"""Aliases: rows, and whose an e-mail address or a handle is."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Table,
    Text,
    func,
    select,
    text,
    update,
)

from sakk.core.alias import HELD, Alias, AliasStatus
from sakk.store.database import fetch_one, insert_records
from sakk.store.schema import Document, Timestamp, metadata

aliases = Table(
    "aliases",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("kind", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("code_hash", Text),
    Column("code_expires_at", Timestamp),
    Column("activated_at", Timestamp),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_aliases_account", "account_id", "livemode", "id"),
    # Whoever has it, or had it, until the operator frees it.
    Index(
        "uq_aliases_held",
        "livemode",
        "kind",
        "value",
        unique=True,
        postgresql_where=text("status in ('active', 'released')"),
    ),
)


def insert(connection: Connection, alias: Alias) -> None:
    insert_records(connection, aliases, [alias])


def find(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> Alias | None:
    """An alias of an account; of any where ``account_id`` is None."""
    c = aliases.c
    statement = select(aliases).where(c.id == identifier, c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(c.account_id == account_id)
    return fetch_one(connection, statement.with_for_update() if lock else statement, Alias)


def find_own(
    connection: Connection, *, account_id: str, livemode: bool, kind: str, value: str
) -> Alias | None:
    """An account's alias of this value that it has, had or asked for."""
    c = aliases.c
    statement = select(aliases).where(
        c.account_id == account_id,
        c.livemode == livemode,
        c.kind == kind,
        c.value == value,
        c.status != AliasStatus.freed.value,
    )
    return fetch_one(connection, statement.limit(1), Alias)


def holder(connection: Connection, *, livemode: bool, kind: str, value: str) -> Alias | None:
    """Who has it, or gave it up and nobody else may."""
    c = aliases.c
    statement = select(aliases).where(
        c.livemode == livemode, c.kind == kind, c.value == value, c.status.in_(HELD)
    )
    return fetch_one(connection, statement, Alias)


def account_of(connection: Connection, *, livemode: bool, kind: str, value: str) -> str | None:
    """The account that is paid by this name now."""
    found = holder(connection, livemode=livemode, kind=kind, value=value)
    return None if found is None or found.status != AliasStatus.active else found.account_id


def first_handle(connection: Connection, *, account_id: str, livemode: bool) -> str | None:
    """The handle that an account has had longest."""
    c = aliases.c
    statement = (
        select(c.value)
        .where(
            c.account_id == account_id,
            c.livemode == livemode,
            c.kind == "handle",
            c.status == AliasStatus.active.value,
        )
        .order_by(c.id)
        .limit(1)
    )
    return connection.execute(statement).scalar_one_or_none()


def lock_account(connection: Connection, account_id: str) -> None:
    """Until this transaction ends nobody else adds aliases to an account."""
    connection.execute(
        select(func.pg_advisory_xact_lock(func.hashtextextended(f"aliases:{account_id}", 0)))
    )


def count(connection: Connection, *, account_id: str, livemode: bool) -> int:
    """How many an account has, had or asked for."""
    c = aliases.c
    statement = select(func.count()).where(
        c.account_id == account_id, c.livemode == livemode, c.status != AliasStatus.freed.value
    )
    return int(connection.execute(statement).scalar_one())


def change(connection: Connection, identifier: str, values: Mapping[str, Any]) -> None:
    connection.execute(update(aliases).where(aliases.c.id == identifier).values(dict(values)))
