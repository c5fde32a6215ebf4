"""``sakk policies``: the rules for payouts, who changed them, and what they would say."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from sakk.cli.acting import acting, opened_parts, yes_to
from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.policy import PREFIX, PolicyVersion, Rule, public_version, read_rules
from sakk.flow import policy as flow
from sakk.flow import simulation
from sakk.flow.export import signer_rules
from sakk.signing.policy import render_rules
from sakk.store import payout as payouts
from sakk.store import policy as store
from sakk.store.identity import new_id, now
from sakk.store.network import list_assets, list_currencies

app = typer.Typer(help="Which payouts go, which wait, which do not.", no_args_is_help=True)

Which = Annotated[str, typer.Argument(help="A version: its number, pol_…, or active.")]
File = Annotated[
    Path | None, typer.Option("--file", exists=True, help="Rules as JSON, that nobody proposed.")
]


@app.command()
def show(version: Which = "active", live: Live = False, as_json: Json = False) -> None:
    """Show a version's rules."""
    with opened_database() as database, database.begin() as connection:
        found = _version(connection, version, live)
    if as_json:
        print_json(public_version(found))
        return
    console.print(f"version {found.number} ({found.state}), digest {found.digest}")
    typer.echo(json.dumps(found.rules, indent=2, ensure_ascii=False))


@app.command()
def history(live: Live = False, as_json: Json = False) -> None:
    """List every version, newest first: who proposed it, and who approved it."""
    with opened_database() as database, database.begin() as connection:
        rows = store.list_versions(connection, livemode=live)
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
    file: Annotated[Path, typer.Argument(exists=True, help="The rules, as JSON.")],
    note: Annotated[str | None, typer.Option(help="Why.")] = None,
    live: Live = False,
) -> None:
    """Propose a version, as the person whose key SAKK_API_KEY holds."""
    with opened_parts() as parts:
        version = flow.propose(
            parts,
            _read(file),
            identifier=new_id(PREFIX),
            actor=acting(parts, livemode=live),
            note=note,
            livemode=live,
        )
    console.print(f"Version {version.number} is {version.state}; another person approves it:")
    console.print(f"sakk policies approve {version.number} --code 123456")


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
            found = _version(connection, version, live)
        typer.echo(json.dumps(found.rules, indent=2, ensure_ascii=False))
        if not yes:
            typer.confirm(f"Put version {found.number} in force?", abort=True)
        decided = flow.approve(
            parts, found.id, yes_to(parts, found.digest, code=code, live=live), livemode=live
        )
    console.print(f"Version {decided.number} is {decided.state}.")


@app.command()
def reject(version: Which, live: Live = False) -> None:
    """End a version that was proposed."""
    with opened_parts() as parts:
        decided = flow.reject(parts, version, actor=acting(parts, livemode=live), livemode=live)
    console.print(f"Version {decided.number} is {decided.state}.")


@app.command()
def simulate(
    payout: Annotated[str | None, typer.Argument(help="po_…, as it stands.")] = None,
    version: Annotated[str, typer.Option("--version", help="Number, pol_… or active.")] = "active",
    file: File = None,
    last: Annotated[
        int | None,
        typer.Option(min=1, max=simulation.PAST_MAX, help="Compare with the last N decisions."),
    ] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Say what a version would do to a payout, or would have done to the last ones."""
    if (payout is None) == (last is None):
        raise ParameterInvalid("Give a payout, or --last N.", param="payout")
    with opened_database() as database, database.begin() as connection:
        judged_by = _judged_by(connection, version, file, live)
        if last is not None:
            _compare(connection, judged_by, last, live, as_json)
            return
        row = payouts.find(connection, payout or "", account_id=None, livemode=live)
        if row is None:
            raise ResourceMissing(f"No such payout: {payout!r}", param="payout")
        found = simulation.simulate(connection, judged_by, row, now=now())
    if as_json:
        print_json(found)
        return
    for passed in found["passed"]:
        console.print(f"{passed['rule']}: {passed['reason']}", markup=False)
    for used in found["sums"]:
        console.print(f"sum of {used['seconds']} s per {used['per']}: {used['amount']}")
    console.print(_outcome(found), markup=False)


@app.command()
def export(
    version: Which = "active",
    for_signer: Annotated[
        bool, typer.Option("--for-signer", help="The rules as a section of the signer's file.")
    ] = False,
    live: Live = False,
) -> None:
    """Print a version's rules: as JSON, or as TOML for the signer's policy file."""
    with opened_database() as database, database.begin() as connection:
        found = _version(connection, version, live)
        assets = list_assets(connection)
        decimals = {each.currency: each.decimals for each in list_currencies(connection)}
    if not for_signer:
        typer.echo(json.dumps(found.rules, indent=2, ensure_ascii=False))
        return
    made = signer_rules(flow.rules_of(found), assets, decimals)
    for word in made.left_out:
        typer.echo(f"# {word}")
    typer.echo(render_rules(made.rules), nl=False)


def _compare(
    connection: Connection, judged_by: tuple[Rule, ...], last: int, live: bool, as_json: bool
) -> None:
    compared, found = simulation.differences(connection, judged_by, livemode=live, last=last)
    shown = [simulation.public_difference(each) for each in found]
    if as_json:
        print_json({"compared": compared, "differences": shown})
        return
    console.print(f"{compared} payouts compared, {len(shown)} would have been decided otherwise.")
    for each in shown:
        console.print(
            f"{each['payout']}: was {_outcome(each['was'])}, would be {_outcome(each['would_be'])}",
            markup=False,
        )


def _judged_by(
    connection: Connection, version: str, file: Path | None, live: bool
) -> tuple[Rule, ...]:
    if file is not None:
        return read_rules(_read(file), livemode=live)
    return flow.rules_of(flow.find_version(connection, version, livemode=live))


def _version(connection: Connection, version: str, live: bool) -> PolicyVersion:
    found = flow.find_version(connection, version, livemode=live)
    if found is None:
        raise ResourceMissing("No version of the policy is in force.", param="policy")
    return found


def _read(file: Path) -> object:
    try:
        document: object = json.loads(file.read_text())
    except ValueError as error:
        raise ParameterInvalid(f"{file} is no JSON: {error}", param="rules") from None
    return document


def _outcome(found: dict[str, Any]) -> str:
    rule = "no rule fits" if found["rule"] is None else f"rule {found['rule']!r}"
    if found["action"] != "approve":
        return f"{found['action']} ({rule})"
    return f"{found['approvals']} approvals of {found['role']} ({rule})"
