"""Accounts and transfers as fixed 128-byte records: the bytes of the wire, journal and snapshot.

Ids and user data are 16 opaque bytes in network order (as a UUID's); numbers are little-endian.

========  ====  ==========================      ========  ====  =============================
transfer                                        account
offset    size  field                           offset    size  field
========  ====  ==========================      ========  ====  =============================
0         16    id                              0         16    id
16        16    debit_account_id                16        16    debits_pending   (u128)
32        16    credit_account_id               32        16    debits_posted    (u128)
48        16    amount           (u128)         48        16    credits_pending  (u128)
64        16    pending_id                      64        16    credits_posted   (u128)
80        16    user_data                       80        16    user_data
96        8     unit             (u64)          96        8     unit             (u64)
104       8     effective_at     (u64, ns)      104       8     timestamp        (u64, ns)
112       8     timestamp        (u64, ns)      112       2     code             (u16)
120       4     timeout_seconds  (u32)          114       2     flags            (u16)
124       2     code             (u16)          116       12    reserved, zero
126       2     flags            (u16)
========  ====  ==========================      ========  ====  =============================

========  ====  ==========================      ========  ====  =============================
root of the proof of liabilities
offset    size  field                           offset    size  field
========  ====  ==========================      ========  ====  =============================
0         16    id                              80        8     sequence         (u64)
16        32    root                            88        8     reserved, zero
48        16    total            (u128)         96        8     unit             (u64)
64        8     epoch            (u64)          104       8     reserved, zero
72        8     leaves           (u64)          112       8     timestamp        (u64, ns)
..        ..                                    120       8     reserved, zero
========  ====  ==========================      ========  ====  =============================
"""

import struct
from collections.abc import Iterable, Sequence

from sakk.core.errors import ParameterInvalid
from sakk.ledger.types import (
    AMOUNT_MAX,
    BATCH_MAX,
    ID_MAX,
    UNIT_MAX,
    Account,
    AccountFlags,
    AccountResult,
    CreateAccountStatus,
    CreateRootStatus,
    CreateTransferStatus,
    LiabilityRoot,
    RootResult,
    Transfer,
    TransferFlags,
    TransferResult,
)

RECORD_SIZE = 128
ID_SIZE = 16
ID_ZERO = bytes(ID_SIZE)
ID_INT_MAX = b"\xff" * ID_SIZE
TRANSFER = struct.Struct("<16s16s16s16s16s16sQQQIHH")
ACCOUNT = struct.Struct("<16s16s16s16s16s16sQQHH12s")
ROOT = struct.Struct("<16s32s16sQQQ8sQ8sQ8s")
ROOT_SIZE = 32
RESERVED = bytes(12)
TIMESTAMP_OFFSET = 112
NEVER_SEEN = 255  # the status of an id that was never seen, in answers to lookups
NO_RECORD = bytes(RECORD_SIZE)

_TRANSFER_STATUS = tuple(CreateTransferStatus)
_ACCOUNT_STATUS = tuple(CreateAccountStatus)
_ROOT_STATUS = tuple(CreateRootStatus)
_ROOT_RESERVED = bytes(8)


def encode_id(value: int) -> bytes:
    """A 128-bit id as 16 bytes in network order."""
    return value.to_bytes(ID_SIZE, "big")


def decode_id(value: bytes) -> int:
    """The 128-bit id in 16 bytes in network order."""
    return int.from_bytes(value, "big")


def encode_ids(ids: Sequence[int]) -> bytes:
    """Many ids, one after the other; ParameterInvalid if one does not fit."""
    check_count(len(ids))
    try:
        return b"".join([value.to_bytes(16, "big") for value in ids])
    except (OverflowError, AttributeError, TypeError) as error:
        raise ParameterInvalid("an id is a whole number of 128 bits", param="id") from error


