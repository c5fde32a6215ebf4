"""``sakk vasps``: the directory of institutions that keep wallets for others."""

from typing import Annotated

import typer
from sqlalchemy import select

from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.vasp import PREFIX, Vasp, VaspStatus, public_vasp
from sakk.flow import vasp as flow
from sakk.store.database import fetch_all
from sakk.store.identity import new_id, now
from sakk.store.page import LIMIT_MAX
from sakk.store.vasp import vasps

app = typer.Typer(help="Institutions that keep wallets for others.", no_args_is_help=True)


@app.command("list")
def list_vasps(live: Live = False, as_json: Json = False) -> None:
    """List the directory, newest first (at most 100)."""
    statement = select(vasps).where(vasps.c.livemode == live).order_by(vasps.c.id.desc())
    with opened_database() as database, database.begin() as connection:
        rows = fetch_all(connection, statement.limit(LIMIT_MAX), Vasp)
    if as_json:
        print_json([public_vasp(row) for row in rows])
        return
    print_table(
        ["id", "name", "lei", "country", "status", "addresses", "travel address"],
        [
            [
                row.id,
                row.name,
                row.lei,
                row.country,
                row.status,
                len(row.addresses),
                row.travel_address,
            ]
            for row in rows
        ],
    )


@app.command()
def add(
    name: Annotated[str, typer.Option(help="Its legal name.")],
    lei: Annotated[str | None, typer.Option(help="Its LEI.")] = None,
    country: Annotated[str | None, typer.Option(help="Where it is registered.")] = None,
    travel_address: Annotated[
        str | None, typer.Option(help="ta…, where it is asked when a beneficiary gave none.")
    ] = None,
    address: Annotated[
        list[str] | None, typer.Option(help="An address that is known to be its; again for more.")
    ] = None,
    live: Live = False,
) -> None:
    """Put an institution in the directory."""
    with opened_database() as database, database.begin() as connection:
        vasp = flow.create(
            connection,
            {
                "name": name,
                "lei": lei,
                "country": country,
                "travel_address": travel_address,
                "addresses": address or [],
            },
            identifier=new_id(PREFIX),
            livemode=live,
            now=now(),
        )
    console.print(f"{vasp.id} is {vasp.name}.", markup=False)


@app.command()
def block(identifier: str, live: Live = False) -> None:
    """Send nothing to an institution any more."""
    _set(identifier, VaspStatus.blocked, live)


@app.command()
def unblock(identifier: str, live: Live = False) -> None:
    """Send to a blocked institution again."""
    _set(identifier, VaspStatus.active, live)


def _set(identifier: str, status: VaspStatus, live: bool) -> None:
    with opened_database() as database, database.begin() as connection:
        vasp = flow.update(connection, identifier, {"status": status.value}, livemode=live)
    console.print(f"{vasp.name} is {vasp.status}.", markup=False)
