"""A journal row's bytes: what was asked, and all that followed from it.

The payload needs no machine to be read: it holds the requests as they came, their results, the
amounts that differ from what was asked, and the holds that ran out before the group.

=====================  ==========================================================================
part                   bytes (numbers little-endian)
=====================  ==========================================================================
magic                  ``SKJ1``
requests, expired      u32, u32
expired                16 for each hold released before the first event, in order
each request           kind u8 (1 accounts, 2 transfers, 3 roots, 4 vouchers), three zero bytes,
                       count u32, resolved u32
· records              128 each, as asked for
· results              u64 timestamp of each event, then u8 status of each
· resolved             u32 index and u128 amount of each transfer that moved another amount
=====================  ==========================================================================

The row's hash is SHA-256 over the previous row's hash, shard u32, sequence u64, epoch u64,
timestamp u64, count u32 and the payload; the first row's previous hash is 32 zero bytes.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sakk.ledger.group import RESOLVED, GroupOutcome, Kind, Outcome, Request
from sakk.ledger.record import ID_SIZE, RECORD_SIZE, split
from sakk.store.journal import JournalRow

MAGIC = b"SKJ1"
GROUP = struct.Struct("<4sII")
REQUEST = struct.Struct("<BxxxII")
POSITION = struct.Struct("<IQQQI")
RESULT_SIZE = 9


@dataclass(frozen=True, slots=True)
class Group:
    """A decoded payload."""

    expired: list[bytes]
    requests: list[Request]
    outcomes: list[Outcome]


def encode_group(requests: Sequence[Request], outcome: GroupOutcome) -> bytes:
    """Write a group and what became of it."""
    parts = [
        GROUP.pack(MAGIC, len(requests), len(outcome.expired) // ID_SIZE),
        outcome.expired,
    ]
    for request, answer in zip(requests, outcome.outcomes, strict=True):
        resolved = len(answer.resolved) // RESOLVED.size
        parts.append(REQUEST.pack(request.kind, request.count, resolved))
        parts += (request.records, answer.results, answer.resolved)
    return b"".join(parts)


def decode_group(payload: bytes) -> Group:
    """Read a payload; ValueError where it is not one."""
    try:
        magic, request_count, expired_count = GROUP.unpack_from(payload)
        start = GROUP.size
        if magic != MAGIC:
            raise ValueError("the payload does not begin with SKJ1")
        end = start + expired_count * ID_SIZE
        expired = split(payload[start:end], ID_SIZE)
        requests, outcomes = [], []
        for _ in range(request_count):
            kind, count, resolved_count = REQUEST.unpack_from(payload, end)
            start = end + REQUEST.size
            middle = start + count * RECORD_SIZE
            results_end = middle + count * RESULT_SIZE
            end = results_end + resolved_count * RESOLVED.size
            requests.append(Request(_known(kind), payload[start:middle]))
            outcomes.append(Outcome(payload[middle:results_end], payload[results_end:end]))
    except struct.error as error:
        raise ValueError("the payload is cut short") from error
    if end != len(payload):
        raise ValueError(f"the payload has {len(payload)} bytes where {end} are described")
    return Group(expired, requests, outcomes)


def _known(kind: int) -> Kind:
    try:
        return Kind(kind)
    except ValueError:
        raise ValueError(
            f"the payload holds requests of kind {kind}, which this release does not know:"
            " a newer one wrote it, and reads it"
        ) from None


def row_hash(row: JournalRow) -> bytes:
    """What the row's hash must be, from its other columns."""
    digest = hashlib.sha256(row.previous_hash)
    digest.update(POSITION.pack(row.shard, row.sequence, row.epoch, row.timestamp_ns, row.count))
    digest.update(row.payload)
    return digest.digest()


def next_row(
    previous: JournalRow, *, epoch: int, timestamp_ns: int, payload: bytes, count: int
) -> JournalRow:
    """The row that follows ``previous``."""
    unsigned = JournalRow(
        shard=previous.shard,
        sequence=previous.sequence + 1,
        epoch=epoch,
        timestamp_ns=timestamp_ns,
        count=count,
        previous_hash=previous.hash,
        hash=b"",
        payload=payload,
    )
    return replace(unsigned, hash=row_hash(unsigned))
