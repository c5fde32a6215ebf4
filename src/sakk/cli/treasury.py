"""``sakk treasury``: hot, warm and cold, and what should move between them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from sakk.cli import sender
from sakk.cli.open import begin, opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.errors import ParameterInvalid
from sakk.core.evm import checksum_address
from sakk.core.treasury import Target, Tier, public
from sakk.flow import treasury as flow
from sakk.flow.context import Parts
from sakk.runtime.wiring import open_parts
from sakk.store.identity import now

app = typer.Typer(help="The treasury: its sending addresses, and its tiers.", no_args_is_help=True)
app.command(name="list")(sender.show)
app.command()(sender.add)
app.command()(sender.unfreeze)

Units = Annotated[str, typer.Argument(help="Atomic units, in decimal digits.")]
Asset = Annotated[str, typer.Argument(help="CAIP-19, as `sakk assets list` shows it.")]


@app.command()
def plan(
    live: Annotated[bool, typer.Option("--live/--test", help="Live money or test.")] = False,
    as_json: Json = False,
) -> None:
    """Show what stands hot, warm and cold, the targets, and what should move."""
    with _opened() as parts:
        assets = flow.plan(parts, livemode=live)
    if as_json:
        print_json({"object": "treasury", "livemode": live, "assets": assets})
        return
    rows = []
    for each in assets:
        target = each["target"]
        band = f"{target['low']} {target['target']} {target['high']}" if target else ""
        rows.append([each["asset"], *each["balances"].values(), band])
    print_table(["asset", "hot", "warm", "cold", "low target high"], rows)
    for each in assets:
        for proposal in each["proposals"]:
            units, reason = proposal["token_amount"], proposal["reason"]
            if proposal["kind"] == "withdraw":
                to = proposal["destination"] or "a vault: name one with `sakk treasury vault`"
                console.print(f"withdraw {units} of {each['asset']} to {to} ({reason})")
            else:
                source = proposal["source"] or "the operator"
                console.print(f"supply {units} of {each['asset']} from {source} ({reason})")


@app.command()
def vault(
    network: Annotated[str, typer.Argument(help="CAIP-2, such as eip155:8453.")],
    address: Annotated[str, typer.Argument(help="An address of yours whose key is elsewhere.")],
    tier: Annotated[Tier, typer.Option(help="warm or cold.")],
    label: Annotated[str, typer.Option(help="A name for people.")],
) -> None:
    """Name a vault: withdrawals go to vaults alone, and what comes from one is known."""
    with opened_database() as database, database.begin() as connection:
        named = flow.put_vault(
            connection, name=network, place=address, tier=tier, label=label, now=now()
        )
    console.print(f"{checksum_address(named.address)} is a {named.tier} vault on {network}.")
    console.print("Name it in cold_treasury_addresses of the signer's policy as well.")


@app.command()
def target(asset: Asset, low: Units, middle: Units, high: Units) -> None:
    """Say how much of an asset shall stand hot: below low it lacks, above high it is too much."""
    wanted = Target(asset, _units(low, "low"), _units(middle, "middle"), _units(high, "high"))
    with opened_database() as database, database.begin() as connection:
        flow.put_target(connection, wanted)
    console.print(f"{asset}: {low} to {high}, returning to {middle}")


@app.command()
def withdraw(
    asset: Asset,
    units: Units,
    destination: Annotated[str, typer.Argument(help="A vault on the asset's network.")],
    as_json: Json = False,
) -> None:
    """Send coins of the hot treasury to a vault; the workers and the signer do the rest."""
    with _opened() as parts:
        row = flow.withdraw(
            parts, asset_name=asset, units=_units(units, "units"), destination=destination
        )
    if as_json:
        print_json(public(row))
        return
    console.print(f"{row.id}: {units} of {asset} to {checksum_address(row.destination)}")


@contextmanager
def _opened() -> Iterator[Parts]:
    parts = open_parts(begin(log_level="warning"))
    try:
        yield parts
    finally:
        parts.database.close()


def _units(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ParameterInvalid(f"{name} is atomic units in decimal digits.", param=name)
    return int(text)
