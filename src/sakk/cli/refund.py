"""``sakk refunds``: what goes back to payers."""

from typing import Annotated

import typer

from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import refund as rules
from sakk.core.errors import ResourceMissing
from sakk.core.payout import Initiator
from sakk.flow import refund as flow
from sakk.flow.refund_draft import Place
from sakk.store import refund as store
from sakk.store.database import fetch_all
from sakk.store.identity import now

app = typer.Typer(help="Money that goes back to payers.", no_args_is_help=True)

SHOWN_MAX = 200
Identifier = Annotated[str, typer.Argument(help="re_…")]


@app.command(name="list")
def list_all(
    status: Annotated[rules.RefundStatus | None, typer.Option(help="Only of this status.")] = None,
    as_json: Json = False,
) -> None:
    """List the refunds of all accounts, newest first."""
    statement = store.refunds.select().order_by(store.refunds.c.id.desc()).limit(SHOWN_MAX)
    if status is not None:
        statement = statement.where(store.refunds.c.status == status.value)
    with opened_database() as database, database.begin() as connection:
        rows = fetch_all(connection, statement, rules.Refund)
    if as_json:
        print_json([rules.public(row, operator=True) for row in rows])
        return
    print_table(
        ["id", "status", "amount", "sent", "of", "to", "payout"],
        [
            [
                row.id,
                row.status,
                f"{row.amount} {row.currency}",
                f"{row.coin_amount} {row.coin}",
                row.payin or row.payment_intent,
                row.destination,
                row.payout,
            ]
            for row in rows
        ],
    )


@app.command()
def show(refund: Identifier, live: Live = False) -> None:
    """Show one refund as JSON."""
    with opened_database() as database, database.begin() as connection:
        row = store.find(connection, refund, account_id=None, livemode=live)
    if row is None:
        raise ResourceMissing(f"No such refund: {refund!r}.", param="id")
    print_json(rules.public(row, operator=True))


@app.command()
def cancel(refund: Identifier, live: Live = False) -> None:
    """Call a refund off before a transaction carries it."""
    with opened_database() as database, database.begin() as connection:
        row = flow.cancel(connection, refund, account_id=None, livemode=live, now=now())
    console.print(f"{row.id} is {row.status}; its money is given back in a moment.")


@app.command()
def redirect(
    refund: Identifier,
    network: Annotated[str, typer.Option(help="CAIP-2, such as eip155:8453.")],
    address: Annotated[str, typer.Option(help="Where it goes instead.")],
    live: Live = False,
) -> None:
    """Change where a refund goes, before a transaction carries it; it is screened again."""
    with opened_database() as database, database.begin() as connection:
        row = flow.redirect(
            connection,
            refund,
            Place(network, address),
            livemode=live,
            now=now(),
            initiator=Initiator(),
        )
    console.print(f"{row.id} goes to {row.destination} on {row.network}.")
