"""``sakk payouts``: what they do, in words, people's decisions, and files of payouts."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sakk.cli import payout_batch
from sakk.cli.acting import acting, parts_of
from sakk.cli.open import begin, opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import payout as rules
from sakk.core.approval import PREFIX
from sakk.core.money import format_decimal
from sakk.flow import approval as flow
from sakk.flow.approval_batch import approve_batch, explain_batch
from sakk.flow.explanation import explanation
from sakk.flow.step_up import StepUp
from sakk.signing.approver import is_encrypted, sign_approval
from sakk.store import payout as store
from sakk.store.database import fetch_all
from sakk.store.identity import new_id

app = typer.Typer(
    help="Payouts, what people decide on them, and whole files of them.", no_args_is_help=True
)
for command in (payout_batch.upload, payout_batch.batches, payout_batch.batch, payout_batch.cancel):
    app.command()(command)

SHOWN_MAX = 200
Live = Annotated[bool, typer.Option("--live/--test", help="Live money or test.")]
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
    _print_explanation(found)


@app.command()
def approve(
    payout: Who,
    code: Annotated[str | None, typer.Option(help="The one-time code of your device.")] = None,
    key: Annotated[
        Path | None, typer.Option(exists=True, help="Your approver's key: the signer checks it.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask again.")] = False,
    live: Live = False,
) -> None:
    """Approve a payout that waits, as the person whose key SAKK_API_KEY holds.

    One under review is let go by compliance. What is approved is what is shown here.
    """
    parts = parts_of(begin(log_level="warning"))
    with parts.database.begin() as connection:
        found = explanation(connection, payout, livemode=live)
    _print_explanation(found)
    if not yes:
        typer.confirm("Approve this?", abort=True)
    signature = None
    if key is not None:
        word = typer.prompt("Passphrase", hide_input=True) if is_encrypted(key) else None
        _, signature = sign_approval(key, found["message"].encode(), word)
    decided = flow.approve(
        parts,
        payout,
        flow.Word(acting(parts, livemode=live), StepUp(code, signature), found["digest"]),
        approval_id=new_id(PREFIX),
        livemode=live,
    )
    console.print(f"{decided.id} is {decided.status}.")


@app.command(name="approve-batch")
def approve_whole_batch(
    batch: Annotated[str, typer.Argument(help="pob_…")],
    code: Annotated[str | None, typer.Option(help="The one-time code of your device.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask again.")] = False,
    live: Live = False,
) -> None:
    """Approve what waits of a batch, after its sum was shown."""
    parts = parts_of(begin(log_level="warning"))
    actor = acting(parts, livemode=live)
    with parts.database.begin() as connection:
        found = explain_batch(connection, batch, actor=actor, livemode=live)
    console.print(found["text"], markup=False)
    if not yes:
        typer.confirm("Approve these?", abort=True)
    done = approve_batch(
        parts,
        batch,
        flow.Word(actor, StepUp(code), found["digest"]),
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
    parts = parts_of(begin(log_level="warning"))
    decided = flow.reject(
        parts,
        payout,
        flow.Word(acting(parts, livemode=live), comment=reason or None),
        approval_id=new_id(PREFIX),
        livemode=live,
    )
    console.print(f"{decided.id} is {decided.status}.")


def _print_explanation(found: dict[str, Any]) -> None:
    console.print(found["text"], markup=False)
    if found["warning"] is not None:
        console.print(found["warning"], style="bold red")
    if found["signed"] is not None:
        console.print(f"The signer signed: {found['signed']}", markup=False)
    console.print(f"digest {found['digest']}")
