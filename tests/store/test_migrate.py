"""Migrations: they make what the code expects, once, however many processes begin."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from sakk.core.errors import Unavailable
from sakk.store import migrate
from sakk.store.database import open_database
from sakk.store.revision import expected_revision


@pytest.fixture
def migrated(empty_database_url: str) -> str:
    """An empty database brought to the latest revision."""
    migrate.upgrade(empty_database_url)
    return empty_database_url


def test_a_new_database_has_no_revision(empty_database_url: str) -> None:
    assert migrate.current_revision(empty_database_url) is None


def test_the_migrated_schema_is_the_one_in_the_code(migrated: str) -> None:
    assert migrate.current_revision(migrated) == expected_revision() is not None
    database = open_database(migrated)
    with database.begin() as connection:
        assert migrate.differences(connection) == []
    database.close()


def test_a_missing_table_is_a_difference(migrated: str) -> None:
    database = open_database(migrated)
    name = migrate.all_tables().sorted_tables[-1].name
    with database.begin() as connection:
        connection.exec_driver_sql(f'DROP TABLE "{name}" CASCADE')
        assert migrate.differences(connection) != []
    database.close()


def test_many_may_start_at_once(empty_database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate.upgrade, [empty_database_url] * 4))
    assert migrate.current_revision(empty_database_url) == expected_revision()


def test_waiting_for_another_has_an_end(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "WAIT_FOR_OTHERS_MS_MAX", 50)
    with psycopg.connect(empty_database_url) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (migrate.ADVISORY_LOCK,))
        with pytest.raises(Unavailable, match="try again"):
            migrate.upgrade(empty_database_url)


def test_an_index_that_was_not_finished_is_built_by_the_next(migrated: str) -> None:
    name = "ix_purchases_unpaid"
    with psycopg.connect(migrated, autocommit=True) as connection:
        connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", (name,)
        )
        connection.execute("DROP INDEX ix_transfers_between")
        migrate.upgrade(migrated)
        made = connection.execute(
            "SELECT count(*) FROM pg_index WHERE indisvalid AND indexrelid::regclass::text"
            " IN (%s, 'ix_transfers_between')",
            (name,),
        ).fetchone()
    assert made == (2,)
