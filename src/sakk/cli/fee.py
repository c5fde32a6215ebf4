"""``sakk fees``: schedules by which accounts are charged, what they would charge, and what was."""

import json
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from sqlalchemy import Connection

from sakk.cli.acting import MACHINE
from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import fee as rules
from sakk.core.errors import ParameterInvalid
from sakk.flow import account as accounts
from sakk.flow import application_fee
from sakk.flow import fee as flow
from sakk.store import fee as store
from sakk.store.database import fetch_all
from sakk.store.identity import new_id, now

app = typer.Typer(help="What accounts are charged, and by which rules.", no_args_is_help=True)

SHOWN_MAX = 200
File = Annotated[Path, typer.Argument(exists=True, help="The rules, as a JSON list.")]


@app.command()
def create(name: Annotated[str, typer.Argument(help="What it is called.")], file: File) -> None:
    """Write a schedule down; it charges nobody until it is assigned."""
    with opened_database() as database, database.begin() as connection:
        schedule = flow.create_schedule(
            connection,
            identifier=new_id(rules.SCHEDULE_PREFIX),
            name=name,
            written=_read(file),
            effective_at=None,
            metadata={},
            by=MACHINE,
            now=now(),
        )
    console.print(schedule.id)


@app.command()
def change(schedule: Annotated[str, typer.Argument(help="fsch_…")], file: File) -> None:
    """Add a version, in force from now on; what was charged stays charged."""
    with opened_database() as database, database.begin() as connection:
        flow.add_version(
            connection,
            schedule,
            _read(file),
            effective_at=None,
            # Who has the machine speaks for both modes.
            livemode=True,
            by=MACHINE,
            now=now(),
        )
        versions = store.list_versions(connection, [schedule])[schedule]
    console.print(f"{schedule} has version {versions[-1].version}.")


@app.command()
def assign(
    account: Annotated[str, typer.Argument(help="acct_…")],
    schedule: Annotated[str, typer.Argument(help="fsch_…, or none.")],
    live: Live = False,
) -> None:
    """Charge an account by a schedule from now on, or by none."""
    wanted = None if schedule == "none" else schedule
    with opened_database() as database, database.begin() as connection:
        accounts.update(
            connection,
            account,
            {"fee_schedule": wanted},
            livemode=live,
            by_operator=True,
            now=now(),
        )
    console.print(f"{account} is charged by {wanted or 'no schedule'}.")


@app.command()
def schedules(as_json: Json = False) -> None:
    """List the schedules, newest first, with the version in force."""
    statement = store.fee_schedules.select().order_by(store.fee_schedules.c.id.desc())
    moment = now()
    with opened_database() as database, database.begin() as connection:
        rows = fetch_all(connection, statement.limit(SHOWN_MAX), rules.FeeSchedule)
        versions = store.list_versions(connection, [row.id for row in rows])
    shown = [
        rules.public_schedule(row, versions.get(row.id, []), livemode=False, now=moment)
        for row in rows
    ]
    if as_json:
        print_json(shown)
        return
    print_table(
        ["id", "name", "versions", "in force"],
        [
            [each["id"], each["name"], len(each["versions"]), each["version_in_force"]]
            for each in shown
        ],
    )


@app.command()
def simulate(
    kind: Annotated[rules.FeeKind, typer.Argument(help="What is charged.")],
    amount: Annotated[int, typer.Argument(help="In the currency's smallest unit.")],
    currency: Annotated[str, typer.Argument(help="Such as usdc.")],
    schedule: Annotated[str | None, typer.Option(help="fsch_…")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", exists=True, help="Rules that are in force nowhere.")
    ] = None,
    network: Annotated[str | None, typer.Option(help="CAIP-2, such as eip155:8453.")] = None,
    volume: Annotated[int, typer.Option(help="What the month had before it.")] = 0,
    application_fee_amount: Annotated[
        int | None, typer.Option(help="What a platform takes of it.")
    ] = None,
    connected_account: Annotated[
        str | None, typer.Option(help="cac_…: what its platform's rules take.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="A connection of live money.")] = False,
    as_json: Json = False,
) -> None:
    """Say what a movement would cost, and by which rule; nothing is written."""
    movement = rules.Movement(kind, currency, network, amount, volume)
    with opened_database() as database, database.begin() as connection:
        taken = _Taken(application_fee_amount, connected_account, live)
        document = _simulated(connection, movement, schedule, file, taken)
    if as_json:
        print_json(document)
        return
    rule = f"rule {document['rule']}" if document["rule"] else "no rule fits"
    console.print(f"{document['fee_decimal']} {currency} ({rule}), net {document['net_decimal']}")
    for part in document["parts"] + document["application_fee_parts"]:
        console.print(f"  {part['label']}: {part['amount']}")


@app.command(name="list")
def list_all(
    account: Annotated[str | None, typer.Option(help="Only of acct_….")] = None,
    as_json: Json = False,
) -> None:
    """List what was charged and what went back, newest first."""
    statement = store.fees.select().order_by(store.fees.c.id.desc()).limit(SHOWN_MAX)
    if account is not None:
        statement = statement.where(store.fees.c.account_id == account)
    with opened_database() as database, database.begin() as connection:
        rows = [rules.public_fee(row) for row in fetch_all(connection, statement, rules.Fee)]
    if as_json:
        print_json(rows)
        return
    print_table(
        ["id", "account", "amount", "reason", "on", "schedule", "version", "rule"],
        [
            [
                row["id"],
                row["account"],
                f"{row['amount_decimal']} {row['currency']}",
                row["reason"],
                row["source"],
                row["fee_schedule"],
                row["version"],
                row["rule"],
            ]
            for row in rows
        ],
    )


def _simulated(
    connection: Connection,
    movement: rules.Movement,
    schedule: str | None,
    file: Path | None,
    taken: "_Taken",
) -> dict[str, Any]:
    moment, priced = now(), None
    if schedule is not None or file is not None or taken[:2] == (None, None):
        priced = flow.simulate(
            connection,
            movement,
            schedule=schedule,
            written=None if file is None else _read(file),
            at=moment,
        )
    application = application_fee.simulate(
        connection,
        movement,
        0 if priced is None else priced.fee,
        amount=taken.amount,
        connected_account=taken.connected_account,
        livemode=taken.livemode,
        now=moment,
    )
    decimals = flow.decimals_of(connection, movement.currency)
    return rules.public_simulation(movement, priced, decimals=decimals, application=application)


class _Taken(NamedTuple):
    """What a platform takes: an amount, or what the rules of a connection say."""

    amount: int | None
    connected_account: str | None
    livemode: bool


def _read(file: Path) -> list[rules.FeeRule]:
    try:
        return rules.parse_rules(json.loads(file.read_text()))
    except ValueError as error:
        raise ParameterInvalid(f"{file} holds no rules: {error}.", param="file") from error
