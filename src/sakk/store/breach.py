"""Breaches: rows and queries."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Boolean, Column, Connection, Index, Integer, Table, Text, select
from sqlalchemy.dialects.postgresql import insert

from sakk.core.breach import Breach
from sakk.store.database import fetch_all, row_of, update_records
from sakk.store.schema import Timestamp, Units, metadata

breaches = Table(
    "breaches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("network", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("other", Text, nullable=False),
    Column("asset", Text),
    Column("units", Units),
    Column("tx_hash", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("block_number", BigInteger),
    Column("block_hash", Text),
    Column("freeze", Text),
    Column("case", Text),
    Column("created", Timestamp, nullable=False),
    # Once, however often its block leaves the chain and comes back: who did it could.
    Index(
        "uq_breaches_act", "network", "tx_hash", "kind", "position", "address", "other", unique=True
    ),
)


def insert_new(connection: Connection, rows: Sequence[Breach]) -> list[Breach]:
    """Record breaches; those that were not known."""
    if not rows:
        return []
    statement = insert(breaches).on_conflict_do_nothing().returning(breaches.c.id)
    fresh = set(connection.execute(statement.values([row_of(row) for row in rows])).scalars())
    return [row for row in rows if row.id in fresh]


def set_consequences(connection: Connection, rows: Sequence[Breach]) -> None:
    """What they led to: the freeze and the case of each."""
    update_records(
        connection,
        breaches,
        [{"id": row.id, "freeze": row.freeze, "case": row.case} for row in rows],
    )


def list_newest(connection: Connection, *, limit: int) -> list[Breach]:
    statement = select(breaches).order_by(breaches.c.id.desc()).limit(limit)
    return fetch_all(connection, statement, Breach)
