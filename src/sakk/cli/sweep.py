"""``sakk sweeps``: how coins are collected from deposit addresses."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, TextColumn

from sakk.cli.open import begin, opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.clone import DISMISS
from sakk.core.evm import CREATE2_DEPLOYER, checksum_address, parse_address
from sakk.core.hub import CANCEL, EXECUTE, Alone, encode_propose
from sakk.flow.authorization import import_authorizations
from sakk.flow.clone import put_factory
from sakk.flow.collect import hurry as hurry_deposits
from sakk.flow.context import Parts
from sakk.flow.hub import AGE_SECONDS_MAX, COST_PERCENT_MAX, WAIT_SECONDS, put_hub
from sakk.rails.evm.clone import factory_deployment, factory_facts, factory_of
from sakk.rails.evm.contract import contract_address
from sakk.rails.evm.contract import deployment as contract_deployment
from sakk.rails.evm.hub import delegate_deployment, delegate_of, hub_facts
from sakk.runtime.place import database_url
from sakk.runtime.wiring import rail_cache
from sakk.store import authorization
from sakk.store import clone as clones
from sakk.store import hub as hubs
from sakk.store.database import open_database
from sakk.store.identity import now
from sakk.store.network import list_networks

app = typer.Typer(help="Collecting from deposit addresses.", no_args_is_help=True)


@app.command(name="import-authorisations")
def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What was signed.")],
    as_json: Json = False,
) -> None:
    """Take in what `sakk keys authorise` signed, each signature checked against its address."""
    terminal = Console(stderr=True)
    with (
        opened_database() as database,
        file.open() as lines,
        Progress(
            TextColumn("{task.completed} verified"),
            console=terminal,
            transient=True,
            disable=not terminal.is_terminal,
        ) as progress,
    ):
        task = progress.add_task("verified", total=None)
        found = import_authorizations(
            database,
            lines,
            now=now(),
            progress=lambda done: progress.update(task, completed=done),
        )
    if as_json:
        print_json({"delegate": found.delegate, "lines": found.lines, "added": found.added})
        return
    console.print(
        f"{found.lines} authorisations verified, {found.added} of them new, for the delegate "
        f"{checksum_address(found.delegate)}"
    )


@app.command()
def hub(
    network: Annotated[str, typer.Argument(help="CAIP-2, such as eip155:8453.")],
    address: Annotated[str, typer.Argument(help="Where the hub stands.")],
    wait: Annotated[
        int, typer.Option(min=0, help="Seconds that a deposit waits for company.")
    ] = WAIT_SECONDS,
    age_max: Annotated[
        int, typer.Option(min=0, help="Seconds after which a deposit is collected at any cost.")
    ] = AGE_SECONDS_MAX,
    cost_percent: Annotated[
        int, typer.Option(min=0, help="The most gas for a deposit, in percent of its worth.")
    ] = COST_PERCENT_MAX,
    alone: Annotated[
        Alone, typer.Option(help="How a deposit without company travels the first time.")
    ] = Alone.key,
    enabled: Annotated[bool, typer.Option("--on/--off", help="Let the hub collect.")] = True,
) -> None:
    """Have a hub collect on a network, after asking it where it pays to; again: change when."""
    database = open_database(database_url(begin(log_level="warning")))
    try:
        made = put_hub(
            Parts(database, rail=rail_cache()),
            network,
            address,
            wait_seconds=wait,
            age_seconds_max=age_max,
            cost_percent_max=cost_percent,
            alone=alone,
            enabled=enabled,
        )
    finally:
        database.close()
    console.print(f"hub         {checksum_address(made.address)}")
    console.print(f"delegate    {checksum_address(made.delegate)}")
    console.print(f"treasury    {checksum_address(made.treasury)}")
    console.print("Name hub and delegate in the signer's policy, and import authorisations.")


@app.command()
def factory(
    network: Annotated[str, typer.Argument(help="CAIP-2, such as eip155:8453.")],
    address: Annotated[str, typer.Argument(help="Where the factory stands.")],
    wait: Annotated[
        int, typer.Option(min=0, help="Seconds that a deposit waits for company.")
    ] = WAIT_SECONDS,
    age_max: Annotated[
        int, typer.Option(min=0, help="Seconds after which a deposit is collected at any cost.")
    ] = AGE_SECONDS_MAX,
    cost_percent: Annotated[
        int, typer.Option(min=0, help="The most gas for a deposit, in percent of its worth.")
    ] = COST_PERCENT_MAX,
    enabled: Annotated[bool, typer.Option("--on/--off", help="Let it collect.")] = True,
) -> None:
    """Have a factory's clones be collected on a network, after proving its code; again: when."""
    database = open_database(database_url(begin(log_level="warning")))
    try:
        made = put_factory(
            Parts(database, rail=rail_cache()),
            network,
            address,
            wait_seconds=wait,
            age_seconds_max=age_max,
            cost_percent_max=cost_percent,
            enabled=enabled,
        )
    finally:
        database.close()
    console.print(f"factory     {checksum_address(made.address)}")
    console.print(f"hub         {checksum_address(made.hub)}")
    console.print(f"treasury    {checksum_address(made.treasury)}")
    recoverer = "nobody" if made.recoverer is None else checksum_address(made.recoverer)
    console.print(f"recoverer   {recoverer}")
    console.print("Name the factory in the signer's policy, then: sakk networks deposits …")


