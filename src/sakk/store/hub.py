"""Which hub collects on a network, and when it does."""

from sqlalchemy import BigInteger, Boolean, Column, Connection, Table, Text, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.hub import Hub
from sakk.store.database import fetch_all, fetch_one
from sakk.store.schema import Timestamp, metadata

hubs = Table(
    "hubs",
    metadata,
    Column("network", Text, primary_key=True),
    Column("address", Text, nullable=False),
    Column("delegate", Text, nullable=False),
    Column("treasury", Text, nullable=False),
    Column("wait_seconds", BigInteger, nullable=False),
    Column("age_seconds_max", BigInteger, nullable=False),
    Column("cost_percent_max", BigInteger, nullable=False),
    Column("alone", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("proposed", Text),
    Column("created", Timestamp, nullable=False),
)


def put(connection: Connection, hub: Hub) -> None:
    """Let a hub collect on its network, or change when it does."""
    row = {name: getattr(hub, name) for name in Hub.__slots__}
    statement = upsert(hubs).values(row)
    changed = {name: statement.excluded[name] for name in row if name not in ("network", "created")}
    connection.execute(statement.on_conflict_do_update(index_elements=["network"], set_=changed))


def set_treasury(connection: Connection, network: str, treasury: str) -> None:
    """Remember where a hub pays to since its treasury was changed."""
    connection.execute(update(hubs).where(hubs.c.network == network).values(treasury=treasury))


def set_proposed(connection: Connection, network: str, proposed: str | None) -> None:
    """Remember which treasury was seen proposed to a hub."""
    connection.execute(update(hubs).where(hubs.c.network == network).values(proposed=proposed))


def find(connection: Connection, network: str) -> Hub | None:
    return fetch_one(connection, select(hubs).where(hubs.c.network == network), Hub)


def list_hubs(connection: Connection) -> list[Hub]:
    return fetch_all(connection, select(hubs).order_by(hubs.c.network), Hub)


def delegates(connection: Connection) -> frozenset[str]:
    """Whose code deposit addresses may run: the delegates of the hubs."""
    return frozenset(connection.execute(select(hubs.c.delegate)).scalars())
