"""``sakk channels``: what payers have put up for payees, and the receipts of it."""

import sys
from typing import Annotated

import typer

from sakk.cli.open import begin, opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import channel as rules
from sakk.core.channel import Channel
from sakk.core.errors import ResourceMissing
from sakk.flow import channel as flow
from sakk.flow import receipt
from sakk.flow.context import Parts
from sakk.runtime.wiring import open_parts
from sakk.store import channel as store
from sakk.store.page import PageRequest

app = typer.Typer(help="Channels of agents' payments.", no_args_is_help=True)

SHOWN_MAX = 100
ChannelId = Annotated[str, typer.Argument(help="ch_…")]
Live = Annotated[bool, typer.Option("--live/--test", help="Live money or test.")]


@app.command("list")
def list_channels(
    account: Annotated[str | None, typer.Option(help="Payer or payee; all.")] = None,
    status: Annotated[str | None, typer.Option(help="opening, open, closing, closed.")] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """List channels, newest first."""
    with opened_database() as database, database.begin() as connection:
        rows, _ = store.list_of(
            connection,
            account_id=account,
            livemode=live,
            page=PageRequest(limit=SHOWN_MAX),
            status=status,
        )
    if as_json:
        print_json([rules.public_channel(row) for row in rows])
        return
    headings = ["id", "status", "payer", "payee", "currency", "funded", "spent"]
    print_table(
        headings,
        [
            [row.id, row.status, row.account_id, row.payee, row.currency, row.funded, row.spent]
            for row in rows
        ],
    )


@app.command()
def show(channel: ChannelId) -> None:
    """Show one channel, with what may still be charged on it."""
    parts = open_parts(begin(log_level="warning"))
    found = _carried_on(parts, channel)
    [left] = flow.available(parts, [found])
    print_json(rules.public_channel(found, available=left))


@app.command()
def close(channel: ChannelId) -> None:
    """Close a channel: what is not reserved is back with its payer at once."""
    parts = open_parts(begin(log_level="warning"))
    closed = flow.close(parts, _carried_on(parts, channel).id)
    console.print(f"{closed.id} is {closed.status}.")


@app.command()
def receipts(
    channel: ChannelId,
    form: Annotated[str, typer.Option(help="jsonl or csv.")] = "jsonl",
) -> None:
    """Write all receipts of a channel to standard output, signed."""
    parts = open_parts(begin(log_level="warning"))
    found = _carried_on(parts, channel)
    with parts.database.begin() as connection:
        content = receipt.export(connection, parts.secrets_vault(), found, form=form)
    sys.stdout.buffer.write(content)


def _carried_on(parts: Parts, channel_id: str) -> Channel:
    with parts.database.begin() as connection:
        found = store.lock(connection, channel_id)
        if found is None:
            raise ResourceMissing(f"No such channel: {channel_id!r}.", param="channel")
        return receipt.carry_on(connection, found)
