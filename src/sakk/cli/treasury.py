"""``sakk treasury``: hot, warm and cold, and what should move between them."""

from typing import Annotated

import typer

from sakk.cli import sender
from sakk.cli.acting import (
    Code,
    Key,
    Yes,
    acting,
    opened_parts,
    print_explanation,
    word_of,
)
from sakk.cli.mode import Live
from sakk.cli.open import begin, opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.approval import PREFIX
from sakk.core.errors import ParameterInvalid
from sakk.core.evm import checksum_address
from sakk.core.treasury import Target, Tier
from sakk.core.withdrawal import Withdrawal, WithdrawalStatus, public
from sakk.flow import treasury as flow
from sakk.flow import withdrawal
from sakk.flow.explanation import explain_withdrawal
from sakk.flow.word import Word
from sakk.runtime.wiring import wired
from sakk.store import withdrawal as store
from sakk.store.database import fetch_all
from sakk.store.identity import new_id, now

app = typer.Typer(help="The treasury: its sending addresses, and its tiers.", no_args_is_help=True)
app.command(name="list")(sender.show)
app.command()(sender.add)
app.command()(sender.unfreeze)

SHOWN_MAX = 200
Which = Annotated[str, typer.Argument(help="wd_…")]
Units = Annotated[str, typer.Argument(help="Atomic units, in decimal digits.")]
Asset = Annotated[str, typer.Argument(help="CAIP-19, as `sakk assets list` shows it.")]


@app.command()
def plan(
    live: Annotated[bool, typer.Option("--live/--test", help="Live money or test.")] = False,
    as_json: Json = False,
) -> None:
    """Show what stands hot, warm and cold, the targets, and what should move."""
    with wired(begin(log_level="warning")) as parts:
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
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Ask for coins of the hot treasury to go to a vault, as the person of SAKK_API_KEY.

    The policy says whether they go at once or wait for approvals.
    """
    with wired(begin(log_level="warning")) as parts:
        row = withdrawal.withdraw(
            parts,
            asset_name=asset,
            units=_units(units, "units"),
            destination=destination,
            actor=acting(parts, livemode=live),
            livemode=live,
        )
    if as_json:
        print_json(public(row))
        return
    to = checksum_address(row.destination)
    console.print(f"{row.id}: {units} of {asset} to {to} is {_shown(row)}.")


@app.command()
def withdrawals(live: Live = False, as_json: Json = False) -> None:
    """List the withdrawals, newest first."""
    table = store.withdrawals
    with opened_database() as database, database.begin() as connection:
        rows = fetch_all(
            connection,
            table.select()
            .where(table.c.livemode == live)
            .order_by(table.c.id.desc())
            .limit(SHOWN_MAX),
            Withdrawal,
        )
    if as_json:
        print_json([public(row) for row in rows])
        return
    print_table(
        ["id", "asset", "units", "to", "status"],
        [[row.id, row.asset, row.token_amount, row.destination, _shown(row)] for row in rows],
    )


@app.command()
def show(which: Which, live: Live = False, as_json: Json = False) -> None:
    """Say what will be signed for a withdrawal, and what it waits for."""
    with opened_database() as database, database.begin() as connection:
        found = explain_withdrawal(connection, which, livemode=live)
    if as_json:
        print_json(found)
        return
    print_explanation(found)


@app.command()
def approve(
    which: Which, code: Code = None, key: Key = None, yes: Yes = False, live: Live = False
) -> None:
    """Approve a withdrawal that waits, as the person whose key SAKK_API_KEY holds."""
    with opened_parts() as parts:
        with parts.database.begin() as connection:
            found = explain_withdrawal(connection, which, livemode=live)
        word = word_of(parts, found, code=code, key=key, yes=yes, live=live)
        row = withdrawal.approve(parts, which, word, approval_id=new_id(PREFIX), livemode=live)
    console.print(f"{row.id} is {_shown(row)}.")


@app.command()
def reject(
    which: Which,
    reason: Annotated[str, typer.Option(help="Why; it stands with the approvals.")] = "",
    live: Live = False,
) -> None:
    """Refuse a withdrawal that waits; the coins stay."""
    with opened_parts() as parts:
        word = Word(acting(parts, livemode=live), comment=reason or None)
        row = withdrawal.reject(parts, which, word, approval_id=new_id(PREFIX), livemode=live)
    console.print(f"{row.id} is {row.status}.")


def _shown(row: Withdrawal) -> str:
    if row.status != WithdrawalStatus.screened:
        return row.status
    return f"waiting for {row.approvals_needed} of {row.approver_role}"


def _units(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ParameterInvalid(f"{name} is atomic units in decimal digits.", param=name)
    return int(text)
