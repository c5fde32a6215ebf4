"""A machine's whole state as canonical bytes: equal states, equal bytes, from either machine.

Parts, in order: a header; then accounts, entries, extras, holds and roots in the order of creation,
each cut after so many items. Numbers are little-endian. The parts of accounts and entries that are
full do not depend on when they are read.

- Header: magic, journal time, numbers of accounts, entries, words of extras, holds and roots (u64
  each).
- Account, 128 bytes: its record; the flags that were asked for stand in the first two reserved.
- Entry, 48 bytes, for every id that was answered, a refusal too: id; amount (low u64); timestamp
  u64; numbers of debit and credit account (u32 each, in the order of creation; ``NONE`` where a
  refused transfer named no account); extra (u32, its first word + 1, 0 for none); code u16; flags
  u8; status u8. A created transfer stands as it took effect, a refused one as it was asked for.
- Extra, u64 words: which fields follow (``FIELDS``, in the order of the bits), then these, each
  filled up to whole words. It holds what does not follow from the entry and its accounts; the
  ``asked_`` fields are of a created transfer whose effect differs from what was asked. An extra
  does not cross a multiple of ``WORDS_A_PART`` words: the rest before it is zero.
- Hold, one byte for each created pending transfer: ``sakk.ledger.rules.Hold``.
- Root of the proof of liabilities, 128 bytes: its record.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import Protocol

from sakk.ledger.record import RECORD_SIZE

MAGIC = b"SAKKSNP3"
HEADER = struct.Struct("<8sQQQQQQ")
ENTRY = struct.Struct("<16sQQIIIHBB")
NONE = (1 << 32) - 1
NO_STATE = "not a snapshot of the ledger"
ACCOUNTS_A_PART = 1 << 14
ENTRIES_A_PART = 1 << 17
WORDS_A_PART = 1 << 17
HOLDS_A_PART = 1 << 20
ROOTS_A_PART = 1 << 14
WORD = 8
ITEM_SIZES = (RECORD_SIZE, ENTRY.size, WORD, 1, RECORD_SIZE)
# Name and bytes of each field of an extra; the first has bit 0.
FIELDS = (
    ("hold", 8),  # the hold's number u32 (0 of a refusal), timeout seconds u32
    ("pending_id", 16),
    ("user_data", 16),
    ("effective_at", 8),
    ("amount_high", 8),
    ("unit", 8),  # where it is not the debit account's
    ("debit_account_id", 16),  # of a refusal that named no account
    ("credit_account_id", 16),
    ("asked_amount", 16),
    ("asked_debit_account_id", 16),
    ("asked_credit_account_id", 16),
    ("asked_user_data", 16),
    ("asked_unit", 8),
    ("asked_code", 8),
)


class Frozen(Protocol):
    """A state at one moment, which may be read in another thread while the machine goes on."""

    def parts(self) -> Iterator[bytes]:
        """The canonical bytes; may be called more than once."""
        ...

    def close(self) -> None:
        """Nobody reads it any more: what it keeps beside the machine is let go."""
        ...


def cut(section: bytes, size: int) -> Iterator[bytes]:
    """A section in parts of so many bytes."""
    return (section[start : start + size] for start in range(0, len(section), size))


def cut_state(state: bytes) -> Iterator[bytes]:
    """A state's bytes, joined, in parts again; ValueError where they are none."""
    if len(state) < HEADER.size:
        raise ValueError(NO_STATE)
    counts = HEADER.unpack_from(state)[2:]
    yield state[: HEADER.size]
    start = HEADER.size
    parts = (ACCOUNTS_A_PART, ENTRIES_A_PART, WORDS_A_PART, HOLDS_A_PART, ROOTS_A_PART)
    for count, size, items in zip(counts, ITEM_SIZES, parts, strict=True):
        yield from cut(state[start : start + count * size], items * size)
        start += count * size
    if start != len(state):
        raise ValueError(NO_STATE)


def hash_of(parts: Iterable[bytes]) -> bytes:
    """SHA-256 of a state's bytes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()
