"""``sakk transactions``: what keys of ours sent, and what is done about one that is stuck."""

from typing import Annotated

import typer

from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import transaction as rules
from sakk.core.errors import ResourceMissing
from sakk.flow.context import Parts
from sakk.flow.transaction import ask
from sakk.store import transaction as store
from sakk.store.database import fetch_all

app = typer.Typer(help="What keys of ours sent, with every attempt.", no_args_is_help=True)

SHOWN_MAX = 200
Transaction = Annotated[str, typer.Argument(help="tx_…")]
_OPEN = ["built", "signed", "broadcast", "unknown", "confirmed"]


@app.command(name="list")
def show_all(
    everything: Annotated[
        bool, typer.Option("--all", help="Those at their end too, newest first.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List those that are on their way, oldest first."""
    table = store.transactions
    statement = table.select().order_by(table.c.id.desc() if everything else table.c.id)
    if not everything:
        statement = statement.where(table.c.status.in_(_OPEN) | table.c.orphaned)
    with opened_database() as database, database.begin() as connection:
        rows = fetch_all(connection, statement.limit(SHOWN_MAX), rules.ChainTransaction)
    if as_json:
        print_json([rules.operator_view(row) for row in rows])
        return
    print_table(
        ["id", "purpose", "subject", "sender", "nonce", "status", "attempts", "waits for"],
        [
            [
                row.id,
                row.purpose,
                row.subject,
                row.sender,
                row.nonce,
                "orphaned" if row.orphaned else row.status,
                row.replacements + 1,
                row.waits_for or row.error,
            ]
            for row in rows
        ],
    )


@app.command()
def show(transaction: Transaction, as_json: Json = False) -> None:
    """Show one in the signer's words, with every attempt: any of them may be mined."""
    with opened_database() as database, database.begin() as connection:
        row = store.find(connection, transaction)
        if row is None:
            raise ResourceMissing(f"No such chain transaction: {transaction!r}", param="id")
        attempts = store.list_attempts(connection, [row.id])[row.id]
    if as_json:
        shown = [rules.attempt_view(each) for each in attempts]
        print_json({**rules.operator_view(row), "attempts": shown})
        return
    for name, value in rules.operator_view(row).items():
        if value not in (None, {}):
            console.print(f"{name:25} {value}", markup=False)
    print_table(
        ["attempt", "what", "status", "gwei per gas", "hash"],
        [
            [
                each.attempt,
                "cancel" if each.cancels else "call",
                each.status,
                f"{each.max_fee_per_gas / 10**9:.9g}",
                each.hash,
            ]
            for each in attempts
        ],
    )


@app.command()
def replace(transaction: Transaction, live: Live = False) -> None:
    """Offer more for a stuck one at once, within the network's cap. Again changes nothing."""
    _ask(transaction, "replace", live=live)


@app.command()
def cancel(transaction: Transaction, live: Live = False) -> None:
    """Use a stuck one's nonce up by one that does nothing; the chain decides which is mined."""
    _ask(transaction, "cancel", live=live)


def _ask(transaction: str, what: str, *, live: bool) -> None:
    with opened_database() as database:
        row = ask(Parts(database), transaction, what, livemode=live)
    console.print(
        f"{row.id}, nonce {row.nonce} of {row.sender}: the worker will {what} it now."
        f" See what became of it: sakk transactions show {row.id}"
    )
