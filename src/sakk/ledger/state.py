"""The reference machine's state as the canonical bytes of ``sakk.ledger.frozen``, and back."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import merge
from typing import TYPE_CHECKING

from sakk.ledger.frozen import (
    ACCOUNTS_A_PART,
    ENTRIES_A_PART,
    ENTRY,
    FIELDS,
    HEADER,
    HOLDS_A_PART,
    ITEM_SIZES,
    MAGIC,
    NO_STATE,
    NONE,
    ROOTS_A_PART,
    WORD,
    WORDS_A_PART,
    cut,
)
from sakk.ledger.record import ACCOUNT, ID_ZERO, RECORD_SIZE, TRANSFER, split
from sakk.ledger.rules import PENDING, AccountState, Fields, Hold, account_record, timestamp_of
from sakk.ledger.types import TIMESTAMP_MAX, CreateTransferStatus

if TYPE_CHECKING:
    from sakk.ledger.reference import ReferenceMachine

S = CreateTransferStatus
U64 = struct.Struct("<Q")
HOLD = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class _Known:
    """An id that was answered: its record as it took effect, and as it was asked for."""

    effect: bytes
    asked: bytes
    status: int


class FrozenReference:
    """``sakk.ledger.frozen.Frozen``: records never change, so the lists of them are the copy."""

    def __init__(self, machine: "ReferenceMachine") -> None:
        self._timestamp = machine.timestamp
        self._accounts = [
            account_record(account, struct.pack("<H10x", account.requested_flags))
            for account in machine.accounts.values()
        ]
        self._created = list(machine.transfers.values())
        self._requested = dict(machine.requested)
        self._rejected = list(machine.rejected.values())
        self._holds = bytes(machine.holds.values())
        self._roots = list(machine.roots.records.values())

    def parts(self) -> Iterator[bytes]:
        entries, extras = self._entries
        yield HEADER.pack(
            MAGIC,
            self._timestamp,
            len(self._accounts),
            len(entries) // ENTRY.size,
            len(extras) // WORD,
            len(self._holds),
            len(self._roots),
        )
        yield from cut(b"".join(self._accounts), ACCOUNTS_A_PART * RECORD_SIZE)
        yield from cut(entries, ENTRIES_A_PART * ENTRY.size)
        yield from cut(extras, WORDS_A_PART * WORD)
        yield from cut(self._holds, HOLDS_A_PART)
        yield from cut(b"".join(self._roots), ROOTS_A_PART * RECORD_SIZE)

    def close(self) -> None:
        """Nothing is kept beside what the parts are read from."""

    @cached_property
    def _entries(self) -> tuple[bytes, bytes]:
        """Every entry, and every extra."""
        accounts = {
            record[:16]: (number, fields[6], fields[7])
            for number, record in enumerate(self._accounts)
            for fields in (ACCOUNT.unpack(record),)
        }
        entries: list[bytes] = []
        extras = bytearray()
        holds = 0
        for known in self._in_order():
            effect, asked = TRANSFER.unpack(known.effect), TRANSFER.unpack(known.asked)
            number_of = [NONE, NONE]
            unit = 0
            for side in (0, 1):
                found = accounts.get(effect[1 + side])
                # Only an account that was there before the entry can be what it names.
                if found is not None and found[2] < effect[8]:
                    number_of[side] = found[0]
                    unit = unit if side else found[1]
            fields = _fields(effect, asked, number_of, unit, hold=holds, status=known.status)
            if known.status == S.created and effect[11] & PENDING:
                holds += 1
            place = _append(extras, fields) if any(fields) else 0
            amount, code, flags = effect[3][:8], effect[10], effect[11]
            values = (U64.unpack(amount)[0], effect[8], *number_of, place, code, flags)
            entries.append(ENTRY.pack(effect[0], *values, known.status))
        return b"".join(entries), bytes(extras)

    def _in_order(self) -> Iterator[_Known]:
        """Created transfers and refusals, by their times."""
        created = (
            _Known(record, self._requested.get(record[:16], record), S.created)
            for record in self._created
        )
        refused = [_Known(record, record, status) for status, record in self._rejected]
        refused.sort(key=_time)
        return merge(created, refused, key=_time)


def _time(known: _Known) -> int:
    return timestamp_of(known.effect)


def _fields(
    effect: Fields, asked: Fields, number_of: list[int], unit: int, *, hold: int, status: int
) -> list[bytes]:
    """The bytes of each field of an extra, none where the field is not there."""
    created = status == S.created
    holds = created and effect[11] & PENDING
    return [
        HOLD.pack(hold if holds else 0, effect[9]) if effect[9] or holds else b"",
        effect[4] if effect[4] != ID_ZERO else b"",
        effect[5] if effect[5] != ID_ZERO else b"",
        U64.pack(effect[7]) if effect[7] else b"",
        effect[3][8:] if any(effect[3][8:]) else b"",
        U64.pack(effect[6]) if effect[6] != unit else b"",
        effect[1] if number_of[0] == NONE and effect[1] != ID_ZERO else b"",
        effect[2] if number_of[1] == NONE and effect[2] != ID_ZERO else b"",
        asked[3] if asked[3] != effect[3] else b"",
        asked[1] if asked[1] != effect[1] else b"",
        asked[2] if asked[2] != effect[2] else b"",
        asked[5] if asked[5] != effect[5] else b"",
        U64.pack(asked[6]) if asked[6] != effect[6] else b"",
        U64.pack(asked[10]) if asked[10] != effect[10] else b"",
    ]


def _append(extras: bytearray, fields: list[bytes]) -> int:
    """Write an extra; the number of its first word + 1."""
    mask = sum(1 << bit for bit, field in enumerate(fields) if field)
    extra = U64.pack(mask) + b"".join(fields)
    part = WORDS_A_PART * WORD
    left = part - len(extras) % part
    if len(extra) > left:
        extras += bytes(left)
    extras += extra
    return (len(extras) - len(extra)) // WORD + 1


# Back


class ReferenceLoader:
    """``sakk.ledger.machine.Loader``."""

    def __init__(self, machine: "ReferenceMachine") -> None:
        self._machine = machine
        self._parts: list[bytes] = []

    def add(self, part: bytes) -> None:
        self._parts.append(part)

    def finish(self) -> "ReferenceMachine":
        try:
            _load(self._machine, b"".join(self._parts))
        except (struct.error, IndexError, KeyError) as error:
            raise ValueError(NO_STATE) from error
        return self._machine


def _load(machine: "ReferenceMachine", state: bytes) -> None:
    """Fill an empty machine; ValueError, or what a wrong number raises, if it is no state."""
    magic, machine.timestamp, *counts = HEADER.unpack_from(state)
    sizes = [count * size for count, size in zip(counts, ITEM_SIZES, strict=True)]
    if (
        magic != MAGIC
        or len(state) != HEADER.size + sum(sizes)
        or machine.timestamp > TIMESTAMP_MAX
    ):
        raise ValueError(NO_STATE)
    start = HEADER.size
    sections = []
    for size in sizes:
        sections.append(state[start : start + size])
        start += size
    accounts = [_load_account(record) for record in split(sections[0])]
    machine.accounts = {account.id: account for account in accounts}
    extras, holds = sections[2], sections[3]
    for entry in ENTRY.iter_unpack(sections[1]):
        known, hold = _record_of(entry, accounts, extras)
        identifier = entry[0]
        if known.status != S.created:
            machine.rejected[identifier] = (S(known.status).value, known.effect)
            continue
        machine.transfers[identifier] = known.effect
        if known.asked != known.effect:
            machine.requested[identifier] = known.asked
        if entry[7] & PENDING:
            machine.holds[identifier] = Hold(holds[hold]).value
            if holds[hold] == Hold.open:
                machine.expect_expiry(identifier)
    for record in split(sections[4]):
        machine.roots.add(record)
    answered = len(machine.transfers) + len(machine.rejected)
    if (len(machine.accounts), answered) != tuple(counts[:2]) or (
        len(machine.roots.records) != counts[4]
    ):
        raise ValueError(NO_STATE)


def _record_of(
    entry: Sequence[int | bytes], accounts: list[AccountState], extras: bytes
) -> tuple[_Known, int]:
    """The records of an entry, and its hold's number."""
    identifier, amount, timestamp, debit_number, credit_number, extra, code, flags, status = entry
    assert isinstance(extra, int)
    fields = _read(extras, (extra - 1) * WORD) if extra else {}
    debit_id, credit_id, unit = ID_ZERO, ID_ZERO, 0
    if debit_number != NONE:
        debit = accounts[int(debit_number)]
        debit_id, unit = debit.id, debit.unit
    if credit_number != NONE:
        credit_id = accounts[int(credit_number)].id
    hold, timeout = HOLD.unpack(fields.get("hold", bytes(8)))
    effect = {
        "debit_account_id": fields.get("debit_account_id", debit_id),
        "credit_account_id": fields.get("credit_account_id", credit_id),
        "amount": U64.pack(amount) + fields.get("amount_high", bytes(8)),
        "user_data": fields.get("user_data", ID_ZERO),
        "unit": fields.get("unit", U64.pack(unit)),
        "code": U64.pack(code),
    }
    asked = {name: fields.get(f"asked_{name}", value) for name, value in effect.items()}
    effective_at = U64.unpack(fields.get("effective_at", bytes(8)))[0]
    records = [
        TRANSFER.pack(
            identifier, each["debit_account_id"], each["credit_account_id"], each["amount"],
            fields.get("pending_id", ID_ZERO), each["user_data"], U64.unpack(each["unit"])[0],
            effective_at, timestamp, timeout, U64.unpack(each["code"])[0], flags,
        )
        for each in (effect, asked)
    ]  # fmt: skip
    assert isinstance(status, int)
    return _Known(records[0], records[1], status), hold


def _read(extras: bytes, start: int) -> dict[str, bytes]:
    """The fields of an extra, by their names."""
    (mask,) = U64.unpack_from(extras, start)
    start += WORD
    fields = {}
    for bit, (name, size) in enumerate(FIELDS):
        if mask >> bit & 1:
            fields[name] = extras[start : start + size]
            start += size
    if start > len(extras) or mask >> len(FIELDS):
        raise ValueError(NO_STATE)
    return fields


def _load_account(record: bytes) -> AccountState:
    (identifier, debits_pending, debits_posted, credits_pending, credits_posted, user_data, unit,
     timestamp, code, flags, reserved) = ACCOUNT.unpack(record)  # fmt: skip
    return AccountState(
        identifier,
        unit,
        code,
        flags,
        user_data,
        timestamp,
        requested_flags=int.from_bytes(reserved[:2], "little"),
        debits_pending=int.from_bytes(debits_pending, "little"),
        debits_posted=int.from_bytes(debits_posted, "little"),
        credits_pending=int.from_bytes(credits_pending, "little"),
        credits_posted=int.from_bytes(credits_posted, "little"),
    )
