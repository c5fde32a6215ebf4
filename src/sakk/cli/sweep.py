"""``sakk sweeps``: how coins are collected from deposit addresses."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TextColumn

from sakk.cli.open import begin, opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.evm import checksum_address
from sakk.core.hub import Alone
from sakk.flow.authorization import import_authorizations
from sakk.flow.context import Parts
from sakk.flow.hub import AGE_SECONDS_MAX, COST_PERCENT_MAX, WAIT_SECONDS, put_hub
from sakk.runtime.place import database_url
from sakk.runtime.wiring import rail_cache
from sakk.store import authorization
from sakk.store import hub as hubs
from sakk.store.database import open_database
from sakk.store.identity import now

app = typer.Typer(help="Collecting from deposit addresses.", no_args_is_help=True)


@app.command(name="import-authorisations")
def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What was signed.")],
    as_json: Json = False,
) -> None:
    """Take in what `sakk keys authorise` signed, each signature checked against its address."""
    terminal = Console(stderr=True)
    with (
        opened_database() as database,
        file.open() as lines,
        Progress(
            TextColumn("{task.completed} verified"),
            console=terminal,
            transient=True,
            disable=not terminal.is_terminal,
        ) as progress,
    ):
        task = progress.add_task("verified", total=None)
        found = import_authorizations(
            database,
            lines,
            now=now(),
            progress=lambda done: progress.update(task, completed=done),
        )
    if as_json:
        print_json({"delegate": found.delegate, "lines": found.lines, "added": found.added})
        return
    console.print(
        f"{found.lines} authorisations verified, {found.added} of them new, for the delegate "
        f"{checksum_address(found.delegate)}"
    )


@app.command()
def hub(
    network: Annotated[str, typer.Argument(help="CAIP-2, such as eip155:8453.")],
    address: Annotated[str, typer.Argument(help="Where the hub stands.")],
    wait: Annotated[
        int, typer.Option(min=0, help="Seconds that a deposit waits for company.")
    ] = WAIT_SECONDS,
    age_max: Annotated[
        int, typer.Option(min=0, help="Seconds after which a deposit is collected at any cost.")
    ] = AGE_SECONDS_MAX,
    cost_percent: Annotated[
        int, typer.Option(min=0, help="The most gas for a deposit, in percent of its worth.")
    ] = COST_PERCENT_MAX,
    alone: Annotated[
        Alone, typer.Option(help="How a deposit without company travels the first time.")
    ] = Alone.key,
    enabled: Annotated[bool, typer.Option("--on/--off", help="Let the hub collect.")] = True,
) -> None:
    """Have a hub collect on a network, after asking it where it pays to; again: change when."""
    database = open_database(database_url(begin(log_level="warning")))
    try:
        made = put_hub(
            Parts(database, rail=rail_cache()),
            network,
            address,
            wait_seconds=wait,
            age_seconds_max=age_max,
            cost_percent_max=cost_percent,
            alone=alone,
            enabled=enabled,
        )
    finally:
        database.close()
    console.print(f"hub         {checksum_address(made.address)}")
    console.print(f"delegate    {checksum_address(made.delegate)}")
    console.print(f"treasury    {checksum_address(made.treasury)}")
    console.print("Name hub and delegate in the signer's policy, and import authorisations.")


@app.command(name="hubs")
def show_hubs(as_json: Json = False) -> None:
    """Show which hubs collect, and for how many addresses there are authorisations."""
    with opened_database() as database, database.begin() as connection:
        rows = []
        for each in hubs.list_hubs(connection):
            number, highest = authorization.count(connection, each.delegate)
            rows.append(
                {
                    "network": each.network,
                    "hub": checksum_address(each.address),
                    "treasury": checksum_address(each.treasury),
                    "enabled": each.enabled,
                    "wait_seconds": each.wait_seconds,
                    "age_seconds_max": each.age_seconds_max,
                    "cost_percent_max": each.cost_percent_max,
                    "alone": each.alone,
                    "authorisations": number,
                    "highest_index": highest,
                }
            )
    if as_json:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