@app.command()
def deployment(
    treasury: Annotated[str, typer.Option(help="Where the hub pays to.")],
    collector: Annotated[str, typer.Option(help="The key that asks it to collect.")],
    cold: Annotated[str, typer.Option(help="The key that changes its treasury.")],
    delay: Annotated[int, typer.Option(help="Seconds that a change waits.")] = 172_800,
    recoverer: Annotated[
        str | None, typer.Option(help="Who sends back what clones hold; the treasury if not said.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print what creates a hub, its delegate and its factory of clones.

    They are calls that any wallet may send, on any chain. The factory is for chains without
    EIP-7702, which need no delegate.
    """
    named = [checksum_address(parse_address(each)) for each in (treasury, collector, cold)]
    recovers = checksum_address(parse_address(recoverer or treasury))
    place = contract_address("Hub", *named, delay)
    calls = [
        {"creates": name, "to": checksum_address(CREATE2_DEPLOYER), "data": "0x" + data.hex()}
        for name, data in (
            ("hub", contract_deployment("Hub", *named, delay)),
            ("delegate", delegate_deployment(place)),
            ("factory", factory_deployment(place, recovers)),
        )
    ]
    document = {
        "hub": checksum_address(place),
        "delegate": checksum_address(delegate_of(place)),
        "factory": checksum_address(factory_of(place, recovers)),
        "calls": calls,
    }
    if as_json:
        print_json(document)
        return
    for name in ("hub", "delegate", "factory"):
        console.print(f"{name:9} {document[name]}")
    for call in calls:
        console.print(f"{call['creates']}: to {call['to']}")
        console.print(f"data {call['data']}")


@app.command()
def hurry(
    below: Annotated[int, typer.Option(min=1, help="Addresses with a smaller key index.")],
) -> None:
    """Collect all that stands on these deposit addresses now, the most valuable first, at any cost.

    For a seed that is in other hands: `sakk keys seed` says where the new one begins.
    """
    with opened_database() as database:
        count = hurry_deposits(Parts(database), below=below)
    console.print(f"{count} deposits are collected as fast as their networks take them.")


@app.command()
def rotation(
    hub_address: Annotated[str, typer.Argument(help="Where the hub stands.")],
    treasury: Annotated[str, typer.Argument(help="Where it shall pay to.")],
    as_json: Json = False,
) -> None:
    """Print the calls that change a hub's treasury: two of the cold key, and one of anyone."""
    place = checksum_address(parse_address(hub_address))
    calls = [
        {"by": "cold key", "to": place, "call": "propose", "data": encode_propose(treasury)},
        {"by": "anyone, after the delay", "to": place, "call": "execute", "data": EXECUTE},
        {"by": "cold key, to give it up", "to": place, "call": "cancel", "data": CANCEL},
    ]
    _print_calls(calls, as_json=as_json)


def _print_calls(calls: list[dict[str, Any]], *, as_json: bool) -> None:
    shown = [{**call, "data": "0x" + call["data"].hex()} for call in calls]
    if as_json:
        print_json(shown)
        return
    for call in shown:
        console.print(f"{call['by']}: to {call['to']}, {call['call']}")
        console.print(f"  data {call['data']}")


@app.command()
def recoverer(
    factory_address: Annotated[str, typer.Argument(help="Where the factory stands.")],
    address: Annotated[str, typer.Argument(help="Who shall send back what its clones hold.")],
    as_json: Json = False,
) -> None:
    """Print the calls that change who recovers from a factory's clones, or that nobody does."""
    place = checksum_address(parse_address(factory_address))
    calls = [
        {"by": "cold key", "to": place, "call": "propose", "data": encode_propose(address)},
        {"by": "anyone, after the delay", "to": place, "call": "execute", "data": EXECUTE},
        {"by": "cold key, to give it up", "to": place, "call": "cancel", "data": CANCEL},
        {"by": "cold key, after a theft", "to": place, "call": "dismiss", "data": DISMISS},
    ]
    _print_calls(calls, as_json=as_json)


@app.command(name="factories")
def show_factories(as_json: Json = False) -> None:
    """Show whose clones are collected, what was proposed, and for which networks they are given."""
    rail = rail_cache()
    with opened_database() as database, database.begin() as connection:
        rows = []
        networks = {each.network: each for each in list_networks(connection)}
        for each in clones.list_factories(connection):
            facts = factory_facts(rail(networks[each.network]).rpc, each.address)
            rows.append(
                {
                    "network": each.network,
                    "factory": checksum_address(each.address),
                    "given_out": networks[each.network].deposit_factory == each.address,
                    "hub": checksum_address(each.hub),
                    "treasury": checksum_address(facts.hub.treasury),
                    "proposed": facts.hub.proposed and checksum_address(facts.hub.proposed),
                    "recoverer": facts.recoverer and checksum_address(facts.recoverer),
                    "proposed_recoverer": facts.proposed and checksum_address(facts.proposed),
                    "executable_at": facts.executable_at,
                    "enabled": each.enabled,
                    "wait_seconds": each.wait_seconds,
                    "age_seconds_max": each.age_seconds_max,
                    "cost_percent_max": each.cost_percent_max,
                }
            )
    if as_json:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])


@app.command(name="hubs")
def show_hubs(as_json: Json = False) -> None:
    """Show which hubs collect, what was proposed to them, and how many authorisations there are."""
    rail = rail_cache()
    with opened_database() as database, database.begin() as connection:
        rows = []
        networks = {each.network: each for each in list_networks(connection)}
        for each in hubs.list_hubs(connection):
            number, highest = authorization.count(connection, each.delegate)
            facts = hub_facts(rail(networks[each.network]).rpc, each.address)
            rows.append(
                {
                    "network": each.network,
                    "hub": checksum_address(each.address),
                    "treasury": checksum_address(facts.treasury),
                    "proposed": facts.proposed and checksum_address(facts.proposed),
                    "executable_at": facts.executable_at,
                    "enabled": each.enabled,
                    "wait_seconds": each.wait_seconds,
                    "age_seconds_max": each.age_seconds_max,
                    "cost_percent_max": each.cost_percent_max,
                    "alone": each.alone,
                    "authorisations": number,
                    "highest_index": highest,
                }
            )
    if as_json:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
