"""``sakk channels``: what payers have put up for payees, and the receipts of it."""

import sys
from typing import Annotated

import typer

from sakk.cli.mode import Live
from sakk.cli.open import begin, opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import channel as rules
from sakk.core import escrow_channel as escrow_rules
from sakk.core.channel import Channel
from sakk.core.errors import ResourceMissing
from sakk.core.escrow_call import PREFIX as REFUND_PREFIX
from sakk.core.escrow_call import public_refund
from sakk.core.escrow_channel import PREFIX as ESCROW_PREFIX
from sakk.core.escrow_channel import EscrowChannel
from sakk.core.session import public_session
from sakk.flow import channel as flow
from sakk.flow import escrow_receipt, receipt
from sakk.flow import session as flow_session
from sakk.flow.context import Parts
from sakk.flow.escrow_refund import give_back
from sakk.flow.voucher import Vouchers
from sakk.runtime.wiring import wired
from sakk.store import channel as store
from sakk.store import escrow_channel as escrows
from sakk.store import session as session_store
from sakk.store.identity import new_id
from sakk.store.page import PageRequest

app = typer.Typer(help="Channels of agents' payments.", no_args_is_help=True)

SHOWN_MAX = 100
ChannelId = Annotated[str, typer.Argument(help="ch_…")]
AnyChannelId = Annotated[str, typer.Argument(help="ch_…, or ech_… for one in escrow.")]
EscrowChannelId = Annotated[str, typer.Argument(help="ech_…")]


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
    with wired(begin(log_level="warning")) as parts:
        found = _carried_on(parts, channel)
        [left] = flow.available(parts, [found])
    print_json(rules.public_channel(found, available=left))


@app.command()
def close(channel: ChannelId) -> None:
    """Close a channel: what is not reserved is back with its payer at once."""
    with wired(begin(log_level="warning")) as parts:
        closed = flow.close(parts, _carried_on(parts, channel).id)
    console.print(f"{closed.id} is {closed.status}.")


@app.command()
def sessions(channel: ChannelId, as_json: Json = False) -> None:
    """List a channel's sessions, newest first; revoked ones too."""
    with opened_database() as database, database.begin() as connection:
        found = store.find(connection, channel)
        if found is None:
            raise ResourceMissing(f"No such channel: {channel!r}.", param="channel")
        rows = session_store.list_of_channel(connection, channel, limit=SHOWN_MAX)
    shown = [public_session(row, livemode=found.livemode) for row in rows]
    if as_json:
        print_json(shown)
        return
    names = ["id", "created", "expires_at", "revoked_at"]
    print_table(names, [[each[name] for name in names] for each in shown])


@app.command()
def revoke(session: Annotated[str, typer.Argument(help="ses_…")]) -> None:
    """End one session: nothing is reserved by its key any more. Its channel goes on."""
    with wired(begin(log_level="warning")) as parts:
        with parts.database.begin() as connection:
            found = session_store.find(connection, session)
            channel = None if found is None else store.find(connection, found.channel_id)
        if channel is None:
            raise ResourceMissing(f"No such session: {session!r}.", param="session")
        flow_session.revoke(parts, channel, session)
    console.print(f"{session} is revoked.")


@app.command()
def receipts(
    channel: AnyChannelId,
    form: Annotated[str, typer.Option(help="jsonl or csv.")] = "jsonl",
) -> None:
    """Write all receipts of a channel to standard output, signed."""
    with wired(begin(log_level="warning")) as parts:
        vault = parts.secrets_vault()
        if channel.startswith(f"{ESCROW_PREFIX}_"):
            pieces = escrow_receipt.export(
                parts.database, vault, _escrow(parts, channel), form=form
            )
        else:
            found = receipt.carried_on(parts.database, _carried_on(parts, channel).id)
            pieces = receipt.export(parts.database, vault, found, form=form)
        for piece in pieces:
            sys.stdout.buffer.write(piece)


@app.command()
def escrow(
    account: Annotated[str | None, typer.Option(help="Payee; all.")] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """List channels in x402's escrow, newest first, as they stand by the ledger."""
    with wired(begin(log_level="warning")) as parts:
        with parts.database.begin() as connection:
            page = PageRequest(limit=SHOWN_MAX)
            rows, _ = escrows.list_of(connection, account_id=account, livemode=live, page=page)
        vouchers = Vouchers(parts)
        found = [
            escrow_rules.public(row, vouchers.totals(row))
            for row in rows
            if row.status != escrow_rules.ChannelStatus.opening
        ]
    if as_json:
        print_json(found)
        return
    names = ["id", "status", "network", "payer", "balance", "signed", "charged", "redeemed"]
    print_table(names, [[each[name] for name in names] for each in found])


@app.command()
def refund(
    channel: EscrowChannelId,
    amount: Annotated[int | None, typer.Option(help="Smallest units; all that is free.")] = None,
) -> None:
    """Give what is not charged on a channel in escrow back to its payer."""
    with wired(begin(log_level="warning")) as parts:
        call = give_back(
            parts,
            Vouchers(parts),
            _escrow(parts, channel),
            identifier=new_id(REFUND_PREFIX),
            amount=amount,
        )
    console.print(f"{call.id}: {call.token_amount} of {call.asset} is {call.status}.")


@app.command()
def refunds(channel: EscrowChannelId, as_json: Json = False) -> None:
    """List a channel's refunds with what each waits for, or why the chain refused it."""
    with wired(begin(log_level="warning")) as parts:
        found = _escrow(parts, channel)
        with parts.database.begin() as connection:
            rows, _ = escrows.refunds_of(connection, found, PageRequest(limit=SHOWN_MAX))
            hashes = escrows.hashes_of(connection, rows)
    shown = [
        {
            **public_refund(row, currency=found.currency, tx_hash=hashes.get(row.id)),
            "failure": row.failure,
            "waits_for": row.waits_for,
        }
        for row in rows
    ]
    if as_json:
        print_json(shown)
        return
    names = ["id", "status", "amount", "tx_hash", "failure", "waits_for"]
    print_table(names, [[each[name] for name in names] for each in shown])


def _escrow(parts: Parts, channel_id: str) -> EscrowChannel:
    with parts.database.begin() as connection:
        found = escrows.find_channel(connection, channel_id)
    if found is None:
        raise ResourceMissing(f"No such channel: {channel_id!r}.", param="channel")
    return found


def _carried_on(parts: Parts, channel_id: str) -> Channel:
    with parts.database.begin() as connection:
        found = store.lock(connection, channel_id)
        if found is None:
            raise ResourceMissing(f"No such channel: {channel_id!r}.", param="channel")
        return receipt.carry_on(connection, found)
