"""``sakk requests``: what accounts ask each other for."""

from typing import Annotated

import msgspec
import typer

from sakk.cli.calling import LOCAL, Server, called
from sakk.cli.listing import Account, print_rows
from sakk.cli.mode import Live
from sakk.cli.out import Json, console, print_json
from sakk.core import money_request as rules
from sakk.store import money_request as store

app = typer.Typer(help="Requests for money between accounts here.", no_args_is_help=True)


@app.command(name="list")
def list_all(
    account: Account = None,
    status: Annotated[
        rules.MoneyRequestStatus | None, typer.Option(help="Only of this status.")
    ] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """List requests by who asks, newest first."""
    print_rows(
        store.money_requests,
        rules.MoneyRequest,
        rules.public,
        ["id", "account", "payer", "recipient", "amount", "amount_paid", "currency", "status"],
        account=account,
        live=live,
        as_json=as_json,
        status=None if status is None else status.value,
    )


@app.command()
def ask(
    payers: Annotated[list[str], typer.Argument(help="acct_…, @handle or an e-mail address.")],
    currency: Annotated[str, typer.Option(help="Such as usdc.")],
    amount: Annotated[
        int | None, typer.Option(help="Of each, in the smallest unit; else each chooses it.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="What for.")] = None,
    api: Server = LOCAL,
    as_json: Json = False,
) -> None:
    """Ask one or many for money, for the account whose key is in SAKK_API_KEY."""
    with called(api) as client:
        made = client.money_requests.create_many(
            payers=payers, currency=currency, amount=amount, note=note
        )
    if as_json:
        print_json([msgspec.to_builtins(each) for each in made.data])
    else:
        for each in made.data:
            console.print(f"{each.id} {each.payer or each.recipient}", markup=False)
