"""Volume: what pay-ins brought, added up from the ledger for the pages that show it."""

from typing import Final

from sakk.flow.context import Parts
from sakk.flow.stage import Stage
from sakk.store import volume as store

IDLE_SECONDS: Final = 5.0
TRANSFERS_MAX: Final = 20_000


def volume_stage(parts: Parts) -> Stage:
    """The stage that adds what the ledger's projection has new; a batch of transfers at a time."""

    def run() -> int:
        with parts.database.begin() as connection:
            read = store.count(connection, transfers_max=TRANSFERS_MAX)
        return read if read == TRANSFERS_MAX else 0

    return Stage("volume", run, idle_seconds=IDLE_SECONDS, gives_way=True)
