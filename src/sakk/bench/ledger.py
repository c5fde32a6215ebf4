"""``sakk bench ledger``: the ledger from its machine to its HTTP door, all in one run.

Every figure that ends in a journal is of transfers that were durable when they were answered
(PostgreSQL of our own, fsync and synchronous_commit on), and what was measured is looked at
afterwards: debits are credits, the journal replays to the machine's state.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sakk.bench import ledger_http
from sakk.bench import ledger_machine as bench
from sakk.bench.figures import WrongResult, cost, rate, times
from sakk.bench.ledger_liability import liabilities
from sakk.bench.ledger_projection import LAG_EVENTS_AT_BENCH, burst
from sakk.bench.ledger_projection import sustained as projected_beside
from sakk.bench.ledger_rows import prepare_rows, row_locks
from sakk.bench.ledger_writer import (
    ACCOUNTS,
    Batches,
    Flood,
    Source,
    check_totals,
    flood,
    hot,
    open_accounts,
)
from sakk.bench.machine import describe_machine
from sakk.bench.stack import cpu_seconds, spent, start_stack
from sakk.ledger.calls import Op, OpenLedger
from sakk.ledger.machine import Make, serving
from sakk.ledger.outside import DatabaseJournal
from sakk.ledger.outside import run as finish
from sakk.ledger.replay import restore
from sakk.ledger.writer import open_ledger
from sakk.runtime.postgres import Postgres, start_postgres
from sakk.store.migrate import upgrade

Say = Callable[[str], None]
Line = dict[str, Any]
# Batch sizes, and how many callers hand them over at once.
CALLERS = {8_000: 4, 1_000: 8, 100: 16}


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured. Each figure is the median of ``repeats``."""

    repeats: int = 5
    batches: dict[int, int] = field(default_factory=lambda: {8_000: 80, 1_000: 400, 100: 1_000})
    reference_batches: int = 150
    row_transfers: int = 2_000
    row_connections: int = 16
    applied: int = 2_000_000
    applied_by_reference: int = 200_000
    loaded: int = 10_000_000
    remembered: int = 20_000_000
    accounts: int = 1_000_000
    door: bool = True
    owed: int = 1_000_000
    projected_batches: int = 150
    sustained_batches: int = 1_500
    sustained_seconds: float = 20.0
    sustained_lag: int = LAG_EVENTS_AT_BENCH


def run(*, scale: Scale = Scale(), say: Say = lambda _: None) -> dict[str, Any]:
    """Measure; the result is an object of ``sakk bench``'s shape. WrongResult if one is wrong."""
    machine = describe_machine() | {"ledger_machine": serving().value}
    results = writer_lines(scale, say)
    if scale.door:
        results += door_lines(scale, say)
    results += machine_lines(scale, say)
    results += projection_lines(scale, say)
    results += liabilities(accounts=scale.owed, repeats=scale.repeats, say=say)
    return {"machine": machine, "results": results}


