"""A count of its own for ``sakk ledger verify``: what the journal says was moved, added up.

It knows no rules and shares nothing with the machines or the projection. It takes each row's
requests and results at their word, keeps every account's totals and the holds that are open, and
says which rows the projection must have written, as lines (``sakk.store.projection.lines``).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sakk.ledger.group import RESOLVED, Kind, Outcome, Request
from sakk.ledger.journal import Group
from sakk.ledger.record import ACCOUNT, ID_ZERO, TRANSFER, decode_results
from sakk.ledger.rules import PENDING, POST, SETTLING
from sakk.ledger.types import AccountFlags
from sakk.store.journal import JournalRow

HISTORY = AccountFlags.history.value


@dataclass(slots=True)
class Counted:
    """An account's totals."""

    text: str  # its id as a UUID
    history: bool
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0

    @property
    def totals(self) -> tuple[int, int, int, int]:
        return self.debits_pending, self.debits_posted, self.credits_pending, self.credits_posted


@dataclass(frozen=True, slots=True)
class _Hold:
    """An open hold, and what its post or void inherits."""

    text: str
    debit_id: bytes
    credit_id: bytes
    amount: int
    unit: int
    code: int
    user_data: bytes


@dataclass(slots=True)
class Moved:
    """What one row of the journal comes to. Lines stand in the order of their keys."""

    # A created transfer's line; of a hold without its status, which only the end tells.
    transfers: list[tuple[str, bool]] = field(default_factory=list)
    entries: list[str] = field(default_factory=list)
    balances: dict[tuple[int, str], str] = field(default_factory=dict)
    # Holds that ended: the transfer's id as a UUID, and how.
    settled: list[tuple[str, str]] = field(default_factory=list)
    # Of each created transfer: id, amount, ledger's time.
    amounts: list[tuple[bytes, int, int]] = field(default_factory=list)


class Count:
    """Add the journal's rows in order; KeyError where one names what was never created."""

    def __init__(self) -> None:
        self.accounts: dict[bytes, Counted] = {}
        self._holds: dict[bytes, _Hold] = {}

    def add(self, row: JournalRow, group: Group) -> Moved:
        moved = Moved()
        before = row.timestamp_ns - row.count
        for identifier in group.expired:
            hold = self._release(moved, identifier, "expired")
            self._note(moved, hold.debit_id, hold.credit_id, before)
        for request, outcome in zip(group.requests, group.outcomes, strict=True):
            if request.kind is Kind.create_accounts:
                self._add_accounts(request, outcome)
            elif request.kind is Kind.create_transfers:
                for fields, amount, timestamp in _created(request, outcome):
                    self._add_transfer(moved, row.sequence, fields, amount, timestamp)
        return moved

    def _add_accounts(self, request: Request, outcome: Outcome) -> None:
        _, statuses = decode_results(outcome.results)
        events = zip(ACCOUNT.iter_unpack(request.records), statuses, strict=True)
        for fields, status in events:
            if not status:
                self.accounts[fields[0]] = Counted(uuid_text(fields[0]), bool(fields[9] & HISTORY))

    def _add_transfer(
        self, moved: Moved, sequence: int, fields: tuple[Any, ...], amount: int, timestamp: int
    ) -> None:
        (identifier, debit_id, credit_id, _, pending_id, user_data, unit, effective_at, _,
         timeout, code, flags) = fields  # fmt: skip
        status = "posted"
        if flags & SETTLING:
            status = "posted" if flags & POST else "voided"
            hold = self._release(moved, pending_id, status)
            debit_id, credit_id, unit, code = hold.debit_id, hold.credit_id, hold.unit, hold.code
            user_data = hold.user_data if user_data == ID_ZERO else user_data
        debit, credit = self.accounts[debit_id], self.accounts[credit_id]
        text, effective_at = uuid_text(identifier), effective_at or timestamp
        line = (
            f"{timestamp} {text} {sequence} {effective_at} {debit.text} {credit.text} {amount}"
            f" {unit} {code} {flags} {timeout} {_uuid_text(user_data)}"
            f" {'-' if pending_id == ID_ZERO else uuid_text(pending_id)}"
        )
        pending = bool(flags & PENDING)
        moved.transfers.append((line if pending else f"{line} {status}", pending))
        moved.amounts.append((identifier, amount, timestamp))
        if pending:
            debit.debits_pending += amount
            credit.credits_pending += amount
            self._holds[identifier] = _Hold(
                text, debit_id, credit_id, amount, unit, code, user_data
            )
        elif status == "posted":
            debit.debits_posted += amount
            credit.credits_posted += amount
            if amount:
                lines = [
                    _entry(timestamp, debit, effective_at, -amount),
                    _entry(timestamp, credit, effective_at, amount),
                ]
                moved.entries += lines if debit.text < credit.text else reversed(lines)
        self._note(moved, debit_id, credit_id, timestamp)

    def _release(self, moved: Moved, identifier: bytes, status: str) -> _Hold:
        hold = self._holds.pop(identifier)
        self.accounts[hold.debit_id].debits_pending -= hold.amount
        self.accounts[hold.credit_id].credits_pending -= hold.amount
        moved.settled.append((hold.text, status))
        return hold

    def _note(self, moved: Moved, debit_id: bytes, credit_id: bytes, timestamp: int) -> None:
        """The four totals now, of accounts with history."""
        for identifier in (debit_id, credit_id):
            account = self.accounts[identifier]
            if account.history:
                totals = " ".join(map(str, account.totals))
                moved.balances[timestamp, account.text] = f"{timestamp} {account.text} {totals}"


def _created(request: Request, outcome: Outcome) -> Iterator[tuple[tuple[Any, ...], int, int]]:
    """The fields of each transfer that a request created, what it moved, and when."""
    timestamps, statuses = decode_results(outcome.results)
    moved = dict(RESOLVED.iter_unpack(outcome.resolved))
    for index, fields in enumerate(TRANSFER.iter_unpack(request.records)):
        if not statuses[index]:
            amount = int.from_bytes(moved.get(index, fields[3]), "little")
            yield fields, amount, timestamps[index]


def _entry(timestamp: int, account: Counted, effective_at: int, amount: int) -> str:
    balance = account.credits_posted - account.debits_posted
    return f"{timestamp} {account.text} {effective_at} {amount} {balance}"


def uuid_text(identifier: bytes) -> str:
    """16 bytes as PostgreSQL writes a uuid."""
    digits = identifier.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


_NO_USER_DATA = uuid_text(ID_ZERO)


def _uuid_text(user_data: bytes) -> str:
    return _NO_USER_DATA if user_data == ID_ZERO else uuid_text(user_data)
