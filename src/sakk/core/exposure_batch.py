"""A batch of transfers as bytes, and which of an asset's batches count at a height.

::

    payload: 1 (version) · blocks (4) · blocks × (number 8, timestamp 8, rows 4) · rows × 92
    row:     sender 20 · receiver 20 · units 16 · transaction hash 32 · log index 4

All big-endian, blocks in ascending order, rows in the order of their logs. Units are atomic and
fit 128 bits: no token that is worth anything has 2**128 of them, so a transfer of more is a
forgery or an accident and is left out, counted. A transfer of nothing moves no money and is left
out too; anyone can make those in anyone's name.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sakk.core.exposure import BatchKind

VERSION = 1
UNITS_MAX = (1 << 128) - 1
# Logs from here on are no logs: transfers of a file that numbers none, counted in its transactions.
UNCOUNTED = 1 << 31
ROW_BYTES = 92
TX_HASH_OFFSET = 56
TX_HASH_BYTES = 32
_HEAD = struct.Struct(">BI")
_BLOCK = struct.Struct(">QQI")
_ROW = struct.Struct(">20s20s16s32sI")


class Block(NamedTuple):
    """A block of a batch: its number, its time in seconds since 1970, and its packed rows."""

    number: int
    timestamp: int
    rows: bytes


class Transfer(NamedTuple):
    """One transfer: addresses and hash are raw bytes, units atomic."""

    block_number: int
    timestamp: int
    log_index: int
    sender: bytes
    receiver: bytes
    units: int
    tx_hash: bytes


def pack_row(transfer: Transfer) -> bytes:
    """One row; ValueError where the units are none that a batch holds."""
    if not 0 < transfer.units <= UNITS_MAX:
        raise ValueError("a batch holds transfers of 1 to 2**128 - 1 atomic units")
    return _ROW.pack(
        transfer.sender,
        transfer.receiver,
        transfer.units.to_bytes(16, "big"),
        transfer.tx_hash,
        transfer.log_index,
    )


def ends_and_units(row: bytes) -> tuple[bytes, bytes, int]:
    """Of one row the sender, the receiver and the units."""
    sender, receiver, units, _, _ = _ROW.unpack(row)
    return sender, receiver, int.from_bytes(units, "big")


def rows_of(rows: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each row with what names it: its transaction and log."""
    for start in range(0, len(rows), ROW_BYTES):
        row = rows[start : start + ROW_BYTES]
        yield row[TX_HASH_OFFSET:], row


def names_known(keys: Iterable[bytes]) -> set[bytes]:
    """What a transfer is known by: transaction and log, or the transaction where logs are none."""
    known = set()
    for key in keys:
        known.add(key)
        if int.from_bytes(key[TX_HASH_BYTES:], "big") >= UNCOUNTED:
            known.add(key[:TX_HASH_BYTES])
    return known


def is_known(key: bytes, known: set[bytes]) -> bool:
    """Is this transfer among them, by its log or by its transaction?"""
    return key in known or key[:TX_HASH_BYTES] in known


def encode(blocks: Iterable[Block]) -> bytes:
    """A payload of blocks in ascending order; those without rows are left out."""
    kept = [block for block in blocks if block.rows]
    return b"".join(
        (
            _HEAD.pack(VERSION, len(kept)),
            *(
                _BLOCK.pack(block.number, block.timestamp, len(block.rows) // ROW_BYTES)
                for block in kept
            ),
            *(block.rows for block in kept),
        )
    )


def encode_transfers(transfers: Sequence[Transfer]) -> bytes:
    """A payload of transfers that are in the order of their blocks and logs."""
    blocks: list[tuple[int, int, list[bytes]]] = []
    for transfer in transfers:
        if not blocks or blocks[-1][0] != transfer.block_number:
            blocks.append((transfer.block_number, transfer.timestamp, []))
        blocks[-1][2].append(pack_row(transfer))
    return encode(Block(number, time, b"".join(rows)) for number, time, rows in blocks)


def head_bytes(payload: bytes) -> int:
    """Where the rows begin. ValueError for what is no payload, or is cut off."""
    version, count = _HEAD.unpack_from(payload) if len(payload) >= _HEAD.size else (0, 0)
    if version != VERSION:
        raise ValueError(f"not a batch of version {VERSION}")
    start: int = _HEAD.size + count * _BLOCK.size
    blocks = _BLOCK.iter_unpack(payload[_HEAD.size : start]) if len(payload) >= start else ()
    rows = sum(rows for _, _, rows in blocks)
    if len(payload) != start + rows * ROW_BYTES:
        raise ValueError("a batch is cut off, or longer than it says")
    return start


def decode(payload: bytes) -> list[Block]:
    """The blocks of a payload; ValueError for what is none."""
    place = start = head_bytes(payload)
    blocks = []
    for number, timestamp, count in _BLOCK.iter_unpack(payload[_HEAD.size : start]):
        end = place + count * ROW_BYTES
        blocks.append(Block(number, timestamp, payload[place:end]))
        place = end
    return blocks


def transfers(payload: bytes) -> Iterator[Transfer]:
    """Every transfer of a payload, in order."""
    for block in decode(payload):
        for sender, receiver, units, tx_hash, log_index in _ROW.iter_unpack(block.rows):
            yield Transfer(
                block.number,
                block.timestamp,
                log_index,
                sender,
                receiver,
                int.from_bytes(units, "big"),
                tx_hash,
            )


def cut(payload: bytes, last_block: int) -> bytes:
    """The same payload without blocks above this one."""
    return encode(block for block in decode(payload) if block.number <= last_block)


@dataclass(frozen=True, slots=True)
class Segment:
    """A batch that counts, up to a block of it: what is above was undone."""

    height: int
    first_block: int
    last_block: int


class _Head(Protocol):
    """What a batch says of itself (``store.exposure.Head``)."""

    @property
    def height(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def first_block(self) -> int: ...
    @property
    def last_block(self) -> int: ...
    @property
    def count(self) -> int: ...


def live(heads: Sequence[_Head]) -> list[list[Segment]]:
    """Which batches count, of all up to a height, in the order of their blocks.

    An undone batch takes back what was followed before it. Segments whose blocks overlap come as
    one group, to be merged row by row: the same transfers have one order, whatever came first.
    """
    segments: list[Segment] = []
    lowest: int | None = None
    for head in reversed(heads):
        last = head.last_block
        if head.kind == BatchKind.undone:
            lowest = last if lowest is None else min(lowest, last)
            continue
        if head.kind == BatchKind.followed and lowest is not None:
            last = min(last, lowest)
        if head.count and head.first_block <= last:
            segments.append(Segment(head.height, head.first_block, last))
    segments.sort(key=lambda segment: (segment.first_block, segment.height))
    groups: list[list[Segment]] = []
    reached = -1
    for segment in segments:
        if segment.first_block <= reached:
            groups[-1].append(segment)
        else:
            groups.append([segment])
        reached = max(reached, segment.last_block)
    return groups
