"""``sakk orders``: how open positions are closed at venues, and who says so."""

from typing import Annotated

import typer

from sakk.cli.acting import Code, acting, parts_of
from sakk.cli.open import begin, opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import order as rules
from sakk.core.errors import ResourceMissing
from sakk.flow import order as flow
from sakk.flow.step_up import StepUp
from sakk.store import order as store
from sakk.store.identity import now

app = typer.Typer(help="Open positions, closed at venues.", no_args_is_help=True)

SHOWN_MAX = 200
Live = Annotated[bool, typer.Option("--live/--test", help="Live money or test money.")]
Identifier = Annotated[str, typer.Argument(help="ord_…")]


@app.command()
def policy(
    currency: Annotated[str, typer.Argument(help="Whose position is closed, such as usdt.")],
    against: Annotated[str, typer.Option(help="Against which other, such as usdc.")],
    threshold_usd_cents: Annotated[int, typer.Option(help="From this value on.")],
    auto_usd_cents: Annotated[
        int, typer.Option(help="By itself up to this value; above it two people say so.")
    ] = 0,
    live: Live = False,
) -> None:
    """Say when a currency's open position is closed."""
    made = rules.HedgePolicy(currency, live, against, threshold_usd_cents, auto_usd_cents, now())
    with opened_database() as database, database.begin() as connection:
        flow.put_policy(connection, made)
    console.print(f"{currency} is closed against {against} from {threshold_usd_cents} cents on.")


@app.command()
def policies() -> None:
    """Show the policies, as JSON."""
    with opened_database() as database, database.begin() as connection:
        rows = store.list_policies(connection)
    print_json(
        [
            {
                "currency": row.currency,
                "livemode": row.livemode,
                "against": row.against,
                "threshold_usd_cents": row.threshold_usd_cents,
                "auto_usd_cents": row.auto_usd_cents,
            }
            for row in rows
        ]
    )


@app.command(name="list")
def list_all(as_json: Json = False) -> None:
    """List the orders, newest first."""
    with opened_database() as database, database.begin() as connection:
        rows = store.list_newest(connection, limit=SHOWN_MAX)
        shown = [
            rules.public(row, store.list_children(connection, row.id) if as_json else ())
            for row in rows
        ]
    if as_json:
        print_json(shown)
        return
    print_table(
        ["id", "status", "side", "units", "base", "quote", "limit", "filled", "approvals"],
        [
            [
                each["id"],
                each["status"],
                each["side"],
                each["units"],
                each["base"],
                each["quote"],
                each["limit"],
                each["filled_units"],
                len(each["approvals"]),
            ]
            for each in shown
        ],
    )


@app.command()
def show(order: Identifier) -> None:
    """Show an order with its children and why it was split so, as JSON."""
    with opened_database() as database, database.begin() as connection:
        found = store.find(connection, order)
        if found is None:
            raise ResourceMissing(f"No such order: {order!r}.", param="id")
        print_json(rules.public(found, store.list_children(connection, order)))


@app.command()
def approve(order: Identifier, code: Code = None, live: Live = False) -> None:
    """Say yes to an order, as the person whose key SAKK_API_KEY holds; two people have to."""
    parts = parts_of(begin(log_level="warning"))
    try:
        actor = acting(parts, livemode=live)
        found = flow.approve(parts, order, actor=actor, livemode=live, step_up=StepUp(code=code))
    finally:
        parts.database.close()
    console.print(f"{order} is {found.status}, with {len(found.approvals)} approvals.")


@app.command()
def cancel(order: Identifier) -> None:
    """Call off an order that waits for people."""
    with opened_database() as database, database.begin() as connection:
        flow.cancel(connection, order, now=now())
    console.print(f"{order} is canceled.")
