"""Receipts of channels in escrow: read out of the ledger, with what both sides signed of them.

The payer signed vouchers: the highest, and those by which the chain was asked to pay. The authority
signs where the chain of receipts stands. Each can be held against the other, and against the chain.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from sakk.core import escrow_receipt as rules
from sakk.core.caip import chain_id
from sakk.core.charge_refund import ChargeRefund
from sakk.core.escrow_channel import (
    EscrowChannel,
    charge_id,
    parse_charge_name,
    read_voucher_data,
)
from sakk.core.escrow_receipt import EscrowHead, EscrowReceipt
from sakk.core.evm import checksum_address
from sakk.core.ledger import account_id
from sakk.core.redemption import Redemption
from sakk.core.session import uuid_bytes
from sakk.flow.receipt import csv_lines, json_lines
from sakk.store import charge_refund as charge_refunds
from sakk.store import escrow_channel as channels
from sakk.store import escrow_receipt as heads
from sakk.store import receipt as store
from sakk.store.database import Database
from sakk.store.receipt import Committed
from sakk.store.vault import Vault

PAGE: Final = 5_000
# Of one look: a chain that is further behind is carried on by the next.
LINKS_MAX: Final = 20_000
CSV_HEAD: Final = b"charge,ceiling,amount,timestamp,head\r\n"


def export(
    database: Database, vault: Vault, channel: EscrowChannel, *, form: str
) -> Iterator[bytes]:
    """All receipts of a channel as far as the ledger's rows are, and what both sides signed.

    ``jsonl``: a line that says what it is of, a line a receipt, then the payer's vouchers, what was
    redeemed by them, what of the charges was given back, and the head. ``csv``: the receipts alone,
    for a spreadsheet. In pieces, as `receipt.export`.
    """
    with database.read() as connection:
        # What is charged meanwhile may be claimed meanwhile, and is of the next export.
        until = channels.last_redemption(connection, channel.id)
        refunds = charge_refunds.list_posted(connection, channel.id)
    now = _begin(channel)
    yield CSV_HEAD if form == "csv" else json_lines([_about(channel)])
    while True:
        with database.read() as connection:
            links = _links(connection, channel, now)
        shown = [rules.public_receipt(each, after.head) for each, after in links]
        if form == "csv":
            yield csv_lines([list(each.values()) for each in shown])
        else:
            yield json_lines([{"kind": "receipt"} | each for each in shown])
        now = links[-1][1] if links else now
        if len(links) < PAGE:
            break
    if form == "csv":
        return
    for vouchers in _vouchers(database, channel):
        now = replace(now, ceiling=max(now.ceiling, *vouchers))
        yield json_lines([_voucher(*each) for each in vouchers.items()])
    for claims in _claims(database, channel, until):
        yield json_lines([_redemption(*each) for each in claims])
    yield json_lines([_refund(each) for each in refunds])
    yield json_lines([{"kind": "head"} | _signed(vault, now)])


def carry_on(database: Database, channel: EscrowChannel) -> EscrowHead:
    """Where the chain of a channel is, as far as the ledger's rows are; kept for the next time.

    A bounded number of links at a time.
    """
    while True:
        with database.begin() as connection:
            before = now = heads.lock(connection, channel.id, _begin(channel))
            while now.charges - before.charges < LINKS_MAX:
                links = _links(connection, channel, now)
                now = links[-1][1] if links else now
                if len(links) < PAGE:
                    break
            if now != before:
                heads.put(connection, channel.id, now)
        if now.charges - before.charges < LINKS_MAX:
            return now


def statement(vault: Vault, now: EscrowHead, *, ceiling: int) -> dict[str, Any]:
    """The authority's word for where a chain stands, and up to where its payer has signed."""
    return _signed(vault, replace(now, ceiling=ceiling))


def _begin(channel: EscrowChannel) -> EscrowHead:
    name = bytes.fromhex(channel.channel[2:])
    head = rules.start(name, uuid_bytes(channel.account_id))
    return EscrowHead(name, charges=0, spent=0, ceiling=0, head=head, timestamp=0)


