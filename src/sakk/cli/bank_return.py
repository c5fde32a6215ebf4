"""``sakk bank returns``: money in suspense that goes back to its sender, by two people."""

from typing import Annotated

import typer
from sqlalchemy import select

from sakk.cli.acting import Code, acting, opened_parts, yes_to
from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import bank_return as rules
from sakk.core import money
from sakk.core.bank_return import BankReturn
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.flow import bank_return as flow
from sakk.flow.context import Parts
from sakk.store import bank_statement as lines
from sakk.store.bank_return import bank_returns
from sakk.store.database import fetch_all

app = typer.Typer(help="Money in suspense that goes back to its sender.", no_args_is_help=True)

SHOWN_MAX = 200
Id = Annotated[str, typer.Argument(help="bret_…")]


@app.command(name="list")
def list_returns(as_json: Json = False) -> None:
    """List the newest returns."""
    wanted = select(bank_returns).order_by(bank_returns.c.id.desc()).limit(SHOWN_MAX)
    with opened_database() as database, database.begin() as connection:
        shown = [rules.public(row) for row in fetch_all(connection, wanted, BankReturn)]
    if as_json:
        print_json(shown)
        return
    fields = ("id", "line", "amount_decimal", "currency", "holder", "iban", "status", "reason")
    print_table(list(fields), [[each[name] for name in fields] for each in shown])


@app.command()
def propose(
    line: Annotated[str, typer.Argument(help="bl_…, in suspense.")],
    note: Annotated[str | None, typer.Option(help="Why.")] = None,
    fee_max: Annotated[str, typer.Option(help="What the bank may take besides.")] = "0",
    holder: Annotated[str | None, typer.Option(help="Where the line names no sender.")] = None,
    iban: Annotated[str | None, typer.Option(help="Where the line names no account.")] = None,
    bic: Annotated[str | None, typer.Option(help="Of the bank of a number.")] = None,
    country: Annotated[str | None, typer.Option(help="With a number: ISO 3166.")] = None,
    number: Annotated[str | None, typer.Option(help="Where there is no IBAN.")] = None,
    bank_code: Annotated[str | None, typer.Option(help="With a number: the bank's.")] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Say that a line's money goes back to its sender; another person confirms it."""
    with opened_parts() as parts:
        request = flow.ReturnRequest(
            line=line,
            holder=holder,
            iban=iban,
            bic=bic,
            country=country,
            number=number,
            bank_code=bank_code,
            fee_max=_units(parts, line, fee_max, live=live),
            note=note,
        )
        made = flow.propose(parts, request, actor=acting(parts, livemode=live), livemode=live)
    shown = rules.public(made)
    if as_json:
        print_json(shown)
        return
    where = made.iban or made.number
    console.print(
        f"{made.id}: {shown['amount_decimal']} {made.currency} to {made.holder}, {where}"
        f"{', as you say' if made.by_hand else ''}; awaits a second person; digest"
        f" {shown['digest']}",
        markup=False,
    )


@app.command()
def confirm(
    identifier: Id,
    digest: Annotated[str, typer.Argument(help="Of what was proposed.")],
    code: Code = None,
    live: Live = False,
) -> None:
    """Confirm what another person proposed; the worker screens and orders it a moment later."""
    with opened_parts() as parts:
        row = flow.confirm(
            parts, identifier, yes_to(parts, digest, code=code, live=live), livemode=live
        )
    console.print(f"{row.id} goes back to {row.holder}.", markup=False)


@app.command()
def decline(identifier: Id, live: Live = False) -> None:
    """Refuse what was proposed, or take it back."""
    with opened_parts() as parts:
        row = flow.decline(parts, identifier, actor=acting(parts, livemode=live), livemode=live)
    console.print(f"{row.line} stays in suspense.")


def _units(parts: Parts, line: str, text: str, *, live: bool) -> int:
    with parts.database.begin() as connection:
        found = lines.find_line(connection, line, livemode=live)
    if found is None:
        raise ResourceMissing(f"No such line: {line!r}", param="line")
    try:
        return money.parse_decimal(text, found.decimals)
    except ValueError:
        raise ParameterInvalid(
            f"{text!r} is no amount of {found.currency}.", param="fee_max"
        ) from None
