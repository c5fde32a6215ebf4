"""What all tests share: one PostgreSQL per run, and a fresh database per test.

Under pytest-xdist the controller starts the cluster, so that it outlives every worker. The first
test that asks for a database makes the template with all tables; see ``tests.databases``.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine

from sakk.runtime.binaries import Binaries, find_binaries, inspect, wheel_folder
from sakk.runtime.postgres import Postgres, start_postgres
from sakk.store.database import Database, open_database
from tests.databases import Databases
from tests.memory import take_memory

if importlib.util.find_spec("tests.chain") is not None:
    pytest_plugins = ["tests.chain"]

# The writer and a whole flow run on the PostgreSQL that Sakk brings with it, the rest on the one
# that the machine has, which is often years older.
ON_THE_BUNDLED = ("tests/ledger/test_writer.py", "tests/flow/test_payin_amounts.py")
# Tests that share what is dear to make, or to keep: a sandbox, a browser, a cluster, many rows.
HOUSES = {
    "crash": ("tests/crash/",),
    "snippets": ("tests/docs/test_snippets.py",),
    "browser": ("tests/browser/",),
    "bench": ("tests/bench/test_bench.py",),
    "bundled": ON_THE_BUNDLED,
    "list plans": ("tests/console/test_list_plans.py",),
    "claims plans": ("tests/store/test_claims_plans.py",),
    "languages": ("tests/pages/test_language.py",),
}

# Files whose tests share what their module makes: two workers would make each of them twice.
WHOLE_FILES = ("tests/console/", "tests/checkout/")

# Every process of the tests would compile all of Sakk anew, hundreds of times.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# The same examples in every run, however slow the machine is; others in each run of `make soak`.
settings.register_profile(
    "sakk",
    deadline=None,
    derandomize="SAKK_SOAK" not in os.environ,
    max_examples=2_000 if "SAKK_SOAK" in os.environ else 100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("sakk")

# Before anything asks where temporary files go.
_scratch = take_memory()
_shared: list[Postgres] = []
_databases: dict[str, Databases] = {}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """In the controller: one worker has all tests of a house or of a whole file, others go alone.

    By the place of a test and not by xdist's mark for groups, which pytest 9.2 no longer shows it.
    """
    scheduling = importlib.import_module("xdist.scheduler").LoadScopeScheduling(config, log)
    scheduling._split_scope = _house_of
    return scheduling


def _house_of(nodeid: str) -> str:
    alone = nodeid.partition("::")[0] if nodeid.startswith(WHOLE_FILES) else nodeid
    return next((house for house, places in HOUSES.items() if nodeid.startswith(places)), alone)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """In the controller, before each worker starts: tell it where the cluster is."""
    if not _shared:
        _shared.append(_start_cluster())
    node.workerinput["postgres_url"] = _shared[0].url("postgres")


def pytest_unconfigure() -> None:
    while _databases:
        _databases.popitem()[1].close()
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
def bundled_url(postgres_url: str) -> Iterator[str]:
    """As ``postgres_url``, of the bundled PostgreSQL; the same where the machine has no other."""
    folder = wheel_folder()
    bundled = None if folder is None else inspect(folder)
    if bundled is None or find_binaries() == bundled:
        yield postgres_url
        return
    with _start_cluster(bundled) as postgres:
        yield postgres.url("postgres")


@pytest.fixture
def cluster_url(request: pytest.FixtureRequest) -> str:
    """The cluster that this test's database is in: its database ``postgres``, as superuser."""
    is_bundled = request.node.nodeid.startswith(ON_THE_BUNDLED)
    found: str = request.getfixturevalue("bundled_url" if is_bundled else "postgres_url")
    return found


def databases(admin_url: str, config: pytest.Config) -> Databases:
    """The databases of this process's tests in a cluster."""
    if admin_url not in _databases:
        worker = getattr(config, "workerinput", {}).get("workerid", "main")
        _databases[admin_url] = Databases(admin_url, f"test_{worker}")
    return _databases[admin_url]


@pytest.fixture
def database_url(cluster_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of this test alone, with every table and no rows."""
    with databases(cluster_url, request.config).database() as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of this test alone, without tables."""
    with databases(postgres_url, request.config).empty() as url:
        yield url


@cache
def _first_engine(cluster_url: str) -> Engine:
    """The engine whose compiled statements the engines of all tests on a cluster share."""
    database = open_database(cluster_url)
    with database.begin():
        pass  # the first connection tells the dialect about the server
    database.close()
    return database.engine


@pytest.fixture
def database(database_url: str, cluster_url: str) -> Iterator[Database]:
    """This test's database, open."""
    opened = _open(database_url, cluster_url)
    yield opened
    opened.close()


def _open(url: str, cluster_url: str) -> Database:
    engine = open_database(url).engine
    # To compile the same statements for every test anew would be a tenth of the suite's time.
    first = _first_engine(cluster_url)
    engine.dialect = first.dialect
    engine._compiled_cache = first._compiled_cache
    return Database(engine=engine, url=url)


@pytest.fixture(scope="module")
def module_database(postgres_url: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """One database for the tests of a module that keep out of each other's way."""
    with databases(postgres_url, request.config).database() as url:
        opened = _open(url, postgres_url)
        yield opened
        opened.close()


def _start_cluster(binaries: Binaries | None = None) -> Postgres:
    """The run's cluster, as the product makes it but for the passwords.

    To prove one costs either side more than all else that a connection does, and tests open
    thousands; ``tests/runtime`` has clusters of its own.
    """
    postgres = start_postgres(ephemeral=True, binaries=binaries)
    (postgres.cluster / "pg_hba.conf").write_text("local all all trust\n")
    with psycopg.connect(postgres.url("postgres")) as admin:
        admin.execute("SELECT pg_reload_conf()")
    return postgres
