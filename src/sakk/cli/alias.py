"""``sakk aliases``: the names of accounts, proved and freed."""

from typing import Annotated

import typer

from sakk.cli.listing import Account, print_rows
from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json
from sakk.core import alias as rules
from sakk.flow import alias as flow
from sakk.store import alias as store
from sakk.store.identity import now

app = typer.Typer(help="Names by which accounts are paid.", no_args_is_help=True)

Identifier = Annotated[str, typer.Argument(help="als_…")]


@app.command(name="list")
def list_all(
    account: Account = None,
    status: Annotated[rules.AliasStatus | None, typer.Option(help="Only of this status.")] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """List names of accounts, newest first."""
    print_rows(
        store.aliases,
        rules.Alias,
        rules.public,
        ["id", "account", "kind", "value", "status"],
        account=account,
        live=live,
        as_json=as_json,
        status=None if status is None else status.value,
    )


@app.command()
def code(alias: Identifier, live: Live = False, as_json: Json = False) -> None:
    """Make a fresh code that proves an e-mail address: send it there. The last one is void."""
    with opened_database() as database, database.begin() as connection:
        found, fresh = flow.issue_code(connection, alias, livemode=live, now=now())
    if as_json:
        print_json({**rules.public(found), "code": fresh})
    else:
        console.print(f"{found.value}: {fresh}", markup=False)


@app.command()
def free(alias: Identifier, live: Live = False) -> None:
    """Let another account have a name that was given up."""
    with opened_database() as database, database.begin() as connection:
        found = flow.free(connection, alias, livemode=live, now=now())
    console.print(f"{found.value} is free.", markup=False)
