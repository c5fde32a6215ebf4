"""``sakk assets``: the allow-list of tokens. A token that is not on it is never credited."""

from dataclasses import replace
from typing import Annotated

import typer

from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.caip import asset_network, erc20_contract
from sakk.core.errors import ParameterInvalid
from sakk.core.money import format_decimal, parse_decimal
from sakk.core.network import DISPERSE_MIN, Asset, Quirk
from sakk.rails.evm.balances import token_facts
from sakk.runtime.wiring import make_rail
from sakk.store.identity import now
from sakk.store.network import find_asset, find_network, list_assets, list_currencies, put_asset

app = typer.Typer(help="The tokens that are accepted.", no_args_is_help=True)


@app.command()
def add(
    asset: Annotated[str, typer.Argument(help="CAIP-19: eip155:8453/erc20:0x….")],
    currency: Annotated[str, typer.Option(help="The currency that it is credited in.")],
    quirk: Annotated[
        list[Quirk] | None, typer.Option(help="How it departs from ERC-20; again for more.")
    ] = None,
    sweep_minimum: Annotated[str, typer.Option(help="Whole coins that a sweep is worth.")] = "5",
    payout_minimum: Annotated[str, typer.Option(help="Whole coins; less is not sent.")] = "0",
    disperse_min: Annotated[
        int, typer.Option(min=0, help="So many payouts due together share a transaction; 0: never.")
    ] = DISPERSE_MIN,
    payin: Annotated[bool, typer.Option(help="Offer it to payers.")] = True,
    payout: Annotated[bool, typer.Option(help="Offer it for payouts.")] = True,
    compare_above: Annotated[
        str | None,
        typer.Option(help="Whole coins from which two providers must agree on a payment."),
    ] = None,
) -> None:
    """List a token, after asking the chain for its decimals and symbol."""
    contract = erc20_contract(asset.lower())
    if contract is None:
        raise ParameterInvalid("Give an ERC-20 asset: eip155:<chain>/erc20:0x….", param="asset")
    with opened_database() as database:
        with database.begin() as connection:
            found = find_network(connection, asset_network(asset.lower()))
            known = {each.currency for each in list_currencies(connection)}
        if found is None:
            raise ParameterInvalid("Add its network first: sakk networks add.", param="asset")
        if currency not in known:
            raise ParameterInvalid(f"There is no currency {currency!r}.", param="currency")
        if compare_above is not None and len(found.rpc_urls) < 2:
            raise ParameterInvalid(
                f"{found.network} has one RPC URL: add it again with a second --rpc first.",
                param="compare_above",
            )
        facts = token_facts(make_rail(found).rpc, contract)
        with database.begin() as connection:
            put_asset(
                connection,
                Asset(
                    asset=asset.lower(),
                    network=found.network,
                    contract=contract,
                    currency=currency,
                    symbol=facts.symbol,
                    decimals=facts.decimals,
                    quirks=[each.value for each in quirk or []],
                    payin_enabled=payin,
                    payout_enabled=payout,
                    sweep_minimum=parse_decimal(sweep_minimum, facts.decimals),
                    eip712_name=facts.name,
                    eip712_version=None,
                    created=now(),
                    compare_above=None
                    if compare_above is None
                    else parse_decimal(compare_above, facts.decimals),
                    payout_minimum=parse_decimal(payout_minimum, facts.decimals),
                    disperse_min=disperse_min,
                ),
            )
    console.print(f"{facts.symbol} ({facts.name}), {facts.decimals} decimals, is listed.")
    console.print("Let the signer send it: sakk keys policy --write, or edit its policy file.")


@app.command()
def minimum(
    asset: Annotated[str, typer.Argument(help="CAIP-19: eip155:8453/erc20:0x….")],
    payout: Annotated[str, typer.Argument(help="Whole coins, like 1.50; 0 is none.")],
) -> None:
    """Say the least that is paid out of a token: a payout of which less would arrive is refused."""
    with opened_database() as database, database.begin() as connection:
        found = find_asset(connection, asset.lower())
        if found is None:
            raise ParameterInvalid(f"{asset!r} is not listed.", param="asset")
        try:
            units = parse_decimal(payout, found.decimals)
        except ValueError as error:
            raise ParameterInvalid(f"{error}.", param="payout") from error
        if units < 0:
            raise ParameterInvalid("A minimum is 0 or more.", param="payout")
        put_asset(connection, replace(found, payout_minimum=units))
    console.print(f"At least {payout} {found.symbol} is sent to anyone.")


@app.command(name="list")
def show(as_json: Json = False) -> None:
    """Show the listed tokens."""
    with opened_database() as database, database.begin() as connection:
        found = list_assets(connection)
    rows = [
        {
            "asset": each.asset,
            "currency": each.currency,
            "decimals": each.decimals,
            "payin": each.payin_enabled,
            "payout": each.payout_enabled,
            "payout_minimum": format_decimal(each.payout_minimum, each.decimals),
            "quirks": each.quirks,
            "compare_above": None if each.compare_above is None else str(each.compare_above),
        }
        for each in found
    ]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
