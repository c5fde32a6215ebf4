"""Accounts at exchanges: rows, with their secrets sealed."""

from sqlalchemy import Boolean, Column, Connection, Integer, LargeBinary, Table, Text, select
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.venue import VenueAccount, VenueKey
from sakk.store.database import fetch_all, row_of
from sakk.store.schema import Document, Timestamp, metadata

venues = Table(
    "venues",
    metadata,
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("location", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("pairs", Document, nullable=False),
    Column("fee_ppm", Integer, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("updated", Timestamp, nullable=False),
    Column("number", Integer, nullable=False, server_default="1"),
)

venue_keys = Table(
    "venue_keys",
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("location", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("replaced", Timestamp, nullable=False),
)


def put(connection: Connection, account: VenueAccount) -> None:
    """Write an account down; one of the same name is what it is now from then on."""
    statement = upsert(venues).values(row_of(account))
    names = [each.name for each in venues.columns if each.name not in ("name", "created")]
    changed = {name: statement.excluded[name] for name in names}
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=changed))


def keep_key(connection: Connection, key: VenueKey) -> None:
    """Keep what a name stood for before; the latest of a number."""
    statement = upsert(venue_keys).values(row_of(key))
    changed = {name: statement.excluded[name] for name in ("location", "key", "secret", "replaced")}
    connection.execute(
        statement.on_conflict_do_update(index_elements=["name", "number"], set_=changed)
    )


def list_keys(connection: Connection) -> list[VenueKey]:
    """Those that names stood for before."""
    c = venue_keys.c
    return fetch_all(connection, select(venue_keys).order_by(c.name, c.number), VenueKey)


def list_all(connection: Connection) -> list[VenueAccount]:
    return fetch_all(connection, select(venues).order_by(venues.c.name), VenueAccount)
