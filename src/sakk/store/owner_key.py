"""Owner keys: rows and queries."""

from datetime import datetime

from sqlalchemy import Boolean, Column, Connection, Index, Table, Text, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.owner_key import OwnerKey
from sakk.store.database import fetch_one, row_of
from sakk.store.schema import Bytes, Timestamp, metadata

owner_keys = Table(
    "owner_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("address", Text, nullable=False),
    Column("name", Text),
    Column("signature", Bytes, nullable=False),
    Column("revoked_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    Index("ix_owner_keys_account", "account_id", "livemode", "id"),
    Index(
        "uq_owner_keys_address",
        "account_id",
        "livemode",
        "address",
        unique=True,
        postgresql_where=text("revoked_at IS NULL"),
    ),
)


def insert(connection: Connection, key: OwnerKey) -> bool:
    """Record a key; False where the account has it already."""
    statement = upsert(owner_keys).values(row_of(key)).on_conflict_do_nothing()
    return connection.execute(statement.returning(owner_keys.c.id)).first() is not None


def find(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool
) -> OwnerKey | None:
    return fetch_one(
        connection,
        select(owner_keys).where(
            owner_keys.c.id == identifier,
            owner_keys.c.account_id == account_id,
            owner_keys.c.livemode == livemode,
        ),
        OwnerKey,
    )


def find_address(
    connection: Connection, address: str, *, account_id: str, livemode: bool, lock: bool = False
) -> OwnerKey | None:
    """The account's key of this address that is not revoked, and with ``lock`` stays so."""
    statement = select(owner_keys).where(
        owner_keys.c.account_id == account_id,
        owner_keys.c.livemode == livemode,
        owner_keys.c.address == address,
        owner_keys.c.revoked_at.is_(None),
    )
    locked = statement.with_for_update(read=True) if lock else statement
    return fetch_one(connection, locked, OwnerKey)


def revoke(connection: Connection, identifier: str, *, now: datetime) -> None:
    """Mark a key revoked; the time of the first revocation stays."""
    connection.execute(
        update(owner_keys)
        .where(owner_keys.c.id == identifier, owner_keys.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )
