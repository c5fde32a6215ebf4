"""The ledger's own HTTP door, opened in the ledger's process once the ledger answers."""

import asyncio

import structlog

from sakk.api.ledger_door import LedgerDoor, open_listener
from sakk.ledger.calls import OpenLedger
from sakk.runtime.garbage import exempt_from_collection
from sakk.runtime.settings import Settings
from sakk.runtime.vault import read_vault
from sakk.runtime.wiring import api_settings
from sakk.store.database import open_database

log = structlog.get_logger(__name__)

# What asks for keys, a few times a second.
POOL_SIZE = 2


async def serve_door(
    settings: Settings, ledger: OpenLedger, url: str, closing: asyncio.Event
) -> None:
    """Answer postings until the event; OSError where the port can not be had."""
    assert settings.ledger_port is not None
    database = open_database(url, pool_size=POOL_SIZE)
    try:
        with open_listener(settings.host, settings.ledger_port) as listener:
            door = LedgerDoor(ledger.calls, database, api_settings(settings), read_vault(settings))
            exempt_from_collection()
            log.info("ledger_door_open", port=listener.getsockname()[1])
            await door.serve(listener, closing)
    finally:
        database.close()
