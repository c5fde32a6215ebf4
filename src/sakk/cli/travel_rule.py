"""``sakk travel-rule``: the regime in force, and the records of transfers that wait."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import select

from sakk.cli.acting import acting, opened_parts
from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import regime as regimes
from sakk.core import travel_rule as rules
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.ivms101 import write
from sakk.core.regime import PREFIX, PRESETS, public_choice
from sakk.core.travel_rule import TravelRuleStatus, public_travel_rule
from sakk.core.vasp import check_lei, vasp_person
from sakk.flow import regime as regime_flow
from sakk.flow import travel_rule as flow
from sakk.flow.travel_need import opened
from sakk.store import regime as regime_store
from sakk.store.database import fetch_all
from sakk.store.identity import new_id
from sakk.store.page import LIMIT_MAX
from sakk.store.travel_rule import travel_rules

app = typer.Typer(help="Who stands behind transfers, where that is asked.", no_args_is_help=True)

Which = Annotated[str, typer.Argument(help="trv_…, or the payout or pay-in that it is of.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it stands in the record.")]


@app.command()
def choose(
    name: Annotated[str, typer.Argument(help=f"{', '.join(PRESETS)}, none, or a file of JSON.")],
    institution: Annotated[str | None, typer.Option(help="Your own legal name.")] = None,
    lei: Annotated[str | None, typer.Option(help="Your LEI.")] = None,
    country: Annotated[str | None, typer.Option(help="Where you are registered, DE.")] = None,
    live: Live = False,
) -> None:
    """Put a regime in force; the first one needs --institution."""
    check_lei(lei, param="lei")
    ours = (
        None if institution is None else write(vasp_person(institution, lei=lei, country=country))
    )
    path = Path(name)
    wanted: Any = _read(path) if path.suffix == ".json" else name
    with opened_parts() as parts, parts.database.begin() as connection:
        choice = regime_flow.choose(
            connection,
            wanted,
            ours,
            identifier=new_id(PREFIX),
            livemode=live,
            chosen_by=acting(parts, livemode=live).name,
            now=parts.clock(),
        )
    console.print(f"The regime {choice.name} is in force for {'live' if live else 'test'} money.")


@app.command()
def regime(live: Live = False, as_json: Json = False) -> None:
    """Show the regime in force; with --json, a file to change and to choose."""
    with opened_database() as database, database.begin() as connection:
        found = regime_store.find_active(connection, livemode=live)
    if found is None:
        raise ResourceMissing("No Travel Rule regime was chosen yet.", param="regime")
    if as_json:
        print_json(found.regime if found.regime is not None else public_choice(found))
        return
    console.print(f"{found.name}, chosen by {found.chosen_by} at {found.created:%Y-%m-%d %H:%M}")
    if found.regime is not None:
        for currency, limits in regimes.read_regime(found.regime).limits.items():
            console.print(f"{currency}: {limits.model_dump_json()}", markup=False)


@app.command("list")
def list_records(
    status: Annotated[TravelRuleStatus | None, typer.Option(help="Only these.")] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """List the records, newest first (at most 100)."""
    statement = select(travel_rules).where(travel_rules.c.livemode == live)
    if status is not None:
        statement = statement.where(travel_rules.c.status == status.value)
    with opened_database() as database, database.begin() as connection:
        rows = fetch_all(
            connection,
            statement.order_by(travel_rules.c.id.desc()).limit(LIMIT_MAX),
            rules.TravelRule,
        )
    if as_json:
        print_json([public_travel_rule(row, operator=True) for row in rows])
        return
    print_table(
        ["id", "of", "status", "counterparty", "exchange", "missing"],
        [
            [
                row.id,
                row.subject,
                row.status,
                row.counterparty,
                row.exchange,
                " ".join(each["field"] for each in row.missing),
            ]
            for row in rows
        ],
    )


@app.command()
def show(
    which: Which,
    payload: Annotated[bool, typer.Option("--payload", help="What the parties told.")] = False,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Show a record; with --payload its IVMS101 document, which is personal data."""
    with opened_parts() as parts:
        with parts.database.begin() as connection:
            found = flow.find(connection, which, account_id=None, livemode=live)
        if payload:
            document, _ = opened(parts.secrets_vault(), found)
            print_json(write(document))
            return
    shown = public_travel_rule(found, operator=True)
    if as_json:
        print_json(shown)
        return
    console.print(f"{found.id} of {found.subject}: {found.status}", markup=False)
    for each in found.missing:
        console.print(f"missing {each['field']}: {each['message']}", markup=False)
    for word in shown["reasons"]:
        console.print(word, markup=False)


@app.command()
def complete(which: Which, reason: Why, live: Live = False) -> None:
    """Say that all is there, because the data went another way; the payout goes on."""
    _decide(which, reason, live, refuse=False)


@app.command()
def refuse(which: Which, reason: Why, live: Live = False) -> None:
    """Refuse a transfer: its payout ends, and its money is available again."""
    _decide(which, reason, live, refuse=True)


def _decide(which: str, reason: str, live: bool, *, refuse: bool) -> None:
    with opened_parts() as parts:
        decide = flow.refuse if refuse else flow.complete
        with parts.database.begin() as connection:
            record = decide(
                connection,
                which,
                livemode=live,
                by=acting(parts, livemode=live).name,
                reason=reason,
                now=parts.clock(),
            )
    console.print(f"{record.id} is {record.status}.", markup=False)


def _read(path: Path) -> object:
    try:
        document: object = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ParameterInvalid(f"{path} is no file of JSON: {error}", param="regime") from None
    return document
