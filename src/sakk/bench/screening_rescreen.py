"""How long a change of the lists takes until all that it touches was judged again.

A million labels are there and as many arrive, as a new list does, among them the other sides of
payouts that were made lately. The time runs from the list's commit until no transfer waits.
"""

import time
from collections.abc import Callable
from tempfile import NamedTemporaryFile
from typing import Any

from sqlalchemy import func, select

from sakk.bench.figures import WrongResult, cost
from sakk.bench.screening_decision import LABELS, NETWORK, new_address, new_payout, prepare
from sakk.flow.context import Parts
from sakk.flow.rescreen import rescreen_stage
from sakk.flow.screen import payout_screen_stage
from sakk.runtime.postgres import start_postgres
from sakk.screening.engine import Engine
from sakk.screening.importers import import_list
from sakk.store import payout as payouts
from sakk.store.database import Database, open_database
from sakk.store.identity import now
from sakk.store.migrate import upgrade
from sakk.store.screening import screenings

Say = Callable[[str], None]
Line = dict[str, Any]

PAYOUTS = 20_000
TOUCHED = 5_000
BATCH = 500


def rescreens(
    say: Say, *, labels: int = LABELS, count: int = PAYOUTS, touched: int = TOUCHED
) -> list[Line]:
    """``rescreen_list_change`` (s). WrongResult where one that is touched was not judged again."""
    with start_postgres(ephemeral=True) as postgres:
        upgrade(postgres.url())
        database = open_database(postgres.url())
        try:
            say(f"loading {labels:,} labels")
            prepare(database, labels)
            parts = Parts(database, screening=Engine(database))
            destinations = _screened(parts, count)
            while rescreen_stage(parts).run():
                pass
            say(f"{labels:,} labels more, which touch {touched:,} of {count:,} payouts")
            spent = _changed(parts, destinations[:touched], labels)
            found = _blocked(database)
        finally:
            database.close()
    if found != touched:
        raise WrongResult(f"{found} payouts were judged anew by the list, and it names {touched}")
    return [cost("rescreen_list_change", "s", [spent])]


def _screened(parts: Parts, count: int) -> list[str]:
    """Payouts as they stand when they were screened; where they go."""
    destinations = []
    stage = payout_screen_stage(parts)
    for _ in range(0, count, BATCH):
        rows = [new_payout() for _ in range(BATCH)]
        destinations += [row.destination for row in rows]
        with parts.database.begin() as connection:
            payouts.insert_many(connection, rows)
        while stage.run():
            pass
    return destinations


def _changed(parts: Parts, destinations: list[str], labels: int) -> float:
    """Seconds from the commit of a new list until nothing waits for being judged again."""
    with NamedTemporaryFile("w", suffix=".csv") as file:
        file.write("network,address,category,confidence\n")
        file.writelines(f"{NETWORK},{address},sanctions,100\n" for address in destinations)
        others = (new_address() for _ in range(labels - len(destinations)))
        file.writelines(f"{NETWORK},{address},scam,80\n" for address in others)
        file.flush()
        import_list(parts.database, file.name, name="bench", format="csv", now=now())
    stage = rescreen_stage(parts)
    started = time.perf_counter()
    while stage.run():
        pass
    return time.perf_counter() - started


def _blocked(database: Database) -> int:
    with database.begin() as connection:
        return int(
            connection.execute(
                select(func.count(func.distinct(screenings.c.subject))).where(
                    screenings.c.verdict == "block"
                )
            ).scalar_one()
        )