def writer_lines(scale: Scale, say: Say) -> list[Line]:
    """The writer's interface: plain transfers, one hot account, all kinds, and the baselines."""
    plain: dict[int, list[Flood]] = {size: [] for size in scale.batches}
    others: dict[str, list[Flood]] = {"hot": [], "mixed": []}
    locks: list[float] = []
    costs: list[dict[str, float]] = []
    middle = sorted(scale.batches)[len(scale.batches) // 2]
    with _journalled(serving()) as (postgres, ledger):
        source = Source()
        open_accounts(ledger, source)
        prepare_rows(postgres.url())
        for number in range(scale.repeats):
            say(f"repeat {number + 1} of {scale.repeats}: the writer, and row locks beside it")
            for size, count in scale.batches.items():
                batches = source.plain(size=size, count=count)
                before = _cpu(postgres)
                done = flood(ledger, batches, callers=CALLERS[size])
                plain[size].append(done)
                if size == middle:
                    costs.append(_microseconds(before, _cpu(postgres), done.transfers))
            count = scale.batches[middle]
            for name, batches in (
                ("hot", source.plain(size=middle, count=count, pairs=hot)),
                ("mixed", source.mixed(size=middle, count=count)),
            ):
                others[name].append(flood(ledger, batches, callers=CALLERS[middle]))
            locks.append(_row_locks(postgres, scale, number))
        check_totals(ledger)
        say("checking: the journal is replayed from its first row")
        _check_replay(postgres.url(), ledger)
    reference = _reference(scale, middle, say)
    uniform = [each.rate for each in plain[middle]]
    return [
        *(
            rate(
                f"writer_{size}",
                "transfers/s",
                [each.rate for each in floods],
                baselines=locks if size == middle else (),
            )
            for size, floods in plain.items()
        ),
        *(
            rate(
                f"writer_{middle}_{name}",
                "transfers/s",
                [each.rate for each in floods],
                baselines=uniform,
            )
            for name, floods in others.items()
        ),
        *(
            times(
                f"writer_{size}_latency",
                [each for flooded in floods for each in flooded.milliseconds],
                repeats=scale.repeats,
            )
            for size, floods in plain.items()
        ),
        *(
            cost(f"writer_{middle}_cpu_{name}", "us/transfer", [each[name] for each in costs])
            for name in ("ledger", "postgres")
        ),
        rate(f"reference_{middle}", "transfers/s", reference),
        rate(f"writer_{middle}_over_reference", "transfers/s", uniform, baselines=reference),
        rate(f"row_locks_{scale.row_connections}", "transfers/s", locks),
    ]


def door_lines(scale: Scale, say: Say) -> list[Line]:
    """The HTTP door of a whole system, on a chain that is nearly still."""
    say("the whole system, for its door")
    with start_stack("--networks", "1", "--block-time", "5") as stack:
        return ledger_http.run(stack, repeats=scale.repeats, say=say)


def machine_lines(scale: Scale, say: Say) -> list[Line]:
    """The machines in memory: applying, replaying, loading, and what many ids cost."""
    say("the machines in memory")
    accounts = min(ACCOUNTS, scale.accounts)

    def applied(transfers: int, make: Make) -> float:
        return bench.apply_speed(
            transfers=transfers, batch=1_000, accounts=accounts, make=make
        ).per_second

    repeats = range(scale.repeats)
    compiled = [applied(scale.applied, serving()) for _ in repeats]
    reference = [applied(scale.applied_by_reference, Make.reference) for _ in repeats]
    replayed = [
        bench.replay_speed(transfers=scale.applied, batch=1_000, accounts=accounts).per_second
        for _ in repeats
    ]
    say(f"a snapshot of {scale.loaded} transfers")
    loaded = [bench.load_speed(transfers=scale.loaded, accounts=accounts).seconds]
    say(f"{scale.remembered} ids and {scale.accounts} accounts in memory")
    grown = bench.grow(ids=scale.remembered, accounts=scale.accounts)
    return [
        rate("machine_apply", "transfers/s", compiled, baselines=reference),
        rate("machine_replay", "transfers/s", replayed),
        cost(f"machine_load_{scale.loaded}", "s", loaded),
        cost(f"machine_memory_{scale.remembered}", "MB", [grown.resident_bytes / 1e6]),
        cost("machine_pause_max", "ms", [1_000 * grown.pause_seconds_max]),
    ]


def projection_lines(scale: Scale, say: Say) -> list[Line]:
    """Rows a second: in a burst with nothing beside it, and sustained behind a flood."""
    bursts, sustained = [], []
    for number in range(scale.repeats):
        say(f"repeat {number + 1} of {scale.repeats}: the projection")
        with _journalled(serving()) as (postgres, ledger):
            source = Source()
            open_accounts(ledger, source)
            flood(ledger, source.plain(size=1_000, count=scale.projected_batches), callers=8)
            bursts.append(burst(postgres.url()).rate)
            batches = source.endless(size=1_000, ready=scale.sustained_batches)
            # The flood has a writer of its own, which fences this one off.
            found = projected_beside(
                postgres.url(),
                batches,
                seconds=scale.sustained_seconds,
                lag_events_max=scale.sustained_lag,
            )
            sustained.append(found.rate)
    return [
        rate("projection_burst", "rows/s", bursts),
        rate("projection_sustained", "rows/s", sustained, baselines=bursts),
    ]


def _reference(scale: Scale, size: int, say: Say) -> list[float]:
    """Transfers a second of the plain Python machine behind the same writer."""
    say("the reference machine")
    rates = []
    with _journalled(Make.reference) as (_, ledger):
        source = Source()
        open_accounts(ledger, source)
        for _ in range(scale.repeats):
            batches: Batches = source.plain(size=size, count=scale.reference_batches)
            rates.append(flood(ledger, batches, callers=CALLERS[size]).rate)
        check_totals(ledger)
    return rates


@contextmanager
def _journalled(make: Make) -> Iterator[tuple[Postgres, OpenLedger]]:
    """A writer alone with a PostgreSQL of the settings that ``sakk serve`` has."""
    with tempfile.TemporaryDirectory(prefix="sakk-bench-") as folder:
        with start_postgres(Path(folder)) as postgres:
            upgrade(postgres.url())
            ledger = open_ledger(postgres.url(), make=make)
            try:
                yield postgres, ledger
            finally:
                ledger.close()


def _check_replay(url: str, ledger: OpenLedger) -> None:
    """WrongResult unless the journal, from its first row, comes to the same accounts."""
    with DatabaseJournal(url, 0) as journal:
        machine, _ = finish(restore(journal, from_zero=True))
    for request in Source().account_ids():
        if machine.lookup_accounts(request) != ledger.calls.call(Op.lookup_accounts, request):
            raise WrongResult("the replayed journal comes to other balances than the writer has")


def _row_locks(postgres: Postgres, scale: Scale, number: int) -> float:
    return row_locks(
        postgres.url(),
        first_id=1 + number * scale.row_transfers,
        transfers=scale.row_transfers,
        connections=scale.row_connections,
    )


def _cpu(postgres: Postgres) -> dict[str, float]:
    """CPU seconds so far: of this process, and of PostgreSQL's."""
    return {
        "ledger": time.process_time(),
        "postgres": cpu_seconds(postgres.pid).get("postgres", 0.0),
    }


def _microseconds(
    before: dict[str, float], after: dict[str, float], transfers: int
) -> dict[str, float]:
    return {name: 1e6 * each / transfers for name, each in spent(before, after).items()}
