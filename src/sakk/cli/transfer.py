"""``sakk transfers``: money between accounts here."""

from typing import Annotated

import msgspec
import typer

from sakk.cli.calling import LOCAL, Server, called
from sakk.cli.listing import Account, print_rows
from sakk.cli.mode import Live
from sakk.cli.out import Json, console, print_json
from sakk.core import transfer as rules
from sakk.store import transfer as store

app = typer.Typer(help="Money between accounts here.", no_args_is_help=True)


@app.command(name="list")
def list_all(
    account: Account = None,
    status: Annotated[
        rules.TransferStatus | None, typer.Option(help="Only of this status.")
    ] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """List transfers by who sent them, newest first."""
    print_rows(
        store.transfers,
        rules.BookTransfer,
        rules.public,
        ["id", "source", "destination", "recipient", "amount_decimal", "currency", "status"],
        account=account,
        live=live,
        as_json=as_json,
        status=None if status is None else status.value,
    )


@app.command()
def send(
    to: Annotated[str, typer.Argument(help="acct_…, @handle, an e-mail address, a code's text.")],
    amount: Annotated[int, typer.Argument(help="In the currency's smallest unit.")],
    currency: Annotated[str, typer.Argument(help="Such as usdc.")],
    description: Annotated[str | None, typer.Option(help="What for.")] = None,
    api: Server = LOCAL,
    as_json: Json = False,
) -> None:
    """Send money from the account whose key is in SAKK_API_KEY."""
    with called(api) as client:
        made = client.transfers.create(
            amount=amount, currency=currency, destination=to, description=description
        )
    if as_json:
        print_json(msgspec.to_builtins(made))
    else:
        console.print(f"{made.id} {made.status}")


@app.command()
def pay(
    page: Annotated[str, typer.Argument(help="The address of a checkout page.")],
    currency: Annotated[str | None, typer.Option(help="In which of its coins.")] = None,
    api: Server = LOCAL,
    as_json: Json = False,
) -> None:
    """Pay all that is due on a checkout page, from the account whose key is in SAKK_API_KEY."""
    with called(api) as client:
        made = client.transfers.pay_checkout(session=page, currency=currency)
    if as_json:
        print_json(msgspec.to_builtins(made))
    else:
        console.print(f"{made.id} {made.status}")
