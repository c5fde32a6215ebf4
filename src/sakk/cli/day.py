"""``sakk days``: close the ledger's days, and check their reports anywhere."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from sakk.cli.acting import Code, acting, opened_parts
from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.client.day import DayReportError, verify_day
from sakk.core import day as rules
from sakk.core.day import Day
from sakk.core.errors import ParameterInvalid
from sakk.flow import day as flow
from sakk.flow.step_up import StepUp
from sakk.store import day as store
from sakk.store.database import fetch_all
from sakk.store.identity import new_id, now

app = typer.Typer(help="Closed days, with signed reports.", no_args_is_help=True)

SHOWN_MAX = 400
Which = Annotated[str, typer.Argument(help="day_…, or its date.")]
File = Annotated[Path | None, typer.Option("--file", help="Write the signed report here.")]


@app.command()
def next(live: Live = False, as_json: Json = False) -> None:
    """Look at the day that would be closed next, and at what stands in its way."""
    with opened_database() as database, database.begin() as connection:
        found = flow.outlook(connection, livemode=live, now=now())
    if as_json:
        print_json(flow.outlook_document(found, livemode=live))
    else:
        console.print(f"{found.date} ends {found.ends_at:%Y-%m-%d %H:%M} UTC")
        if found.waits_for is not None:
            console.print(f"It waits: {found.waits_for}.")
        for each in found.blockers:
            console.print(f"{each.id} is unexplained: {each.kind}, {each.detail}", markup=False)
        for word in found.accepted:
            console.print(f"accepted by {word.name}: {word.reason}", markup=False)
        if found.blockers:
            console.print(f"digest {found.digest}")
    sys.exit(0 if found.is_ready else 1)


@app.command()
def accept(
    date: Annotated[str, typer.Argument(help="Which day, as 2026-03-31.")],
    digest: Annotated[str, typer.Argument(help="Of what `sakk days next` shows.")],
    reason: Annotated[str, typer.Argument(help="Why; it stands in the report.")],
    code: Code = None,
    live: Live = False,
) -> None:
    """Say, as one of two people, that a day is closed although breaks stand unexplained."""
    with opened_parts() as parts:
        found = flow.accept(
            parts,
            identifier=new_id(rules.ACCEPTANCE_PREFIX),
            day=rules.read_date(date),
            digest=digest,
            reason=reason,
            actor=acting(parts, livemode=live),
            livemode=live,
            step_up=StepUp(code=code),
        )
    console.print(f"accepted by {len(found.accepted)} of {found.acceptances_min}")


@app.command()
def close(
    date: Annotated[str | None, typer.Argument(help="Which day; the next by default.")] = None,
    timezone: Annotated[
        str | None, typer.Option(help="As Europe/Berlin; that of the day before by default.")
    ] = None,
    cutoff: Annotated[str | None, typer.Option(help="As 17:30; with --timezone.")] = None,
    code: Code = None,
    file: File = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Close a day, for good; one that is closed is shown as it is."""
    with opened_parts() as parts:
        made = flow.close(
            parts,
            identifier=new_id(rules.PREFIX),
            day=None if date is None else rules.read_date(date),
            actor=acting(parts, livemode=live),
            livemode=live,
            step_up=StepUp(code=code),
            clock=rules.read_clock(timezone, cutoff),
        )
    _write(made, file)
    if as_json:
        print_json(rules.public(made))
        return
    console.print(f"{made.date} is closed: {made.id}, number {made.number}, SHA-256 {made.sha256}")


@app.command(name="list")
def list_all(live: Live = False, as_json: Json = False) -> None:
    """List the closed days, newest first."""
    table = store.days
    statement = table.select().where(table.c.livemode == live)
    with opened_database() as database, database.begin() as connection:
        rows = fetch_all(
            connection, statement.order_by(table.c.number.desc()).limit(SHOWN_MAX), Day
        )
    if as_json:
        print_json([rules.public(row) for row in rows])
        return
    print_table(
        ["date", "number", "ended", "closed by", "sha256"],
        [
            [row.date, row.number, f"{row.ends_at:%Y-%m-%d %H:%M}", row.closed_by, row.sha256]
            for row in rows
        ],
    )


@app.command()
def show(day: Which, file: File = None, live: Live = False) -> None:
    """Show a closed day's report as JSON, or write it to a file with its signature."""
    with opened_database() as database, database.begin() as connection:
        found = flow.find(connection, day, livemode=live)
    _write(found, file)
    if file is None:
        print_json(json.loads(found.report))


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    previous: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="The report of the day before it."),
    ] = None,
    authority: Annotated[
        str | None, typer.Option(help="The installation's key, in hexadecimal, as you know it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a report offline: its hash, its signature, its sums, and the day before it."""
    try:
        found = verify_day(
            file.read_bytes(),
            previous=None if previous is None else previous.read_bytes(),
            authority=authority,
        )
    except DayReportError as error:
        raise ParameterInvalid(f"{file} does not hold: {error}.", param="file") from None
    if as_json:
        print_json(found.report)
        return
    console.print(
        f"{found.report['date']}, number {found.report['number']}: hash, signature and sums hold."
    )
    if authority is None:
        console.print(f"It is signed by {found.authority}: is that the key that you know?")


def _write(day: Day, file: Path | None) -> None:
    if file is not None:
        file.write_text(json.dumps(rules.file_document(day)))
