"""``sakk recover``: coins that are nobody's payment here go back to who sent them."""

import os
from typing import Annotated

import typer

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
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import claim, money
from sakk.core import recovery as rules
from sakk.core.approval import PREFIX
from sakk.core.caip import native_asset
from sakk.core.evm import checksum_address
from sakk.core.payin import PayIn, PayInStatus
from sakk.core.refund import RefundStatus
from sakk.flow import recovery as flow
from sakk.flow.context import Parts
from sakk.flow.explanation import explain_recovery
from sakk.flow.recovery import create
from sakk.flow.recovery_finding import Finding, examine
from sakk.runtime.wiring import rail_cache
from sakk.store import payin as payins
from sakk.store import recovery as store
from sakk.store.database import fetch_all
from sakk.store.identity import new_id, now
from sakk.store.network import list_assets

app = typer.Typer(help="Coins that were sent here by mistake.", no_args_is_help=True)

SHOWN_MAX = 200
Network = Annotated[str, typer.Option(help="CAIP-2, such as eip155:8453.")]
Which = Annotated[str, typer.Argument(help="rec_…")]
Address = Annotated[str, typer.Option(help="A deposit address of this Sakk.")]
Asset = Annotated[str, typer.Option(help="CAIP-19, such as eip155:8453/erc20:0x….")]


@app.command(name="list")
def list_all(as_json: Json = False) -> None:
    """List the held pay-ins that wait, and the recoveries, newest first."""
    with opened_database() as database, database.begin() as connection:
        held = fetch_all(
            connection,
            payins.payins.select()
            .where(payins.payins.c.status == PayInStatus.held.value)
            .order_by(payins.payins.c.id.desc())
            .limit(SHOWN_MAX),
            PayIn,
        )
        rows = fetch_all(
            connection,
            store.recoveries.select().order_by(store.recoveries.c.id.desc()).limit(SHOWN_MAX),
            rules.Recovery,
        )
    if as_json:
        waiting = [{"payin": row.id, "asset": row.asset, "address": row.address} for row in held]
        print_json({"held": waiting, "recoveries": [rules.public(row) for row in rows]})
        return
    print_table(
        ["held", "asset", "units", "address", "reason"],
        [[row.id, row.asset, row.token_amount, row.address, row.reason] for row in held],
    )
    console.print()
    print_table(
        ["recovery", "status", "asset", "units", "to"],
        [[row.id, row.status, row.asset, row.token_amount, row.destination] for row in rows],
    )


@app.command()
def show(
    network: Network, address: Address, asset: Asset, live: Live = False, as_json: Json = False
) -> None:
    """Tell what stands there, whose it may be, and what sending it back costs in gas."""
    with opened_database() as database:
        parts = Parts(database, rail=rail_cache())
        found = examine(parts, network=network, address=address, asset=asset, livemode=live)
    _print([found], as_json=as_json)


@app.command()
def scan(
    network: Network,
    address: Address,
    token: Annotated[list[str] | None, typer.Option(help="A token's contract; repeatable.")] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Read a deposit address on a network: the native coin, what is listed, and tokens you name.

    The same key holds the same address on every EVM network. One that is not here yet is added
    first: `sakk networks add`.
    """
    with opened_database() as database:
        with database.begin() as connection:
            listed = [each.asset for each in list_assets(connection, network=network)]
        named = [f"{network}/erc20:{each.lower()}" for each in token or ()]
        assets = dict.fromkeys([native_asset(network), *listed, *named])
        parts = Parts(database, rail=rail_cache())
        found = [
            examine(parts, network=network, address=address, asset=asset, livemode=live)
            for asset in assets
        ]
    _print([each for each in found if each.units], as_json=as_json)


@app.command()
def send(
    network: Network, address: Address, asset: Asset, live: Live = False, as_json: Json = False
) -> None:
    """Offer what stands there to its payer: prints the claim link, once.

    Nothing leaves before the payer has said where to under that link, and the destination was
    screened; the signer's policy file bounds what may leave at all.
    """
    token = claim.make_token(os.urandom(claim.TOKEN_RANDOM_BYTES))
    with opened_database() as database:
        parts = Parts(database, rail=rail_cache())
        found = examine(parts, network=network, address=address, asset=asset, livemode=live)
        row = create(
            parts,
            found,
            identifier=new_id("rec"),
            livemode=live,
            claim_hash=claim.token_hash(token),
            claim_expires_at=None,
            actor=acting(parts, livemode=live),
        )
    path = claim.claim_path(token)
    if as_json:
        print_json(rules.public(row, claim_url=path))
        return
    console.print(f"{row.id} offers {_amount(found)} to its payer.")
    console.print(f"Send the payer this link, below the server's public address: {path}")


@app.command()
def explain(recovery: Which, live: Live = False, as_json: Json = False) -> None:
    """Say what will be signed for a recovery, and what it waits for."""
    with opened_database() as database, database.begin() as connection:
        found = explain_recovery(connection, recovery, livemode=live)
    if as_json:
        print_json(found)
        return
    print_explanation(found)


@app.command()
def approve(
    recovery: Which, code: Code = None, key: Key = None, yes: Yes = False, live: Live = False
) -> None:
    """Approve a recovery that waits, as the person whose key SAKK_API_KEY holds.

    One under review is let go by compliance, and is the policy's next.
    """
    with opened_parts() as parts:
        with parts.database.begin() as connection:
            found = explain_recovery(connection, recovery, livemode=live)
        word = word_of(parts, found, code=code, key=key, yes=yes, live=live)
        row = flow.approve(parts, recovery, word, approval_id=new_id(PREFIX), livemode=live)
    waits = row.sweep is None and row.status == RefundStatus.pending
    console.print(f"{row.id} {'goes on waiting' if waits else 'is being sent'}.")


@app.command()
def cancel(recovery: Which, live: Live = False) -> None:
    """Call a recovery off before it is sent; the coins stay where they are."""
    with opened_database() as database, database.begin() as connection:
        row = flow.cancel(connection, recovery, livemode=live, now=now())
    console.print(f"{row.id} is {row.status}.")


def _amount(found: Finding) -> str:
    return f"{money.format_decimal(found.units, found.decimals)} {found.symbol}"


def _print(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        print_json([_document(each) for each in findings])
        return
    for each in findings:
        console.print(f"{_amount(each)} ({each.asset}) on {checksum_address(each.address)}")
        console.print(f"  account {each.account_id}, payment intent {each.payment_intent}")
        console.print(f"  held pay-in: {each.payin or 'none'}")
        if each.gas_wei is None:
            console.print("  the token refuses to be sent now")
        else:
            console.print(f"  gas: at most {each.gas_wei} wei")
        console.print(f"  {each.why or 'It can be recovered: sakk recover send'}")
    if not findings:
        console.print("Nothing is there.")


def _document(each: Finding) -> dict[str, object]:
    return {
        "network": each.network,
        "asset": each.asset,
        "address": checksum_address(each.address),
        "symbol": each.symbol,
        "token_amount": str(each.units),
        "amount_decimal": money.format_decimal(each.units, each.decimals),
        "recoverable": each.source is not None,
        "why_not": each.why,
        "gas_wei": None if each.gas_wei is None else str(each.gas_wei),
        "account": each.account_id,
        "payment_intent": each.payment_intent,
        "payin": each.payin,
    }
