"""Receipts of a channel in escrow: a chain over what was charged, whose head the authority signs.

What a receipt says stands in the ledger: which voucher paid (its total), how much of it was taken,
and when. The payer's own word is its vouchers, each for a total; the authority's is the head. Bytes
are big-endian:

=====  =============================================================================================
start  ``sakk.escrow.receipts.1`` · the channel's name in the contract 32 · payee 16
link   ``sakk.escrow.receipt.link.1`` · head before 32 · charge 16 · ceiling u128 · amount u128 ·
       time u64 (ns)
head   ``sakk.escrow.receipt.head.1`` · channel 32 · charges u64 · spent u128 · ceiling u128 ·
       head 32 · time of the last link u64
=====  =============================================================================================

Start and link are hashed by SHA-256, the head's words are signed by the authority (Ed25519, RFC
8032). ``charge`` is the ledger's id of the charge, ``ceiling`` the total that the voucher was
signed for, 0 where that is not known.
"""

import hashlib
import struct
from dataclasses import dataclass
from typing import Any, Final

START: Final = b"sakk.escrow.receipts.1"
LINK: Final = b"sakk.escrow.receipt.link.1"
HEAD: Final = b"sakk.escrow.receipt.head.1"
_LINK = struct.Struct(">32s16s16s16sQ")
_HEAD = struct.Struct(">32sQ16s16s32sQ")


@dataclass(frozen=True, slots=True)
class EscrowReceipt:
    """One charge that was taken; time in ns."""

    charge: int
    ceiling: int
    amount: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class EscrowHead:
    """Where a channel's chain stands; ``ceiling``: the highest total that its payer signed."""

    channel: bytes
    charges: int
    spent: int
    ceiling: int
    head: bytes
    timestamp: int


def start(channel: bytes, payee: bytes) -> bytes:
    """The head of a channel on which nothing was charged yet."""
    return hashlib.sha256(START + channel + payee).digest()


def link(head: bytes, receipt: EscrowReceipt) -> bytes:
    """The head after one more receipt."""
    body = _LINK.pack(
        head,
        receipt.charge.to_bytes(16, "big"),
        receipt.ceiling.to_bytes(16, "big"),
        receipt.amount.to_bytes(16, "big"),
        receipt.timestamp,
    )
    return hashlib.sha256(LINK + body).digest()


def head_words(head: EscrowHead) -> bytes:
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


def public_receipt(receipt: EscrowReceipt, head: bytes) -> dict[str, Any]:
    """A line of an export; ``head`` is the one after it."""
    return {
        "charge": f"{receipt.charge:032x}",
        "ceiling": str(receipt.ceiling),
        "amount": str(receipt.amount),
        "timestamp": str(receipt.timestamp),
        "head": head.hex(),
    }
