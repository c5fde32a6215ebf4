"""One server for the API's tests, and a fresh one for those that break it."""

from collections.abc import Iterator

import pytest

from sakk.store.database import open_database
from tests.api.objects import Objects, create_objects
from tests.api.world import Api, create_world, free_port, http, serving
from tests.conftest import databases
from tests.conservation import check_conserved

PAYING = {
    "test_charge",
    "test_escrow_channel",
    "test_escrow_payer",
    "test_mandate",
    "test_paywall",
    "test_receipt",
    "test_session",
    "test_voucher",
    "test_wallet_session",
}


@pytest.fixture(scope="session")
def api(postgres_url: str, request: pytest.FixtureRequest) -> Iterator[Api]:
    """The server that most tests share; none may rely on being alone on it."""
    with databases(postgres_url, request.config).database() as address:
        database = open_database(address)
        try:
            world = create_world(database)
            port = free_port()
            with serving(database.url, DOOR_PORT=str(port)) as (url, _):
                door = f"http://127.0.0.1:{port}"
                yield Api(url=url, world=world, database=database, door=door)
        finally:
            database.close()


@pytest.fixture(scope="session")
def objects(api: Api) -> Objects:
    """One object of every kind, of Alice's."""
    return create_objects(api)


@pytest.fixture(autouse=True)
def _conserved(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test in which agents pay, nothing was made and nothing is lost."""
    is_paying = request.module.__name__.rpartition(".")[2] in PAYING
    api = request.getfixturevalue("api") if is_paying and "api" in request.fixturenames else None
    yield
    if api is not None:
        check_conserved(api.database)


@pytest.fixture(scope="session", autouse=True)
def _http() -> Iterator[None]:
    yield
    http().close()
