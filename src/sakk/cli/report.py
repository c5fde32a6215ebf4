"""``sakk report``: books and lists as signed files, and the accountant's chart."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from sqlalchemy import Connection

from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.client.file_proof import FileProofError, check_file, pieces_of, proof_path, read_proof
from sakk.core import chart_mapping as mappings
from sakk.core import file as file_rules
from sakk.core import report as rules
from sakk.core.chart_mapping import AccountType, MappingRule
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.report import Report, ReportForm, ReportKind, ReportParameters, ReportStatus
from sakk.flow import chart_mapping as chart_flow
from sakk.flow import report as flow
from sakk.store import file as files
from sakk.store import report as store
from sakk.store.account import find_operator
from sakk.store.database import Database
from sakk.store.identity import new_id, now

app = typer.Typer(help="Books and lists as signed files.", no_args_is_help=True)

SHOWN_MAX = 100
LOOK_SECONDS = 0.25
ACTOR = "cli"
Identifier = Annotated[str, typer.Argument(help="rpt_…")]


@app.command()
def create(
    kind: Annotated[ReportKind, typer.Argument(help="What it says.")],
    since: Annotated[
        datetime | None, typer.Option(help="From this moment on (UTC); all when left out.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(help="Before this moment (UTC); now when left out.")
    ] = None,
    form: Annotated[ReportForm, typer.Option("--format", help="How it says it.")] = ReportForm.csv,
    account: Annotated[str | None, typer.Option(help="Of acct_… alone.")] = None,
    currency: Annotated[str | None, typer.Option(help="Such as usdc.")] = None,
    detail: Annotated[bool, typer.Option(help="A line for each account of the ledger.")] = False,
    tax_ppm: Annotated[int, typer.Option(help="Tax in the fees: 190000 is 19 %.")] = 0,
    threshold: Annotated[
        int | None, typer.Option(help="Large is from so many units of the currency on.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Wait for it, and save it here.")
    ] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Ask for a report; a running worker writes it."""
    moment = now()
    parameters = ReportParameters(
        start=_utc(since) or datetime.fromtimestamp(0, UTC),
        end=_utc(until) or moment.replace(microsecond=0),
        account=account,
        currency=currency,
        detail=detail,
        tax_ppm=tax_ppm,
        threshold=threshold,
    )
    with opened_database() as database:
        with database.begin() as connection:
            made = flow.create(
                connection,
                kind,
                form,
                parameters,
                identifier=new_id(rules.PREFIX),
                account_id=_operator(connection),
                livemode=live,
                is_operator=True,
                requested_by=ACTOR,
                metadata={},
                now=moment,
            )
        if file is not None:
            made = _awaited(database, made, quiet=as_json)
            _save(database, made, file)
        if as_json:
            print_json(_shown(database, made))
            return
    console.print(f"{made.id}: {made.kind} as {made.form}, {made.status}")


@app.command(name="list")
def list_all(as_json: Json = False) -> None:
    """List the reports of all accounts, newest first."""
    with opened_database() as database:
        with database.begin() as connection:
            rows = store.list_of(connection, account_id=None, limit=SHOWN_MAX)
        if as_json:
            print_json([_shown(database, row) for row in rows])
            return
    print_table(
        ["id", "kind", "format", "status", "done", "rows", "account"],
        [
            [
                row.id,
                row.kind,
                row.form,
                row.status,
                f"{rules.progress_percent(row)} %",
                row.rows,
                row.account_id,
            ]
            for row in rows
        ],
    )


@app.command()
def show(report: Identifier, live: Live = False) -> None:
    """Show a report and its file, as JSON."""
    with opened_database() as database:
        print_json(_shown(database, _found(database, report, live)))


@app.command()
def cancel(report: Identifier, live: Live = False) -> None:
    """Write a report no further."""
    with opened_database() as database, database.begin() as connection:
        ended = flow.cancel(connection, report, account_id=None, livemode=live, now=now())
    console.print(f"{ended.id}: {ended.status}")


