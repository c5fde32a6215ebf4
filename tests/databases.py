"""Databases of tests: with every table and no rows but the migrations'. What one test gives back,
swept clean, is the next one's.

To make a database is to copy a thousand files, and its first connection reads the catalogue anew:
a tenth of a second of a processor, in more than a thousand tests. To delete the rows that a test
wrote costs a tenth of that. A database whose tables a test changed, or filled with very many rows,
is dropped. No name comes twice, so that nothing that is kept by name outlives its test.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from sakk.store.database import open_database
from sakk.store.migrate import all_tables, upgrade
from sakk.store.projection import Month, make_partitions
from sakk.store.revision import expected_revision

TEMPLATE: Final = "sakk_template"
TEMPLATE_LOCK: Final = 1
Connection = psycopg.Connection[tuple[Any, ...]]
# What is deleted stays in a table's file until it is vacuumed, and is read past by who looks there.
DELETED_ROWS_MAX: Final = 5_000
TERMINATE_MILLISECONDS_MAX: Final = 10_000

# The shape of all tables, functions and triggers: each change writes a row of the catalogue by a
# later transaction.
_SHAPE: Final = """
SELECT (SELECT row(count(*), max(xmin::text::bigint)) FROM pg_class)::text,
       (SELECT row(count(*), max(xmin::text::bigint)) FROM pg_attribute)::text,
       (SELECT row(count(*), max(xmin::text::bigint)) FROM pg_proc)::text,
       (SELECT row(count(*), max(xmin::text::bigint)) FROM pg_trigger)::text,
       (SELECT row(count(*), max(xmin::text::bigint)) FROM pg_constraint)::text,
       (SELECT row(count(*), max(xmin::text::bigint)) FROM pg_namespace)::text,
       (SELECT row(count(*), max(xmin::text::bigint)) FROM pg_extension)::text,
       (SELECT count(*) FROM pg_db_role_setting AS s JOIN pg_database AS d ON d.oid = s.setdatabase
         WHERE d.datname = current_database())::text,
       (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())::text
"""
# Those whose files hold pages: to look for a row in each of all would be half of a sweep's time.
_WITH_PAGES: Final = """
SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
   AND pg_relation_size(c.oid) > 0
"""
_SEQUENCES: Final = """
SELECT seqrelid::regclass::text, coalesce(pg_sequence_last_value(seqrelid), seqstart),
       pg_sequence_last_value(seqrelid) IS NOT NULL
  FROM pg_sequence
