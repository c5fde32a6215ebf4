"""The schema's versions: forward only, safe when many processes start at once.

``upgrade`` takes an advisory lock, so the first process migrates and the others find it done.
Every statement waits at most ``LOCK_TIMEOUT_MS`` for a table: a migration gives up rather than
hold up the payments behind it.

An index of a table that may have a million rows is not built in that transaction, where nobody
could write to the table meanwhile. The migration names it in ``CONCURRENTLY``, a tuple of (name,
``ON table (…)``), and it is built when the transaction is over, with nobody waiting; a unique one
in ``CONCURRENTLY_UNIQUE``. Whoever drops such an index takes its name out of there.
"""

import importlib
import pkgutil
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import URL, Connection, Engine, MetaData, create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

import sakk.store
from sakk.core.errors import Unavailable
from sakk.store import audited
from sakk.store.revision import MIGRATIONS
from sakk.store.schema import metadata

ADVISORY_LOCK = 0x5A4B4B  # any constant of ours
AGAIN_SECONDS = 0.05
LOCK_TIMEOUT_MS = 5_000
WAIT_FOR_OTHERS_MS_MAX = 120_000
# Partitions are made as time goes on; their parents stand in the code.
_PARTITION = re.compile(r"ledger_(transfers|entries|balances)_(default|\d{4}_\d{2})")


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Is this a thing that the code describes? A partition is not."""
    return kind != "table" or name is None or _PARTITION.fullmatch(name) is None


COMPARE = {"compare_type": True, "compare_server_default": True, "include_name": is_ours}
_NOT_TABLES = frozenset({"sakk.store.migrations"})


def all_tables() -> MetaData:
    """The metadata with every noun's tables in it: imports each file of the store."""
    for module in pkgutil.iter_modules(sakk.store.__path__, "sakk.store."):
        if module.name not in _NOT_TABLES:
            importlib.import_module(module.name)
    return metadata


def current_revision(url: str) -> str | None:
    """The revision that the database has; None for one that was never migrated."""
    engine = create_engine(_psycopg(url), poolclass=NullPool)
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(url: str) -> None:
    """Bring the database to the revision of this code. Repeats safely; never goes back.

    All of it is one transaction: a crash between two migrations leaves none of them. Indexes that
    are built beside what runs come after it, and a crash between them leaves the rest to the next
    call. Raises Unavailable when another process is at it for too long, or a table stays locked.
    """
    engine = create_engine(_psycopg(url), poolclass=NullPool)
    try:
        with _alone(engine) as alone:
            with engine.begin() as connection:
                connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS:d}"))
                command.upgrade(_config(connection), "head")
                audited.install(connection)
            _build_indexes(alone)
    except OperationalError as error:
        raise Unavailable(f"the database could not be migrated, try again: {error}") from error


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """While nobody else migrates: a connection without transactions that holds the lock.

    The lock is asked for again and again. Whoever waited for it inside a statement would be waited
    for by the index that its holder builds.
    """
    until = time.monotonic() + WAIT_FOR_OTHERS_MS_MAX / 1_000
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        while not connection.execute(_TRY_LOCK, {"key": ADVISORY_LOCK}).scalar_one():
            if time.monotonic() > until:
                raise Unavailable("another process migrates the database for too long; try again")
            time.sleep(AGAIN_SECONDS)
        # It ends with the connection, which no pool keeps.
        yield connection


def _build_indexes(connection: Connection) -> None:
    """Build what migrations name and is not there, or was begun and not finished."""
    script = ScriptDirectory.from_config(_config())
    wanted = {
        name: f'{kind} CONCURRENTLY "{name}" {definition}'
        for revision in script.walk_revisions()
        for kind, listed in (("INDEX", "CONCURRENTLY"), ("UNIQUE INDEX", "CONCURRENTLY_UNIQUE"))
        for name, definition in getattr(revision.module, listed, ())
    }
    connection.execute(text(f"SET lock_timeout = {WAIT_FOR_OTHERS_MS_MAX:d}"))
    for name in _missing(connection, wanted):
        connection.execute(text(f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"'))
        connection.execute(text(f"CREATE {wanted[name]}"))


def _missing(connection: Connection, wanted: Mapping[str, str]) -> list[str]:
    """Those of these indexes that nobody can use yet."""
    there = connection.execute(_VALID, {"names": list(wanted)}).scalars().all()
    return [name for name in wanted if name not in there]


_TRY_LOCK = text("SELECT pg_try_advisory_lock(:key)")
_VALID = text(
    "SELECT c.relname FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid"
    " WHERE c.relname = ANY(:names) AND i.indisvalid AND c.relnamespace ="
    " current_schema()::regnamespace"
)


def generate(url: str, message: str) -> Path:
    """Write the migration from the database's schema to the tables in the code.

    The database must be at the latest revision. Read what it wrote before you commit it.
    """
    script = ScriptDirectory.from_config(_config())
    number = len(list(script.walk_revisions())) + 1
    engine = create_engine(_psycopg(url), poolclass=NullPool)
    with engine.connect() as connection:
        made = command.revision(
            _config(connection), message=message, autogenerate=True, rev_id=f"{number:04d}"
        )
    if not isinstance(made, Script):
        raise TypeError("autogenerate made other than one revision")
    path = Path(made.path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "# ###" not in line))
    return path


def differences(connection: Connection) -> list[object]:
    """What the database's schema lacks or has beyond the tables in the code; empty when equal."""
    context = MigrationContext.configure(connection, opts=COMPARE)
    return list(compare_metadata(context, all_tables()))


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _psycopg(url: str) -> URL:
    return make_url(url).set(drivername="postgresql+psycopg")
