"""Gas tanks: what stood in each when it was looked at."""

from sqlalchemy import Boolean, Column, Connection, Table, Text, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.tank import Tank
from sakk.store.database import fetch_all, fetch_one
from sakk.store.schema import Timestamp, Units, metadata

tanks = Table(
    "gas_tanks",
    metadata,
    Column("network", Text, primary_key=True),
    Column("wei", Units, nullable=False),
    Column("low", Boolean, nullable=False),
    Column("checked", Timestamp, nullable=False),
    Column("limited_wei", Units),
)


def put(connection: Connection, tank: Tank) -> None:
    """Remember what was seen."""
    row = {name: getattr(tank, name) for name in Tank.__slots__}
    statement = upsert(tanks).values(row)
    changed = {name: statement.excluded[name] for name in ("wei", "low", "checked")}
    connection.execute(statement.on_conflict_do_update(index_elements=["network"], set_=changed))


def hold_back(connection: Connection, network: str, wei: int) -> bool:
    """Remember how much gas the day's limit held back; False while some was held back before."""
    free = (tanks.c.network == network, tanks.c.limited_wei.is_(None))
    return connection.execute(update(tanks).where(*free).values(limited_wei=wei)).rowcount == 1


def let_go(connection: Connection, network: str) -> None:
    """The day's limit holds nobody back any more."""
    connection.execute(update(tanks).where(tanks.c.network == network).values(limited_wei=None))


def find(connection: Connection, network: str) -> Tank:
    """What was seen of a tank that was looked at."""
    found = fetch_one(connection, select(tanks).where(tanks.c.network == network), Tank)
    assert found is not None
    return found


def list_tanks(connection: Connection) -> list[Tank]:
    return fetch_all(connection, select(tanks).order_by(tanks.c.network), Tank)
