"""Vouchers in the journal: a payer's signature beside the charge that it pays, in one write.

No machine judges them, and no account changes by them: they are kept. A record is as long as every
other: the channel 16 (our own id) · ceiling u128, little-endian · r, s and v of the signature 65 ·
31 zeros. The projection keeps of each channel the one with the highest ceiling.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import Connection

from sakk.core import ids
from sakk.core.escrow import SIGNATURE_BYTES
from sakk.core.shard import CHART, SHARD_MAP
from sakk.ledger.group import RESOLVED, Kind
from sakk.ledger.journal import GROUP, REQUEST, RESULT_SIZE
from sakk.ledger.record import ID_SIZE, RECORD_SIZE
from sakk.store import escrow_channel as store
from sakk.store.database import driving
from sakk.store.journal import PAGE_ROWS, journal_after
from sakk.store.projection import read_cursor

VOUCHER = struct.Struct("<16s16s65s31x")
# Rows that are looked through for what the projection has not written yet.
TAIL_ROWS_MAX = 4_096


class KeptVoucher(NamedTuple):
    """One record. ``channel``: its id here, 16 bytes."""

    channel: bytes
    ceiling: int
    signature: bytes


def encode_voucher(voucher: KeptVoucher) -> bytes:
    """One voucher as a record; ValueError where its signature is of another length."""
    if len(voucher.signature) != SIGNATURE_BYTES:
        raise ValueError(f"a voucher's signature has {SIGNATURE_BYTES} bytes")
    ceiling = voucher.ceiling.to_bytes(16, "little")
    return VOUCHER.pack(voucher.channel, ceiling, voucher.signature)


def decode_vouchers(records: bytes) -> list[KeptVoucher]:
    """Records as vouchers; struct.error if they are not whole."""
    return [
        KeptVoucher(channel, int.from_bytes(ceiling, "little"), signature)
        for channel, ceiling, signature in VOUCHER.iter_unpack(records)
    ]


def vouchers_in(payload: bytes) -> bytes:
    """The records of vouchers in a payload that was checked."""
    _, requests, expired = GROUP.unpack_from(payload)
    at = GROUP.size + expired * ID_SIZE
    found: list[bytes] = []
    for _ in range(requests):
        kind, count, resolved = REQUEST.unpack_from(payload, at)
        start = at + REQUEST.size
        end = start + count * RECORD_SIZE
        if kind == Kind.keep_vouchers:
            found.append(payload[start:end])
        at = end + count * RESULT_SIZE + resolved * RESOLVED.size
    return b"".join(found)


def highest(payloads: Iterable[bytes]) -> dict[bytes, tuple[int, bytes]]:
    """Of each channel in these payloads the highest voucher: ceiling and signature."""
    found: dict[bytes, tuple[int, bytes]] = {}
    for payload in payloads:
        for channel, ceiling, signature in decode_vouchers(vouchers_in(payload)):
            if ceiling > found.get(channel, (0, b""))[0]:
                found[channel] = (ceiling, signature)
    return found


def not_projected(
    connection: psycopg.Connection[Any], shard: int, channels: Sequence[bytes]
) -> dict[bytes, tuple[int, bytes]]:
    """The highest vouchers of these channels behind the projection's cursor.

    To be read before the rows: what is projected meanwhile stands there then. Of a tail that is
    longer than ``TAIL_ROWS_MAX`` rows only so many are looked through.
    """
    after = read_cursor(connection, shard).sequence
    wanted, found = set(channels), dict[bytes, tuple[int, bytes]]()
    for _ in range(TAIL_ROWS_MAX // PAGE_ROWS):
        rows = journal_after(connection, shard, after, limit=PAGE_ROWS)
        for channel, kept in highest(row.payload for row in rows).items():
            if channel in wanted and kept > found.get(channel, (0, b"")):
                found[channel] = kept
        if len(rows) < PAGE_ROWS:
            break
        after = rows[-1].sequence
    return found


def kept_vouchers(
    connection: Connection, identifiers: Sequence[str]
) -> dict[str, tuple[int, bytes]]:
    """The highest voucher of each of these channels that has one: ceiling and signature, by id.

    In rows, or in the journal alone as yet.
    """
    if not identifiers:
        return {}
    names = {ids.decode(each)[1].to_bytes(16, "big"): each for each in identifiers}
    shard = SHARD_MAP.shard_of(CHART)
    with driving(connection, "the journal's tail") as driver:
        tail = not_projected(driver, shard, list(names))
    found = store.vouchers_of(connection, identifiers)
    for channel, kept in tail.items():
        name = names[channel]
        if kept[0] > found.get(name, (0, b""))[0]:
            found[name] = kept
    return found
