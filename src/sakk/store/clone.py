"""Factories of clones: whose clones are collected on a network, and when."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Table,
    Text,
    exists,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.clone import Factory
from sakk.store.address import addresses, deposits
from sakk.store.database import fetch_all, fetch_one
from sakk.store.network import assets
from sakk.store.schema import Timestamp, metadata

# A factory is never forgotten: its clones are watched, and collected, for ever.
factories = Table(
    "factories",
    metadata,
    Column("network", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("hub", Text, nullable=False),
    Column("treasury", Text, nullable=False),
    Column("recoverer", Text),
    Column("wait_seconds", BigInteger, nullable=False),
    Column("age_seconds_max", BigInteger, nullable=False),
    Column("cost_percent_max", BigInteger, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("proposed", Text),
    Column("proposed_recoverer", Text),
    Column("created", Timestamp, nullable=False),
)
_KEY = ("network", "address")


def put(connection: Connection, factory: Factory) -> None:
    """Let a factory's clones be collected on its network, or change when they are."""
    row = {name: getattr(factory, name) for name in Factory.__slots__}
    statement = upsert(factories).values(row)
    changed = {name: statement.excluded[name] for name in row if name not in (*_KEY, "created")}
    connection.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=changed))


def set_seen(connection: Connection, factory: Factory) -> None:
    """Remember where a factory pays, who recovers, and what was seen proposed."""
    seen = ("treasury", "recoverer", "proposed", "proposed_recoverer")
    connection.execute(
        update(factories)
        .where(factories.c.network == factory.network, factories.c.address == factory.address)
        .values({name: getattr(factory, name) for name in seen})
    )


def stranded(connection: Connection) -> list[tuple[str, str, int]]:
    """Clones that hold something on a network on which their factory is not known, or is off.

    (network, factory, how many deposits).
    """
    rows = connection.execute(
        select(assets.c.network, addresses.c.factory, func.count())
        .select_from(deposits)
        .join(assets, assets.c.asset == deposits.c.asset)
        .join(addresses, addresses.c.address == deposits.c.address)
        .where(
            deposits.c.units > 0,
            addresses.c.factory.is_not(None),
            ~exists().where(
                factories.c.network == assets.c.network,
                factories.c.address == addresses.c.factory,
                factories.c.enabled,
            ),
        )
        .group_by(assets.c.network, addresses.c.factory)
        .order_by(assets.c.network, addresses.c.factory)
    )
    return [(network, factory, int(count)) for network, factory, count in rows]


def find(connection: Connection, network: str, address: str) -> Factory | None:
    statement = select(factories).where(
        factories.c.network == network, factories.c.address == address
    )
    return fetch_one(connection, statement, Factory)


def list_factories(connection: Connection, network: str | None = None) -> list[Factory]:
    statement = select(factories).order_by(factories.c.network, factories.c.created)
    if network is not None:
        statement = statement.where(factories.c.network == network)
    return fetch_all(connection, statement, Factory)
