"""Receipts: a channel's chain is carried on from the ledger, and its head is signed.

The row keeps where the chain stands. What follows is read out of the projection, which shows the
ledger in its order and without gaps, so every process carries it on in the same way.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from sakk.core import receipt as rules
from sakk.core.channel import Channel
from sakk.core.charge import read_charge_id, read_units
from sakk.core.errors import Unavailable
from sakk.core.ledger import account_id
from sakk.core.receipt import Head, Receipt
from sakk.core.session import REQUEST_ID_BYTES, network_of, uuid_bytes
from sakk.store import channel as channels
from sakk.store import receipt as store
from sakk.store import session as sessions
from sakk.store.account import find_operator
from sakk.store.receipt import Committed
from sakk.store.vault import Vault

# Of one look: a chain that is further behind is carried on by the next.
LINKS_MAX: Final = 20_000
PAGE: Final = 5_000


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


def export(connection: Connection, vault: Vault, channel: Channel, *, form: str) -> bytes:
    """All receipts of a channel up to its row's head, and what both sides signed of them.

    ``jsonl``: a line that says what it is of, a line a receipt, then vouchers, then the head.
    ``csv``: the receipts alone, for a spreadsheet.
    """
    if form == "csv":
        return _csv(connection, channel)
    operator = find_operator(connection)
    lines: list[dict[str, Any]] = [
        {
            "kind": "channel",
            "network": None if operator is None else network_of(operator.id),
            "channel": channel.id,
            "payer": channel.account_id,
            "payee": channel.payee,
            "currency": channel.currency,
            "signer": channel.signer,
        }
    ]
    lines += [{"kind": "receipt"} | each for each in _shown(connection, channel)]
    lines += [
        {
            "kind": "voucher",
            "ceiling": str(each.ceiling),
            "spent": str(each.spent),
            "charges": each.charges,
            "head": each.head.hex(),
            "signature": None if each.signature is None else each.signature.hex(),
        }
        for each in reversed(channels.list_vouchers(connection, channel.id, limit=LINKS_MAX))
    ]
    lines.append({"kind": "head"} | sign(vault, channel).document())
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def find(connection: Connection, channel: Channel, session_id: str, nonce: int) -> Receipt | None:
    """The receipt of one call of a channel; None while nothing of it is committed."""
    wanted = uuid_bytes(session_id)
    for each, _ in _walk(connection, channel):
        if (each.session, each.nonce) == (wanted, nonce):
            return each
    return None


def _shown(connection: Connection, channel: Channel) -> Iterator[dict[str, Any]]:
    for each, head in _walk(connection, channel):
        yield rules.public_receipt(each, head)


def _walk(connection: Connection, channel: Channel) -> Iterator[tuple[Receipt, bytes]]:
    """The chain from its start to where the row stands."""
    begin = rules.start(uuid_bytes(channel.id), uuid_bytes(channel.payee), channel.currency)
    now = replace(channel, head=begin, head_ns=0, charges=0, spent=0)
    while now.charges < channel.charges:
        links = _links(connection, now)[: channel.charges - now.charges]
        if not links:
            raise Unavailable("The receipts can not be read at the moment. Ask again.")
        for each, head in links:
            now = replace(now, head=head, head_ns=each.timestamp, charges=now.charges + 1)
            yield each, head


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


def _csv(connection: Connection, channel: Channel) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    names = ("session", "nonce", "amount", "units", "request", "timestamp", "head")
    writer.writerow(names)
    for each in _shown(connection, channel):
        writer.writerow([each[name] for name in names])
    return out.getvalue().encode()
