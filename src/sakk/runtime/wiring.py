"""Wiring: from settings to the parts that a role is made of."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from sakk.api.dependencies import ApiSettings
from sakk.core.network import Network
from sakk.flow.book import Books
from sakk.flow.context import Parts
from sakk.ledger.remote import connect_ledger
from sakk.rails.evm.rail import EvmRail
from sakk.rails.evm.rpc import Rpc
from sakk.rails.evm.watch import AddressSet, BloomMode, EvmWatcher
from sakk.runtime.place import database_url, ledger_address, signer_socket
from sakk.runtime.settings import Settings
from sakk.runtime.vault import read_vault
from sakk.screening.engine import Engine
from sakk.screening.exposure import Exposures
from sakk.screening.name import NameIndex
from sakk.signing.client import SignerClient
from sakk.store.database import Database, open_database


def make_rail(network: Network) -> EvmRail:
    """A rail for one network, with an address set of its own."""
    rpc = Rpc(network.rpc_urls)
    watcher = EvmWatcher(
        network.network,
        rpc,
        AddressSet(),
        bloom=cast(BloomMode, network.bloom),
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
    exposures = Exposures(database)
    return Parts(
        database=database,
        ledger_books=Books(database, connect_ledger(ledger_address(settings))),
        screening=Engine(database, exposures=exposures) if screening else None,
        signer=SignerClient(signer_socket(settings)) if signer else None,
        rail=rail_cache(),
        vault=read_vault(settings),
        exposure=exposures,
        public_url=public_url(settings),
        names=NameIndex(database),
    )


def open_parts(settings: Settings, *, screening: bool = False, signer: bool = False) -> Parts:
    """Open the database and wire a role's parts."""
    return make_parts(
        settings, open_database(database_url(settings)), screening=screening, signer=signer
    )


@contextmanager
def wired(settings: Settings, *, screening: bool = False, signer: bool = False) -> Iterator[Parts]:
    """The same for as long as a command runs."""
    parts = open_parts(settings, screening=screening, signer=signer)
    try:
        yield parts
    finally:
        parts.books.ledger.close()
        parts.database.close()


def public_url(settings: Settings) -> str:
    """By which payers, merchants and other institutions reach this server."""
    return settings.public_url or f"http://{settings.host}:{settings.port}"


def api_settings(settings: Settings) -> ApiSettings:
    """The limits of one HTTP process: the API's workers, and the ledger's door beside them."""
    limit = settings.api_rate_limit_per_second
    return ApiSettings(
        rate_limit_per_second=limit or None,
        processes=settings.api_workers + (settings.ledger_port is not None),
        trusted_proxies=settings.proxies,
        public_url=public_url(settings),
        webhook_allow_loopback=settings.webhook_allow_loopback,
        x402_any_recipient=settings.sandbox,
        authentication_failures_per_minute=None if settings.sandbox else 60,
    )
