"""Receipts of channels in escrow: read out of the ledger, with what both sides signed of them.

The payer signed vouchers: the highest, and those by which the chain was asked to pay. The authority
signs where the chain of receipts stands. Each can be held against the other, and against the chain.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
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
from sakk.core.session import uuid_bytes
from sakk.store import charge_refund as charge_refunds
from sakk.store import escrow_channel as channels
from sakk.store import receipt as store
from sakk.store.receipt import Committed
from sakk.store.vault import Vault

PAGE = 5_000


@dataclass(slots=True)
class _Sum:
    """What the receipts that were read so far come to."""

    head: bytes
    charges: int = 0
    spent: int = 0
    timestamp: int = 0


def export(connection: Connection, vault: Vault, channel: EscrowChannel, *, form: str) -> bytes:
    """All receipts of a channel as far as the ledger's rows are, and what both sides signed.

    ``jsonl``: a line that says what it is of, a line a receipt, then the payer's vouchers, what was
    redeemed by them, what of the charges was given back, and the head. ``csv``: the receipts alone,
    for a spreadsheet.
    """
    name = bytes.fromhex(channel.channel[2:])
    total = _Sum(rules.start(name, uuid_bytes(channel.account_id)))
    receipts = _walk(connection, channel, total)
    if form == "csv":
        return _csv(receipts)
    lines = [_about(channel)]
    lines += [{"kind": "receipt"} | each for each in receipts]
    vouchers = channels.vouchers_by_ceiling(connection, channel.id)
    lines += [
        {"kind": "voucher", "ceiling": str(ceiling), "signature": signature.hex()}
        for ceiling, signature in sorted(vouchers.items())
    ]
    lines += [
        {
            "kind": "redemption",
            "from": str(each.claimed_from),
            "to": str(each.claimed_to),
            "ceiling": str(each.ceiling),
            "tx_hash": tx_hash,
        }
        for each, tx_hash in channels.redeemed(connection, channel.id)
    ]
    lines += [_refund(each) for each in charge_refunds.list_posted(connection, channel.id)]
    highest = max(vouchers, default=0)
    lines.append({"kind": "head"} | _signed(vault, name, total, highest))
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def statement(connection: Connection, vault: Vault, channel: EscrowChannel) -> dict[str, Any]:
    """Where the chain of receipts stands, as far as the ledger's rows are, signed."""
    name = bytes.fromhex(channel.channel[2:])
    total = _Sum(rules.start(name, uuid_bytes(channel.account_id)))
    for _ in _walk(connection, channel, total):
        pass
    return _signed(
        vault, name, total, max(channels.vouchers_by_ceiling(connection, channel.id), default=0)
    )


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


def _signed(vault: Vault, name: bytes, total: _Sum, ceiling: int) -> dict[str, Any]:
    head = EscrowHead(name, total.charges, total.spent, ceiling, total.head, total.timestamp)
    return {
        "charges": head.charges,
        "spent": str(head.spent),
        "ceiling": str(head.ceiling),
        "head": head.head.hex(),
        "timestamp": str(head.timestamp),
        "signature": vault.sign(rules.head_words(head)).hex(),
        "authority": vault.authority_key().hex(),
    }


def _walk(connection: Connection, channel: EscrowChannel, total: _Sum) -> Iterator[dict[str, Any]]:
    """The chain from its start, in the ledger's order; ``total`` is carried along."""
    account = account_id(channel.signed_account.name)
    while True:
        rows = store.committed(connection, account, after_ns=total.timestamp, limit=PAGE)
        for row in rows:
            made = _receipt(channel, row)
            total.head = rules.link(total.head, made)
            total.charges += 1
            total.spent += made.amount
            total.timestamp = made.timestamp
            yield rules.public_receipt(made, total.head)
        if len(rows) < PAGE:
            return


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


def _csv(receipts: Iterator[dict[str, Any]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    names = ("charge", "ceiling", "amount", "timestamp", "head")
    writer.writerow(names)
    for each in receipts:
        writer.writerow([each[name] for name in names])
    return out.getvalue().encode()
