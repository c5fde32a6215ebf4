"""Receipts: a channel's chain is carried on from the ledger, and its head is signed.

The row keeps where the chain stands. What follows is read out of the projection, which shows the
ledger in its order and without gaps, so every process carries it on in the same way.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from sakk.core import receipt as rules
from sakk.core.channel import Channel, Voucher
from sakk.core.charge import read_charge_id, read_units
from sakk.core.errors import Unavailable
from sakk.core.ledger import account_id
from sakk.core.receipt import Head, Receipt
from sakk.core.session import REQUEST_ID_BYTES, network_of, uuid_bytes
from sakk.store import channel as channels
from sakk.store import receipt as store
from sakk.store import session as sessions
from sakk.store.account import find_operator
from sakk.store.database import Database
from sakk.store.receipt import Committed
from sakk.store.vault import Vault

# Of one look: a chain that is further behind is carried on by the next.
LINKS_MAX: Final = 20_000
PAGE: Final = 5_000
CSV_HEAD: Final = b"session,nonce,amount,units,request,timestamp,head\r\n"


@dataclass(frozen=True, slots=True)
class SignedHead:
    """Where a channel's chain stands, by the authority's word."""

    head: Head
    signature: bytes
    authority: bytes

    def document(self) -> dict[str, Any]:
        """As it is shown: hexadecimal, amounts as strings."""
        return {
            "charges": self.head.charges,
            "spent": str(self.head.spent),
            "ceiling": str(self.head.ceiling),
            "head": self.head.head.hex(),
            "timestamp": str(self.head.timestamp),
            "signature": self.signature.hex(),
            "authority": self.authority.hex(),
        }


def carry_on(connection: Connection, channel: Channel) -> Channel:
    """The channel with its chain as far as the projection is; its row must be locked."""
    now = channel
    while now.charges - channel.charges < LINKS_MAX:
        links = _links(connection, now)
        for each, head in links:
            now = replace(
                now,
                head=head,
                head_ns=each.timestamp,
                spent=now.spent + each.amount,
                charges=now.charges + 1,
            )
        if len(links) < PAGE:
            break
    if now.charges != channel.charges:
        values = {name: getattr(now, name) for name in ("head", "head_ns", "spent", "charges")}
        channels.change(connection, channel.id, values)
    return now


def sign(vault: Vault, channel: Channel) -> SignedHead:
    """The authority's word for where the chain of a channel's row stands."""
    head = Head(
        uuid_bytes(channel.id),
        channel.charges,
        channel.spent,
        channel.ceiling,
        channel.head,
        channel.head_ns,
    )
    return SignedHead(head, vault.sign(rules.head_words(head)), vault.authority_key())


def carried_on(database: Database, channel_id: str) -> Channel:
    """A channel with its chain as far as the projection is, a bounded number of links at a time."""
    while True:
        with database.begin() as connection:
            before = channels.lock(connection, channel_id)
            assert before is not None
            now = carry_on(connection, before)
        if now.charges - before.charges < LINKS_MAX:
            return now


def export(database: Database, vault: Vault, channel: Channel, *, form: str) -> Iterator[bytes]:
    """All receipts of a channel up to its row's head, and what both sides signed of them.

    ``jsonl``: a line that says what it is of, a line a receipt, then vouchers, then the head.
    ``csv``: the receipts alone, for a spreadsheet. It comes in pieces, each read by itself, so that
    neither memory nor a slow reader bounds how long a channel may be. One that breaks off has no
    head, and is no export.
    """
    if form == "csv":
        yield CSV_HEAD
        for page in _walk(database, channel):
            yield csv_lines([list(rules.public_receipt(*each).values()) for each in page])
        return
    with database.read() as connection:
        operator = find_operator(connection)
    about = {
        "kind": "channel",
        "network": None if operator is None else network_of(operator.id),
        "channel": channel.id,
        "payer": channel.account_id,
        "payee": channel.payee,
        "currency": channel.currency,
        "signer": channel.signer,
    }
    yield json_lines([about])
    for page in _walk(database, channel):
        yield json_lines([{"kind": "receipt"} | rules.public_receipt(*each) for each in page])
    ceiling = -1
    while True:
        with database.read() as connection:
            # What is signed meanwhile may be of later charges.
            signed = channels.list_vouchers(
                connection, channel.id, above=ceiling, charges=channel.charges, limit=PAGE
            )
        yield json_lines([_voucher(each) for each in signed])
        if len(signed) < PAGE:
            break
        ceiling = signed[-1].ceiling
    yield json_lines([{"kind": "head"} | sign(vault, channel).document()])


def json_lines(documents: Sequence[dict[str, Any]]) -> bytes:
    """A piece of an export: a line a document."""
    return b"".join(msgspec.json.encode(each) + b"\n" for each in documents)


def csv_lines(rows: Sequence[Sequence[Any]]) -> bytes:
    """A piece of an export for spreadsheets."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()


def _voucher(voucher: Voucher) -> dict[str, Any]:
    return {
        "kind": "voucher",
        "ceiling": str(voucher.ceiling),
        "spent": str(voucher.spent),
        "charges": voucher.charges,
        "head": voucher.head.hex(),
        "signature": None if voucher.signature is None else voucher.signature.hex(),
    }


def _walk(database: Database, channel: Channel) -> Iterator[list[tuple[Receipt, bytes]]]:
    """The chain from its start to where the row stands, a page at a time."""
    begin = rules.start(uuid_bytes(channel.id), uuid_bytes(channel.payee), channel.currency)
    now = replace(channel, head=begin, head_ns=0, charges=0, spent=0)
    while now.charges < channel.charges:
        with database.read() as connection:
            links = _links(connection, now)[: channel.charges - now.charges]
        if not links:
            raise Unavailable("The receipts can not be read at the moment. Ask again.")
        last, head = links[-1]
        charges = now.charges + len(links)
        now = replace(now, head=head, head_ns=last.timestamp, charges=charges)
        yield links


def _links(connection: Connection, channel: Channel) -> list[tuple[Receipt, bytes]]:
    """The next receipts after where the chain stands, each with the head after it."""
    account = account_id(channel.ledger_account.name)
    rows = store.committed(connection, account, after_ns=channel.head_ns, limit=PAGE)
    handles = {read_charge_id(row.pending_id)[0] for row in rows}
    names = sessions.ids_by_handle(connection, list(handles)) if handles else {}
    links = []
    head = channel.head
    for row in rows:
        made = _receipt(row, names)
        head = rules.link(head, made)
        links.append((made, head))
    return links


def _receipt(row: Committed, names: dict[int, str]) -> Receipt:
    handle, nonce, _ = read_charge_id(row.pending_id)
    return Receipt(
        session=uuid_bytes(names[handle]),
        nonce=nonce,
        amount=row.amount,
        units=read_units(row.user_data),
        request=row.request.to_bytes(REQUEST_ID_BYTES, "big"),
        timestamp=row.timestamp_ns,
    )
