"""Charges: one call's debit of a channel, reserved, then committed or released.

The ledger's ids of a charge are made of the session's handle and the nonce, so that whoever meets
the same call again, in whichever process, meets the same id, and so that a receipt can be read out
of the ledger: byte 0 to 7 are the handle and, in the two lowest bits, the step; byte 8 to 15 the
nonce, whose top bit is zero as in every id of the chart (``sakk.core.ledger``).

Bytes on the hot path are big-endian. An operation, 128 bytes: op u8 · zero · timeout in seconds
u16 · 4 zeros · nonce u64 · session 16 · amount u128 · request hash 32 · MAC 32 · currency 16
(ASCII, zeros behind); of a commit, the first 8 bytes of the request hash are the units, and an
amount of 2**128 - 1 is the whole. A result, 96 bytes: status u8 · 3 zeros · the payer's address 20
· the ledger's time u64 (ns) · amount u128 · receipt's MAC 32 · channel 16.

What the projection keeps of charges is a line for all those between two accounts in one row of the
journal, with their events packed in it, 80 bytes each: id 16 · amount u128 · user data 16 · the
reservation's user data 16 · time u64 (ns) · timeout u32 · flags u16 · 2 zeros, numbers
little-endian, as in the ledger's records.
"""

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from sakk.core.session import NONCE_MAX

OPERATIONS_MAX: Final = 1_024
OPERATION: Final = struct.Struct(">BxH4xQ16s16s32s32s16s")
RESULT: Final = struct.Struct(">B3x20sQ16s32s16s")
EVENT: Final = struct.Struct("<16s16s16s16sQIHxx")
AMOUNT_WHOLE: Final = (1 << 128) - 1
UNITS_MAX: Final = (1 << 64) - 1
TIMEOUT_SECONDS_DEFAULT: Final = 60
TIMEOUT_SECONDS_MAX: Final = 3_600
# The flag of the ledger's transfers that post a hold.
POST: Final = 1 << 2
# In the two bits of an id that say the step: none of them.
_LINE: Final = 3
# Of a commit's user data: so that no units used is something else than nothing said.
_UNITS_SAID: Final = 1 << 64


class Op(IntEnum):
    """What is asked; the number stands on the wire."""

    reserve = 1
    commit = 2
    release = 3


class Step(IntEnum):
    """Which of a charge's transfers it is; the number stands in its id, in the journal."""

    reserved = 0
    committed = 1
    released = 2


class Event(NamedTuple):
    """One step of a charge as the projection keeps it; ``request`` is the reservation's data."""

    id: int
    amount: int
    user_data: int
    request: int
    timestamp_ns: int
    timeout_seconds: int
    flags: int


class Reason(IntEnum):
    """Why an operation was refused, in the order in which it is judged; on the wire.

    ``malformed``: a field does not fit. ``session_unknown``: no such session, or another payee's.
    ``session_expired``: its time is over. ``mac_invalid``: not this payer's word for this call.
    ``currency_mismatch``: the channel is of another currency. ``over_limit``: the mandate allows
    more, or less, for one call. ``nonce_used``: this call was paid for before.
    ``ceiling_exceeded``: raise, and pay with a new nonce. ``channel_closed``: nothing more is
    charged on it. ``charge_unknown``: nothing was reserved under this nonce. ``charge_ended``: it
    was committed, released, or its time ran out. ``amount_exceeds_reserved``: a commit takes at
    most that.
    """

    done = 0
    malformed = 1
    session_unknown = 2
    session_expired = 3
    mac_invalid = 4
    currency_mismatch = 5
    over_limit = 6
    nonce_used = 7
    ceiling_exceeded = 8
    channel_closed = 9
    charge_unknown = 10
    charge_ended = 11
    amount_exceeds_reserved = 12


class Operation(NamedTuple):
    """One operation as it is asked for; ids as 16 bytes."""

    op: int
    session: bytes
    nonce: int
    amount: int
    timeout_seconds: int
    request_hash: bytes
    mac: bytes
    currency: bytes
    units: int


class Result(NamedTuple):
    """What became of an operation. ``timestamp``: the ledger's (ns); 0 where it was not asked."""

    reason: int
    payer: bytes = bytes(20)
    timestamp: int = 0
    amount: int = 0
    receipt: bytes = bytes(32)
    channel: bytes = bytes(16)


