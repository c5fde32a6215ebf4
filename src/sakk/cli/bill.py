"""``sakk bills``: bills that are split."""

import typer

from sakk.cli.listing import Account
from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, print_json, print_table
from sakk.core.bill import Bill
from sakk.flow import bill as flow
from sakk.store import money_request as store
from sakk.store.database import fetch_all

app = typer.Typer(help="Bills that are split between accounts here.", no_args_is_help=True)

SHOWN_MAX = 200
COLUMNS = ("id", "account", "amount", "own_share", "amount_paid", "amount_open", "currency")


@app.command(name="list")
def list_all(account: Account = None, live: Live = False, as_json: Json = False) -> None:
    """List bills with what is paid of them, newest first."""
    table = store.bills
    statement = table.select().where(table.c.livemode == live)
    if account is not None:
        statement = statement.where(table.c.account_id == account)
    statement = statement.order_by(table.c.id.desc()).limit(SHOWN_MAX)
    with opened_database() as database, database.begin() as connection:
        shown = flow.shown(connection, fetch_all(connection, statement, Bill))
    if as_json:
        print_json(shown)
    else:
        print_table(COLUMNS, [[each[name] for name in COLUMNS] for each in shown])
