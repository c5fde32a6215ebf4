"""The role ``ledger``: the one writer, its socket, and the projection behind it."""

import threading

from sakk.core.errors import Unavailable
from sakk.core.shard import CHART, SHARD_MAP
from sakk.ledger.projection import Projector
from sakk.ledger.server import serve_ledger
from sakk.ledger.writer import open_ledger
from sakk.runtime.place import database_url, ledger_address
from sakk.runtime.process import report_ready
from sakk.runtime.settings import Settings


def run_ledger(settings: Settings, stop: threading.Event) -> None:
    url = database_url(settings)
    shard = SHARD_MAP.shard_of(CHART)
    projector = Projector(url, shard=shard)
    ledger = open_ledger(
        url, shard=shard, on_append=projector.wake, lag_events=projector.lag_events
    )
    report = threading.Timer(0.05, report_ready)
    report.start()
    try:
        serve_ledger(ledger, ledger_address(settings), stop)
    finally:
        report.cancel()
        ledger.close()
        projector.close()
    if not stop.is_set():
        raise Unavailable("the ledger stopped: another writer may have taken over; starting again")
