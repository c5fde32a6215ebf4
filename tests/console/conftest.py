"""One office a module: its tests keep out of each other's way by people of their own."""

from collections.abc import Iterator

import pytest

from sakk.core.network import Network
from sakk.flow.book import Books
from sakk.flow.context import Parts
from sakk.ledger.writer import open_ledger
from sakk.rails.evm.rail import EvmRail
from sakk.runtime.wiring import make_rail
from sakk.store.database import Database
from tests.console.office import Office, make_office


@pytest.fixture(scope="module")
def office(module_database: Database) -> Iterator[Office]:
    """The console over the module's database, with a ledger behind it."""
    ledger = open_ledger(module_database.url)
    rails: dict[str, EvmRail] = {}

    def rail(network: Network) -> EvmRail:
        return rails.setdefault(network.network, make_rail(network))

    made = make_office(Parts(module_database, Books(module_database, ledger), rail=rail))
    yield made
    made.console.close()
    for each in rails.values():
        each.rpc.close()
    ledger.close()
