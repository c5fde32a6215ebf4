"""``sakk orders``: how open positions are closed at venues, and who says so."""

from typing import Annotated

import typer

from sakk.cli.acting import Code, acting, opened_parts, yes_to
from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import hedge_policy as policy_rules
from sakk.core import order as rules
from sakk.core.errors import ResourceMissing
from sakk.flow import hedge_policy as policies_flow
from sakk.flow import order as flow
from sakk.flow.step_up import StepUp
from sakk.store import hedge_policy as policy_store
from sakk.store import order as store

app = typer.Typer(help="Open positions, closed at venues.", no_args_is_help=True)

SHOWN_MAX = 200
Currency = Annotated[str, typer.Argument(help="Such as usdt.")]
Identifier = Annotated[str, typer.Argument(help="ord_…")]


@app.command()
def policy(
    currency: Annotated[str, typer.Argument(help="Whose position is closed, such as usdt.")],
    against: Annotated[str, typer.Option(help="Against which other, such as usdc.")],
    threshold_usd_cents: Annotated[int, typer.Option(help="From this value on.")],
    auto_usd_cents: Annotated[
        int, typer.Option(help="By itself up to this value; above it two people say so.")
    ] = 0,
    note: Annotated[str | None, typer.Option(help="Why.")] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Say when a position is closed; what lets more go by itself waits for another person."""
    with opened_parts() as parts:
        wish = policies_flow.HedgeWish(currency, against, threshold_usd_cents, auto_usd_cents, note)
        try:
            actor = acting(parts, livemode=live)
            stands, waits = policies_flow.propose(parts, wish, actor=actor, livemode=live)
        finally:
            parts.database.close()
    shown = policy_rules.public(currency, live, stands, waits)
    if as_json:
        print_json(shown)
    elif waits is not None:
        console.print(f"{currency} awaits a second person; digest {shown['digest']}")
    else:
        console.print(
            f"{currency} is closed against {against} from {threshold_usd_cents} cents on."
        )


@app.command(name="confirm-policy")
def confirm_policy(
    currency: Currency,
    digest: Annotated[str, typer.Argument(help="Of what `sakk orders policies` shows.")],
    code: Code = None,
    live: Live = False,
) -> None:
    """Confirm the policy that another person proposed; it is in force at once."""
    with opened_parts() as parts:
        made = policies_flow.confirm(
            parts, currency, yes_to(parts, digest, code=code, live=live), livemode=live
        )
    console.print(
        f"{made.currency} is closed against {made.against}, by itself up to"
        f" {made.auto_usd_cents} cents."
    )


@app.command(name="decline-policy")
def decline_policy(currency: Currency, live: Live = False) -> None:
    """Refuse the policy that was proposed, or take it back."""
    with opened_parts() as parts:
        policies_flow.decline(parts, currency, actor=acting(parts, livemode=live), livemode=live)
    console.print(f"Nothing is proposed for {currency} any more.")


@app.command()
def policies() -> None:
    """Show the policies and what is proposed of them, as JSON."""
    with opened_database() as database, database.begin() as connection:
        found = [
            policy_rules.public(currency, livemode, *both)
            for livemode in (False, True)
            for currency, both in policy_store.standing(connection, livemode=livemode).items()
        ]
    print_json(found)


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
    with opened_parts() as parts:
        actor = acting(parts, livemode=live)
        found = flow.approve(parts, order, actor=actor, livemode=live, step_up=StepUp(code=code))
    console.print(f"{order} is {found.status}, with {len(found.approvals)} approvals.")


@app.command()
def cancel(order: Identifier, live: Live = False) -> None:
    """Call off an order that waits for people."""
    with opened_parts() as parts:
        flow.cancel(parts, order, actor=acting(parts, livemode=live), livemode=live)
    console.print(f"{order} is canceled.")
