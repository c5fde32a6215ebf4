"""Branding: a row an account."""

from collections.abc import Iterable

from sqlalchemy import ARRAY, Column, Connection, Index, Table, Text, select
from sqlalchemy.dialects.postgresql import insert

from sakk.core.branding import Branding
from sakk.store.database import among, fetch_one, row_of
from sakk.store.schema import Bytes, Timestamp, metadata

brandings = Table(
    "brandings",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("logo", Bytes),
    Column("logo_hash", Text),
    Column("color", Text),
    Column("support_email", Text),
    Column("support_url", Text),
    Column("support_phone", Text),
    Column("origins", ARRAY(Text), nullable=False),
    Column("updated", Timestamp, nullable=False),
    Index("ix_brandings_logo", "logo_hash"),
)


def find(connection: Connection, account_id: str, *, lock: bool = False) -> Branding | None:
    """An account's branding, locked for a change if asked."""
    statement = select(brandings).where(brandings.c.account_id == account_id)
    if lock:
        statement = statement.with_for_update()
    return fetch_one(connection, statement, Branding)


def put(connection: Connection, branding: Branding) -> None:
    row = row_of(branding)
    connection.execute(
        insert(brandings)
        .values(**row)
        .on_conflict_do_update(
            index_elements=["account_id"],
            set_={name: value for name, value in row.items() if name != "account_id"},
        )
    )


def find_logos(connection: Connection, accounts: Iterable[str]) -> dict[str, str]:
    """The hashes of accounts' logos, of those that have one."""
    c = brandings.c
    statement = select(c.account_id, c.logo_hash).where(
        among(c.account_id, accounts), c.logo_hash.is_not(None)
    )
    return {row.account_id: row.logo_hash for row in connection.execute(statement)}


def find_logo(connection: Connection, logo_hash: str) -> bytes | None:
    """The picture with this hash."""
    statement = select(brandings.c.logo).where(brandings.c.logo_hash == logo_hash).limit(1)
    return connection.execute(statement).scalar_one_or_none()