def encode_transfers(transfers: Sequence[Transfer]) -> bytes:
    """Requests as records; ParameterInvalid names the field that does not fit."""
    check_count(len(transfers))
    pack = TRANSFER.pack
    try:
        return b"".join(
            [
                pack(
                    t.id.to_bytes(16, "big"),
                    t.debit_account_id.to_bytes(16, "big"),
                    t.credit_account_id.to_bytes(16, "big"),
                    t.amount.to_bytes(16, "little"),
                    t.pending_id.to_bytes(16, "big"),
                    t.user_data.to_bytes(16, "big"),
                    t.unit,
                    t.effective_at,
                    t.timestamp,
                    t.timeout_seconds,
                    t.code,
                    t.flags,
                )
                for t in transfers
            ]
        )
    except (OverflowError, AttributeError, TypeError, struct.error) as error:
        raise _explain(transfers, _TRANSFER_LIMITS) from error


def encode_accounts(accounts: Sequence[Account]) -> bytes:
    """Requests as records; ParameterInvalid names the field that does not fit."""
    check_count(len(accounts))
    try:
        return b"".join([encode_account(account) for account in accounts])
    except (OverflowError, AttributeError, TypeError, struct.error) as error:
        raise _explain(accounts, _ACCOUNT_LIMITS) from error


def encode_account(account: Account) -> bytes:
    """One account as a record."""
    return ACCOUNT.pack(
        account.id.to_bytes(16, "big"),
        account.debits_pending.to_bytes(16, "little"),
        account.debits_posted.to_bytes(16, "little"),
        account.credits_pending.to_bytes(16, "little"),
        account.credits_posted.to_bytes(16, "little"),
        account.user_data.to_bytes(16, "big"),
        account.unit,
        account.timestamp,
        account.code,
        account.flags,
        RESERVED,
    )


def encode_roots(roots: Sequence[LiabilityRoot]) -> bytes:
    """Requests as records; ParameterInvalid names the field that does not fit."""
    check_count(len(roots))
    for index, root in enumerate(roots):
        if not isinstance(root.root, bytes) or len(root.root) != ROOT_SIZE:
            raise ParameterInvalid(f"root of event {index} must be 32 bytes", param="root")
    try:
        return b"".join([encode_root(root) for root in roots])
    except (OverflowError, AttributeError, TypeError, struct.error) as error:
        raise _explain(roots, _ROOT_LIMITS) from error


def encode_root(root: LiabilityRoot) -> bytes:
    """One root as a record."""
    return ROOT.pack(
        root.id.to_bytes(16, "big"),
        root.root,
        root.total.to_bytes(16, "little"),
        root.epoch,
        root.leaves,
        root.sequence,
        _ROOT_RESERVED,
        root.unit,
        _ROOT_RESERVED,
        root.timestamp,
        _ROOT_RESERVED,
    )


def decode_root(record: bytes) -> LiabilityRoot:
    """One record as a root."""
    identifier, root, total, epoch, leaves, sequence, _, unit, _, timestamp, _ = ROOT.unpack(record)
    return LiabilityRoot(
        id=decode_id(identifier),
        root=root,
        total=int.from_bytes(total, "little"),
        epoch=epoch,
        leaves=leaves,
        unit=unit,
        sequence=sequence,
        timestamp=timestamp,
    )


def decode_transfer(record: bytes) -> Transfer:
    """One record as a transfer."""
    fields = TRANSFER.unpack(record)
    return Transfer(
        id=decode_id(fields[0]),
        debit_account_id=decode_id(fields[1]),
        credit_account_id=decode_id(fields[2]),
        amount=int.from_bytes(fields[3], "little"),
        pending_id=decode_id(fields[4]),
        user_data=decode_id(fields[5]),
        unit=fields[6],
        effective_at=fields[7],
        timestamp=fields[8],
        timeout_seconds=fields[9],
        code=fields[10],
        flags=TransferFlags(fields[11]),
    )


def decode_account(record: bytes) -> Account:
    """One record as an account."""
    fields = ACCOUNT.unpack(record)
    return Account(
        id=decode_id(fields[0]),
        debits_pending=int.from_bytes(fields[1], "little"),
        debits_posted=int.from_bytes(fields[2], "little"),
        credits_pending=int.from_bytes(fields[3], "little"),
        credits_posted=int.from_bytes(fields[4], "little"),
        user_data=decode_id(fields[5]),
        unit=fields[6],
        timestamp=fields[7],
        code=fields[8],
        flags=AccountFlags(fields[9]),
    )


