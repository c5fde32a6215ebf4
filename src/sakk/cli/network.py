"""``sakk networks``: the chains that are followed; they live in the database."""

from dataclasses import replace
from decimal import Decimal
from typing import Annotated

import typer

from sakk.cli.open import begin, opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.caip import chain_id, native_asset
from sakk.core.errors import Misconfigured, ParameterInvalid
from sakk.core.evm import checksum_address
from sakk.core.gas_price import GWEI
from sakk.core.network import Asset, DepositMethod, Network
from sakk.flow.clone import set_deposits
from sakk.flow.context import Parts
from sakk.rails.evm.rpc import Rpc, parse_quantity
from sakk.runtime.place import database_url
from sakk.runtime.wiring import rail_cache
from sakk.store.database import open_database
from sakk.store.gas_price import NetworkFees, list_fees
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
# One whole coin of 18 decimals for one gas: beyond any chain.
FEE_WEI_MAX = 10**18


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
        before = find_network(connection, network)
        if before is not None:
            added = replace(
                added,
                max_fee_per_gas_max=before.max_fee_per_gas_max,
                max_priority_fee_per_gas_max=before.max_priority_fee_per_gas_max,
                replace_after_seconds=before.replace_after_seconds,
                topup_wei_per_day_max=before.topup_wei_per_day_max,
                deposit_factory=before.deposit_factory,
            )
        if native not in {each.currency for each in list_currencies(connection)}:
            raise ParameterInvalid(
                f"There is no currency {native!r}: sakk currencies add {native} --decimals 18 …",
                param="native",
            )
        put_network(connection, added)
        put_asset(connection, _native(added, native))
    console.print(f"{network} is followed from block {head}. List its tokens: sakk assets add …")


@app.command()
def fees(
    network: Annotated[str, typer.Argument(help="CAIP-2.")],
    max_fee_gwei: Annotated[
        Decimal | None,
        typer.Option(parser=Decimal, help="The most that is offered per gas, tip included."),
    ] = None,
    priority_fee_gwei: Annotated[
        Decimal | None, typer.Option(parser=Decimal, help="The most that is tipped per gas.")
    ] = None,
    replace_after_seconds: Annotated[
        int | None, typer.Option(min=1, help="What no block took for so long is offered for more.")
    ] = None,
) -> None:
    """Cap what a chain's gas may cost, and say when a stuck transaction is offered for more.

    While the chain asks more than its cap, what would be sent waits; nothing fails.
    """
    with opened_database() as database, database.begin() as connection:
        found = find_network(connection, network)
        if found is None:
            raise ParameterInvalid(f"There is no network {network}.", param="network")
        changed = replace(
            found,
            max_fee_per_gas_max=_wei(max_fee_gwei, found.max_fee_per_gas_max, "max-fee-gwei"),
            max_priority_fee_per_gas_max=_wei(
                priority_fee_gwei, found.max_priority_fee_per_gas_max, "priority-fee-gwei"
            ),
            replace_after_seconds=replace_after_seconds or found.replace_after_seconds,
        )
        if changed.max_priority_fee_per_gas_max > changed.max_fee_per_gas_max:
            raise ParameterInvalid(
                "The tip is part of what is offered: --priority-fee-gwei is above --max-fee-gwei.",
                param="priority_fee_gwei",
            )
        put_network(connection, changed)
    console.print(
        f"{network} offers at most {_gwei(changed.max_fee_per_gas_max)} gwei per gas, of them"
        f" {_gwei(changed.max_priority_fee_per_gas_max)} as tip, and more for what is not mined"
        f" after {changed.replace_after_seconds} s."
    )


@app.command()
def gas(
    network: Annotated[str, typer.Argument(help="CAIP-2.")],
    topup_per_day_max: Annotated[
        str, typer.Argument(help="Wei that deposit addresses are given in 24 hours, or none.")
    ],
) -> None:
    """Limit the gas that sweeps by key may take in a day; what is beyond waits, nothing is lost."""
    digits = topup_per_day_max.isascii() and topup_per_day_max.isdigit()
    if not digits and topup_per_day_max != "none":
        raise ParameterInvalid("It is wei in decimal digits, or none.", param="topup_per_day_max")
    limit = int(topup_per_day_max) if digits else None
    with opened_database() as database, database.begin() as connection:
        found = find_network(connection, network)
        if found is None:
            raise ParameterInvalid(f"There is no network {network}.", param="network")
        put_network(connection, replace(found, topup_wei_per_day_max=limit))
    most = "as much gas as the signer allows" if limit is None else f"at most {limit} wei for gas"
    console.print(f"{network}: deposit addresses are given {most} in 24 hours.")


@app.command()
def deposits(
    network: Annotated[str, typer.Argument(help="CAIP-2.")],
    method: Annotated[
        DepositMethod, typer.Option(help="Addresses of keys, or clones of a factory.")
    ],
    factory: Annotated[
        str | None, typer.Option(help="Whose clones: one that `sakk sweeps factory` named.")
    ] = None,
) -> None:
    """Say which deposit addresses are given out for a chain from now on.

    What was given out before is watched for ever, and collected as it was meant to be.
    """
    database = open_database(database_url(begin(log_level="warning")))
    try:
        found = set_deposits(Parts(database, rail=rail_cache()), network, method, factory)
    finally:
        database.close()
    place = found.deposit_factory
    given = "addresses of keys" if place is None else f"clones of {checksum_address(place)}"
    console.print(f"{network} gives out {given} from now on.")


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
        quotes = list_fees(connection)
    rows = [
        {
            "network": each.network,
            "name": each.name,
            "enabled": each.enabled,
            "livemode": each.livemode,
            "confirmations": each.confirmations,
            "deposits": each.deposit_method.value,
            "followed_to": cursors[each.network].block_number if each.network in cursors else None,
            "head": cursors[each.network].head_number if each.network in cursors else None,
            **_fees(each, quotes.get(each.network)),
        }
        for each in found
    ]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])


def _fees(found: Network, quote: NetworkFees | None) -> dict[str, object]:
    """What is offered for gas, in gwei; ``waits`` while the chain asks more than the cap."""
    offered = None if quote is None else quote.max_fee_per_gas
    return {
        "fee_gwei": None if offered is None else _gwei(offered),
        "fee_cap_gwei": _gwei(found.max_fee_per_gas_max),
        "waits": quote is not None and quote.above_cap_since is not None,
    }


def _wei(gwei: Decimal | None, before: int, name: str) -> int:
    if gwei is None:
        return before
    wei = gwei * GWEI
    if not gwei.is_finite() or wei < 0 or wei != wei.to_integral_value() or wei > FEE_WEI_MAX:
        raise ParameterInvalid(
            f"--{name} is gwei with at most 9 decimals, such as 30 or 0.05.", param=name
        )
    return int(wei)


def _gwei(wei: int) -> str:
    return f"{Decimal(wei) / GWEI:f}"


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
