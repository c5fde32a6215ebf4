"""``sakk networks``: the chains that are followed; they live in the database."""

from dataclasses import replace
from typing import Annotated

import typer

from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.caip import chain_id, native_asset
from sakk.core.errors import Misconfigured, ParameterInvalid
from sakk.core.network import Asset, Network
from sakk.rails.evm.rpc import Rpc, parse_quantity
from sakk.store.identity import now
from sakk.store.network import (
    find_network,
    list_currencies,
    list_cursors,
    list_networks,
    put_asset,
    put_network,
)

app = typer.Typer(help="The chains that are followed.", no_args_is_help=True)

NATIVE_DECIMALS = 18


@app.command()
def add(
    network: Annotated[str, typer.Argument(help="CAIP-2, such as eip155:8453.")],
    rpc: Annotated[list[str], typer.Option(help="RPC URL; again for a second provider.")],
    name: Annotated[str, typer.Option(help="A name for people.")],
    confirmations: Annotated[int, typer.Option(min=0, help="Blocks above for finality.")],
    native: Annotated[str, typer.Option(help="Currency of the native coin.")] = "eth",
    live: Annotated[bool, typer.Option("--live/--test", help="Live money or test.")] = False,
    block_seconds: Annotated[int, typer.Option(min=1, help="Usual block time.")] = 2,
    poll_milliseconds: Annotated[int, typer.Option(min=10, help="How often to look.")] = 500,
    bloom: Annotated[str, typer.Option(help="exact, suspicious or none.")] = "exact",
) -> None:
    """Add a chain, after asking its node whether it is that chain; following begins at its head."""
    if bloom not in ("exact", "suspicious", "none"):
        raise ParameterInvalid("--bloom is exact, suspicious or none.", param="bloom")
    client = Rpc(rpc)
    try:
        answered = parse_quantity(client.call("eth_chainId", [], str))
        head = parse_quantity(client.call("eth_blockNumber", [], str))
    finally:
        client.close()
    if answered != chain_id(network):
        raise Misconfigured(f"The node is of chain {answered}, not {network}: correct --rpc.")
    added = Network(
        network=network,
        name=name,
        family="eip155",
        livemode=live,
        enabled=True,
        rpc_urls=rpc,
        confirmations=confirmations,
        block_seconds=block_seconds,
        poll_milliseconds=poll_milliseconds,
        start_block=head,
        native_asset=native_asset(network),
        bloom=bloom,
        created=now(),
    )
    with opened_database() as database, database.begin() as connection:
        if native not in {each.currency for each in list_currencies(connection)}:
            raise ParameterInvalid(
                f"There is no currency {native!r}: sakk currencies add {native} --decimals 18 …",
                param="native",
            )
        put_network(connection, added)
        put_asset(connection, _native(added, native))
    console.print(f"{network} is followed from block {head}. List its tokens: sakk assets add …")


@app.command()
def disable(network: Annotated[str, typer.Argument(help="CAIP-2.")]) -> None:
    """Stop following a chain and offering it; nothing is forgotten."""
    _set_enabled(network, enabled=False)


@app.command()
def enable(network: Annotated[str, typer.Argument(help="CAIP-2.")]) -> None:
    """Follow a chain again, from where it was left."""
    _set_enabled(network, enabled=True)


@app.command(name="list")
def show(as_json: Json = False) -> None:
    """Show the chains, how far they are followed, and how far the node is."""
    with opened_database() as database, database.begin() as connection:
        found = list_networks(connection)
        cursors = {each.network: each for each in list_cursors(connection)}
    rows = [
        {
            "network": each.network,
            "name": each.name,
            "enabled": each.enabled,
            "livemode": each.livemode,
            "confirmations": each.confirmations,
            "followed_to": cursors[each.network].block_number if each.network in cursors else None,
            "head": cursors[each.network].head_number if each.network in cursors else None,
        }
        for each in found
    ]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])


def _set_enabled(name: str, *, enabled: bool) -> None:
    with opened_database() as database, database.begin() as connection:
        found = find_network(connection, name)
        if found is None:
            raise ParameterInvalid(f"There is no network {name}.", param="network")
        put_network(connection, replace(found, enabled=enabled))
    console.print(f"{name} is {'enabled' if enabled else 'disabled'}.")


def _native(network: Network, currency: str) -> Asset:
    return Asset(
        asset=network.native_asset,
        network=network.network,
        contract=None,
        currency=currency,
        symbol=currency.upper(),
        decimals=NATIVE_DECIMALS,
        quirks=[],
        payin_enabled=False,
        payout_enabled=False,
        sweep_minimum=0,
        eip712_name=None,
        eip712_version=None,
        created=now(),
    )
