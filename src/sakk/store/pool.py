"""The pool: rows of what was moved into it and out of it."""

from datetime import timedelta

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.pool import PoolMovement
from sakk.store.database import due, fetch_one, row_of
from sakk.store.lease import before
from sakk.store.schema import Timestamp, Units, metadata

pool_movements = Table(
    "pool_movements",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("mandate", Text),
    Column("reference", Text),
    Column("direction", Text, nullable=False),
    Column("amount", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("failure_code", Text),
    Column("created", Timestamp, nullable=False),
    Index("ix_pool_movements_account", "account_id", "livemode", "id"),
    Index("ix_pool_movements_requested", "created", postgresql_where=text("status = 'requested'")),
    Index("uq_pool_movements_reference", "mandate", "reference", unique=True),
)

# A request moves its own; only what is older was left behind by a crash.
LEFT_TO_REQUEST = timedelta(seconds=5)


def insert(connection: Connection, movement: PoolMovement) -> None:
    """Record a movement; one that another request has recorded before is left."""
    connection.execute(upsert(pool_movements).values(row_of(movement)).on_conflict_do_nothing())


def find(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool
) -> PoolMovement | None:
    return fetch_one(
        connection,
        select(pool_movements).where(
            pool_movements.c.id == identifier,
            pool_movements.c.account_id == account_id,
            pool_movements.c.livemode == livemode,
        ),
        PoolMovement,
    )


def find_reference(connection: Connection, mandate: str, reference: str) -> PoolMovement | None:
    return fetch_one(
        connection,
        select(pool_movements).where(
            pool_movements.c.mandate == mandate, pool_movements.c.reference == reference
        ),
        PoolMovement,
    )


# Movements that were committed and never heard of again.
left_behind = due(
    select(pool_movements).where(
        pool_movements.c.status == "requested", pool_movements.c.created < before(LEFT_TO_REQUEST)
    ),
    PoolMovement,
    pool_movements.c.created,
)


def finish(connection: Connection, movement: PoolMovement) -> bool:
    """Record how a requested movement ended; False if another process did so before."""
    result = connection.execute(
        update(pool_movements)
        .where(pool_movements.c.id == movement.id, pool_movements.c.status == "requested")
        .values(status=movement.status, failure_code=movement.failure_code)
    )
    return result.rowcount == 1
