"""``sakk accounts``: open accounts and make their keys."""

from typing import Annotated, Any

import typer

from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.account import AccountKind, PayoutSettings
from sakk.core.errors import ParameterInvalid
from sakk.flow import account as accounts
from sakk.flow import api_key as api_keys
from sakk.store.account import list_accounts
from sakk.store.identity import new_id, now
from sakk.store.page import LIMIT_MAX, PageRequest

app = typer.Typer(help="Accounts and their API keys.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="The account's name.")],
    operator: Annotated[
        bool, typer.Option("--operator", help="The operator's own: it may act for merchants.")
    ] = False,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Open an account and give it a secret key, shown once."""
    account_id = new_id("acct")
    with opened_database() as database, database.begin() as connection:
        accounts.create(
            connection,
            account_id=account_id,
            livemode=live,
            now=now(),
            kind=AccountKind.operator if operator else AccountKind.merchant,
            details={"name": name},
        )
        _, secret = api_keys.create(
            connection,
            key_id=new_id("key"),
            account_id=account_id,
            livemode=live,
            now=now(),
            name="first",
        )
    if as_json:
        print_json({"account": account_id, "secret_key": secret})
        return
    console.print(f"account     {account_id}")
    console.print(f"secret key  {secret}")


@app.command()
def key(
    account: Annotated[str, typer.Argument(help="acct_…")],
    name: Annotated[str, typer.Option(help="A name to know it by.")] = "key",
    live: Live = False,
) -> None:
    """Make one more secret key for an account, shown once."""
    with opened_database() as database, database.begin() as connection:
        _, secret = api_keys.create(
            connection,
            key_id=new_id("key"),
            account_id=account,
            livemode=live,
            now=now(),
            name=name,
        )
    console.print(secret)


@app.command()
def payouts(
    account: Annotated[str, typer.Argument(help="acct_…")],
    address_book: Annotated[
        bool | None,
        typer.Option("--address-book/--any", help="Pay only its address book, or any address."),
    ] = None,
    delay_seconds: Annotated[
        int | None, typer.Option(help="How long a new entry of the address book waits.")
    ] = None,
    network_fee: Annotated[
        bool | None,
        typer.Option(
            "--network-fee/--no-network-fee",
            help="Charge it what the network takes for its payouts, or not.",
        ),
    ] = None,
    verified: Annotated[
        bool | None,
        typer.Option(
            "--verified/--unverified",
            help="Let it pay only while a party of its own is approved, or always.",
        ),
    ] = None,
    refund_fee: Annotated[
        str | None,
        typer.Option(help="Who bears what the network takes for refunds: waive, merchant, payer."),
    ] = None,
    refund_fee_fixed: Annotated[
        list[str] | None,
        typer.Option(help="Added to it, as usdc=500000 (smallest units); all of them at once."),
    ] = None,
    live: Live = False,
) -> None:
    """Say whom an account may pay, and what it bears; what is left out stays."""
    changes: dict[str, Any] = {}
    if verified is not None:
        changes["verification"] = "required" if verified else "optional"
    if refund_fee is not None:
        changes["refund_fee"] = refund_fee
    if refund_fee_fixed is not None:
        changes["refund_fee_fixed"] = dict(map(_fixed, refund_fee_fixed))
    if network_fee is not None:
        changes["network_fee"] = "charge" if network_fee else "waive"
    if address_book is not None:
        changes["destinations"] = "address_book" if address_book else "any"
    if delay_seconds is not None:
        changes["beneficiary_delay_seconds"] = delay_seconds
    with opened_database() as database, database.begin() as connection:
        changed = accounts.update(
            connection,
            account,
            {"payouts": changes},
            livemode=live,
            by_operator=True,
            now=now(),
        )
    settings = PayoutSettings(**changed.payouts)
    console.print(
        f"{account} pays {settings.destinations}; a new entry waits "
        f"{settings.delay_seconds(livemode=live)} seconds. Network fee: {settings.network_fee}. "
        f"Verification: {settings.verification}."
        f" Fee of refunds: {settings.refund_fee}."
    )


def _fixed(text: str) -> tuple[str, int]:
    currency, _, units = text.partition("=")
    if not (units.isascii() and units.isdigit()):
        raise ParameterInvalid(
            f"{text!r} is not a currency and its smallest units, such as usdc=500000.",
            param="refund_fee_fixed",
        )
    return currency.lower(), int(units)


@app.command(name="list")
def show(as_json: Json = False) -> None:
    """List the newest accounts."""
    with opened_database() as database, database.begin() as connection:
        rows, _ = list_accounts(connection, PageRequest(limit=LIMIT_MAX))
    if as_json:
        print_json([{"id": row.id, "kind": row.kind, "name": row.name} for row in rows])
    else:
        print_table(["id", "kind", "name"], [[row.id, row.kind, row.name] for row in rows])
