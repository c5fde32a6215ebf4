"""The one database: an engine, short transactions, and rows as frozen dataclasses."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import (
    Connection,
    Engine,
    Executable,
    Table,
    bindparam,
    create_engine,
    make_url,
    update,
)

POOL_SIZE = 10
POOL_OVERFLOW_MAX = 30
LOCK_TIMEOUT_MS = 10_000
STATEMENT_TIMEOUT_MS = 60_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Database:
    """An open pool of connections; every use is one short transaction."""

    engine: Engine
    url: str = field(repr=False)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One transaction: commits at the end, rolls back on an exception."""
        with self.engine.begin() as connection:
            yield connection

    def close(self) -> None:
        self.engine.dispose()


def open_database(url: str, *, pool_size: int = POOL_SIZE) -> Database:
    """Open ``postgresql://…`` by psycopg 3. Nothing is connected until the first use."""
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=POOL_OVERFLOW_MAX,
        pool_pre_ping=True,
        query_cache_size=2000,
        # Errors would print bound values, and secrets are among them.
        hide_parameters=True,
        connect_args={
            "options": f"-c lock_timeout={LOCK_TIMEOUT_MS}"
            f" -c statement_timeout={STATEMENT_TIMEOUT_MS}"
            " -c timezone=UTC -c synchronous_commit=on",
        },
    )
    return Database(engine=engine, url=url)


def fetch_all(connection: Connection, statement: Executable, kind: type[T]) -> list[T]:
    """Run a query and make one dataclass of each row; the columns' names are the fields'."""
    rows: Any = connection.execute(statement).mappings()
    return [kind(**row) for row in rows]


def fetch_one(connection: Connection, statement: Executable, kind: type[T]) -> T | None:
    """The first row as a dataclass, or None."""
    row: Any = connection.execute(statement).mappings().first()
    return None if row is None else kind(**row)


def row_of(record: Any) -> dict[str, Any]:
    """A slotted dataclass as a row: the fields' names are the columns."""
    return {name: getattr(record, name) for name in record.__slots__}


def insert_records(connection: Connection, table: Table, records: Sequence[Any]) -> None:
    """Insert dataclasses whose fields are the table's columns."""
    if records:
        connection.execute(table.insert(), [row_of(record) for record in records])


def update_records(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], *guards: str
) -> int:
    """Set fields of many rows by ``id``; every row has the same keys.

    ``guards`` name keys that must still hold what the row says (a lease's token, a status) for the
    row to change. Returns how many rows changed.
    """
    if not rows:
        return 0
    matched = ("id", *guards)
    statement = (
        update(table)
        .where(*(table.c[name] == bindparam(f"match_{name}") for name in matched))
        .values({name: bindparam(f"set_{name}") for name in rows[0] if name not in matched})
    )
    parameters = [
        {
            f"match_{name}" if name in matched else f"set_{name}": value
            for name, value in row.items()
        }
        for row in rows
    ]
    return connection.execute(statement, parameters).rowcount
