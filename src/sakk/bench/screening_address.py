"""Addresses against a million labels, in the engine that judges payments.

The labels are in a PostgreSQL of our own, and the engine has loaded them as a worker does. Half of
the addresses asked about have a label.
"""

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

from sakk.bench.figures import WrongResult, micros, rate
from sakk.core.label import EVM
from sakk.runtime.postgres import start_postgres
from sakk.screening.engine import Engine
from sakk.store import label as label_store
from sakk.store.database import Database, open_database
from sakk.store.identity import now
from sakk.store.label import LabelRow
from sakk.store.migrate import upgrade

Say = Callable[[str], None]
Line = dict[str, Any]

SEED = 8402
LABELS = 1_000_000
LOOKUPS = 1_000_000
REPEATS = 5
TIMED = 100_000


def lookups(
    say: Say, *, labels: int = LABELS, asked: int = LOOKUPS, repeats: int = REPEATS
) -> list[Line]:
    """``address_lookup`` (lookups/s on one core) and ``address_lookup_time`` (µs)."""
    with start_postgres(ephemeral=True) as postgres:
        upgrade(postgres.url())
        database = open_database(postgres.url())
        try:
            say(f"loading {labels:,} labels")
            _fill(database, labels)
            engine = Engine(database)
            engine.refresh()
        finally:
            database.close()
    if len(engine) != labels:
        raise WrongResult(f"the engine has {len(engine)} labels of {labels}")
    listed = list(_addresses(labels))
    strangers = random.Random(SEED + 1)
    questions = [
        listed[strangers.randrange(labels)]
        if number % 2
        else f"0x{strangers.getrandbits(160):040x}"
        for number in range(asked)
    ]
    rates = []
    for _ in range(repeats):
        started = time.perf_counter()
        found = sum(1 for address in questions if engine.marks(EVM, address))
        rates.append(asked / (time.perf_counter() - started))
        if found != asked // 2:
            raise WrongResult(f"{found} of {asked // 2} labelled addresses were found")
    microseconds = []
    for address in questions[:TIMED]:
        started = time.perf_counter()
        engine.marks(EVM, address)
        microseconds.append((time.perf_counter() - started) * 1e6)
    return [rate("address_lookup", "lookups/s", rates), micros("address_lookup_time", microseconds)]


def _addresses(count: int) -> Iterator[str]:
    """The same addresses in each run."""
    generator = random.Random(SEED)
    return (f"0x{generator.getrandbits(160):040x}" for _ in range(count))


def _fill(database: Database, count: int) -> None:
    """One list of labels, as an import leaves it."""
    rows = (LabelRow(EVM, address, "scam", 80) for address in _addresses(count))
    with database.begin() as connection:
        label_store.stage_rows(connection, rows)
        label_store.lock_lists(connection)
        label_store.apply_staged(connection, "lst_bench", now=now())
