"""The one database: an engine, short transactions, and rows as frozen dataclasses."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Executable, create_engine, make_url

POOL_SIZE = 10
POOL_OVERFLOW_MAX = 30
LOCK_TIMEOUT_MS = 10_000
STATEMENT_TIMEOUT_MS = 60_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Database:
    """An open pool of connections; every use is one short transaction."""

    engine: Engine
    url: str

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
        connect_args={
            "options": f"-c lock_timeout={LOCK_TIMEOUT_MS} -c statement_timeout={STATEMENT_TIMEOUT_MS}"
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
