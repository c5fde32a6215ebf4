"""The directory of institutions."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Boolean, Column, Connection, Index, Table, Text, literal, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from sakk.core.vasp import Vasp
from sakk.store.database import among, fetch_all, fetch_one, row_of
from sakk.store.schema import Timestamp, metadata

vasps = Table(
    "vasps",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("name", Text, nullable=False),
    Column("lei", Text),
    Column("country", Text),
    Column("travel_address", Text),
    Column("addresses", ARRAY(Text), nullable=False),
    Column("status", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_vasps_addresses", "addresses", postgresql_using="gin"),
    Index("ix_vasps_lei", "livemode", "lei"),
)


def insert(connection: Connection, vasp: Vasp) -> None:
    connection.execute(vasps.insert(), row_of(vasp))


def find(connection: Connection, identifier: str, *, livemode: bool) -> Vasp | None:
    statement = select(vasps).where(vasps.c.id == identifier, vasps.c.livemode == livemode)
    return fetch_one(connection, statement, Vasp)


def change(connection: Connection, identifier: str, values: Mapping[str, Any]) -> None:
    if values:
        connection.execute(update(vasps).where(vasps.c.id == identifier).values(dict(values)))


def list_some(connection: Connection, *, livemode: bool, limit: int) -> list[Vasp]:
    """The newest of the directory, to choose from."""
    statement = select(vasps).where(vasps.c.livemode == livemode)
    return fetch_all(connection, statement.order_by(vasps.c.id.desc()).limit(limit), Vasp)


def find_all(
    connection: Connection,
    *,
    identifiers: Collection[str] = (),
    leis: Collection[str] = (),
    addresses: Collection[str] = (),
    livemode: bool,
) -> list[Vasp]:
    """Institutions by id, LEI or an address that is known to be theirs, blocked ones too."""
    known = [among(vasps.c.id, identifiers), among(vasps.c.lei, leis)]
    if addresses:
        known.append(vasps.c.addresses.op("&&")(literal(sorted(addresses), ARRAY(Text))))
    return fetch_all(
        connection,
        select(vasps).where(vasps.c.livemode == livemode, or_(*known)).order_by(vasps.c.id),
        Vasp,
    )
