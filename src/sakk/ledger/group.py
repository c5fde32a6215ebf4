"""A group: the requests that are applied and journalled together, and what becomes of them."""

import struct
from dataclasses import dataclass
from enum import IntEnum

from sakk.ledger.record import RECORD_SIZE

NANOSECONDS = 1_000_000_000
EXPIRED_MAX = 8_192  # holds released before one group; the rest wait for the next
RESOLVED = struct.Struct("<I16s")


class Kind(IntEnum):
    """What a request asks for; the number stands in the journal."""

    create_accounts = 1
    create_transfers = 2
    create_roots = 3
    keep_vouchers = 4


@dataclass(frozen=True, slots=True)
class Request:
    """One caller's batch, as records. Chains do not reach across requests."""

    kind: Kind
    records: bytes

    @property
    def count(self) -> int:
        return len(self.records) // RECORD_SIZE


@dataclass(frozen=True, slots=True)
class Outcome:
    """``results``: see ``encode_results``. ``resolved``: (index u32, amount u128) of each created
    transfer that moved another amount than its record says."""

    results: bytes
    resolved: bytes = b""


@dataclass(frozen=True, slots=True)
class GroupOutcome:
    """``expired``: ids of the holds released before the group's first event."""

    expired: bytes
    outcomes: list[Outcome]
