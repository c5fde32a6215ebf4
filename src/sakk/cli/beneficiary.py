"""``sakk beneficiaries``: an account's address book."""

from typing import Annotated

import typer

from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.beneficiary import PREFIX
from sakk.flow import beneficiary as flow
from sakk.store import beneficiary as store
from sakk.store.identity import new_id, now
from sakk.store.page import LIMIT_MAX, PageRequest

app = typer.Typer(help="The address book of those whom an account pays.", no_args_is_help=True)

Account = Annotated[str, typer.Option(help="acct_…: whose address book.")]
Entry = Annotated[str, typer.Argument(help="ben_…")]


@app.command("list")
def list_entries(account: Account, live: Live = False, as_json: Json = False) -> None:
    """List the address book, newest first (at most 100)."""
    moment = now()
    with opened_database() as database, database.begin() as connection:
        rows, _ = store.list_entries(
            connection, PageRequest(limit=LIMIT_MAX), account_id=account, livemode=live
        )
    shown = [flow.show(row, now=moment) for row in rows]
    if as_json:
        print_json(shown)
        return
    print_table(
        ["id", "name", "address", "networks", "status"],
        [
            [row["id"], row["name"], row["address"], " ".join(row["networks"]), row["status"]]
            for row in shown
        ],
    )


@app.command()
def add(
    account: Account,
    name: Annotated[str, typer.Option(help="Who it is, as people call them.")],
    address: Annotated[str, typer.Option(help="0x…, with its checksum.")],
    network: Annotated[list[str], typer.Option(help="CAIP-2; may be given again.")],
    confirmed_unlike: Annotated[
        str | None, typer.Option(help="The known address that it looks like, when it is meant.")
    ] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Add an address; it waits as long as the operator set for the account."""
    moment = now()
    with opened_database() as database, database.begin() as connection:
        entry = flow.create(
            connection,
            identifier=new_id(PREFIX),
            account_id=account,
            livemode=live,
            now=moment,
            details={
                "name": name,
                "address": address,
                "networks": network,
                "confirmed_unlike": confirmed_unlike,
            },
        )
    shown = flow.show(entry, now=moment)
    if as_json:
        print_json(shown)
        return
    console.print(f"{entry.id} may be paid from {entry.usable_at:%Y-%m-%dT%H:%M:%SZ} on.")


@app.command()
def delete(beneficiary: Entry, account: Account, live: Live = False) -> None:
    """Take an entry out of the address book."""
    with opened_database() as database, database.begin() as connection:
        flow.delete(connection, beneficiary, account_id=account, livemode=live, now=now())
    console.print(f"{beneficiary} is deleted.")
