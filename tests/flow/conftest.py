"""Worlds for the flow's tests: see ``tests.flow.harness``."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Protocol

import pytest
from tests.chain import Chain
from tests.conservation import check_conserved, check_escrowed
from tests.flow.harness import World, open_world

from sakk.signing.keystore import SCRYPT_N_MIN, Keystore, create_keystore
from sakk.store.breach import list_newest
from sakk.store.database import Database

PASSPHRASE = "correct horse battery staple"


# Modules in which agents pay; the model of mandates posts without rows, and counts by itself.
PAYING = ("test_channel", "test_contract_payer", "test_escrow", "test_mandate", "test_x402")
WITHOUT_ROWS = "test_mandate_model"


class MakeWorld(Protocol):
    """Opens a world on the test's database: at most one a test."""

    def __call__(
        self,
        *,
        sweep: bool = False,
        disperse_min: int = 0,
        more_chains: Sequence[Chain] = (),
        rpc_urls: Sequence[str] | None = None,
    ) -> World: ...


@pytest.fixture(scope="session")
def world_keystore(tmp_path_factory: pytest.TempPathFactory) -> Keystore:
    """The run's keys: made once, since stretching a passphrase takes its time."""
    path = tmp_path_factory.mktemp("keystore") / "keystore.json"
    return create_keystore(
        path, PASSPHRASE, now=datetime(2026, 1, 1, tzinfo=UTC), scrypt_n=SCRYPT_N_MIN
    )


@pytest.fixture(autouse=True)
def _conserved(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test in which agents pay, by the ledger and, where there is one, by the chain."""
    name = request.module.__name__.rpartition(".")[2]
    is_paying = name.startswith(PAYING) and name != WITHOUT_ROWS
    named = {"database", "module_database"} & set(request.fixturenames) if is_paying else ()
    databases: list[Database] = [request.getfixturevalue(each) for each in sorted(named)]
    has_chain = is_paying and "chain" in request.fixturenames
    chain: Chain | None = request.getfixturevalue("chain") if has_chain else None
    yield
    for database in databases:
        check_conserved(database)
        if chain is not None:
            check_escrowed(database, chain)


@pytest.fixture
def make_world(
    database: Database,
    chain: Chain,
    world_keystore: Keystore,
    request: pytest.FixtureRequest,
) -> Iterator[MakeWorld]:
    """Open a world with sweeps, more chains (``start_chain``) or another way to the node.

    Whatever Sakk does in a test, it never takes its own acts for somebody else's; where a test has
    others act in its addresses' name it is marked ``breached``.
    """
    with ExitStack() as stack:

        def make(
            *,
            sweep: bool = False,
            disperse_min: int = 0,
            more_chains: Sequence[Chain] = (),
            rpc_urls: Sequence[str] | None = None,
        ) -> World:
            return stack.enter_context(
                open_world(
                    database,
                    [chain, *more_chains],
                    world_keystore,
                    sweep=sweep,
                    disperse_min=disperse_min,
                    rpc_urls=rpc_urls,
                )
            )

        yield make
    if request.node.get_closest_marker("breached") is None:
        with database.begin() as connection:
            assert [(each.kind, each.place) for each in list_newest(connection, limit=5)] == []


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A world that leaves deposits where they are."""
    return make_world()
