"""``sakk screen``: what screening says of an address, before anything is sent to it."""

from typing import Annotated

import typer

from sakk.cli.open import begin
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.screening import Verdict, gravest, to_public
from sakk.flow.check import Check, check, network_of
from sakk.runtime.wiring import wired
from sakk.store.network import list_networks


def screen(
    address: Annotated[str, typer.Argument(help="The address that is asked about.")],
    network: Annotated[
        list[str] | None, typer.Option(help="On which networks; all that are listed by default.")
    ] = None,
    asset: Annotated[
        str | None, typer.Option(help="A withdrawal of this token, by its CAIP-19 name.")
    ] = None,
    amount: Annotated[
        int | None, typer.Option(min=0, help="Of how much, in the currency's smallest unit.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="Whose withdrawal: acct_….")] = None,
    live: Annotated[bool, typer.Option("--live/--test", help="Live money or test money.")] = False,
    as_json: Json = False,
) -> None:
    """Ask what screening says of an address; the check is recorded, and nothing else happens."""
    networks = network
    if networks is None and asset is not None:
        networks = [network_of(asset)]
    with wired(begin(log_level="warning"), screening=True) as parts:
        if networks is None:
            with parts.database.begin() as connection:
                networks = [each.network for each in list_networks(connection, livemode=live)]
        asked = Check(address, networks, asset=asset, amount=amount, account_id=account)
        found = check(parts, asked, livemode=live)
    verdict = gravest([Verdict(each.verdict) for each in found])
    if as_json:
        print_json({"verdict": verdict.value, "screenings": [to_public(each) for each in found]})
    else:
        console.print(f"{verdict.value}: {address}")
        print_table(
            ["screening", "asset", "direction", "verdict", "rule", "share", "why"],
            [
                [
                    each.id,
                    each.asset,
                    each.direction,
                    each.verdict,
                    reason.rule,
                    None if reason.share_ppm is None else f"{reason.share_ppm / 10_000:g} %",
                    reason.detail or reason.category,
                ]
                for each in found
                for reason in each.reasons
            ],
        )
    if verdict is not Verdict.clear:
        raise typer.Exit(1)
