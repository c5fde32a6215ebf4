"""The ledger's interface over bytes: eight operations that a writer, a socket or a test can carry.

Requests of ``create_…`` and ``keep_…`` are 128-byte records, answers ``encode_results``. Those of
``lookup_…`` are 16-byte ids; answers hold one 128-byte record for each id (zeros where there is
none), or, for ``lookup_results``, ``encode_results`` with status 255 for an id never seen.
``lookup_vouchers`` knows what the projection may not have written yet (``sakk.ledger.voucher``).
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, Protocol

from sakk.core.errors import ParameterInvalid
from sakk.ledger.group import Kind
from sakk.ledger.record import (
    ID_SIZE,
    NEVER_SEEN,
    NO_RECORD,
    RECORD_SIZE,
    account_results,
    check_count,
    decode_account,
    decode_results,
    decode_transfer,
    encode_accounts,
    encode_ids,
    encode_roots,
    encode_transfers,
    root_results,
    split,
    transfer_results,
)
from sakk.ledger.types import (
    Account,
    AccountResult,
    CreateTransferStatus,
    LiabilityRoot,
    RootResult,
    Transfer,
    TransferResult,
)


class Op(IntEnum):
    """What is asked; the number stands on the wire."""

    create_accounts = 1
    create_transfers = 2
    lookup_accounts = 3
    lookup_transfers = 4
    lookup_results = 5
    create_roots = 6
    keep_vouchers = 7
    lookup_vouchers = 8

    @property
    def writes(self) -> bool:
        return self in _KINDS

    @property
    def kind(self) -> Kind:
        """What a writing operation is in the journal."""
        return _KINDS[self]

    @property
    def event_size(self) -> int:
        """Bytes of one event of the request."""
        return RECORD_SIZE if self.writes else ID_SIZE


_KINDS = {
    Op.create_accounts: Kind.create_accounts,
    Op.create_transfers: Kind.create_transfers,
    Op.create_roots: Kind.create_roots,
    Op.keep_vouchers: Kind.keep_vouchers,
}


class Calls(Protocol):
    """Something that answers operations; raises the errors of ``sakk.ledger.types``."""

    stopped: threading.Event

    def call(self, op: Op, body: bytes) -> bytes: ...

    def submit(self, op: Op, body: bytes) -> Future[bytes]:
        """The same without waiting; may raise at once. Callbacks must be short.

        What one thread submits is applied in its order: where a later create is answered, what was
        submitted before it is durable.
        """
        ...

    def close(self) -> None: ...


def count_events(op: Op, body: bytes) -> int:
    """How many events a request holds; ParameterInvalid if it is not whole, or too long."""
    count, rest = divmod(len(body), op.event_size)
    if rest:
        raise ParameterInvalid(f"a request is a whole number of {op.event_size} bytes an event")
    check_count(count)
    return count


@dataclass(frozen=True, slots=True)
class OpenLedger:
    """``sakk.ledger.types.Ledger`` over any ``Calls``."""

    calls: Calls

    @property
    def stopped(self) -> threading.Event:
        """Set when the ledger answers no more: closed, fenced off, or failed."""
        return self.calls.stopped

    def create_accounts(self, accounts: Sequence[Account]) -> list[AccountResult]:
        return account_results(self._call(Op.create_accounts, encode_accounts(accounts)))

    def create_transfers(self, transfers: Sequence[Transfer]) -> list[TransferResult]:
        return transfer_results(self._call(Op.create_transfers, encode_transfers(transfers)))

    def create_roots(self, roots: Sequence[LiabilityRoot]) -> list[RootResult]:
        return root_results(self._call(Op.create_roots, encode_roots(roots)))

    def lookup_accounts(self, ids: Sequence[int]) -> list[Account | None]:
        records = split(self._call(Op.lookup_accounts, encode_ids(ids)))
        return [None if record == NO_RECORD else decode_account(record) for record in records]

    def lookup_transfers(self, ids: Sequence[int]) -> list[Transfer | None]:
        records = split(self._call(Op.lookup_transfers, encode_ids(ids)))
        return [None if record == NO_RECORD else decode_transfer(record) for record in records]

    def lookup_results(self, ids: Sequence[int]) -> list[TransferResult | None]:
        answer = self._call(Op.lookup_results, encode_ids(ids))
        timestamps, statuses = decode_results(answer)
        return [
            None
            if status == NEVER_SEEN
            else TransferResult(CreateTransferStatus(status), timestamp)
            for status, timestamp in zip(statuses, timestamps, strict=True)
        ]

    def lookup_encoded(
        self, what: Literal["accounts", "transfers", "results", "vouchers"], ids: bytes
    ) -> bytes:
        return self._call(Op[f"lookup_{what}"], ids)

    def close(self) -> None:
        self.calls.close()

    def _call(self, op: Op, body: bytes) -> bytes:
        return self.calls.call(op, body) if body else b""
