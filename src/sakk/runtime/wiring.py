"""Wiring: from settings to the parts that a role is made of."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

from sakk.core.errors import Misconfigured
from sakk.core.network import Network
from sakk.flow.book import Books
from sakk.flow.context import Parts
from sakk.ledger.remote import connect_ledger
from sakk.rails.evm.rail import EvmRail
from sakk.rails.evm.rpc import Rpc
from sakk.rails.evm.watch import AddressSet, BloomMode, EvmWatcher
from sakk.runtime.postgres import running_url
from sakk.runtime.settings import Settings
from sakk.screening.engine import Engine
from sakk.signing.client import SignerClient
from sakk.store.database import Database, open_database

STALE_BLOCKS = 20
# In the run folder: where the server that runs there keeps its sockets.
SOCKETS_NAME = "sockets"
STALE_SECONDS_MIN = 30


def database_url(settings: Settings) -> str:
    """Where the database is: ``DATABASE_URL``, or the embedded one that is running now."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    running = running_url(settings.data_dir / "postgres")
    if running is None:
        raise Misconfigured(
            "No database: set DATABASE_URL, or start `sakk serve`, which runs one of its own.",
            param="DATABASE_URL",
        )
    return running


def socket_dir(settings: Settings) -> Path:
    """The folder of the unix sockets: the one that is set, or that of the server running here."""
    if settings.socket_dir is not None:
        return settings.socket_dir
    told = settings.run_dir / SOCKETS_NAME
    if told.exists():
        return Path(told.read_text())
    raise Misconfigured(
        "SAKK_SOCKET_DIR is not set and no server runs in this data directory: name one folder "
        "for all roles that are started apart.",
        param="SAKK_SOCKET_DIR",
    )


def ledger_address(settings: Settings) -> str:
    """Where the ledger answers, in the form that ``connect_ledger`` takes."""
    if settings.ledger_address is not None:
        return settings.ledger_address.removeprefix("unix:")
    return str(socket_dir(settings) / "ledger.sock")


def signer_socket(settings: Settings) -> Path:
    """The signer's unix socket."""
    if settings.signer_address is not None:
        return Path(settings.signer_address.removeprefix("unix:"))
    return socket_dir(settings) / "signer.sock"


def make_rail(network: Network) -> EvmRail:
    """A rail for one network, with an address set of its own."""
    rpc = Rpc(network.rpc_urls)
    watcher = EvmWatcher(
        network.network,
        rpc,
        AddressSet(),
        bloom=cast(BloomMode, network.bloom),
        stale_seconds=max(STALE_SECONDS_MIN, STALE_BLOCKS * network.block_seconds),
    )
    return EvmRail(network.network, rpc, watcher)


def rail_cache() -> Callable[[Network], EvmRail]:
    """One rail a network and set of addresses, made at the first use."""
    rails: dict[tuple[str, tuple[str, ...]], EvmRail] = {}
    lock = threading.Lock()

    def rail(network: Network) -> EvmRail:
        key = (network.network, tuple(network.rpc_urls))
        with lock:
            if key not in rails:
                rails[key] = make_rail(network)
            return rails[key]

    return rail


def make_parts(
    settings: Settings, database: Database, *, screening: bool = False, signer: bool = False
) -> Parts:
    """The parts of a role that is not the ledger: everyone reaches that by its socket."""
    return Parts(
        database=database,
        ledger_books=Books(database, connect_ledger(ledger_address(settings))),
        screening=Engine(database) if screening else None,
        signer=SignerClient(signer_socket(settings)) if signer else None,
        rail=rail_cache(),
    )


def open_parts(settings: Settings, *, screening: bool = False, signer: bool = False) -> Parts:
    """Open the database and wire a role's parts."""
    return make_parts(
        settings, open_database(database_url(settings)), screening=screening, signer=signer
    )
