"""``sakk breaks``: what the books do not agree on, who owns it, and corrections by two people."""

from typing import Annotated

import typer
from sqlalchemy import Connection

from sakk.cli.acting import Code, acting, opened_parts, yes_to
from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import ledger_break as rules
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.ledger_break import BreakStatus, LedgerBreak, Leg
from sakk.flow import ledger_break as flow
from sakk.store import ledger_break as store
from sakk.store.identity import new_id, now
from sakk.store.page import PageRequest

app = typer.Typer(help="What the books do not agree on, as work.", no_args_is_help=True)

SHOWN_MAX = 100
Which = Annotated[str, typer.Argument(help="brk_…")]


@app.command(name="list")
def list_all(
    status: Annotated[BreakStatus | None, typer.Option(help="Only these.")] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """List what stands, oldest first; with --status these alone, newest first."""
    with opened_database() as database, database.begin() as connection:
        if status is None:
            rows = store.list_standing(connection, livemode=live)
        else:
            page = PageRequest(limit=SHOWN_MAX)
            rows, _ = store.list_breaks(connection, page, livemode=live, status=status)
    if as_json:
        print_json([rules.public(row, now=now()) for row in rows])
        return
    print_table(
        ["break", "kind", "status", "units", "unit", "days", "owner", "what"],
        [
            [
                row.id,
                row.kind,
                row.status,
                row.units,
                row.unit,
                rules.age_seconds(row, now()) // 86_400,
                row.owner,
                row.detail,
            ]
            for row in rows
        ],
    )


@app.command()
def show(ledger_break: Which, live: Live = False) -> None:
    """Show a break with its history, and the digest to confirm with, as JSON."""
    with opened_database() as database, database.begin() as connection:
        found = _found(connection, ledger_break, live)
        history = [rules.public_act(each) for each in store.list_acts(connection, found.id)]
    print_json({**rules.public(found, now=now()), "history": history})


@app.command()
def assign(
    ledger_break: Which,
    to: Annotated[str | None, typer.Option(help="per_…; yourself by default.")] = None,
    live: Live = False,
) -> None:
    """Take a break, or give it to somebody."""
    with opened_parts() as parts:
        actor = acting(parts, livemode=live)
        row = flow.assign(parts, ledger_break, actor=actor, livemode=live, owner=to)
    console.print(f"{row.id} is {row.owner}'s.")


@app.command()
def note(ledger_break: Which, text: str, live: Live = False) -> None:
    """Write down what a break is, for good."""
    with opened_parts() as parts:
        act = flow.note(
            parts,
            ledger_break,
            text,
            actor=acting(parts, livemode=live),
            livemode=live,
            act_id=new_id(rules.ACT_PREFIX),
        )
    console.print(f"{act.id} is noted.")


@app.command()
def propose(
    ledger_break: Which,
    transfer: Annotated[
        list[str],
        typer.Option(help="DEBIT CREDIT UNITS, in quotes, by the accounts' names; again for more."),
    ],
    note: Annotated[str | None, typer.Option(help="Why.")] = None,
    live: Live = False,
) -> None:
    """Propose the transfers that correct a break; another person confirms them."""
    with opened_parts() as parts:
        legs = [_leg(each) for each in transfer]
        actor = acting(parts, livemode=live)
        row = flow.propose(parts, ledger_break, legs, actor=actor, livemode=live, note=note)
    _print_proposal(row)


@app.command()
def confirm(
    ledger_break: Which,
    digest: Annotated[str, typer.Argument(help="Of what `sakk breaks show` shows.")],
    code: Code = None,
    live: Live = False,
) -> None:
    """Confirm what another person proposed; the worker books it a moment later."""
    with opened_parts() as parts:
        row = flow.confirm(
            parts, ledger_break, yes_to(parts, digest, code=code, live=live), livemode=live
        )
    console.print(f"{row.id} is {row.status}.")


@app.command()
def decline(
    ledger_break: Which,
    reason: Annotated[str | None, typer.Option(help="Why.")] = None,
    live: Live = False,
) -> None:
    """Refuse what was proposed, or take it back."""
    with opened_parts() as parts:
        actor = acting(parts, livemode=live)
        row = flow.decline(parts, ledger_break, actor=actor, livemode=live, reason=reason)
    console.print(f"{row.id} is {row.status}.")


def _print_proposal(row: LedgerBreak) -> None:
    assert row.proposal is not None
    for leg in row.proposal["transfers"]:
        console.print(f"  {leg['debit']} ← {leg['units']} ← {leg['credit']}", markup=False)
    console.print(f"{row.id} awaits a second person; digest {rules.digest_of(row)}")


def _leg(text: str) -> Leg:
    match text.split():
        case [debit, credit, units] if units.isascii() and units.isdigit():
            return Leg(debit, credit, int(units))
    raise ParameterInvalid(
        "A transfer is written DEBIT CREDIT UNITS, in quotes: two accounts of the ledger and a"
        " whole number.",
        param="transfer",
    )


def _found(connection: Connection, identifier: str, live: bool) -> LedgerBreak:
    found = store.find(connection, identifier, livemode=live)
    if found is None:
        raise ResourceMissing(
            "No such break: {identifier}.", param="id", identifier=repr(identifier)
        )
    return found
