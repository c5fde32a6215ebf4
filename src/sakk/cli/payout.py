"""``sakk payouts``: what they do, in words, people's decisions, and files of payouts."""

from typing import Annotated

import typer

from sakk.cli import payout_batch
from sakk.cli.acting import (
    Code,
    Key,
    Yes,
    acting,
    opened_parts,
    print_explanation,
    signed_with,
    word_of,
)
from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import payout as rules
from sakk.core.approval import PREFIX
from sakk.core.money import format_decimal
from sakk.flow import approval as flow
from sakk.flow.approval_batch import approve_batch, explain_batch
from sakk.flow.explanation import explanation
from sakk.flow.step_up import StepUp
from sakk.flow.word import Word
from sakk.store import payout as store
from sakk.store.database import fetch_all
from sakk.store.identity import new_id

app = typer.Typer(
    help="Payouts, what people decide on them, and whole files of them.", no_args_is_help=True
)
for command in (payout_batch.upload, payout_batch.batches, payout_batch.batch, payout_batch.cancel):
    app.command()(command)

SHOWN_MAX = 200
Who = Annotated[str, typer.Argument(help="po_…")]


@app.command()
def review(as_json: Json = False) -> None:
    """List those under review, oldest first."""
    table = store.payouts
    with opened_database() as database, database.begin() as connection:
        rows = fetch_all(
            connection,
            table.select()
            .where(table.c.under_review, table.c.status == "requested")
            .order_by(table.c.id)
            .limit(SHOWN_MAX),
            rules.Payout,
        )
    if as_json:
        print_json([rules.public(row, operator=True) for row in rows])
        return
    print_table(
        ["id", "asset", "units", "to", "screening"],
        [[row.id, row.asset, row.token_amount, row.destination, row.screening] for row in rows],
    )


@app.command()
def waiting(live: Live = False, as_json: Json = False) -> None:
    """List those that wait for approvals, oldest first."""
    table = store.payouts
    with opened_database() as database, database.begin() as connection:
        rows = fetch_all(
            connection,
            table.select()
            .where(
                table.c.status == rules.PayoutStatus.screened.value,
                table.c.decided_at.is_not(None),
                table.c.livemode == live,
            )
            .order_by(table.c.id)
            .limit(SHOWN_MAX),
            rules.Payout,
        )
    if as_json:
        print_json([rules.public(row, operator=True) for row in rows])
        return
    print_table(
        ["id", "amount", "currency", "to", "rule", "approvals", "of"],
        [
            [
                row.id,
                format_decimal(row.amount, row.decimals),
                row.currency,
                row.destination,
                row.rule,
                row.approvals_needed,
                row.approver_role,
            ]
            for row in rows
        ],
    )


@app.command()
def show(payout: Who, live: Live = False, as_json: Json = False) -> None:
    """Say what will be signed for a payout, and what it waits for."""
    with opened_database() as database, database.begin() as connection:
        found = explanation(connection, payout, livemode=live)
    if as_json:
        print_json(found)
        return
    print_explanation(found)


@app.command()
def approve(
    payout: Who,
    code: Code = None,
    key: Key = None,
    yes: Yes = False,
    live: Live = False,
) -> None:
    """Approve a payout that waits, as the person whose key SAKK_API_KEY holds.

    One under review is let go by compliance. What is approved is what is shown here.
    """
    with opened_parts() as parts:
        with parts.database.begin() as connection:
            found = explanation(connection, payout, livemode=live)
        word = word_of(parts, found, code=code, key=key, yes=yes, live=live)
        decided = flow.approve(parts, payout, word, approval_id=new_id(PREFIX), livemode=live)
    console.print(f"{decided.id} is {decided.status}.")


@app.command(name="approve-batch")
def approve_whole_batch(
    batch: Annotated[str, typer.Argument(help="pob_…")],
    code: Code = None,
    key: Key = None,
    lines: Annotated[bool, typer.Option("--lines", help="Show every payout in words.")] = False,
    yes: Yes = False,
    live: Live = False,
) -> None:
    """Approve what waits of a batch, after it was shown: one code, or one signature for all."""
    with opened_parts() as parts:
        actor = acting(parts, livemode=live)
        with parts.database.begin() as connection:
            found = explain_batch(connection, batch, actor=actor, livemode=live)
        for each in found["lines"] if lines else ():
            console.print(f"{each['payout']}: {each['text']}", markup=False, soft_wrap=True)
        console.print(found["text"], markup=False)
        if not yes:
            typer.confirm("Approve these?", abort=True)
        signature = None if key is None else signed_with(key, found["message"])
        done = approve_batch(
            parts,
            batch,
            Word(actor, StepUp(code, signature), found["digest"]),
            approval_id=[new_id(PREFIX) for _ in range(found["count"] + 1)].__getitem__,
            livemode=live,
        )
    console.print(f"{done['approvals']} approvals given, {done['approved']} payouts may be signed.")


@app.command()
def reject(
    payout: Who,
    reason: Annotated[str, typer.Option(help="The merchant sees it.")] = "",
    live: Live = False,
) -> None:
    """Refuse a payout that waits or is under review; its money goes back to the balance."""
    with opened_parts() as parts:
        decided = flow.reject(
            parts,
            payout,
            Word(acting(parts, livemode=live), comment=reason or None),
            approval_id=new_id(PREFIX),
            livemode=live,
        )
    console.print(f"{decided.id} is {decided.status}.")
