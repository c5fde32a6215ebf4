"""``sakk currencies``: the ledger's units, and what they are worth."""

from dataclasses import replace
from fractions import Fraction
from typing import Annotated

import typer

from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.errors import ParameterInvalid
from sakk.core.money import DECIMALS_MAX
from sakk.core.network import Currency, CurrencyKind
from sakk.store.identity import now
from sakk.store.network import list_currencies, put_currency

app = typer.Typer(help="The currencies that accounts are kept in.", no_args_is_help=True)

Rate = Annotated[
    str | None, typer.Option("--usd", help="US dollars for one whole unit, such as 1.08 or 27/25.")
]


@app.command()
def add(
    currency: Annotated[str, typer.Argument(help="A short name in lower case, such as pol.")],
    name: Annotated[str, typer.Option(help="A name for people.")],
    decimals: Annotated[
        int, typer.Option(min=0, max=DECIMALS_MAX, help="Of its smallest unit; never changes.")
    ],
    kind: Annotated[CurrencyKind, typer.Option(help="What it is.")] = CurrencyKind.coin,
    usd: Rate = None,
) -> None:
    """Add a currency: a coin that accounts may hold, a network's own coin, or a fiat currency."""
    if not (currency.isascii() and currency.isalnum() and currency == currency.lower()):
        raise ParameterInvalid("A currency is letters and digits in lower case.", param="currency")
    with opened_database() as database, database.begin() as connection:
        if any(each.currency == currency for each in list_currencies(connection)):
            raise ParameterInvalid(f"There is a currency {currency!r} already.", param="currency")
        rate = None if usd is None else _rate(usd)
        put_currency(
            connection,
            Currency(
                currency=currency,
                name=name,
                kind=kind.value,
                decimals=decimals,
                usd_numerator=None if rate is None else rate.numerator,
                usd_denominator=None if rate is None else rate.denominator,
                updated=now(),
            ),
        )
    console.print(f"{currency} is a currency with {decimals} decimals.")


@app.command()
def price(
    currency: Annotated[str, typer.Argument(help="Which one.")],
    usd: Annotated[str, typer.Argument(help="US dollars for one whole unit: 1.08, or 27/25.")],
) -> None:
    """Say what a currency is worth; intents that are created from now on are quoted by it."""
    rate = _rate(usd)
    with opened_database() as database, database.begin() as connection:
        found = {each.currency: each for each in list_currencies(connection)}.get(currency)
        if found is None:
            raise ParameterInvalid(f"There is no currency {currency!r}.", param="currency")
        put_currency(
            connection,
            replace(
                found,
                usd_numerator=rate.numerator,
                usd_denominator=rate.denominator,
                updated=now(),
            ),
        )
    console.print(f"One {currency} is worth {usd} US dollars.")


@app.command(name="list")
def show(as_json: Json = False) -> None:
    """Show the currencies."""
    with opened_database() as database, database.begin() as connection:
        found = list_currencies(connection)
    rows = [
        {
            "currency": each.currency,
            "name": each.name,
            "kind": each.kind,
            "decimals": each.decimals,
            "usd": _shown(each),
        }
        for each in found
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(list(rows[0]), [list(row.values()) for row in rows])


def _rate(text: str) -> Fraction:
    """An exact ratio above zero; ParameterInvalid for anything else."""
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ParameterInvalid(f"{text!r} is no decimal number or ratio.", param="usd") from None
    if rate <= 0:
        raise ParameterInvalid("A price is above zero.", param="usd")
    return rate


def _shown(currency: Currency) -> str | None:
    if currency.usd_numerator is None or currency.usd_denominator is None:
        return None
    return str(Fraction(currency.usd_numerator, currency.usd_denominator))
