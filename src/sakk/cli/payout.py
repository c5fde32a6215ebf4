"""``sakk payouts``: decide those under review, and pay files of them."""

from typing import Annotated

import typer

from sakk.cli import payout_batch
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import payout as rules
from sakk.flow.context import Parts
from sakk.flow.payout import review as decide_review
from sakk.store import payout as store
from sakk.store.database import fetch_all

app = typer.Typer(
    help="Payouts: those that wait for a person, and whole files of them.", no_args_is_help=True
)
for command in (payout_batch.upload, payout_batch.batches, payout_batch.batch, payout_batch.cancel):
    app.command()(command)

SHOWN_MAX = 200
Live = Annotated[bool, typer.Option("--live/--test", help="Live money or test.")]


@app.command()
def review(as_json: Json = False) -> None:
    """List those under review, oldest first."""
    table = store.payouts
    with opened_database() as database, database.begin() as connection:
        rows = fetch_all(
            connection,
            table.select()
            .where(table.c.under_review, table.c.status == "requested")
            .order_by(table.c.id)
            .limit(SHOWN_MAX),
            rules.Payout,
        )
    if as_json:
        print_json([rules.public(row, operator=True) for row in rows])
        return
    print_table(
        ["id", "asset", "units", "to", "screening"],
        [[row.id, row.asset, row.token_amount, row.destination, row.screening] for row in rows],
    )


@app.command()
def approve(payout: Annotated[str, typer.Argument(help="po_…")], live: Live = False) -> None:
    """Let a payout under review be sent."""
    with opened_database() as database:
        decided = decide_review(Parts(database), payout, livemode=live, approve=True, reason=None)
    console.print(f"{decided.id} is {decided.status}.")


@app.command()
def reject(
    payout: Annotated[str, typer.Argument(help="po_…")],
    reason: Annotated[str, typer.Option(help="The merchant sees it.")] = "",
    live: Live = False,
) -> None:
    """Refuse a payout under review; its money goes back to the balance."""
    with opened_database() as database:
        decided = decide_review(
            Parts(database), payout, livemode=live, approve=False, reason=reason or None
        )
    console.print(f"{decided.id} is {decided.status}.")
