"""``sakk conversions``: on which terms accounts convert, what was converted, and what is open."""

from typing import Annotated

import typer

from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import conversion as rules
from sakk.core import money
from sakk.flow import conversion as flow
from sakk.store import conversion as store
from sakk.store.database import fetch_all
from sakk.store.identity import now

app = typer.Typer(help="One currency into another.", no_args_is_help=True)

SHOWN_MAX = 200


@app.command()
def terms(
    account: Annotated[str | None, typer.Option(help="Of acct_… alone, or of all.")] = None,
    spread_ppm: Annotated[int | None, typer.Option(help="Below the bid, per million.")] = None,
    lock_seconds: Annotated[int | None, typer.Option(help="So long a price is held.")] = None,
    usd_cents_max: Annotated[int | None, typer.Option(help="Of one conversion.")] = None,
    usd_cents_per_day_max: Annotated[int | None, typer.Option(help="Of 24 hours.")] = None,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable")] = None,
    live: Live = False,
) -> None:
    """Say on which terms accounts convert, or show them, as JSON."""
    given = {
        "spread_ppm": spread_ppm,
        "lock_seconds": lock_seconds,
        "usd_cents_max": usd_cents_max,
        "usd_cents_per_day_max": usd_cents_per_day_max,
        "enabled": enabled,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    with opened_database() as database, database.begin() as connection:
        if changes:
            flow.put_terms(connection, account or "", livemode=live, now=now(), **changes)
        found = flow.terms_of(connection, account or "", livemode=live, now=now())
    print_json(rules.public_terms(found))


@app.command(name="list")
def list_all(
    account: Annotated[str | None, typer.Option(help="Only of acct_….")] = None,
    as_json: Json = False,
) -> None:
    """List the conversions of all accounts, newest first."""
    table = store.conversions
    statement = table.select().order_by(table.c.id.desc()).limit(SHOWN_MAX)
    if account is not None:
        statement = statement.where(table.c.account_id == account)
    with opened_database() as database, database.begin() as connection:
        rows = fetch_all(connection, statement, rules.Conversion)
    shown = [rules.public(row) for row in rows]
    if as_json:
        print_json(shown)
        return
    print_table(
        ["id", "account", "status", "taken", "given", "price", "spread", "fee"],
        [
            [
                each["id"],
                each["account"],
                each["status"],
                f"{each['source_amount_decimal']} {each['source_currency']}",
                f"{each['target_amount_decimal']} {each['target_currency']}",
                each["price"],
                each["spread_decimal"],
                each["service_fee_decimal"],
            ]
            for each in shown
        ],
    )


@app.command()
def quotes(
    account: Annotated[str | None, typer.Option(help="Only of acct_….")] = None,
    status: Annotated[rules.QuoteStatus | None, typer.Option(help="Only these.")] = None,
    as_json: Json = False,
) -> None:
    """List the prices that accounts asked for, newest first: those that nobody accepted too."""
    table, moment = store.conversion_quotes, now()
    statement = table.select().order_by(table.c.id.desc()).limit(SHOWN_MAX)
    if account is not None:
        statement = statement.where(table.c.account_id == account)
    if status is not None:
        statement = statement.where(store.quote_is(status, moment))
    with opened_database() as database, database.begin() as connection:
        rows = fetch_all(connection, statement, rules.ConversionQuote)
        used = store.used_by(connection, [row.id for row in rows])
    shown = [rules.public_quote(row, used_by=used.get(row.id), now=moment) for row in rows]
    if as_json:
        print_json(shown)
        return
    print_table(
        ["id", "account", "status", "to be taken", "to be given", "price", "conversion"],
        [
            [
                each["id"],
                each["account"],
                each["status"],
                f"{each['source_amount_decimal']} {each['source_currency']}",
                f"{each['target_amount_decimal']} {each['target_currency']}",
                each["price"],
                each["conversion"],
            ]
            for each in shown
        ],
    )


@app.command()
def positions(live: Live = False, as_json: Json = False) -> None:
    """Show what exchanges left open in each currency, valued at the market now."""
    moment = now()
    with opened_database() as database, database.begin() as connection:
        found = flow.positions(connection, livemode=live, now=moment)
    if as_json:
        print_json([rules.public_position(each, livemode=live, now=moment) for each in found])
        return
    print_table(
        ["currency", "open", "in US dollars"],
        [
            [
                each.currency,
                money.format_decimal(each.units, each.decimals),
                "not known" if each.usd_cents is None else money.format_decimal(each.usd_cents, 2),
            ]
            for each in found
        ],
    )
    known = [each.usd_cents for each in found if each.usd_cents is not None]
    console.print(f"together {money.format_decimal(sum(known), 2)} US dollars, not realised")
