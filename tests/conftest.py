"""What all tests share: one PostgreSQL per run, and a fresh database per test.

Under pytest-xdist the controller starts the cluster, so that it outlives every worker. The first
test that asks for a database makes the template with all tables; each test gets a copy of it.
"""

import importlib.util
from collections.abc import Iterator
from itertools import count
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, make_url

from sakk.runtime.postgres import Postgres, start_postgres
from sakk.store.database import Database, open_database
from sakk.store.migrate import all_tables, expected_revision, upgrade
from tests.memory import take_memory

if importlib.util.find_spec("tests.chain") is not None:
    pytest_plugins = ["tests.chain"]

TEMPLATE = "sakk_template"
TEMPLATE_LOCK = 1

# Before anything asks where temporary files go.
_scratch = take_memory()
_shared: list[Postgres] = []
_numbers = count(1)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """In the controller, before each worker starts: tell it where the cluster is."""
    if not _shared:
        _shared.append(_start_cluster())
    node.workerinput["postgres_url"] = _shared[0].url("postgres")


def pytest_unconfigure() -> None:
    while _shared:
        _shared.pop().stop()
    if _scratch is not None:
        _scratch.close()


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of the run's cluster: its database ``postgres``, as superuser."""
    given = getattr(request.config, "workerinput", {}).get("postgres_url")
    if given is not None:
        yield given
        return
    with _start_cluster() as postgres:
        yield postgres.url("postgres")


@pytest.fixture(scope="session")
def _template(postgres_url: str) -> str:
    """The name of a database with every table, made once a run."""
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("SELECT pg_advisory_lock(%s)", (TEMPLATE_LOCK,))
        found = admin.execute(
            "SELECT datistemplate FROM pg_database WHERE datname = %s", (TEMPLATE,)
        ).fetchone()
        if found is not None and found[0]:
            return TEMPLATE
        admin.execute(f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {TEMPLATE}")
        _create_tables(sibling(postgres_url, TEMPLATE))
        # The mark comes last: a template that a dying worker left half-made is made again.
        admin.execute(f"ALTER DATABASE {TEMPLATE} IS_TEMPLATE true")
    return TEMPLATE


@pytest.fixture
def database_url(
    postgres_url: str, _template: str, request: pytest.FixtureRequest
) -> Iterator[str]:
    """A database of this test alone, with every table and no rows."""
    yield from _fresh(postgres_url, request, f"TEMPLATE {_template}")


@pytest.fixture
def empty_database_url(postgres_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of this test alone, without tables."""
    yield from _fresh(postgres_url, request, "")


@pytest.fixture(scope="session")
def _engine(postgres_url: str) -> Engine:
    """The engine whose compiled statements the engines of all tests share."""
    database = open_database(postgres_url)
    with database.begin():
        pass  # the first connection tells the dialect about the server
    database.close()
    return database.engine


@pytest.fixture
def database(database_url: str, _engine: Engine) -> Iterator[Database]:
    """This test's database, open."""
    opened = open_database(database_url)
    # To compile the same statements for every test anew would be a tenth of the suite's time.
    opened.engine.dialect = _engine.dialect
    opened.engine._compiled_cache = _engine._compiled_cache
    yield opened
    opened.close()


def sibling(url: str, database: str) -> str:
    """The address of another database of the same server."""
    return make_url(url).set(database=database).render_as_string(hide_password=False)


def _start_cluster() -> Postgres:
    """The run's cluster, as the product makes it but for the passwords.

    To prove one costs either side more than all else that a connection does, and tests open
    thousands; ``tests/runtime`` has clusters of its own.
    """
    postgres = start_postgres(ephemeral=True)
    (postgres.cluster / "pg_hba.conf").write_text("local all all trust\n")
    with psycopg.connect(postgres.url("postgres")) as admin:
        admin.execute("SELECT pg_reload_conf()")
    return postgres


def _fresh(admin_url: str, request: pytest.FixtureRequest, template: str) -> Iterator[str]:
    worker = getattr(request.config, "workerinput", {}).get("workerid", "main")
    name = f"test_{worker}_{next(_numbers)}"
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} {template}")
    yield sibling(admin_url, name)
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _create_tables(url: str) -> None:
    if expected_revision() is not None:
        upgrade(url)
        return
    database = open_database(url)
    all_tables().create_all(database.engine)
    database.close()
