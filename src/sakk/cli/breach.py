"""``sakk breaches``: what was done in our addresses' name, and not by us."""

from typing import Annotated

import typer

from sakk.cli.open import opened_database
from sakk.cli.out import Json, print_json, print_table
from sakk.core.breach import public
from sakk.store.breach import list_newest

app = typer.Typer(help="What was done in our addresses' name, and not by us.", no_args_is_help=True)

SHOWN_MAX = 1_000


@app.callback()
def group() -> None:
    """Keeps the command's name where there is one alone."""


@app.command(name="list")
def show(
    limit: Annotated[int, typer.Option(min=1, max=SHOWN_MAX, help="How many.")] = 50,
    as_json: Json = False,
) -> None:
    """Show the newest breaches, with the freeze and the case that they led to."""
    with opened_database() as database, database.begin() as connection:
        rows = [public(each) for each in list_newest(connection, limit=limit)]
    if as_json:
        print_json(rows)
        return
    names = ["kind", "network", "place", "address", "other", "tx_hash", "freeze", "case"]
    print_table(names, [[each[name] for name in names] for each in rows])
