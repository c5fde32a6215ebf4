"""Volume: what pay-ins brought, counted in the background for the pages that show it."""

from datetime import timedelta
from typing import Final

from sakk.core.volume import recount_from
from sakk.flow.context import Parts
from sakk.flow.stage import Stage
from sakk.store import volume as store

IDLE_SECONDS: Final = 10.0
# How old a count may be before the next one.
FRESH: Final = timedelta(seconds=9)


def volume_stage(parts: Parts) -> Stage:
    """The stage that counts what was posted lately; it counts again what it counted before."""

    def run() -> int:
        with parts.database.begin() as connection:
            now = parts.clock()
            until = store.lock_cursor(connection)
            if until is None or now - until > FRESH:
                since = None if until is None else recount_from(until)
                store.recount(connection, since=since, now=now)
        # More is there when somebody posts it: this stage is asked by the clock.
        return 0

    return Stage("volume", run, idle_seconds=IDLE_SECONDS, gives_way=True)
