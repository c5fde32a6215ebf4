"""Charges in the projection: which transfers are told together, in one line a row of the journal.

A paid call is two transfers, and there are thousands a second between the same two accounts. As
rows of their own they cost PostgreSQL more than everything else that a call takes. So those between
two accounts in one row of the journal are one line of the statement: its amount is what they moved
together, its time is that of the last of them, and what each of them was is packed in it. A
movement of another kind on either account ends the line before it, so that each line's balance
is one that the ledger had. Where a line begins and ends follows from the journal alone.

A line says nothing of how its reservations end: open ones stand in a table of their own.
"""

from dataclasses import dataclass, field

from sakk.core.charge import EVENT
from sakk.core.chart import TransferCode
from sakk.core.ledger import OPERATOR_BIT
from sakk.ledger.record import ID_ZERO, TRANSFER
from sakk.ledger.rules import PENDING

CHARGE = int(TransferCode.channel_charge)
_OPERATOR_BYTE, _OPERATOR_MASK = 8, OPERATOR_BIT >> 56


@dataclass(slots=True)
class Line:
    """The charges between two accounts in one row of the journal, up to where it is."""

    debit_id: bytes
    credit_id: bytes
    unit: int
    amount: int = 0
    last_id: bytes = ID_ZERO
    timestamp_ns: int = 0
    events: list[bytes] = field(default_factory=list)

    def add(
        self,
        identifier: bytes,
        amount: int,
        user_data: bytes,
        request: bytes,
        timestamp_ns: int,
        timeout_seconds: int,
        flags: int,
    ) -> None:
        """The next event of one of its charges."""
        self.events.append(
            EVENT.pack(
                identifier,
                amount.to_bytes(16, "little"),
                user_data,
                request,
                timestamp_ns,
                timeout_seconds,
                flags,
            )
        )
        self.last_id, self.timestamp_ns = identifier, timestamp_ns


def is_charge(identifier: bytes, code: int, flags: int, effective_at_ns: int) -> bool:
    """Is a new transfer the reservation of a charge? Of the chart, and nothing else besides."""
    return (
        code == CHARGE
        and flags == PENDING
        and not effective_at_ns
        and not identifier[_OPERATOR_BYTE] & _OPERATOR_MASK
    )


def charge_record(
    identifier: bytes,
    debit_id: bytes,
    credit_id: bytes,
    amount: int,
    user_data: bytes,
    unit: int,
    timestamp_ns: int,
    timeout_seconds: int,
) -> bytes:
    """An open reservation of a charge as a book takes it: what it names as pending is itself."""
    return TRANSFER.pack(
        identifier, debit_id, credit_id, amount.to_bytes(16, "little"), identifier, user_data, unit,
        0, timestamp_ns, timeout_seconds, CHARGE, PENDING,
    )  # fmt: skip
