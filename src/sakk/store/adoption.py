"""Adoptions: rows and queries, and what the other rows say of each address's native coin."""

from collections.abc import Sequence

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Table,
    Text,
    select,
    text,
)

from sakk.core.adoption import Adoption
from sakk.store.database import fetch_all, insert_records
from sakk.store.lease import lease_columns
from sakk.store.schema import Timestamp, Units, metadata

adoptions = Table(
    "adoptions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("network", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("token_amount", Units, nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("block_hash", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("posted_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    Index("uq_adoptions_block", "network", "address", "block_number", unique=True),
    Index("ix_adoptions_work", "status", postgresql_where=text("status = 'requested'")),
)


def lock_network(connection: Connection, network: str) -> None:
    """Let one adoption of a network be decided at a time."""
    connection.execute(
        text("SELECT network FROM networks WHERE network = :network FOR UPDATE"),
        {"network": network},
    )


def insert(connection: Connection, rows: Sequence[Adoption]) -> None:
    insert_records(connection, adoptions, rows)


def list_adoptions(connection: Connection, network: str) -> list[Adoption]:
    """All of a network; there are few, each by an operator's hand."""
    statement = select(adoptions).where(adoptions.c.network == network).order_by(adoptions.c.id)
    return fetch_all(connection, statement, Adoption)


def explained_units(
    connection: Connection, *, network: str, asset: str, block: int
) -> dict[str, int]:
    """Per address, the native coin that rows put there and took by a block, in atomic units.

    Transactions that are not settled yet are left out: the chain has to be asked about them.
    """
    rows = connection.execute(
        text(
            "SELECT address, sum(units) AS units FROM ("
            " SELECT address, token_amount AS units FROM payins"
            " WHERE network = :network AND asset = :asset AND block_number <= :block"
            " AND NOT orphaned AND status NOT IN ('orphaned', 'reversed')"
            " UNION ALL SELECT address, -token_amount FROM outflows"
            " WHERE network = :network AND asset = :asset AND block_number <= :block"
            " AND NOT orphaned AND status NOT IN ('orphaned', 'reversed')"
            " UNION ALL SELECT address, token_amount FROM adoptions"
            " WHERE network = :network AND asset = :asset"
            " UNION ALL SELECT sender, -gas_cost FROM transactions"
            " WHERE network = :network AND status IN ('posted', 'failed')"
            " AND NOT orphaned AND block_number <= :block"
            " UNION ALL SELECT sender, -token_amount FROM transactions"
            " WHERE network = :network AND asset = :asset AND status = 'posted'"
            " AND NOT orphaned AND block_number <= :block"
            " UNION ALL SELECT destination, token_amount FROM transactions"
            " WHERE network = :network AND asset = :asset AND purpose = 'topup'"
            " AND status = 'posted' AND NOT orphaned AND block_number <= :block"
            ") moved GROUP BY address"
        ),
        {"network": network, "asset": asset, "block": block},
    )
    return {row.address: int(row.units) for row in rows}