"""
_TERMINATE: Final = """
SELECT bool_and(pg_terminate_backend(pid, %s)) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class Template:
    """A database with every table, made once in a cluster, and what stands in it."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = admin_url
        _make_template(admin_url)
        with psycopg.connect(sibling(admin_url, TEMPLATE)) as connection:
            self._sequences = connection.execute(_SEQUENCES).fetchall()
            self._rows = [
                (table, _copy_out(connection, table)) for table in self._written(connection)
            ]

    def create(self, name: str) -> None:
        with psycopg.connect(self._admin_url, autocommit=True) as admin:
            # Not by the write-ahead log: it would take twice the time for what nobody will replay.
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy")

    def shape(self, name: str) -> tuple[str, ...]:
        with psycopg.connect(sibling(self._admin_url, name)) as connection:
            return _shape(connection)

    def sweep(self, name: str, shape: tuple[str, ...]) -> bool:
        """Make a database as it was when it was made; False when it is better made anew."""
        try:
            with psycopg.connect(sibling(self._admin_url, name)) as connection:
                connection.execute(_TERMINATE, (TERMINATE_MILLISECONDS_MAX,))
                if _shape(connection) != shape:
                    return False
                # No trigger, and no order among tables.
                connection.execute("SET session_replication_role = replica")
                deleted = 0
                for table in self._written(connection):
                    deleted += connection.execute(sql.SQL("DELETE FROM {}").format(table)).rowcount
                    if deleted > DELETED_ROWS_MAX:
                        return False
                for table, rows in self._rows:
                    into = sql.SQL("COPY {} FROM STDIN").format(table)
                    with connection.cursor().copy(into) as copy:
                        copy.write(rows)
                self._reset_sequences(connection)
        except psycopg.OperationalError:
            return False
        return True

    def _written(self, connection: Connection) -> list[sql.Identifier]:
        """The tables that have rows."""
        names = sorted(connection.execute(_WITH_PAGES).fetchall())
        tables = [sql.Identifier(schema, name) for schema, name in names]
        looks = sql.SQL(", ").join(
            sql.SQL("EXISTS (SELECT FROM {})").format(table) for table in tables
        )
        found = connection.execute(sql.SQL("SELECT {}").format(looks)).fetchone()
        assert found is not None
        return [table for table, has_rows in zip(tables, found, strict=True) if has_rows]

    def _reset_sequences(self, connection: Connection) -> None:
        for (name, now, called), (_, first, was_called) in zip(
            connection.execute(_SEQUENCES).fetchall(), self._sequences, strict=True
        ):
            if (now, called) != (first, was_called):
                connection.execute("SELECT setval(%s::regclass, %s, %s)", (name, first, was_called))


class Databases:
    """The databases of one process's tests in one cluster."""

    def __init__(self, admin_url: str, prefix: str) -> None:
        self._admin_url = admin_url
        self._prefix = prefix
        self._numbers = count(1)
        self._template: Template | None = None
        self._admin: Connection | None = None
        # At rest: swept, by the shape that each one must have.
        self._spare: list[tuple[str, tuple[str, ...]]] = []

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of a database with every table and no rows, for the block alone."""
        if self._template is None:
            self._template = Template(self._admin_url)
        name = f"{self._prefix}_{next(self._numbers)}"
        if self._spare:
            before, shape = self._spare.pop()
            self._do(f"ALTER DATABASE {before} RENAME TO {name}")
        else:
            self._template.create(name)
            shape = self._template.shape(name)
        yield sibling(self._admin_url, name)
        if self._template.sweep(name, shape):
            self._spare.append((name, shape))
        else:
            self._do(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @contextmanager
    def empty(self) -> Iterator[str]:
        """The address of a database without tables, for the block alone."""
        name = f"{self._prefix}_{next(self._numbers)}"
        self._do(f"CREATE DATABASE {name} STRATEGY file_copy")
        yield sibling(self._admin_url, name)
        self._do(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        if self._admin is not None:
            self._admin.close()

    def _do(self, statement: str) -> None:
        if self._admin is None:
            self._admin = psycopg.connect(self._admin_url, autocommit=True)
        self._admin.execute(statement)


def sibling(url: str, database: str) -> str:
    """The address of another database of the same server."""
    return make_url(url).set(database=database).render_as_string(hide_password=False)


def _copy_out(connection: Connection, table: sql.Identifier) -> bytes:
    with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(table)) as copy:
        return b"".join(bytes(part) for part in copy)


def _shape(connection: Connection) -> tuple[str, ...]:
    found = connection.execute(_SHAPE).fetchone()
    assert found is not None
    return tuple(found)


def _make_template(admin_url: str) -> None:
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute("SELECT pg_advisory_lock(%s)", (TEMPLATE_LOCK,))
        found = admin.execute(
            "SELECT datistemplate FROM pg_database WHERE datname = %s", (TEMPLATE,)
        ).fetchone()
        if found is not None and found[0]:
            return
        admin.execute(f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {TEMPLATE}")
        _create_tables(sibling(admin_url, TEMPLATE))
        with psycopg.connect(sibling(admin_url, TEMPLATE)) as connection:
            # The ledger's first line would make them in each database anew, and change its shape.
            month = Month.of(time.time_ns())
            assert make_partitions(connection, month)
            assert make_partitions(connection, month.following)
        # The mark comes last: a template that a dying worker left half-made is made again.
        admin.execute(f"ALTER DATABASE {TEMPLATE} IS_TEMPLATE true")


def _create_tables(url: str) -> None:
    if expected_revision() is not None:
        upgrade(url)
        return
    database = open_database(url)
    all_tables().create_all(database.engine)
    database.close()
