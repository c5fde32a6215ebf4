"""What needs no key: alive, ready, measured, described."""

from dataclasses import replace
from typing import Any

from sqlalchemy import text

from sakk.api.dependencies import Dependencies
from sakk.api.health import failures
from sakk.flow.context import Parts
from sakk.store.database import Database, open_database
from tests.api.world import Api, http


def test_paths_that_need_no_key(api: Api) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs/errors"):
        assert http().get(api.url + path).status_code == 200


def test_requests_are_counted_by_route_and_not_by_id(api: Api) -> None:
    api.call("GET", "/v1/customers/cus_counted")
    line = 'sakk_api_requests_total{method="GET",route="/v1/customers/{customer}",status="404"}'
    metrics = http().get(f"{api.url}/metrics").text
    assert line in metrics
    assert "cus_counted" not in metrics


def dependencies(database: Database, **checks: Any) -> Dependencies:
    return Dependencies(parts=Parts(database=database), checks=checks)


def test_ready(database: Database) -> None:
    assert failures(dependencies(database, ledger=lambda: None)) == {}


def test_a_part_that_is_away(database: Database) -> None:
    def away() -> str | None:
        raise ConnectionRefusedError("/run/secret/path")

    failing = failures(dependencies(database, signer=lambda: "it is frozen", ledger=away))
    assert failing == {"signer": "it is frozen", "ledger": "ConnectionRefusedError"}


def test_a_schema_of_another_time(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'old'"))
    assert "revision old" in failures(dependencies(database))["database"]


def test_a_database_that_is_away(database: Database) -> None:
    nowhere = open_database("postgresql://nobody@127.0.0.1:1/nothing")
    parts = replace(dependencies(database).parts, database=nowhere)
    assert failures(Dependencies(parts=parts)) == {"database": "OperationalError"}
    nowhere.close()
