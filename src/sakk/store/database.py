"""The one database: an engine, short transactions, and rows as frozen dataclasses."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from select import POLLIN, poll
from typing import Any, Generic, TypeVar

import msgspec
import psycopg
import psycopg.sql
from sqlalchemy import (
    ARRAY,
    ClauseElement,
    Column,
    ColumnElement,
    Connection,
    CursorResult,
    Engine,
    Executable,
    Integer,
    LargeBinary,
    Select,
    Table,
    TableValuedAlias,
    Text,
    any_,
    bindparam,
    cast,
    create_engine,
    event,
    func,
    literal,
    literal_column,
    make_url,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSON, Insert, dialect, insert
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidatePoolError
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.types import TypeDecorator

from sakk.store import actor

POOL_SIZE = 20
POOL_OVERFLOW_MAX = 20
LOCK_TIMEOUT_MS = 10_000
STATEMENT_TIMEOUT_MS = 60_000
STATEMENTS_MAX = 500
_DIALECT: Dialect = dialect()  # type: ignore[no-untyped-call]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Database:
    """An open pool of connections; every use is one short transaction."""

    engine: Engine
    url: str = field(repr=False)
    _reading: Engine = field(init=False, repr=False)

    def __post_init__(self) -> None:
        reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        object.__setattr__(self, "_reading", reading)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Queries alone. At READ COMMITTED each has its own snapshot anyway: two round trips less
        than a transaction."""
        with self._reading.connect() as connection:
            yield connection

    @contextmanager
    def alone(self) -> Iterator[Connection]:
        """One statement that is a transaction of its own, durable when it returns.

        Two round trips less than `begin`, for what stands on the way of every call: of a table that
        is not audited, for nobody is named as who changed it, and whose readers are not notified.
        """
        with self._reading.connect() as connection:
            yield connection

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One transaction: commits at the end, rolls back on an exception.

        Whom it named by ``notify_after`` is notified then.
        """
        with self.engine.connect() as connection:
            try:
                with connection.begin():
                    acting = actor.current()
                    if acting is not None:
                        run(connection, _ACT, {"actor": acting.actor, "request": acting.request})
                    yield connection
                _notify(connection)
            finally:
                if not connection.invalidated:
                    connection.info.pop(_NAMED, None)

    def close(self) -> None:
        self.engine.dispose()


_ACT = (
    "SELECT set_config('sakk.actor', %(actor)s, true),"
    " set_config('sakk.request', %(request)s, true)"
)


def open_database(url: str, *, pool_size: int = POOL_SIZE) -> Database:
    """Open ``postgresql://…`` by psycopg 3. Nothing is connected until the first use."""
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=POOL_OVERFLOW_MAX,
        # The connection that was used last knows most statements by heart.
        pool_use_lifo=True,
        query_cache_size=2000,
        json_deserializer=msgspec.json.decode,
        # Errors would print bound values, and secrets are among them.
        hide_parameters=True,
        connect_args={
            "options": f"-c lock_timeout={LOCK_TIMEOUT_MS}"
            f" -c statement_timeout={STATEMENT_TIMEOUT_MS}"
            " -c timezone=UTC -c synchronous_commit=on" + actor.connect_option(),
        },
    )
    event.listen(engine, "connect", _remember_statements)
    event.listen(engine, "checkout", _refuse_ended)
    return Database(engine=engine, url=url)


def _remember_statements(connection: psycopg.Connection[Any], _record: object) -> None:
    """Keep every statement of ours prepared: a worker has more than the driver's hundred."""
    connection.prepared_max = STATEMENTS_MAX


def _refuse_ended(connection: Any, _record: object, _proxy: object) -> None:
    """Before a pooled connection is used: has the server ended it?

    A server has nothing to say to an idle connection but that it is over. Looking costs no round
    trip, as ``pool_pre_ping`` does; after a restart the pool throws away what it holds.
    """
    listening = poll()
    listening.register(connection.fileno(), POLLIN)
    if listening.poll(0):
        raise InvalidatePoolError("the server has ended this connection")


def notify_after(connection: Connection, *names: str) -> None:
    """Name whoever waits for what this transaction writes; they are notified once it is committed.

    Not inside it: of transactions that notify PostgreSQL lets one commit at a time, so each would
    wait for the disk alone. A notification is a hint: one that a crash swallows costs its listener
    an idle period.
    """
    named: dict[str, None] = connection.info.setdefault(_NAMED, {})
    named.update(dict.fromkeys(names))


def _notify(connection: Connection) -> None:
    """A commit of its own that writes nothing, so that it waits for no disk."""
    named = connection.info.pop(_NAMED, None)
    if not named:
        return
    driver: Any = connection.connection.driver_connection
    try:
        driver.autocommit = True
        driver.execute(_NOTIFY, {"channel": CHANNEL, "names": list(named)})
        driver.autocommit = False
    except psycopg.Error as error:
        # What was to be done is committed.
        connection.invalidate(error)


