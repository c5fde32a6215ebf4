"""Gas tanks: what stood in each when it was looked at."""

from sqlalchemy import Boolean, Column, Connection, Table, Text, select
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.tank import Tank
from sakk.store.database import fetch_all
from sakk.store.schema import Timestamp, Units, metadata

tanks = Table(
    "gas_tanks",
    metadata,
    Column("network", Text, primary_key=True),
    Column("wei", Units, nullable=False),
    Column("low", Boolean, nullable=False),
    Column("checked", Timestamp, nullable=False),
)


def put(connection: Connection, tank: Tank) -> None:
    """Remember what was seen."""
    row = {name: getattr(tank, name) for name in Tank.__slots__}
    statement = upsert(tanks).values(row)
    changed = {name: statement.excluded[name] for name in ("wei", "low", "checked")}
    connection.execute(statement.on_conflict_do_update(index_elements=["network"], set_=changed))


def list_tanks(connection: Connection) -> list[Tank]:
    return fetch_all(connection, select(tanks).order_by(tanks.c.network), Tank)
