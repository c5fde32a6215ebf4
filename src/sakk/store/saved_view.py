"""Saved views: rows and queries, always of one person."""

from sqlalchemy import Column, Connection, Index, Table, Text, delete, select
from sqlalchemy.dialects.postgresql import insert

from sakk.core.saved_view import SavedView
from sakk.store.database import fetch_all, row_of
from sakk.store.schema import Timestamp, metadata

saved_views = Table(
    "saved_views",
    metadata,
    Column("id", Text, primary_key=True),
    Column("person", Text, nullable=False),
    Column("screen", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("uq_saved_views_name", "person", "screen", "name", unique=True),
)


def put(connection: Connection, view: SavedView) -> None:
    """Write a view; one of the same name is replaced."""
    statement = insert(saved_views).values(row_of(view))
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["person", "screen", "name"],
            set_={"query": statement.excluded["query"]},
        )
    )


def list_views(connection: Connection, *, person: str, screen: str) -> list[SavedView]:
    """A person's views of a list, by name."""
    statement = (
        select(saved_views)
        .where(saved_views.c.person == person, saved_views.c.screen == screen)
        .order_by(saved_views.c.name)
    )
    return fetch_all(connection, statement, SavedView)


def remove(connection: Connection, identifier: str, *, person: str) -> None:
    """Remove a person's view; one that is gone, or another's, stays as it is."""
    connection.execute(
        delete(saved_views).where(saved_views.c.id == identifier, saved_views.c.person == person)
    )
