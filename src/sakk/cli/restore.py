"""``sakk restore``: bring a database that is older than what was done with it in line again."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sakk.cli.open import begin as begin_command
from sakk.cli.out import Json, console, print_json
from sakk.core.restore import GAP_DEFAULT, GAP_MAX, Restore, public
from sakk.flow.context import Parts
from sakk.flow.restore import acknowledge as acknowledge_findings
from sakk.flow.restore import begin as begin_restore
from sakk.flow.restore import check as check_restore
from sakk.runtime.place import database_url
from sakk.runtime.restore import read_evidence
from sakk.runtime.wiring import rail_cache
from sakk.store import restore as store
from sakk.store.database import open_database
from sakk.store.identity import now

app = typer.Typer(help="A database restored from a backup.", no_args_is_help=True)

LogFile = Annotated[
    Path | None, typer.Option("--log", exists=True, help="The signer's newest log; its own.")
]
AnchorFile = Annotated[
    Path | None, typer.Option("--anchor", exists=True, help="The newest anchor.json; ours.")
]


@app.command()
def begin(
    reason: Annotated[str, typer.Argument(help="Kept with the restore.")] = "restored by hand",
    gap: Annotated[
        int, typer.Option(min=1, max=GAP_MAX, help="Address indices to skip and to watch.")
    ] = GAP_DEFAULT,
    log: LogFile = None,
    anchor: AnchorFile = None,
    as_json: Json = False,
) -> None:
    """Freeze, skip addresses, and import what the signer's log knows; before the roles start.

    `sakk serve` does this by itself when the evidence proves it. Again, it adds to what it did.
    """
    settings = begin_command(log_level="warning")
    database = open_database(database_url(settings))
    try:
        with database.begin() as connection:
            evidence = read_evidence(connection, settings, log_file=log, anchor_file=anchor)
            restore = begin_restore(connection, evidence, reason=reason, gap=gap, now=now())
    finally:
        database.close()
    _print(restore, as_json=as_json)


@app.command()
def check(
    acknowledge: Annotated[
        list[str] | None, typer.Option(help="A finding by its name, which you settle; again.")
    ] = None,
    log: LogFile = None,
    anchor: AnchorFile = None,
    as_json: Json = False,
) -> None:
    """Look at everything; with nothing left open, let what goes out go on. Exit 1 otherwise."""
    settings = begin_command(log_level="warning")
    database = open_database(database_url(settings))
    try:
        with database.begin() as connection:
            if acknowledge:
                acknowledge_findings(connection, acknowledge)
            evidence = read_evidence(connection, settings, log_file=log, anchor_file=anchor)
        restore, left = check_restore(Parts(database, rail=rail_cache()), evidence)
    finally:
        database.close()
    if as_json:
        findings = [{"name": each.name, **each.document()} for each in left]
        print_json({**public(restore, livemode=True), "findings": findings})
    else:
        for each in left:
            console.print(f"{each.name}\n    {each.message}")
        console.print("Nothing goes out before these are settled." if left else "In line again.")
    sys.exit(1 if left else 0)


@app.command()
def show(as_json: Json = False) -> None:
    """The restore that is under way, if one is."""
    database = open_database(database_url(begin_command(log_level="warning")))
    try:
        with database.begin() as connection:
            found = store.find_open(connection)
    finally:
        database.close()
    if found is None:
        console.print("No restore is under way.")
        return
    _print(found, as_json=as_json)


def _print(restore: Restore, *, as_json: bool) -> None:
    if as_json:
        print_json(public(restore, livemode=True))
        return
    console.print(f"{restore.id} is {restore.status}: {restore.reason}")
    console.print(f"{restore.imported} transactions imported from the signer's log")
    console.print(f"addresses {restore.first_index} to {restore.next_index - 1} skipped, watched")
    for note in restore.notes:
        console.print(f"{note['code']}:{note['subject']}\n    {note['message']}")
