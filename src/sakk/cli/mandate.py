"""``sakk mandates``: what agents may spend, what is left of it, and its end."""

from typing import Annotated, Any

import typer

from sakk.cli.mode import Live
from sakk.cli.open import begin, opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import mandate as rules
from sakk.core.mandate import Mandate
from sakk.core.mandate_spend import MandateSpend, public_spend
from sakk.flow import mandate as flow
from sakk.flow import mandate_life as life
from sakk.runtime.wiring import wired
from sakk.store import mandate as store
from sakk.store.identity import now
from sakk.store.mandate_spend import mandate_spends
from sakk.store.page import LIMIT_MAX, PageRequest, fetch_page

app = typer.Typer(help="What agents may spend, signed by owners.", no_args_is_help=True)

MandateId = Annotated[str, typer.Argument(help="mnd_…")]


@app.command("list")
def list_mandates(
    account: Annotated[str, typer.Option(help="acct_…: whose money.")],
    live: Live = False,
    as_json: Json = False,
) -> None:
    """List an account's mandates, newest first (at most 100)."""
    moment = now()
    with opened_database() as database, database.begin() as connection:
        rows, _ = fetch_page(
            connection,
            store.mandates,
            Mandate,
            account_id=account,
            livemode=live,
            page=PageRequest(limit=LIMIT_MAX),
        )
    shown = [rules.public_mandate(row, now=moment) for row in rows]
    if as_json:
        print_json(shown)
        return
    print_table(
        ["id", "status", "agent", "total", "currency"],
        [
            [
                row["id"],
                row["status"],
                row["agent"],
                str(row["terms"]["total"]),
                row["currency"],
            ]
            for row in shown
        ],
    )


@app.command()
def show(mandate: MandateId, as_json: Json = False) -> None:
    """Show one mandate in words, with what is left of each limit."""
    with wired(begin(log_level="warning")) as parts:
        with parts.database.begin() as connection:
            found = _known(store.find_any(connection, mandate), mandate)
        shown = flow.public(parts, found)
    if as_json:
        print_json(shown)
        return
    console.print(f"{shown['id']} is {shown['status']}.\n{shown['statement']}")
    print_table(
        ["budget", "limit", "left"],
        [[each["name"], str(each["amount"]), str(each["left"])] for each in shown["budgets"]],
    )


@app.command()
def spends(mandate: MandateId, as_json: Json = False) -> None:
    """List what was spent under a mandate, newest first (at most 100)."""
    with opened_database() as database, database.begin() as connection:
        found = _known(store.find_any(connection, mandate), mandate)
        rows, _ = fetch_page(
            connection,
            mandate_spends,
            MandateSpend,
            account_id=found.account_id,
            livemode=found.livemode,
            page=PageRequest(limit=LIMIT_MAX),
            filters=[mandate_spends.c.mandate == found.id],
        )
    shown: list[dict[str, Any]] = [public_spend(row) for row in rows]
    if as_json:
        print_json(shown)
        return
    print_table(
        ["id", "reference", "amount", "payee", "status"],
        [
            [row.id, row.reference, each["amount_decimal"], row.payee.key, row.status]
            for row, each in zip(rows, shown, strict=True)
        ],
    )


@app.command()
def revoke(mandate: MandateId) -> None:
    """End a mandate for ever, at once: nothing more is spent under it by any process."""
    with wired(begin(log_level="warning")) as parts:
        with parts.database.begin() as connection:
            found = _known(store.find_any(connection, mandate), mandate)
        ended = life.revoke(
            parts,
            found.id,
            by="operator",
            account_id=found.account_id,
            livemode=found.livemode,
        )
    console.print(f"{ended.id} is {ended.status}.")


def _known(found: Mandate | None, identifier: str) -> Mandate:
    if found is None:
        raise flow.missing(identifier)
    return found
