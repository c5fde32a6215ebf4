"""A count of its own for ``sakk ledger verify``: what the journal says was moved, added up.

It knows no rules and shares nothing with the machines or the projection. It takes each row's
requests and results at their word, keeps every account's totals and the holds that are open, and
says which rows the projection must have written, as lines (``sakk.store.projection.lines``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sakk.core.charge import EVENT
from sakk.core.chart import TransferCode
from sakk.core.ledger import is_charts
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
    """An open hold, and what its post or void inherits. ``timeout``: of a charge, else None."""

    text: str
    debit_id: bytes
    credit_id: bytes
    amount: int
    unit: int
    code: int
    user_data: bytes
    timestamp: int
    timeout: int | None


@dataclass(slots=True)
class _Charges:
    """The charges between two accounts, so far in a row of the journal."""

    unit: int
    amount: int = 0
    timestamp: int = 0
    identifier: bytes = b""
    packed: bytes = b""


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
        self._charges: dict[tuple[bytes, bytes], _Charges] = {}

    def open_charges(self) -> Iterator[str]:
        """The lines of the charges that stand open now."""
        for identifier in sorted(self._holds):
            hold = self._holds[identifier]
            if hold.timeout is not None:
                debit, credit = (
                    self.accounts[side].text for side in (hold.debit_id, hold.credit_id)
                )
                yield (
                    f"{hold.text} {hold.unit} {debit} {credit} {hold.amount}"
                    f" {uuid_text(hold.user_data)} {hold.timestamp} {hold.timeout}"
                )

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
        self._tell_charges(moved, row.sequence, list(self._charges))
        # Charges were told later than they happened.
        moved.transfers.sort(key=_time)
        moved.entries.sort(key=lambda line: _time((line, False)))
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
            if hold.timeout is not None and not effective_at:
                self._add_charge(hold, fields, amount, timestamp)
                moved.amounts.append((identifier, amount, timestamp))
                return
            user_data = hold.user_data if user_data == ID_ZERO else user_data
        elif self._is_charge(fields):
            self._hold(fields, amount, timestamp, timeout)
            self._add_charge(self._holds[identifier], fields, amount, timestamp)
            moved.amounts.append((identifier, amount, timestamp))
            return
        debit, credit = self.accounts[debit_id], self.accounts[credit_id]
        text, effective_at = uuid_text(identifier), effective_at or timestamp
        line = (
            f"{timestamp} {text} {sequence} {effective_at} {debit.text} {credit.text} {amount}"
            f" {unit} {code} {flags} {timeout} {_uuid_text(user_data)}"
            f" {'-' if pending_id == ID_ZERO else uuid_text(pending_id)} -"
        )
        pending = bool(flags & PENDING)
        moved.transfers.append((line if pending else f"{line} {status}", pending))
        moved.amounts.append((identifier, amount, timestamp))
        if pending:
            self._hold(fields, amount, timestamp, None)
        elif status == "posted":
            if amount:
                # Charges on these accounts, before this, are told before this.
                sides = {debit_id, credit_id}
                self._tell_charges(moved, sequence, [k for k in self._charges if sides & set(k)])
            _post(moved, debit, credit, amount, timestamp, effective_at)
        self._note(moved, debit_id, credit_id, timestamp)

    def _hold(
        self, fields: tuple[Any, ...], amount: int, timestamp: int, timeout: int | None
    ) -> None:
        self.accounts[fields[1]].debits_pending += amount
        self.accounts[fields[2]].credits_pending += amount
        self._holds[fields[0]] = _Hold(
            uuid_text(fields[0]), fields[1], fields[2], amount, fields[6], fields[10], fields[5],
            timestamp, timeout,
        )  # fmt: skip

    def _is_charge(self, fields: tuple[Any, ...]) -> bool:
        """Is it told in a line with others: of the chart, and on accounts without history?"""
        sides = (self.accounts[fields[1]], self.accounts[fields[2]])
        return (
            fields[10] == TransferCode.channel_charge
            and fields[11] == PENDING
            and not fields[7]
            and is_charts(int.from_bytes(fields[0], "big"))
            and not any(side.history for side in sides)
        )

    def _add_charge(
        self, hold: _Hold, fields: tuple[Any, ...], amount: int, timestamp: int
    ) -> None:
        line = self._charges.setdefault((hold.debit_id, hold.credit_id), _Charges(hold.unit))
        line.packed += EVENT.pack(
            fields[0], amount.to_bytes(16, "little"), fields[5], hold.user_data, timestamp,
            fields[9], fields[11],
        )  # fmt: skip
        line.identifier, line.timestamp = fields[0], timestamp
        line.amount += amount if fields[11] & POST else 0

    def _tell_charges(
        self, moved: Moved, sequence: int, keys: Sequence[tuple[bytes, bytes]]
    ) -> None:
        """The lines of charges, each of which moves what its charges moved together."""
        for key in sorted(keys, key=lambda key: self._charges[key].timestamp):
            line = self._charges.pop(key)
            at = line.timestamp
            debit, credit = self.accounts[key[0]], self.accounts[key[1]]
            named = int.from_bytes(line.identifier, "big") | 3 << 64
            moved.transfers.append((
                f"{at} {uuid_text(named.to_bytes(16, 'big'))} {sequence} {at} {debit.text}"
                f" {credit.text} {line.amount} {line.unit} {int(TransferCode.channel_charge)} 0 0"
                f" {_NO_USER_DATA} - \\x{line.packed.hex()} posted",
                False,
            ))  # fmt: skip
            _post(moved, debit, credit, line.amount, at, at)

    def _release(self, moved: Moved, identifier: bytes, status: str) -> _Hold:
        hold = self._holds.pop(identifier)
        self.accounts[hold.debit_id].debits_pending -= hold.amount
        self.accounts[hold.credit_id].credits_pending -= hold.amount
        if hold.timeout is None:
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


def _post(
    moved: Moved, debit: Counted, credit: Counted, amount: int, timestamp: int, effective_at: int
) -> None:
    debit.debits_posted += amount
    credit.credits_posted += amount
    if amount:
        lines = [
            _entry(timestamp, debit, effective_at, -amount),
            _entry(timestamp, credit, effective_at, amount),
        ]
        moved.entries += lines if debit.text < credit.text else reversed(lines)


def _time(line: tuple[str, bool]) -> int:
    return int(line[0].partition(" ")[0])


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
