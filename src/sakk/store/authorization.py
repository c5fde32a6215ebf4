"""Pre-signed authorizations: with one, a deposit address is swept without its key (EIP-7702)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Column, Connection, LargeBinary, Table, Text, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.store.database import among, fetch_all
from sakk.store.schema import Timestamp, metadata

authorizations = Table(
    "authorizations",
    metadata,
    Column("delegate", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("key_index", BigInteger, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("created", Timestamp, nullable=False),
)


@dataclass(frozen=True, slots=True)
class StoredAuthorization:
    """What a deposit address signed for a delegate: chain 0, nonce 0; 65 bytes of signature."""

    delegate: str
    address: str
    key_index: int
    signature: bytes
    created: datetime


def insert(connection: Connection, rows: Sequence[StoredAuthorization]) -> int:
    """Keep authorizations; how many were new."""
    if not rows:
        return 0
    values = [{name: getattr(row, name) for name in StoredAuthorization.__slots__} for row in rows]
    statement = upsert(authorizations).values(values).on_conflict_do_nothing()
    fresh = connection.execute(statement.returning(authorizations.c.address))
    return len(fresh.scalars().all())


def find(
    connection: Connection, delegate: str, addresses: Sequence[str]
) -> dict[str, StoredAuthorization]:
    """The authorizations for a delegate of those addresses that have one."""
    statement = select(authorizations).where(
        authorizations.c.delegate == delegate, among(authorizations.c.address, list(addresses))
    )
    return {row.address: row for row in fetch_all(connection, statement, StoredAuthorization)}


def count(connection: Connection, delegate: str) -> tuple[int, int | None]:
    """How many there are for a delegate, and the highest index; None without any."""
    row = connection.execute(
        select(func.count(), func.max(authorizations.c.key_index)).where(
            authorizations.c.delegate == delegate
        )
    ).one()
    return int(row[0]), row[1]


def is_known(connection: Connection, delegate: str) -> bool:
    """Was anything ever signed for this delegate, with our doing?"""
    found = select(authorizations.c.address).where(authorizations.c.delegate == delegate).limit(1)
    return connection.execute(found).scalar_one_or_none() is not None
