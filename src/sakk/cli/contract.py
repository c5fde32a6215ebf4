"""``sakk contracts``: ours on real chains, and what the treasury allows them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.evm import UINT256_MAX, checksum_address
from sakk.core.network import DISPERSE_MIN
from sakk.flow import contract as contracts
from sakk.flow.context import Parts
from sakk.runtime.wiring import rail_cache

app = typer.Typer(help="Our contracts on real chains.", no_args_is_help=True)

AssetName = Annotated[str, typer.Argument(help="CAIP-19: eip155:8453/erc20:0x….")]


@contextmanager
def _opened() -> Iterator[Parts]:
    with opened_database() as database:
        yield Parts(database=database, rail=rail_cache())


@app.command()
def show(as_json: Json = False) -> None:
    """Show where each contract stands: one address on every chain."""
    with _opened() as parts:
        found = contracts.places(parts)
    rows = [
        {
            "contract": each.contract.name,
            "network": each.network,
            "address": checksum_address(each.contract.address),
            "deployed": each.is_deployed,
            "code_hash": each.contract.code_hash,
        }
        for each in found
    ]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])


@app.command()
def deploy(
    network: Annotated[str, typer.Option(help="CAIP-2: eip155:8453.")],
    name: Annotated[str, typer.Argument(help="Which contract.")] = "Disperse",
) -> None:
    """Have the treasury create a contract; the worker sends it, the signer knows its code."""
    with _opened() as parts:
        ordered = contracts.deploy(parts, name, network)
    console.print(f"{ordered.id} creates {name} at {checksum_address(ordered.destination)}.")


@app.command()
def allowances(as_json: Json = False) -> None:
    """Show what the disperse contract may take, at the treasury's own call."""
    with _opened() as parts:
        found = contracts.allowances(parts)
    rows = [
        {
            "asset": each.asset.asset,
            "treasury": checksum_address(each.owner),
            "units": str(each.units),
            "unlimited": each.units == UINT256_MAX,
            "disperse_min": each.asset.disperse_min,
        }
        for each in found
    ]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])


@app.command()
def allow(
    asset: AssetName,
    minimum: Annotated[
        int, typer.Option("--from", min=2, help="So many payouts due together share one.")
    ] = DISPERSE_MIN,
) -> None:
    """Let a token's payouts share transactions; the first that do order the allowance."""
    with _opened() as parts:
        found = contracts.disperse_from(parts, asset.lower(), minimum)
    console.print(f"{found.asset}: {minimum} payouts and more that are due go together.")


@app.command()
def revoke(asset: AssetName) -> None:
    """Send a token's payouts one by one, and take the contract's allowance back."""
    with _opened() as parts:
        ordered = contracts.revoke(parts, asset.lower())
    console.print(f"{asset.lower()}: payouts go one by one from now on.")
    for each in ordered:
        console.print(f"{each.id} takes the allowance of {checksum_address(each.sender)} back.")
