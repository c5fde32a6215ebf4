"""The role ``ledger``: the one writer, its socket and its HTTP door, and the rows behind it."""

import asyncio
import sys
import threading

import structlog
import uvloop

from sakk.core.errors import Unavailable
from sakk.core.shard import CHART, SHARD_MAP
from sakk.ledger.calls import OpenLedger
from sakk.ledger.projection import Projector
from sakk.ledger.server import answer_calls
from sakk.ledger.writer import open_ledger
from sakk.runtime.place import database_url, ledger_address
from sakk.runtime.process import report_ready
from sakk.runtime.settings import Settings

log = structlog.get_logger(__name__)

DOOR_RETRY_SECONDS = 2.0
# The writer and the event loop take turns: by Python's default either would wait five milliseconds
# for the other.
SWITCH_SECONDS = 0.0001


def run_ledger(settings: Settings, stop: threading.Event) -> None:
    url = database_url(settings)
    shard = SHARD_MAP.shard_of(CHART)
    projector = Projector(url, shard=shard)
    ledger = open_ledger(
        url, shard=shard, on_append=projector.wake, lag_events=projector.lag_events
    )
    report = threading.Timer(0.05, report_ready)
    report.start()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, ledger, url, stop))
    finally:
        report.cancel()
        ledger.close()
        projector.close()
    if not stop.is_set():
        raise Unavailable("the ledger stopped: another writer may have taken over; starting again")


async def _serve(settings: Settings, ledger: OpenLedger, url: str, stop: threading.Event) -> None:
    """The socket until the end, and beside it the door where there is one."""
    closing = asyncio.Event()
    door: asyncio.Task[None] | None = None
    if settings.ledger_port is not None:
        door = asyncio.create_task(_keep_door(settings, ledger, url, closing))
    await answer_calls(ledger, ledger_address(settings), stop)
    closing.set()
    if door is not None:
        await door


async def _keep_door(
    settings: Settings, ledger: OpenLedger, url: str, closing: asyncio.Event
) -> None:
    """The door is no condition of the ledger: where it can not open, everything else goes on."""
    # Not before the ledger answers: what the door needs takes a while to import.
    from sakk.runtime.ledger_door import serve_door

    while not closing.is_set():
        try:
            await serve_door(settings, ledger, url, closing)
        except OSError as error:
            log.error("ledger_door_failed", port=settings.ledger_port, reason=str(error))
            await asyncio.wait([asyncio.create_task(closing.wait())], timeout=DOOR_RETRY_SECONDS)