def charge_id(handle: int, nonce: int, step: Step) -> int:
    """The ledger's id of one step of a charge."""
    return handle << 66 | step << 64 | nonce


def read_charge_id(identifier: int) -> tuple[int, int, int]:
    """The handle, the nonce and the step in an id that `charge_id` made."""
    return identifier >> 66, identifier & NONCE_MAX, identifier >> 64 & 3


def reservation_of(identifier: int) -> int:
    """The id of the reservation that a step with this id ends."""
    return identifier & ~(_LINE << 64)


def line_id(identifier: bytes) -> bytes:
    """The id of the projection's line whose last event has this id: no transfer has it."""
    return identifier[:7] + bytes((identifier[7] | _LINE,)) + identifier[8:]


def read_events(packed: bytes) -> list[Event]:
    """The events of a line, in the ledger's order; ValueError where it is not whole."""
    if len(packed) % EVENT.size:
        raise ValueError(f"events are {EVENT.size} bytes each, not {len(packed)} bytes")
    return [
        Event(
            int.from_bytes(identifier, "big"),
            int.from_bytes(amount, "little"),
            int.from_bytes(user_data, "big"),
            int.from_bytes(request, "big"),
            *rest,
        )
        for identifier, amount, user_data, request, *rest in EVENT.iter_unpack(packed)
    ]


def units_data(units: int) -> int:
    """A commit's user data, by which its receipt says what was used."""
    return _UNITS_SAID | units


def read_units(user_data: int) -> int:
    """The units that `units_data` put there."""
    return user_data & UNITS_MAX


def read_operations(body: bytes) -> list[Operation]:
    """The operations in a body of records; ValueError if it is not whole, empty, or too long."""
    count, rest = divmod(len(body), OPERATION.size)
    if rest or not 0 < count <= OPERATIONS_MAX:
        raise ValueError(
            f"a body is 1 to {OPERATIONS_MAX} operations of {OPERATION.size} bytes each,"
            f" not {len(body)} bytes"
        )
    found = []
    for op, timeout, nonce, session, amount, asked, mac, currency in OPERATION.iter_unpack(body):
        units = int.from_bytes(asked[:8], "big") if op == Op.commit else 0
        found.append(
            Operation(
                op,
                session,
                nonce,
                int.from_bytes(amount, "big"),
                timeout or TIMEOUT_SECONDS_DEFAULT,
                asked,
                mac,
                currency,
                units,
            )
        )
    return found


def is_well_formed(operation: Operation) -> bool:
    """Do the fields fit? Of a reservation the amount is what is paid, of a commit what was used."""
    if operation.nonce > NONCE_MAX:
        return False
    match operation.op:
        case Op.reserve:
            return (
                0 < operation.amount < AMOUNT_WHOLE
                and 0 < operation.timeout_seconds <= TIMEOUT_SECONDS_MAX
            )
        case Op.commit:
            return operation.amount > 0
        case Op.release:
            return True
        case _:
            return False


def encode_operation(operation: Operation) -> bytes:
    """One operation as a record."""
    asked = operation.request_hash
    if operation.op == Op.commit:
        asked = operation.units.to_bytes(8, "big") + bytes(24)
    return OPERATION.pack(
        operation.op,
        operation.timeout_seconds,
        operation.nonce,
        operation.session,
        operation.amount.to_bytes(16, "big"),
        asked,
        operation.mac,
        operation.currency,
    )


def encode_result(result: Result) -> bytes:
    """One result as a record."""
    return RESULT.pack(
        result.reason,
        result.payer,
        result.timestamp,
        result.amount.to_bytes(16, "big"),
        result.receipt,
        result.channel,
    )


def decode_results(body: bytes) -> list[Result]:
    """The results in a body of records; ValueError if it is not whole."""
    if len(body) % RESULT.size:
        raise ValueError(f"results are {RESULT.size} bytes each, not {len(body)} bytes")
    return [
        Result(reason, payer, timestamp, int.from_bytes(amount, "big"), receipt, channel)
        for reason, payer, timestamp, amount, receipt, channel in RESULT.iter_unpack(body)
    ]
