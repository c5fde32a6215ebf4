"""Charges by voucher as a seller's door asks for them, in bytes: the rules are the channel's.

They stand beside the operations of sessions (``sakk.core.charge``), in records as long, big-endian.
A reservation: op u8 (4) · v of the signature u8 · timeout in seconds u16 · amount u64 · the asset's
tag 8 · ceiling u96 · channel 32, its name on the chain · r and s 64. Its end: op u8 (5 commit, 6
release) · zero · attempt u16 · amount u64 (a commit of 2**64 - 1 is the whole) · 8 zeros · ceiling
u96 · channel 16, our own id · 80 zeros. What needs longer numbers is asked for in JSON.

A result: status u8 · zero · attempt u16 · the payer's address 20 · 8 zeros · amount u128 · balance
u96 · claimed u96 · when its payer began to withdraw u64 (s, 0: it did not) · channel 16.

The tag says in which asset the door's price is, so that a channel in another one, of the same
payee, can not pay it.
"""

import struct
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

from sakk.core.charge import AMOUNT_WHOLE, TIMEOUT_SECONDS_DEFAULT
from sakk.core.escrow_channel import Refusal

RESERVATION: Final = struct.Struct(">BBHQ8s12s32s64s")
END: Final = struct.Struct(">BxHQ8x12s16s80x")
RESULT: Final = struct.Struct(">BxH20s8x16s12s12sQ16s")
WHOLE: Final = (1 << 64) - 1
TAG_BYTES: Final = 8
# Behind the reasons of sessions; the order stands on the wire.
STATUS_FIRST: Final = 32
REFUSALS: Final = (
    Refusal.payload,
    Refusal.not_found,
    Refusal.token_mismatch,
    Refusal.signature,
    Refusal.amount_mismatch,
    Refusal.exceeds_balance,
    Refusal.busy,
    Refusal.missing_channel,
    Refusal.charge_exceeds,
)
_STATUSES: Final = {each: STATUS_FIRST + place for place, each in enumerate(REFUSALS)}


class VoucherOp(IntEnum):
    """What is asked; the number stands on the wire, behind those of ``sakk.core.charge.Op``."""

    reserve = 4
    commit = 5
    release = 6


class VoucherOperation(NamedTuple):
    """One operation.

    ``channel``: to reserve its name on the chain (32 bytes), to end a charge its id here (16).
    ``amount``: what is reserved, or was used; ``AMOUNT_WHOLE`` of a commit is all of it.
    """

    op: int
    channel: bytes
    ceiling: int
    amount: int = 0
    attempt: int = 0
    timeout_seconds: int = TIMEOUT_SECONDS_DEFAULT
    tag: bytes = bytes(TAG_BYTES)
    signature: bytes = b""


class VoucherResult(NamedTuple):
    """What became of an operation. ``withdraw_begun``: seconds since 1970, 0 where it was not.

    ``amount``: what is reserved or was taken; 0 of the whole, where this process did not reserve
    it.
    """

    status: int = 0
    attempt: int = 0
    payer: bytes = bytes(20)
    amount: int = 0
    balance: int = 0
    claimed: int = 0
    withdraw_begun: int = 0
    channel: bytes = bytes(16)


@lru_cache(maxsize=1_024)
def asset_tag(asset: str) -> bytes:
    """The tag of an asset (CAIP-19, lower case): which coin of an account's a price is in."""
    return sha256(asset.encode()).digest()[:TAG_BYTES]


def status_of(refusal: Refusal) -> int:
    """A refusal on the wire; what a charge is never refused for is not there."""
    return _STATUSES[refusal]


def read_operation(record: bytes) -> VoucherOperation:
    """The operation in a record, whose first byte is one of ``VoucherOp``."""
    if record[0] == VoucherOp.reserve:
        op, v, timeout, amount, tag, ceiling, channel, signed = RESERVATION.unpack(record)
        return VoucherOperation(
            op,
            channel,
            int.from_bytes(ceiling, "big"),
            amount,
            0,
            timeout or TIMEOUT_SECONDS_DEFAULT,
            tag,
            signed + bytes([v]),
        )
    op, attempt, amount, ceiling, channel = END.unpack(record)
    used = AMOUNT_WHOLE if amount == WHOLE else amount
    return VoucherOperation(op, channel, int.from_bytes(ceiling, "big"), used, attempt)


def encode_voucher_result(result: VoucherResult) -> bytes:
    """One result as a record. What the books hold fits: no token has so many."""
    return RESULT.pack(
        result.status,
        result.attempt,
        result.payer,
        result.amount.to_bytes(16, "big"),
        result.balance.to_bytes(12, "big"),
        result.claimed.to_bytes(12, "big"),
        result.withdraw_begun,
        result.channel,
    )
