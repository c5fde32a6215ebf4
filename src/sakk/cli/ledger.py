"""``sakk ledger``: look at the journal, prove it, and shorten the next start."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from sakk.cli.liability import liabilities, proof
from sakk.cli.open import begin
from sakk.cli.out import Json, console, print_json
from sakk.ledger.machine import Make
from sakk.ledger.outside import DatabaseJournal, run
from sakk.ledger.replay import restore, take_snapshot
from sakk.ledger.snapshot import state_hash
from sakk.ledger.tail import events, follow
from sakk.ledger.verify import verify as verify_ledger
from sakk.runtime.place import database_url
from sakk.runtime.signals import stop_at_signals
from sakk.store.journal import JournalRow, connect, last_sequence

app = typer.Typer(help="The ledger's journal.", no_args_is_help=True)
app.command()(liabilities)
app.command()(proof)

NANOSECONDS = 1_000_000_000


@app.command()
def verify(
    machine: Annotated[
        Make | None,
        typer.Option(help="Which machine replays; without it, the one that serves."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Replay the journal beside the running ledger and check every invariant; exit 1 on a break."""
    report = verify_ledger(database_url(begin(log_level="warning")), make=machine)
    if as_json:
        print_json(report.as_dict())
    else:
        console.print(
            f"journal {report.journal_rows} rows to {report.sequence}, projection at "
            f"{report.projected_sequence}; {report.accounts} accounts, {report.transfers} "
            f"transfers, {report.entries} entries, {report.vouchers} vouchers, "
            f"{report.snapshots} snapshots, {report.roots} "
            f"roots of liabilities ({report.roots_recomputed} computed again)"
        )
        console.print(f"state {report.state_hash}, by the {report.machine} machine")
        for each in report.breaks:
            console.print(f"BREAK {each.check} at {each.place}: {each.message}")
        console.print("The ledger holds." if report.ok else f"{report.breaks_total} breaks.")
    sys.exit(0 if report.ok else 1)


@app.command()
def replay(
    from_snapshot: Annotated[
        bool, typer.Option("--from-snapshot", help="Begin at the newest snapshot, as a start does.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Replay the journal beside the running ledger: how fast, and to which state."""
    url = database_url(begin(log_level="warning"))
    replayed, began = 0, time.perf_counter()
    with DatabaseJournal(url, 0) as journal, _progress(url) as advance:

        def on_row(row: JournalRow) -> None:
            nonlocal replayed
            replayed += row.count
            advance(row.sequence)

        machine, head = run(restore(journal, from_zero=not from_snapshot, on_row=on_row))
    seconds = time.perf_counter() - began
    document = {
        "sequence": head.sequence,
        "events": replayed,
        "seconds": round(seconds, 3),
        "events_per_second": round(replayed / seconds),
        "accounts": machine.account_count,
        "transfers": machine.transfer_count,
        "state_hash": state_hash(machine).hex(),
    }
    if as_json:
        print_json(document)
        return
    console.print(
        f"{replayed} events to row {head.sequence} in {seconds:.2f} s, "
        f"{document['events_per_second']} a second; {machine.account_count} accounts, "
        f"{machine.transfer_count} transfers"
    )
    console.print(f"state {document['state_hash']}")


@app.command()
def snapshot(as_json: Json = False) -> None:
    """Store a snapshot of the journal as it is, so that the next start replays less."""
    made = take_snapshot(database_url(begin(log_level="warning")))
    document = {
        "sequence": made.sequence,
        "bytes": made.size_bytes,
        "state_hash": made.state_hash.hex(),
    }
    if as_json:
        print_json(document)
        return
    console.print(f"row {made.sequence}, {made.size_bytes} bytes")
    console.print(f"state {document['state_hash']}")


@app.command()
def tail(
    after: Annotated[
        int | None,
        typer.Option(
            min=0, help="Begin after this row; 0: everything. Without it: what is to come."
        ),
    ] = None,
    follows: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Go on with what is to come.")
    ] = True,
    groups: Annotated[
        bool, typer.Option("--groups", help="A line for each row instead of each event.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the journal as it is written, a line for each event, until Ctrl-C."""
    url = database_url(begin(log_level="warning"))
    stop = stop_at_signals() if follows else None
    for row in follow(url, after=after, stop=stop):
        for document in [_group(row)] if groups else events(row):
            if as_json:
                print_json(document)
            else:
                console.print(_line(row, document), markup=False)


def _group(row: JournalRow) -> dict[str, Any]:
    return {
        "sequence": row.sequence,
        "event": "group",
        "timestamp": row.timestamp_ns,
        "epoch": row.epoch,
        "events": row.count,
        "bytes": len(row.payload),
        "hash": row.hash.hex(),
    }


def _line(row: JournalRow, document: dict[str, Any]) -> str:
    nanoseconds = document.get("timestamp") or row.timestamp_ns
    moment = datetime.fromtimestamp(nanoseconds // NANOSECONDS, UTC)
    head = f"{row.sequence} {moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds % NANOSECONDS:09}Z"
    shown = {name: each for name, each in document.items() if name not in ("sequence", "timestamp")}
    event = shown.pop("event")
    return " ".join([head, str(event), *(f"{name}={each}" for name, each in shown.items())])


@contextmanager
def _progress(url: str) -> Iterator[Any]:
    """A bar to the journal's last row, where somebody looks at it; yields how to advance it."""
    terminal = Console(stderr=True)
    if not terminal.is_terminal:
        yield lambda _: None
        return
    with connect(url) as connection:
        total = last_sequence(connection, 0)
    columns = (TextColumn("rows"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal, transient=True) as progress:
        task = progress.add_task("rows", total=total)
        yield lambda sequence: progress.update(task, completed=sequence)
