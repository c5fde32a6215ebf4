"""The rules that need no machine: pure questions about records and account totals.

Each ``…_status`` function returns the first rule, in the documented order, that is broken, or
``created`` where none is.
"""

import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from sakk.ledger.record import (
    ACCOUNT,
    ID_INT_MAX,
    ID_ZERO,
    RECORD_SIZE,
    TIMESTAMP_OFFSET,
)
from sakk.ledger.types import (
    AMOUNT_MAX,
    AccountFlags,
    CreateTransferStatus,
    TransferFlags,
)

LINKED = TransferFlags.linked.value
PENDING = TransferFlags.pending.value
POST = TransferFlags.post_pending.value
VOID = TransferFlags.void_pending.value
BALANCING_DEBIT = TransferFlags.balancing_debit.value
BALANCING_CREDIT = TransferFlags.balancing_credit.value
CLOSING_DEBIT = TransferFlags.closing_debit.value
CLOSING_CREDIT = TransferFlags.closing_credit.value
SETTLING = POST | VOID
CLOSING = CLOSING_DEBIT | CLOSING_CREDIT
TRANSFER_FLAGS = (1 << 8) - 1

DEBIT_LIMIT = AccountFlags.debits_must_not_exceed_credits.value
CREDIT_LIMIT = AccountFlags.credits_must_not_exceed_debits.value
FROZEN = AccountFlags.frozen.value
ACCOUNT_FLAGS = LINKED | DEBIT_LIMIT | CREDIT_LIMIT | AccountFlags.history.value | FROZEN

S = CreateTransferStatus
Fields = tuple[Any, ...]  # a record unpacked by TRANSFER


class Hold(IntEnum):
    """What became of a pending transfer; the number stands in snapshots."""

    open = 0
    posted = 1
    voided = 2
    expired = 3


@dataclass(slots=True)
class AccountState:
    """An account as the machine keeps it; totals are whole numbers below 2**128."""

    id: bytes
    unit: int
    code: int
    flags: int
    user_data: bytes
    timestamp: int
    requested_flags: int
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0


def malformed_status(fields: Fields) -> CreateTransferStatus:
    """What no ledger could ever accept or remember; checked before the id is looked up."""
    if fields[8]:
        return S.timestamp_must_be_zero
    if fields[11] & ~TRANSFER_FLAGS:
        return S.reserved_flag
    if fields[0] == ID_ZERO:
        return S.id_must_not_be_zero
    return S.id_must_not_be_int_max if fields[0] == ID_INT_MAX else S.created


def difference(new: Fields, old: Fields) -> CreateTransferStatus:
    """Name the first field, in order, in which a repeat differs from its original."""
    for status, index in (
        (S.exists_with_different_flags, 11),
        (S.exists_with_different_pending_id, 4),
        (S.exists_with_different_timeout_seconds, 9),
        (S.exists_with_different_debit_account_id, 1),
        (S.exists_with_different_credit_account_id, 2),
        (S.exists_with_different_amount, 3),
        (S.exists_with_different_user_data, 5),
        (S.exists_with_different_unit, 6),
        (S.exists_with_different_code, 10),
        (S.exists_with_different_effective_at, 7),
    ):
        if new[index] != old[index]:
            return status
    return S.exists


def exclusive(flags: int) -> bool:
    """A post is no void, and neither is pending, balancing or closing."""
    if flags & SETTLING == SETTLING:
        return True
    others = PENDING | BALANCING_DEBIT | BALANCING_CREDIT | CLOSING
    return bool(flags & SETTLING and flags & others)


def balanced(debit: AccountState, credit: AccountState, amount: int, flags: int) -> int:
    """What a transfer may move: its amount, or at most what a balancing side has left."""
    if flags & BALANCING_DEBIT:
        room = debit.credits_posted - debit.debits_posted - debit.debits_pending
        amount = min(amount, max(room, 0))
    if flags & BALANCING_CREDIT:
        room = credit.debits_posted - credit.credits_posted - credit.credits_pending
        amount = min(amount, max(room, 0))
    return amount


