"""Receipts: a chain over what was charged on a channel, whose head both sides sign.

What a receipt says stands in the ledger: the reservation's id holds session and nonce, its user
data the first 16 bytes of the request's hash, and the commit the amount, the units and the time. A
chain is in the order of that time. Bytes are big-endian, ids as 16 bytes:

=====  =============================================================================================
start  ``sakk.receipts.1`` · channel 16 · payee 16 · currency 16 (ASCII, filled with zeros)
link   ``sakk.receipt.link.1`` · head before 32 · session 16 · nonce u64 · amount u128 · units u64 ·
       request 16 · time u64 (ns)
head   ``sakk.receipt.head.1`` · channel 16 · charges u64 · spent u128 · ceiling u128 · head 32 ·
       time of the last link u64
=====  =============================================================================================

Start and link are hashed by SHA-256. The head's words are signed by the authority (Ed25519, RFC
8032); the payer's next voucher names charges, spent and head, and so signs them too.
"""

import hashlib
import struct
from dataclasses import dataclass
from typing import Any, Final

from sakk.core import ids

START: Final = b"sakk.receipts.1"
LINK: Final = b"sakk.receipt.link.1"
HEAD: Final = b"sakk.receipt.head.1"
_LINK = struct.Struct(">32s16sQ16sQ16sQ")
_HEAD = struct.Struct(">16sQ16s16s32sQ")


@dataclass(frozen=True, slots=True)
class Receipt:
    """One committed charge. ``request``: the first 16 bytes of the request's hash; time in ns."""

    session: bytes
    nonce: int
    amount: int
    units: int
    request: bytes
    timestamp: int


@dataclass(frozen=True, slots=True)
class Head:
    """Where a channel's chain stands."""

    channel: bytes
    charges: int
    spent: int
    ceiling: int
    head: bytes
    timestamp: int


def start(channel: bytes, payee: bytes, currency: str) -> bytes:
    """The head of a channel on which nothing was charged yet."""
    name = currency.encode().ljust(16, b"\0")
    return hashlib.sha256(START + channel + payee + name).digest()


def link(head: bytes, receipt: Receipt) -> bytes:
    """The head after one more receipt."""
    body = _LINK.pack(
        head,
        receipt.session,
        receipt.nonce,
        receipt.amount.to_bytes(16, "big"),
        receipt.units,
        receipt.request,
        receipt.timestamp,
    )
    return hashlib.sha256(LINK + body).digest()


def head_words(head: Head) -> bytes:
    """What the authority signs."""
    body = _HEAD.pack(
        head.channel,
        head.charges,
        head.spent.to_bytes(16, "big"),
        head.ceiling.to_bytes(16, "big"),
        head.head,
        head.timestamp,
    )
    return HEAD + body


def public_receipt(receipt: Receipt, head: bytes) -> dict[str, Any]:
    """A line of an export; ``head`` is the one after it."""
    return {
        "session": ids.encode("ses", int.from_bytes(receipt.session, "big")),
        "nonce": str(receipt.nonce),
        "amount": str(receipt.amount),
        "units": str(receipt.units),
        "request": receipt.request.hex(),
        "timestamp": str(receipt.timestamp),
        "head": head.hex(),
    }