@app.command()
def download(
    report: Identifier,
    file: Annotated[Path | None, typer.Option("--file", help="Its own name by default.")] = None,
    live: Live = False,
) -> None:
    """Wait for a report, and save its file with the proof beside it."""
    with opened_database() as database:
        ended = _awaited(database, _found(database, report, live), quiet=False)
        saved = _save(database, ended, file)
    console.print(f"saved {saved} and {proof_path(saved).name}")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The file.")],
    proof: Annotated[
        Path | None, typer.Option(exists=True, help="FILE.proof.json by default.")
    ] = None,
    authority: Annotated[
        str | None, typer.Option(help="The installation's public key, as it was known before.")
    ] = None,
) -> None:
    """Check, offline, that a file is to the byte what the installation signed."""
    try:
        document = read_proof(proof or proof_path(file))
        key = check_file(pieces_of(file), document, authority=authority)
    except FileProofError as error:
        typer.echo(f"{file}: {error}", err=True)
        raise typer.Exit(1) from None
    console.print(f"{file} is what {key} signed: {document['kind']} of {document['account']}")


@app.command()
def chart(
    file: Annotated[
        Path | None, typer.Argument(exists=True, help="Rules as JSON; shown if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the next version of the accountant's chart, or show the one in force."""
    with opened_database() as database, database.begin() as connection:
        if file is not None:
            chart_flow.put(connection, _rules(file), by=ACTOR, now=now())
        found = mappings.public(chart_flow.find(connection, chart_flow.ACTIVE))
    if as_json:
        print_json(found)
        return
    print_table(
        ["pattern", "code", "name", "type"],
        [[each[name] for name in ("pattern", "code", "name", "type")] for each in found["rules"]],
    )
    console.print(f"version {found['version']}")


def _rules(file: Path) -> list[MappingRule]:
    try:
        document: Any = json.loads(file.read_text())
        written = document["rules"] if isinstance(document, dict) else document
        return [
            MappingRule(
                str(each["pattern"]),
                str(each["code"]),
                str(each["name"]),
                AccountType(each["type"]),
            )
            for each in written
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ParameterInvalid(f"{file} holds no rules: {error}.", param="file") from error


def _awaited(database: Database, report: Report, *, quiet: bool) -> Report:
    """A report when it has ended; at a terminal one sees how far it has come."""
    terminal = Console(stderr=True, quiet=quiet)
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=terminal, disable=not terminal.is_terminal) as progress:
        task = progress.add_task(report.kind, total=100)
        while report.status in rules.OPEN:
            time.sleep(LOOK_SECONDS)
            report = _found(database, report.id, report.livemode)
            progress.update(task, completed=rules.progress_percent(report))
    return report


def _save(database: Database, report: Report, file: Path | None) -> Path:
    if report.status != ReportStatus.succeeded:
        why = report.failure_message or "it was not written."
        raise ResourceMissing(f"{report.id} {report.status}: {why}", param="id")
    with database.begin() as connection:
        stored = files.find(connection, str(report.file), account_id=None, livemode=report.livemode)
    if stored is None:
        raise ResourceMissing(f"The file of {report.id} is kept no more.", param="id")
    path = file or Path(stored.name)
    with path.open("wb") as saved:
        for piece in files.chunks(database, stored.id):
            saved.write(piece)
    proof = file_rules.public(stored, public_url=None)
    proof_path(path).write_text(json.dumps(proof))
    return path


def _found(database: Database, identifier: str, live: bool) -> Report:
    with database.begin() as connection:
        found = store.find(connection, identifier, account_id=None, livemode=live)
    if found is None:
        raise ResourceMissing("No such report: {report}.", param="id", report=repr(identifier))
    return found


def _shown(database: Database, report: Report) -> dict[str, Any]:
    with database.begin() as connection:
        found = files.find_many(connection, [report.file] if report.file else [])
    file = found.get(report.file or "")
    return rules.public(report, None if file is None else file_rules.public(file, public_url=None))


def _operator(connection: Connection) -> str:
    found = find_operator(connection)
    if found is None:
        raise ResourceMissing("There is no operator's account yet: start the server once.")
    return found.id


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(tzinfo=UTC)