def settled_amount(fields: Fields, pending: Fields) -> int:
    """What a post or void says of its hold: the whole, or the part that it names."""
    amount = int.from_bytes(fields[3], "little")
    whole = AMOUNT_MAX if fields[11] & POST else 0
    return int.from_bytes(pending[3], "little") if amount == whole else amount


def totals_status(
    debit: AccountState, credit: AccountState, amount: int, *, pending: bool
) -> CreateTransferStatus:
    """Totals are unsigned 128-bit numbers, and so is each pending and posted pair's sum."""
    for status, total in (
        (S.overflows_debits_pending, pending * (debit.debits_pending + amount)),
        (S.overflows_credits_pending, pending * (credit.credits_pending + amount)),
        (S.overflows_debits_posted, debit.debits_posted + amount),
        (S.overflows_credits_posted, credit.credits_posted + amount),
        (S.overflows_debits, debit.debits_pending + debit.debits_posted + amount),
        (S.overflows_credits, credit.credits_pending + credit.credits_posted + amount),
    ):
        if total > AMOUNT_MAX:
            return status
    return S.created


def limits_status(debit: AccountState, credit: AccountState, amount: int) -> CreateTransferStatus:
    """No account beyond its limit; holds count."""
    debits = debit.debits_pending + debit.debits_posted + amount
    credits = credit.credits_pending + credit.credits_posted + amount
    if debit.flags & DEBIT_LIMIT and debits > debit.credits_posted:
        return S.exceeds_credits
    if credit.flags & CREDIT_LIMIT and credits > credit.debits_posted:
        return S.exceeds_debits
    return S.created


def exhausted_status(debit: AccountState, flags: int) -> CreateTransferStatus:
    """Which side of a balancing transfer has nothing left: a transfer of nothing is refused."""
    debits = debit.debits_pending + debit.debits_posted
    if flags & BALANCING_DEBIT and debits >= debit.credits_posted:
        return S.exceeds_credits
    return S.exceeds_debits


def totals_of(account: AccountState) -> tuple[AccountState, int, int, int, int, int]:
    return (
        account,
        account.debits_pending,
        account.debits_posted,
        account.credits_pending,
        account.credits_posted,
        account.flags,
    )


def chains(linked: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Cut a batch into chains: each ends at the first event without the linked flag."""
    start = 0
    for index, flag in enumerate(linked):
        if not flag or index == len(linked) - 1:
            yield start, index + 1
            start = index + 1


def stamp(records: bytes, timestamps: Sequence[int]) -> bytes:
    """The same transfer records with the ledger's timestamps written in."""
    column = array("Q", timestamps)
    if sys.byteorder == "big":
        column.byteswap()
    buffer = bytearray(records)
    with memoryview(buffer).cast("Q") as words:
        words[TIMESTAMP_OFFSET // 8 :: RECORD_SIZE // 8] = memoryview(column)
    return bytes(buffer)


def account_record(account: AccountState, reserved: bytes) -> bytes:
    return ACCOUNT.pack(
        account.id,
        account.debits_pending.to_bytes(16, "little"),
        account.debits_posted.to_bytes(16, "little"),
        account.credits_pending.to_bytes(16, "little"),
        account.credits_posted.to_bytes(16, "little"),
        account.user_data,
        account.unit,
        account.timestamp,
        account.code,
        account.flags,
        reserved,
    )


def same(record: bytes, other: bytes) -> bool:
    """Do two records ask for the same? The ledger's timestamp is no part of the question."""
    end = TIMESTAMP_OFFSET + 8
    return record[:TIMESTAMP_OFFSET] == other[:TIMESTAMP_OFFSET] and record[end:] == other[end:]


def timestamp_of(record: bytes) -> int:
    return int.from_bytes(record[TIMESTAMP_OFFSET : TIMESTAMP_OFFSET + 8], "little")
