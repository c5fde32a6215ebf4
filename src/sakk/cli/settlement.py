"""``sakk settlements``: how accounts are settled, what their periods came to, and statements."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import settlement as rules
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.payout import Initiator
from sakk.flow import settlement as flow
from sakk.flow import statement as statements
from sakk.flow.context import Parts
from sakk.store import settlement as store
from sakk.store.database import fetch_all
from sakk.store.identity import new_id, now

app = typer.Typer(help="What accounts are paid, by period.", no_args_is_help=True)

SHOWN_MAX = 200
Account = Annotated[str, typer.Argument(help="acct_…")]
Identifier = Annotated[str, typer.Argument(help="set_…")]


@app.command()
def schedule(
    account: Account,
    file: Annotated[
        Path | None, typer.Argument(exists=True, help="The terms, as JSON; shown if left out.")
    ] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Say how an account is settled from now on, or show it."""
    with opened_database() as database, database.begin() as connection:
        if file is not None:
            _put(connection, account, _read(file), held=False, live=live)
        found = store.find_schedule(connection, account_id=account, livemode=live)
    if found is None:
        raise ResourceMissing(f"{account} has no settlement schedule.", param="account")
    if as_json:
        print_json(rules.public_schedule(found))
        return
    typer.echo(json.dumps(found.terms, indent=2))
    console.print(f"the period ends {found.next_at or 'when somebody asks'}")


@app.command()
def hold(account: Account, live: Live = False) -> None:
    """Pay nothing of an account's settlements until it is let go; periods close all the same."""
    _hold(account, held=True, live=live)


@app.command()
def release(account: Account, live: Live = False) -> None:
    """Let an account's settlements be paid again."""
    _hold(account, held=False, live=live)


@app.command()
def create(
    account: Account,
    currency: Annotated[str, typer.Argument(help="Such as usdc.")],
    live: Live = False,
    as_json: Json = False,
) -> None:
    """End a currency's period now, whatever the interval."""
    with opened_database() as database:
        made = flow.create(
            Parts(database),
            identifier=new_id(rules.PREFIX),
            account_id=account,
            livemode=live,
            currency=currency,
        )
    if as_json:
        print_json(rules.public(made))
        return
    console.print(f"{made.id}: number {made.number}, {made.lines} lines")


@app.command(name="list")
def list_all(
    account: Annotated[str | None, typer.Option(help="Only of acct_….")] = None,
    status: Annotated[rules.SettlementStatus | None, typer.Option(help="Only these.")] = None,
    as_json: Json = False,
) -> None:
    """List the settlements of all accounts, newest first."""
    table = store.settlements
    statement = table.select().order_by(table.c.id.desc()).limit(SHOWN_MAX)
    if account is not None:
        statement = statement.where(table.c.account_id == account)
    if status is not None:
        statement = statement.where(table.c.status == status.value)
    with opened_database() as database, database.begin() as connection:
        rows = fetch_all(connection, statement, rules.Settlement)
    shown = [rules.public(row) for row in rows]
    if as_json:
        print_json(shown)
        return
    print_table(
        ["id", "account", "number", "status", "lines", "closing", "payable", "paid", "currency"],
        [
            [
                each["id"],
                each["account"],
                each["number"],
                each["status"],
                each["lines"],
                each["closing"],
                each["payable"],
                each["amount"],
                each["currency"],
            ]
            for each in shown
        ],
    )


@app.command()
def show(settlement: Identifier, live: Live = False) -> None:
    """Show a settlement with every line, as JSON."""
    with opened_database() as database, database.begin() as connection:
        print_json(statements.json_of(connection, _found(connection, settlement, live)))


class StatementForm(StrEnum):
    """As what a statement is written."""

    csv = "csv"
    camt053 = "camt.053"


@app.command()
def statement(
    settlement: Identifier,
    file: Annotated[Path | None, typer.Option("--file", help="Write it here.")] = None,
    form: Annotated[StatementForm, typer.Option(help="Of a fiat currency: camt.053.")] = (
        StatementForm.csv
    ),
    live: Live = False,
) -> None:
    """Write a settlement's statement."""
    written = {StatementForm.csv: statements.csv_of, StatementForm.camt053: statements.camt053_of}
    with opened_database() as database, database.begin() as connection:
        content = written[form](connection, _found(connection, settlement, live))
    if file is None:
        sys.stdout.write(content.decode())
        return
    file.write_bytes(content)


def _found(connection: Connection, identifier: str, live: bool) -> rules.Settlement:
    found = store.find(connection, identifier, account_id=None, livemode=live)
    if found is None:
        raise ResourceMissing(f"No such settlement: {identifier!r}.", param="id")
    return found


def _hold(account: str, *, held: bool, live: bool) -> None:
    with opened_database() as database, database.begin() as connection:
        found = store.find_schedule(connection, account_id=account, livemode=live)
        if found is None:
            raise ResourceMissing(f"{account} has no settlement schedule.", param="account")
        _put(connection, account, rules.read_terms(found.terms), held=held, live=live)
    console.print(f"{account}: settlements are {'held' if held else 'paid'}.")


def _put(
    connection: Connection,
    account: str,
    terms: rules.SettlementTerms,
    *,
    held: bool,
    live: bool,
) -> None:
    flow.put_schedule(
        connection,
        terms,
        identifier=new_id(rules.SCHEDULE_PREFIX),
        account_id=account,
        livemode=live,
        held=held,
        now=now(),
        initiator=Initiator(),
    )


def _read(file: Path) -> rules.SettlementTerms:
    try:
        document: Any = json.loads(file.read_text())
        return rules.parse_terms(document)
    except ValueError as error:
        raise ParameterInvalid(f"{file} holds no terms: {error}.", param="file") from error