CHANNEL = "sakk"
_NAMED = "sakk.named"
_NOTIFY = "SELECT pg_notify(%(channel)s, name) FROM unnest(CAST(%(names)s AS text[])) AS name"


def is_duplicate(error: IntegrityError) -> bool:
    """Was a row refused because one like it is there?"""
    return isinstance(error.orig, psycopg.errors.UniqueViolation)


def run(connection: Connection, statement: str, parameters: dict[str, Any]) -> CursorResult[Any]:
    """Run one statement as the driver takes it, with placeholders like ``%(name)s``.

    For the few statements of every request and every event: to compile even a cached statement and
    to convert its parameters takes SQLAlchemy longer than the rest.
    """
    return connection.exec_driver_sql(statement, parameters)


def drive(
    connection: Connection, statement: str, parameters: dict[str, Any]
) -> psycopg.Cursor[tuple[Any, ...]]:
    """Run one statement on the driver's own connection, past SQLAlchemy's cursors.

    For what stands on the way of every request or row: to describe a result anew each time takes
    SQLAlchemy several times as long as the rest. Errors are SQLAlchemy's, as everywhere.
    """
    with driving(connection, statement) as driver:
        return driver.execute(statement, parameters)


@contextmanager
def driving(connection: Connection, what: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """The driver's own connection, for what is written for it; errors as `drive` has them."""
    driver: Any = connection.connection.driver_connection
    try:
        yield driver
    except psycopg.Error as error:
        if driver.closed:
            connection.invalidate(error)
        raise DBAPIError.instance(what, None, error, psycopg.Error, hide_parameters=True) from error


def fetch_all(connection: Connection, statement: Executable, kind: type[T]) -> list[T]:
    """Run a query and make one dataclass of each row; the columns' names are the fields'."""
    result = connection.execute(statement)
    names = tuple(result.keys())
    # All rows at once, and not by ``mappings()``, whose views would cost more than the rows.
    if names == _positions(kind):
        return [kind(*row) for row in result.all()]
    return [kind(**dict(zip(names, row, strict=True))) for row in result.all()]


def _positions(kind: Any) -> tuple[str, ...]:
    """What a dataclass takes by position, in order; a record of many fields takes none so."""
    return tuple(each.name for each in fields(kind) if not each.kw_only)


class Query(Generic[T]):
    """A statement that is compiled once, at its first use, for the life of the process."""

    def __init__(self, statement: Select[Any] | ReturningUpdate[Any], kind: type[T]) -> None:
        self.kind = kind
        self._statement = statement

    @cached_property
    def compiled(self) -> "Compiled":
        """Not when its module is imported: most processes never ask most of the questions."""
        statement = self._statement
        compiled = statement.compile(dialect=_DIALECT)
        columns = statement.exported_columns
        read = tuple(
            (column.name, column.type.process_result_value)
            for column in columns
            if isinstance(column.type, TypeDecorator)
        )
        names = tuple(column.name for column in columns)
        return Compiled(str(compiled), dict(compiled.params), names, read)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement's text, with the values that never change."""

    text: str
    parameters: dict[str, Any]
    names: tuple[str, ...]
    # What a column's type makes of the driver's value, for the columns where that is not the same.
    read: tuple[tuple[str, Callable[[Any, Dialect], Any]], ...]


def query(statement: Select[Any] | ReturningUpdate[Any], kind: type[T]) -> Query[T]:
    """What stages ask again and again.

    Values that change are ``bindparam``s, given to ``fetch`` by name; no ``in_``, but ``among``.
    """
    return Query(statement, kind)


class Due(Query[T]):
    """A statement by which a stage takes rows that are due, and how to see whether there are any.

    ``look`` asks by the same conditions and locks nothing, so that one statement looks for many
    stages at once (`flow/lookout.py`).
    """

    def __init__(
        self, statement: Select[Any] | ReturningUpdate[Any], kind: type[T], wanted: Select[Any]
    ) -> None:
        super().__init__(statement, kind)
        self._wanted = wanted

    @cached_property
    def look(self) -> str:
        """Whether there are any, as SQL that is true or false.

        With every constant written out: one plan serves for good, and knows the partial indexes.
        """
        one: Select[Any] = self._wanted.with_only_columns(
            literal_column("1"), maintain_column_froms=True
        )
        compiled = one.exists().compile(dialect=_DIALECT)
        given = {
            name: f"%({name})s" if value is None else _constant(value)
            for name, value in compiled.params.items()
        }
        return str(compiled) % given


def _constant(value: Any) -> str:
    return psycopg.sql.Literal(value).as_string().replace("%", "%%")


def due(
    wanted: Select[Any],
    kind: type[T],
    *order: ColumnElement[Any],
    limit: int | None = None,
    lock: Table | list[Table] | None = None,
) -> Due[T]:
    """Rows that a stage takes, in the order given.

    ``limit``: how many at once; None is a parameter, ``limit``. ``lock``: tables whose rows are
    locked, leaving out what another worker has.
    """
    most = bindparam("limit", type_=Integer) if limit is None else limit
    taken = wanted.order_by(*order).limit(most)
    if lock is not None:
        taken = taken.with_for_update(skip_locked=True, of=lock)
    return Due(taken, kind, wanted)


def fetch(connection: Connection, query: Query[T], **parameters: Any) -> list[T]:
    """Run a compiled query and make one dataclass of each row."""
    compiled = query.compiled
    rows = drive(connection, compiled.text, {**compiled.parameters, **parameters}).fetchall()
    records = [dict(zip(compiled.names, row, strict=True)) for row in rows]
    for name, read in compiled.read:
        for record in records:
            record[name] = read(record[name], _DIALECT)
    return [query.kind(**record) for record in records]


def fetch_values(connection: Connection, query: Query[T], **parameters: Any) -> list[T]:
    """Run a compiled query of one column, whose type is of Python's own."""
    compiled = query.compiled
    rows = drive(connection, compiled.text, {**compiled.parameters, **parameters}).fetchall()
    return [value for (value,) in rows]


def fetch_one(connection: Connection, statement: Executable, kind: type[T]) -> T | None:
    """The first row as a dataclass, or None."""
    row: Any = connection.execute(statement).mappings().first()
    return None if row is None else kind(**row)


def row_of(record: Any) -> dict[str, Any]:
    """A slotted dataclass as a row: the fields' names are the columns."""
    return {name: getattr(record, name) for name in record.__slots__}


def insert_records(
    connection: Connection, table: Table, records: Sequence[Any], **same: Any
) -> None:
    """Insert dataclasses whose fields are the table's columns; ``same`` is what all rows have."""
    if records:
        rows = [row_of(record) | same for record in records]
        drive(connection, _insert(table, tuple(rows[0])), {"rows": as_json(table, rows)})


def update_records(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], *guards: str
) -> int:
    """Set fields of many rows by ``id`` in one statement; every row has the same keys.

    ``guards`` name keys that must still hold what the row says (a lease's token, a status) for the
    row to change. Returns how many rows changed.
    """
    if not rows:
        return 0
    statement = _update(table, tuple(rows[0]), ("id", *guards))
    return drive(connection, statement, {"rows": as_json(table, rows)}).rowcount


