"""``sakk rules``: the rules of screening, and who changed them."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import select

from sakk.cli.acting import acting, opened_parts, yes_to
from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.errors import ParameterInvalid
from sakk.core.rule import PREFIX, RulesVersion, public_version, read_rules
from sakk.flow import back_test
from sakk.flow import rule as flow
from sakk.store.database import fetch_all
from sakk.store.identity import new_id
from sakk.store.rule import screening_rules

SHOWN_MAX = 1_000

app = typer.Typer(help="Which transfers are held, and why.", no_args_is_help=True)

Which = Annotated[str, typer.Argument(help="A version: its number, rul_…, or in_force.")]


@app.command()
def show(version: Which = flow.IN_FORCE, live: Live = False, as_json: Json = False) -> None:
    """Show a version's rules; 0 is what came with Sakk."""
    with opened_database() as database, database.begin() as connection:
        found = flow.shown(connection, version, livemode=live)
    if as_json:
        print_json(found)
        return
    console.print(f"version {found['number']} ({found['state']}), digest {found['digest']}")
    _print_rules(found)


@app.command(name="list")
def list_versions(live: Live = False, as_json: Json = False) -> None:
    """List every version, newest first: who proposed it, and who approved it."""
    with opened_database() as database, database.begin() as connection:
        statement = (
            select(screening_rules)
            .where(screening_rules.c.livemode == live)
            .order_by(screening_rules.c.number.desc())
            .limit(SHOWN_MAX)
        )
        rows = fetch_all(connection, statement, RulesVersion)
    if as_json:
        print_json([public_version(row) for row in rows])
        return
    print_table(
        ["number", "id", "state", "rules", "proposed by", "decided by", "note"],
        [
            [
                row.number,
                row.id,
                row.state,
                len(row.rules),
                row.proposed_by,
                row.decided_by,
                row.note,
            ]
            for row in rows
        ],
    )


@app.command()
def propose(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Rules, as JSON.")],
    note: Annotated[str | None, typer.Option(help="Why.")] = None,
    live: Live = False,
) -> None:
    """Propose a version, as the person of compliance whose key SAKK_API_KEY holds."""
    with opened_parts() as parts:
        version = flow.propose(
            parts,
            read_file(file),
            identifier=new_id(PREFIX),
            actor=acting(parts, livemode=live),
            note=note,
            livemode=live,
        )
    console.print(f"Version {version.number} is {version.state}; another person approves it:")
    console.print(f"sakk rules approve {version.number} --code 123456")


@app.command()
def approve(
    version: Which,
    code: Annotated[str | None, typer.Option(help="The one-time code of your device.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask again.")] = False,
    live: Live = False,
) -> None:
    """Put a version in force that another person proposed."""
    with opened_parts() as parts:
        with parts.database.begin() as connection:
            found = flow.shown(connection, version, livemode=live)
        _print_rules(found)
        if not yes:
            typer.confirm(f"Put version {found['number']} in force?", abort=True)
        decided = flow.approve(
            parts,
            str(found["number"]),
            yes_to(parts, found["digest"], code=code, live=live),
            livemode=live,
        )
    console.print(f"Version {decided.number} is {decided.state}.")


@app.command()
def reject(version: Which, live: Live = False) -> None:
    """End a version that was proposed."""
    with opened_parts() as parts:
        decided = flow.reject(parts, version, actor=acting(parts, livemode=live), livemode=live)
    console.print(f"Version {decided.number} is {decided.state}.")


@app.command(name="test")
def run_test(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Rules, as JSON.")],
    last: Annotated[
        int, typer.Option(min=1, max=back_test.LAST_MAX, help="On the last N transfers.")
    ] = back_test.LAST_DEFAULT,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Show what rules would have done to the last transfers; nothing is written."""
    rules = read_rules(read_file(file))
    with opened_database() as database, database.begin() as connection:
        result = back_test.back_test(connection, rules, livemode=live, last=last)
    shown = back_test.public(result, livemode=live)
    if as_json:
        print_json(shown)
        return
    console.print(f"{shown['compared']} transfers compared, {shown['changed']} judged otherwise.")
    if shown["untested"]:
        console.print(f"{shown['untested']} are from before facts were kept, and not compared.")
    for name, count in shown["missing"].items():
        console.print(f"Of {count} the {name} was not looked up, and is not guessed.")
    print_table(["verdict", "was", "would be"], [list(row.values()) for row in shown["verdicts"]])
    print_table(["rule", "was", "would be"], [list(row.values()) for row in shown["rules"]])
    print_table(
        ["transfer", "was", "would be", "because of"],
        [
            [
                each["subject"],
                each["was"],
                each["would_be"],
                ", ".join(reason["rule"] for reason in each["reasons"]),
            ]
            for each in shown["differences"]
        ],
    )


def read_file(file: Path) -> object:
    """Rules as a file holds them: the list, or an object as ``sakk rules show --json`` prints."""
    try:
        document: object = json.loads(file.read_text())
    except ValueError as error:
        raise ParameterInvalid(f"{file} is no JSON: {error}", param="rules") from None
    if isinstance(document, dict) and document.get("object") == "screening_rules":
        return document["rules"]
    return document


def _print_rules(found: dict[str, Any]) -> None:
    typer.echo(json.dumps(found["rules"], indent=2, ensure_ascii=False))
