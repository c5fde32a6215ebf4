"""``sakk ledger``: look at the journal, and prove it."""

import sys

import typer

from sakk.cli.open import begin
from sakk.cli.out import Json, console, print_json
from sakk.ledger.verify import verify as verify_ledger
from sakk.runtime.place import database_url

app = typer.Typer(help="The ledger's journal.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keeps ``verify`` a command of its own while it is the only one."""


@app.command()
def verify(as_json: Json = False) -> None:
    """Replay the journal beside the running ledger and check every invariant; exit 1 on a break."""
    report = verify_ledger(database_url(begin(log_level="warning")))
    if as_json:
        print_json(report.as_dict())
    else:
        console.print(
            f"journal {report.journal_rows} rows to {report.sequence}, projection at "
            f"{report.projected_sequence}; {report.accounts} accounts, {report.transfers} "
            f"transfers, {report.entries} entries, {report.snapshots} snapshots"
        )
        console.print(f"state {report.state_hash}")
        for each in report.breaks:
            console.print(f"BREAK {each.check} at {each.place}: {each.message}")
        console.print("The ledger holds." if report.ok else f"{report.breaks_total} breaks.")
    sys.exit(0 if report.ok else 1)