def among(column: ColumnElement[str], values: Iterable[str]) -> ColumnElement[bool]:
    """Is a text column one of these values? One parameter, and one statement for any number."""
    return column == any_(literal(list(values), ARRAY(Text)))


def given_among(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """Is a text column one of the values of a parameter? For a ``query``."""
    return column == any_(bindparam(name, type_=ARRAY(Text)))


def given_rows(table: Table, columns: Sequence[str]) -> TableValuedAlias:
    """Rows that travel as one parameter, ``rows`` of ``as_json``, with the types of the columns.

    One round trip for any number of rows, and always the same statement, so that it is prepared
    once.
    """
    typed = (Column(name, table.c[name].type) for name in columns)
    rows = func.json_to_recordset(cast(bindparam("rows", type_=Text), JSON))
    return rows.table_valued(*typed).render_derived(name="given", with_types=True)


@lru_cache(maxsize=STATEMENTS_MAX)
def insert_given(table: Table, columns: tuple[str, ...]) -> Insert:
    """The statement that inserts ``given_rows``; a conflict may be added."""
    return insert(table).from_select(columns, select(given_rows(table, columns)))


@lru_cache(maxsize=STATEMENTS_MAX)
def _insert(table: Table, columns: tuple[str, ...]) -> str:
    return text_of(insert_given(table, columns))


def as_json(table: Table, rows: Sequence[dict[str, Any]]) -> str:
    """The parameter ``rows``: every row has the same keys. TypeError for units that are no int."""
    special = {
        name: column.type.process_bind_param
        for name in rows[0]
        if isinstance((column := table.c[name]).type, TypeDecorator)
    }
    if special:
        rows = [
            row | {name: process(row[name], _DIALECT) for name, process in special.items()}
            for row in rows
        ]
    binary = [name for name in rows[0] if isinstance(table.c[name].type, LargeBinary)]
    if binary:
        rows = [row | {name: _bytea(row[name]) for name in binary} for row in rows]
    return msgspec.json.encode(rows).decode()


def _bytea(value: bytes | None) -> str | None:
    """Bytes as PostgreSQL reads them from text; JSON has none of its own."""
    return None if value is None else "\\x" + value.hex()


@lru_cache(maxsize=STATEMENTS_MAX)
def _update(table: Table, columns: tuple[str, ...], matched: tuple[str, ...]) -> str:
    given = given_rows(table, columns)
    return text_of(
        update(table)
        .where(*(table.c[name] == given.c[name] for name in matched))
        .values({name: given.c[name] for name in columns if name not in matched})
    )


def text_of(statement: ClauseElement) -> str:
    """A statement as text for ``run``; it holds names of ours and placeholders, no values."""
    return str(statement.compile(dialect=_DIALECT))
