"""``sakk providers``: payouts that providers carry out, and what they ask of us."""

from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import select

from sakk.cli.acting import opened_parts
from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import provider_order as rules
from sakk.core.person import OPERATOR
from sakk.core.provider_order import ProviderOrder, ProviderOrderStatus
from sakk.flow import provider_order as flow
from sakk.store.database import fetch_all
from sakk.store.identity import new_id
from sakk.store.provider_order import provider_orders

app = typer.Typer(help="Providers that pay out to banks.", no_args_is_help=True)

SHOWN_MAX = 200


@app.command(name="list")
def list_orders(
    status: Annotated[ProviderOrderStatus | None, typer.Option(help="Only these.")] = None,
    as_json: Json = False,
) -> None:
    """List the newest orders, with what is asked."""
    table = provider_orders
    wanted = select(table).order_by(table.c.id.desc()).limit(SHOWN_MAX)
    if status is not None:
        wanted = wanted.where(table.c.status == status.value)
    with opened_database() as database, database.begin() as connection:
        rows = fetch_all(connection, wanted, ProviderOrder)
    shown = [rules.public(row) for row in rows]
    if as_json:
        print_json(shown)
        return
    fields = ("id", "payout", "amount_decimal", "currency", "status", "reference", "reason")
    asked = [
        "; ".join(f"{q['id']}: {q['text']}" for q in each["questions"] if q["answer"] is None)
        for each in shown
    ]
    print_table(
        [*fields, "asks"],
        [[*(each[name] for name in fields), ask] for each, ask in zip(shown, asked, strict=True)],
    )


@app.command()
def answer(
    order: Annotated[str, typer.Argument(help="pvo_…")],
    question: Annotated[str, typer.Argument(help="The question's id.")],
    text: Annotated[str, typer.Argument(help="What is answered.")],
    file: Annotated[
        Path | None, typer.Option("--file", exists=True, dir_okay=False, help="A document.")
    ] = None,
    live: Live = False,
) -> None:
    """Answer what a provider asks; a worker sends it, once."""
    with opened_parts() as parts:
        vault = parts.secrets_vault()
        with parts.database.begin() as connection:
            row = flow.answer(
                connection,
                order,
                answer_id=new_id(rules.ANSWER_PREFIX),
                question=question,
                text=text,
                file=None if file is None else (file.name, file.read_bytes()),
                by=OPERATOR,
                livemode=live,
                vault=vault,
                now=parts.clock(),
            )
    console.print(f"{row.id}: {question} is answered.")
