"""``sakk payins``: what waits for a person."""

from typing import Annotated

import typer

from sakk.cli.acting import acting, opened_parts
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import payin as rules
from sakk.flow.case_alone import release_payin
from sakk.store import payin as store
from sakk.store.database import fetch_all

app = typer.Typer(help="Pay-ins that wait for a person.", no_args_is_help=True)

SHOWN_MAX = 200


@app.command()
def held(as_json: Json = False) -> None:
    """List the held ones, oldest first."""
    table = store.payins
    with opened_database() as database, database.begin() as connection:
        rows = fetch_all(
            connection,
            table.select().where(table.c.status == "held").order_by(table.c.id).limit(SHOWN_MAX),
            rules.PayIn,
        )
    if as_json:
        print_json([rules.public(row, operator=True) for row in rows])
        return
    print_table(
        ["id", "asset", "units", "from", "reason"],
        [[row.id, row.asset, row.token_amount, row.sender, row.reason] for row in rows],
    )


@app.command()
def release(
    payin: Annotated[str, typer.Argument(help="pin_…")],
    live: Annotated[bool, typer.Option("--live/--test", help="Live money or test.")] = False,
) -> None:
    """Let go on what was held for its token alone, once that is listed.

    What screening holds is released by its case: `sakk cases release`.
    """
    with opened_parts() as parts:
        actor = acting(parts, livemode=live)
        released = release_payin(parts, payin, actor=actor, livemode=live)
    console.print(f"{released.id} goes on: it is posted in a moment.")
