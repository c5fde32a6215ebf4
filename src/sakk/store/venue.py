"""Accounts at exchanges: rows, with their secrets sealed."""

from sqlalchemy import Boolean, Column, Connection, Integer, LargeBinary, Table, Text, select
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.venue import VenueAccount
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
)


def put(connection: Connection, account: VenueAccount) -> None:
    """Write an account down; one of the same name is what it is now from then on."""
    statement = upsert(venues).values(row_of(account))
    names = [each.name for each in venues.columns if each.name not in ("name", "created")]
    changed = {name: statement.excluded[name] for name in names}
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=changed))


def list_all(connection: Connection) -> list[VenueAccount]:
    return fetch_all(connection, select(venues).order_by(venues.c.name), VenueAccount)
