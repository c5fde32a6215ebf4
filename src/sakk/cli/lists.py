"""``sakk lists``: sanctions and label lists."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from sakk.cli.name import app as names
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.errors import ResourceMissing
from sakk.screening.countries import import_countries
from sakk.screening.importers import ImportReport, import_list, lists, retire_list
from sakk.screening.mapping import load_mapping
from sakk.screening.override import allow_address, disallow_address
from sakk.store.identity import now

app = typer.Typer(help="Sanctions and label lists.", no_args_is_help=True)
app.add_typer(names, name="names")


@app.command(name="import")
def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The list.")],
    companions: Annotated[
        list[Path] | None,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="More files of the same list: OFAC's alt.csv, add.csv, sdn_comments.csv.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The list's name; the file's by default.")
    ] = None,
    form: Annotated[str | None, typer.Option("--format", help="When it is not recognised.")] = None,
    kind: Annotated[str | None, typer.Option(help="sanctions, labels or operator.")] = None,
    category: Annotated[str | None, typer.Option(help="For every row, whatever it says.")] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="A TOML file that describes the columns of FILE."
        ),
    ] = None,
    allow_shrink: Annotated[
        bool, typer.Option(help="Accept a list that lost most of its rows.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Import a list; it holds for the very next decision, in every process."""
    with opened_database() as database:
        report = import_list(
            database,
            file,
            companions=companions or (),
            name=name,
            format=form,
            kind=kind,
            category=category,
            allow_shrink=allow_shrink,
            mapping=None if mapping is None else load_mapping(mapping),
            now=now(),
        )
    if as_json:
        print_json(
            {
                "list": report.list.name,
                "lists_version": report.lists_version,
                "rows": report.rows,
                "opened": report.opened,
                "closed": report.closed,
                "unchanged": report.unchanged,
                "duplicates": report.duplicates,
                "entries_opened": report.entities.opened,
                "entries_closed": report.entities.closed,
                "entries_unchanged": report.entities.unchanged,
                "skipped": report.skipped,
                "unknown_categories": report.unknown_categories,
                "ignored_columns": list(report.ignored_columns),
            }
        )
        return
    _print_report(report)


def _print_report(report: ImportReport) -> None:
    console.print(
        f"{report.list.name}: {report.rows} rows read, {report.opened} labels opened, "
        f"{report.closed} closed, {report.unchanged} unchanged; in force at lists version "
        f"{report.lists_version}"
    )
    if report.list.entity_count or report.entities.closed:
        console.print(
            f"  names: {report.entities.opened} entries opened, {report.entities.closed} closed, "
            f"{report.entities.unchanged} unchanged"
        )
    for reason, count in report.skipped.items():
        console.print(f"  {count} skipped: {reason}")
    for each in report.examples:
        console.print(f"    line {each.line}: {each.address} ({each.reason})")
    for category, count in report.unknown_categories.items():
        console.print(f"  {count} of the unknown category {category!r} are kept as other")
    if report.ignored_columns:
        console.print(f"  columns not read: {', '.join(report.ignored_columns)}")


@app.command(name="list")
def show(as_json: Json = False) -> None:
    """Show the lists, with their age."""
    with opened_database() as database, database.begin() as connection:
        found = lists(connection)
    rows = [
        {
            "name": each.name,
            "kind": each.kind,
            "version": each.version,
            "rows": each.row_count,
            "entries": each.entity_count,
            "age_hours": each.age_seconds(now()) // 3600,
            "stale": each.is_stale(now()),
        }
        for each in found
    ]
    if as_json:
        print_json(rows)
    else:
        headings = ["name", "kind", "version", "addresses", "names", "age (h)", "stale"]
        print_table(headings, [list(row.values()) for row in rows])


@app.command()
def countries(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV: iso2,name,list.")],
    name: Annotated[str, typer.Option(help="The list's name.")] = "fatf",
    as_json: Json = False,
) -> None:
    """Import a list of countries, such as FATF's; rules of the kind country go by it."""
    with opened_database() as database:
        report = import_countries(database, file, name=name, now=now())
    if as_json:
        print_json(
            {
                "list": report.list.name,
                "lists_version": report.lists_version,
                "opened": report.opened,
                "closed": report.closed,
                "unchanged": report.unchanged,
            }
        )
        return
    console.print(
        f"{report.list.name}: {report.opened} opened, {report.closed} closed,"
        f" {report.unchanged} unchanged; in force at lists version {report.lists_version}"
    )


Address = Annotated[str, typer.Argument(help="The address.")]
Network = Annotated[str, typer.Option(help="Its network, by its CAIP-2 name.")]


@app.command()
def allow(
    address: Address,
    network: Network,
    reason: Annotated[str, typer.Option(help="Why: it stands in every verdict that it changes.")],
    days: Annotated[
        int | None, typer.Option(min=1, max=3_650, help="For how long; until it is taken back.")
    ] = None,
) -> None:
    """Say that an address is known to be good: reviews on it pass, a block never does."""
    with opened_database() as database:
        at = now()
        until = None if days is None else at + timedelta(days=days)
        allow_address(
            database, network=network, address=address, reason=reason, expires_at=until, now=at
        )
    ends = "until it is taken back" if until is None else f"until {until:%Y-%m-%d %H:%M} UTC"
    console.print(f"{address} is known to be good, {ends}.")


@app.command()
def disallow(address: Address, network: Network) -> None:
    """Take back that an address is known to be good."""
    with opened_database() as database:
        if not disallow_address(database, network=network, address=address, now=now()):
            raise ResourceMissing("Nobody said that this address is good.", param="address")
    console.print(f"{address} is judged by the lists alone.")


@app.command()
def retire(name: Annotated[str, typer.Argument(help="The list's name.")]) -> None:
    """Close every row of a list; its history stays."""
    with opened_database() as database:
        retired = retire_list(database, name, now=now())
    console.print(f"{retired.name} is retired.")