def _about(channel: EscrowChannel) -> dict[str, Any]:
    """What an export is of: enough to name the channel, and its payer's key, without us."""
    config = channel.config
    return {
        "kind": "escrow_channel",
        "id": channel.id,
        "asset": channel.asset,
        "chain_id": chain_id(channel.network),
        "channel": channel.channel,
        "config": {
            "payer": checksum_address(config.payer),
            "payerAuthorizer": config.payer_authorizer,
            "receiver": checksum_address(config.receiver),
            "receiverAuthorizer": checksum_address(config.receiver_authorizer),
            "token": checksum_address(config.token),
            "withdrawDelay": config.withdraw_delay,
            "salt": "0x" + config.salt.hex(),
        },
        "currency": channel.currency,
        "payee": channel.account_id,
    }


def _signed(vault: Vault, head: EscrowHead) -> dict[str, Any]:
    return {
        "charges": head.charges,
        "spent": str(head.spent),
        "ceiling": str(head.ceiling),
        "head": head.head.hex(),
        "timestamp": str(head.timestamp),
        "signature": vault.sign(rules.head_words(head)).hex(),
        "authority": vault.authority_key().hex(),
    }


def _links(
    connection: Connection, channel: EscrowChannel, after: EscrowHead
) -> list[tuple[EscrowReceipt, EscrowHead]]:
    """The next receipts after where the chain stands, each with the head after it."""
    account = account_id(channel.signed_account.name)
    links = []
    now = after
    for row in store.committed(connection, account, after_ns=after.timestamp, limit=PAGE):
        made = _receipt(channel, row)
        now = replace(
            now,
            charges=now.charges + 1,
            spent=now.spent + made.amount,
            head=rules.link(now.head, made),
            timestamp=made.timestamp,
        )
        links.append((made, now))
    return links


def _vouchers(database: Database, channel: EscrowChannel) -> Iterator[dict[int, bytes]]:
    """What is kept of a payer's vouchers, by their total: those of claims, and the highest."""
    above = 0
    while True:
        with database.read() as connection:
            page = channels.claiming_vouchers(connection, channel.id, above=above, limit=PAGE)
            # In the transaction of a charge's row, or before it.
            kept = channels.vouchers_of(connection, [channel.id]).get(channel.id)
        if page:
            yield dict(page)
            above = page[-1][0]
        if len(page) < PAGE:
            break
    if kept is not None and kept[0] > above:
        yield dict([kept])


def _claims(
    database: Database, channel: EscrowChannel, until: str
) -> Iterator[list[tuple[Redemption, str | None]]]:
    """What was claimed and paid, up to a claim, in order."""
    after = ""
    while True:
        with database.read() as connection:
            page = channels.redeemed(connection, channel.id, after=after, until=until, limit=PAGE)
        yield page
        if len(page) < PAGE:
            return
        after = page[-1][0].id


def _voucher(ceiling: int, signature: bytes) -> dict[str, Any]:
    return {"kind": "voucher", "ceiling": str(ceiling), "signature": signature.hex()}


def _redemption(claim: Redemption, tx_hash: str | None) -> dict[str, Any]:
    return {
        "kind": "redemption",
        "from": str(claim.claimed_from),
        "to": str(claim.claimed_to),
        "ceiling": str(claim.ceiling),
        "tx_hash": tx_hash,
    }


def _receipt(channel: EscrowChannel, row: Committed) -> EscrowReceipt:
    """What a commit says, once its id proves which voucher it names."""
    ceiling, attempt = read_voucher_data(row.user_data)
    known = row.id == charge_id(channel, ceiling, attempt, "commit")
    return EscrowReceipt(row.id, ceiling if known else 0, row.amount, row.timestamp_ns)


def _refund(row: ChargeRefund) -> dict[str, Any]:
    """What was given back of one charge, into the channel or past it."""
    _, ceiling, _ = parse_charge_name(row.session_id)
    return {
        "kind": "refund",
        "id": row.id,
        "ceiling": str(ceiling),
        "amount": str(row.amount),
        "to": "payer" if row.to_payer else "channel",
    }
