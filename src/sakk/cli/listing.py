"""What commands list of a table: the newest rows, of all accounts or of one."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer
from sqlalchemy import Table

from sakk.cli.open import opened_database
from sakk.cli.out import print_json, print_table
from sakk.store.database import fetch_all

Account = Annotated[str | None, typer.Option(help="Only of acct_….")]
SHOWN_MAX = 200
R = TypeVar("R")


def print_rows(
    table: Table,
    kind: type[R],
    public: Callable[[R], dict[str, Any]],
    columns: Sequence[str],
    *,
    account: str | None,
    live: bool,
    as_json: bool,
    **where: str | None,
) -> None:
    """The newest of a mode; ``columns`` are fields of the API's object, ``where`` columns of the
    table that have a value."""
    statement = table.select().where(table.c.livemode == live)
    for name, value in {"account_id": account, **where}.items():
        if value is not None:
            statement = statement.where(table.c[name] == value)
    statement = statement.order_by(table.c.id.desc()).limit(SHOWN_MAX)
    with opened_database() as database, database.begin() as connection:
        rows = fetch_all(connection, statement, kind)
    shown = [public(row) for row in rows]
    if as_json:
        print_json(shown)
        return
    print_table(columns, [[each[name] for name in columns] for each in shown])
