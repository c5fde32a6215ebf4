"""``sakk venues``: the operator's own accounts at exchanges, where orders are placed."""

from pathlib import Path
from typing import Annotated

import typer

from sakk.cli.acting import opened_parts
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import venue as rules
from sakk.core.errors import ParameterInvalid
from sakk.flow import venue as flow
from sakk.store import venue as store
from sakk.store.identity import now

app = typer.Typer(help="Accounts at exchanges, where orders are placed.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Such as kraken_main.")]


@app.command()
def put(
    name: Name,
    kind: Annotated[rules.VenueKind, typer.Argument(help="Whose wire it speaks.")],
    key_file: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="Two lines: the API key and its secret."),
    ],
    pair: Annotated[
        list[str], typer.Option(help="usdt-usd=USDTZUSD: the exchange's symbol of a pair.")
    ],
    fee_ppm: Annotated[int, typer.Option(help="What it takes of an order, by its own list.")],
    live: Annotated[bool, typer.Option("--live/--test", help="Whose orders it takes.")] = False,
    location: Annotated[str | None, typer.Option(help="Another address than its own.")] = None,
    same_account: Annotated[
        bool, typer.Option(help="The new key is of the same account there as the one before.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write an account down, or change it. Its secret is sealed; workers know it at once. What was
    placed by another key is still asked after by that one."""
    lines = key_file.read_text().split()
    if len(lines) != 2:
        raise ParameterInvalid(
            "The file has two lines: the API key and its secret.", param="key_file"
        )
    symbols = dict(each.partition("=")[::2] for each in pair)
    with opened_parts() as parts:
        with parts.database.begin() as connection:
            made = flow.put(
                connection,
                parts.secrets_vault(),
                name=name,
                kind=kind,
                livemode=live,
                location=location,
                key=lines[0],
                secret=lines[1],
                pairs=symbols,
                fee_ppm=fee_ppm,
                same_account=same_account,
                now=now(),
            )
    if as_json:
        print_json(rules.public(made))
    else:
        console.print(f"{made.name} takes orders, account {made.number} of that name.")


@app.command(name="list")
def list_all(as_json: Json = False) -> None:
    """List the accounts, without their secrets."""
    with opened_database() as database, database.begin() as connection:
        found = [rules.public(each) for each in store.list_all(connection)]
    if as_json:
        print_json(found)
        return
    print_table(
        ["name", "kind", "live", "fee ppm", "pairs", "account", "takes orders"],
        [
            [
                each["name"],
                each["kind"],
                each["livemode"],
                each["fee_ppm"],
                ", ".join(f"{pair}={symbol}" for pair, symbol in each["pairs"].items()),
                each["number"],
                each["enabled"],
            ]
            for each in found
        ],
    )


@app.command()
def enable(name: Name) -> None:
    """Place orders there again."""
    _set(name, enabled=True)


@app.command()
def disable(name: Name) -> None:
    """Place no more orders there; what became of those before is still asked."""
    _set(name, enabled=False)


def _set(name: str, *, enabled: bool) -> None:
    with opened_database() as database, database.begin() as connection:
        flow.set_enabled(connection, name, enabled=enabled, now=now())
    console.print(f"{name}: {'on' if enabled else 'off'}.")
