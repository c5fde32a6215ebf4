"""Outflows: rows and queries."""

from collections.abc import Sequence

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from sakk.core.outflow import Outflow, OutflowStatus
from sakk.store.database import row_of
from sakk.store.lease import lease_columns
from sakk.store.schema import Timestamp, Units, metadata

outflows = Table(
    "outflows",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("network", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("token_amount", Units, nullable=False),
    Column("address", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("receiver", Text, nullable=False),
    Column("tx_hash", Text, nullable=False),
    Column("log_index", Integer, nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("block_hash", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("orphaned", Boolean, nullable=False),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    Index(
        "uq_outflows_log",
        "network",
        "block_hash",
        "tx_hash",
        "log_index",
        "address",
        "asset",
        unique=True,
        postgresql_where=text("status not in ('orphaned', 'reversed')"),
    ),
    Index("ix_outflows_work", "status", "network", postgresql_where=text("status = 'seen'")),
    Index("ix_outflows_orphaned", "status", postgresql_where=text("orphaned")),
)


def insert_seen(connection: Connection, rows: Sequence[Outflow]) -> set[str]:
    """Record outflows; one that is recorded already is left alone. Returns the ids of the new."""
    if not rows:
        return set()
    statement = insert(outflows).on_conflict_do_nothing(
        index_elements=["network", "block_hash", "tx_hash", "log_index", "address", "asset"],
        index_where=text("status not in ('orphaned', 'reversed')"),
    )
    fresh = connection.execute(statement.returning(outflows.c.id), [row_of(row) for row in rows])
    return set(fresh.scalars())


def revive(connection: Connection, network: str, hashes: Sequence[str]) -> int:
    """A block came back before its outflows were booked: they stand again; how many.

    A booked one may be on its way back: it is reversed first and seen anew (see ``flow.outflow``).
    """
    if not hashes:
        return 0
    return connection.execute(
        update(outflows)
        .where(
            outflows.c.network == network,
            outflows.c.block_hash.in_(hashes),
            outflows.c.orphaned,
            outflows.c.status == OutflowStatus.seen.value,
        )
        .values(orphaned=False)
    ).rowcount


def mark_orphaned(connection: Connection, network: str, hashes: Sequence[str]) -> int:
    """Flag the outflows of blocks that left the chain."""
    if not hashes:
        return 0
    return connection.execute(
        update(outflows)
        .where(outflows.c.network == network, outflows.c.block_hash.in_(hashes))
        .values(orphaned=True)
    ).rowcount


def untouched_deposits(connection: Connection, asset: str, *, block: int) -> dict[str, int]:
    """Per deposit address, what must stand there at a final block if nobody took anything.

    Addresses with an outflow to be booked, a pay-in to be taken back, or one that was booked above
    the block are left out: they are not settled.
    """
    rows = connection.execute(
        text(
            "SELECT d.address, d.units FROM deposits d WHERE d.asset = :asset AND d.units > 0"
            " AND NOT EXISTS (SELECT FROM outflows o WHERE o.address = d.address"
            " AND o.asset = d.asset AND (o.status = 'seen'"
            " OR (o.status = 'posted' AND o.orphaned)))"
            " AND NOT EXISTS (SELECT FROM payins p WHERE p.address = d.address"
            " AND p.asset = d.asset AND p.status NOT IN ('orphaned', 'reversed')"
            " AND (p.orphaned OR p.block_number > :block))"
            " ORDER BY d.address"
        ),
        {"asset": asset, "block": block},
    )
    return {row.address: int(row.units) for row in rows}
