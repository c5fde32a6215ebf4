"""The reference machine's whole state as canonical bytes: equal states, equal bytes, equal hash.

A header (magic; time; numbers of accounts, transfers, holds, requested, rejected; each u64), then
in the order of creation: account records (their last 12 bytes begin with the flags as asked for),
transfer records as they took effect, one byte for each pending transfer (``Hold``), records as
asked for where they differ, refused records, and one status byte for each of these.
"""

import struct
from typing import TYPE_CHECKING

from sakk.ledger.record import ACCOUNT, RECORD_SIZE, split
from sakk.ledger.rules import PENDING, AccountState, Hold, account_record

if TYPE_CHECKING:
    from sakk.ledger.reference import ReferenceMachine

HEADER = struct.Struct("<8sQQQQQQ")
MAGIC = b"SAKKSNP1"
FLAGS_OFFSET = 126


def dump(machine: "ReferenceMachine") -> list[bytes]:
    """The whole state, in parts to be joined."""
    header = HEADER.pack(
        MAGIC,
        machine.timestamp,
        len(machine.accounts),
        len(machine.transfers),
        len(machine.holds),
        len(machine.requested),
        len(machine.rejected),
    )
    accounts = [
        account_record(account, struct.pack("<H10x", account.requested_flags))
        for account in machine.accounts.values()
    ]
    return [
        header,
        b"".join(accounts),
        b"".join(machine.transfers.values()),
        bytes(machine.holds.values()),
        b"".join(machine.requested.values()),
        b"".join([record for _, record in machine.rejected.values()]),
        bytes([status for status, _ in machine.rejected.values()]),
    ]


def load(machine: "ReferenceMachine", state: bytes) -> None:
    """Fill an empty machine from what ``dump`` gave; ValueError if the bytes are not a state."""
    if len(state) < HEADER.size:
        raise ValueError("not a snapshot of the ledger")
    magic, machine.timestamp, *counts = HEADER.unpack_from(state)
    accounts, transfers, holds, requested, rejected = counts
    sizes = [count * RECORD_SIZE for count in (accounts, transfers)]
    sizes += [holds, requested * RECORD_SIZE, rejected * RECORD_SIZE, rejected]
    if magic != MAGIC or len(state) != HEADER.size + sum(sizes):
        raise ValueError("not a snapshot of the ledger")
    start = HEADER.size
    sections = []
    for size in sizes:
        sections.append(state[start : start + size])
        start += size
    for record in split(sections[0]):
        account = _load_account(record)
        machine.accounts[account.id] = account
    machine.transfers = {record[:16]: record for record in split(sections[1])}
    pending = [
        identifier
        for identifier, record in machine.transfers.items()
        if record[FLAGS_OFFSET] & PENDING
    ]
    machine.holds = dict(zip(pending, sections[2], strict=True))
    machine.requested = {record[:16]: record for record in split(sections[3])}
    refusals = zip(sections[5], split(sections[4]), strict=True)
    machine.rejected = {record[:16]: (status, record) for status, record in refusals}
    for identifier, hold in machine.holds.items():
        if hold == Hold.open:
            machine.expect_expiry(identifier)


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