def split(records: bytes, size: int = RECORD_SIZE) -> list[bytes]:
    """Cut concatenated records of one size apart."""
    return [records[start : start + size] for start in range(0, len(records), size)]


def encode_results(timestamps: Sequence[int], statuses: bytes) -> bytes:
    """The outcome of a batch: all timestamps (u64 each), then all statuses (u8 each)."""
    return struct.pack(f"<{len(timestamps)}Q", *timestamps) + statuses


def decode_results(results: bytes) -> tuple[tuple[int, ...], bytes]:
    """The timestamps and the statuses of a batch."""
    count = len(results) // 9
    return struct.unpack_from(f"<{count}Q", results), results[8 * count :]


def transfer_results(results: bytes) -> list[TransferResult]:
    """The outcome of a batch of transfers as objects."""
    timestamps, statuses = decode_results(results)
    names = _TRANSFER_STATUS
    return [
        TransferResult(names[status], timestamp)
        for status, timestamp in zip(statuses, timestamps, strict=True)
    ]


def account_results(results: bytes) -> list[AccountResult]:
    """The outcome of a batch of accounts as objects."""
    timestamps, statuses = decode_results(results)
    return [
        AccountResult(_ACCOUNT_STATUS[status], timestamp)
        for status, timestamp in zip(statuses, timestamps, strict=True)
    ]


def root_results(results: bytes) -> list[RootResult]:
    """The outcome of a batch of roots as objects."""
    timestamps, statuses = decode_results(results)
    return [
        RootResult(_ROOT_STATUS[status], timestamp)
        for status, timestamp in zip(statuses, timestamps, strict=True)
    ]


def check_count(count: int) -> None:
    """ParameterInvalid when a call holds more than ``BATCH_MAX`` events."""
    if count > BATCH_MAX:
        raise ParameterInvalid(f"a batch holds at most {BATCH_MAX} events, not {count}; split it")


_TRANSFER_LIMITS = {
    "id": ID_MAX,
    "debit_account_id": ID_MAX,
    "credit_account_id": ID_MAX,
    "amount": AMOUNT_MAX,
    "pending_id": ID_MAX,
    "user_data": ID_MAX,
    "unit": UNIT_MAX,
    "effective_at": (1 << 64) - 1,
    "timestamp": (1 << 64) - 1,
    "timeout_seconds": (1 << 32) - 1,
    "code": (1 << 16) - 1,
    "flags": (1 << 16) - 1,
}
_ACCOUNT_LIMITS = {
    "id": ID_MAX,
    "debits_pending": AMOUNT_MAX,
    "debits_posted": AMOUNT_MAX,
    "credits_pending": AMOUNT_MAX,
    "credits_posted": AMOUNT_MAX,
    "user_data": ID_MAX,
    "unit": UNIT_MAX,
    "timestamp": (1 << 64) - 1,
    "code": (1 << 16) - 1,
    "flags": (1 << 16) - 1,
}
_ROOT_LIMITS = {
    "id": ID_MAX,
    "total": AMOUNT_MAX,
    "epoch": (1 << 64) - 1,
    "leaves": (1 << 64) - 1,
    "unit": UNIT_MAX,
    "sequence": (1 << 64) - 1,
    "timestamp": (1 << 64) - 1,
}


def _explain(events: Iterable[object], limits: dict[str, int]) -> ParameterInvalid:
    """Say which field of which event does not fit its record."""
    for index, event in enumerate(events):
        for field, maximum in limits.items():
            value = getattr(event, field, None)
            if not isinstance(value, int) or not 0 <= value <= maximum:
                return ParameterInvalid(
                    f"{field} of event {index} must be a whole number from 0 to {maximum},"
                    f" not {value!r}",
                    param=field,
                )
    return ParameterInvalid("an event does not fit its record")
