"""From the journal to rows: what a page of it comes to, in PostgreSQL's binary format.

A pure function of what the book holds and the journal's rows: no I/O, no clock. Plain Python, read
as the specification; ``sakk.ledger.compiled.rows`` makes the same bytes faster, and a test holds
them equal.

Entries and balances stand in the order of their accounts, so that those of one account come to lie
side by side and their indexes are filled from left to right. Charges become lines
(``sakk.ledger.charge``).
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from sakk.core.charge import line_id
from sakk.ledger.charge import CHARGE, Line, is_charge
from sakk.ledger.group import RESOLVED, Kind, Outcome, Request
from sakk.ledger.journal import Group, decode_group
from sakk.ledger.record import ACCOUNT, ID_SIZE, ID_ZERO, TRANSFER, decode_results, split
from sakk.ledger.rules import (
    CLOSING_CREDIT,
    CLOSING_DEBIT,
    FROZEN,
    PENDING,
    POST,
    SETTLING,
    VOID,
    AccountState,
)
from sakk.ledger.types import AccountFlags
from sakk.store.copy import INT4_OID, NUMERIC_OID, UUID_OID, array, numeric
from sakk.store.journal import JournalRow
from sakk.store.projection import Page, Settled

# What is kept between pages; what is not is read again when it is needed.
ACCOUNTS_KEPT_MAX = 262_144
HOLDS_KEPT_MAX = 131_072
HISTORY = AccountFlags.history.value
POSTED, OPEN, VOIDED, EXPIRED = "posted", "pending", "voided", "expired"

_TRANSFER_START = struct.Struct(">hi16siiiqiqiqi16si16s")
_TRANSFER_MIDDLE = struct.Struct(">iiiiiqi16s")
_ENTRY = struct.Struct(">hi16siqiiiq")
_BALANCE = struct.Struct(">hi16siqii")
_ACCOUNT_START = struct.Struct(">hi16sii")
_ACCOUNT_MIDDLE = struct.Struct(">iiiii16siq")
_OPEN_START = struct.Struct(">hi16siii16si16s")
_OPEN_END = struct.Struct(">i16siqiq")
_ID = struct.Struct(">i16s")
_INT4 = struct.Struct(">ii")
_NULL = b"\xff\xff\xff\xff"


def _word(text: str) -> bytes:
    return struct.pack(">i", len(text)) + text.encode()


_STATUS = {status: _word(status) for status in (POSTED, OPEN, VOIDED, EXPIRED)}


@dataclass(slots=True)
class _Hold:
    """An open hold. ``place``: of its row in the page under way, -1 when it was written before;
    ``row``: that row up to its status. ``timeout``: of a charge, -1 of another hold."""

    debit: bytes
    credit: bytes
    amount: int
    unit: int
    code: int
    flags: int
    user_data: bytes
    timestamp_ns: int
    place: int = -1
    row: bytes = b""
    timeout: int = -1

    @property
    def is_charge(self) -> bool:
        return self.timeout >= 0


class Book(Protocol):
    """One shard's totals and open holds as the rows show them, and the page under way.

    ``read`` rows of the journal; add the holds and then the accounts that it lacks; take the
    ``page``. When the page is not committed, ``forget`` everything. ``sequence``: the last row of
    the journal that was taken up, -1 when nothing is known.
    """

    @property
    def shard(self) -> int: ...

    @property
    def sequence(self) -> int: ...

    def forget(self) -> None:
        """Know nothing, as at the start."""
        ...

    def read(self, rows: Iterable[JournalRow]) -> None:
        """Take up the next rows of the journal; ValueError where a payload is none."""
        ...

    def missing_holds(self) -> list[bytes]:
        """Ids of holds that these rows settle and that neither they nor the book hold."""
        ...

    def add_holds(self, records: bytes) -> None:
        """Open holds that were written before, as 128-byte records with their timestamps; one of
        a charge's line names itself as pending."""
        ...

    def missing_accounts(self) -> list[bytes]:
        """Ids of accounts that these rows touch and that neither they nor the book hold."""
        ...

    def add_accounts(self, records: bytes) -> None:
        """Accounts that were written before, as 128-byte records with totals and timestamps."""
        ...

    def page(self) -> Page:
        """What the rows come to; KeyError where they build upon what was never written."""
        ...


def new_book(shard: int) -> Book:
    """An empty book: the compiled one where it is built."""
    try:
        from sakk.ledger.compiled import rows
    except ImportError:
        return ReferenceBook(shard)
    return rows.Book(shard)


class ReferenceBook:
    """``Book`` in plain Python."""

    def __init__(self, shard: int) -> None:
        self.shard = shard
        self.forget()

    def forget(self) -> None:
        self.sequence = -1
        self._accounts: dict[bytes, AccountState] = {}
        self._holds: dict[bytes, _Hold] = {}
        self._groups: list[tuple[JournalRow, Group]] = []
        self._begin()

    def _begin(self) -> None:
        self._transfers: list[bytes] = []
        self._entries: dict[bytes, list[bytes]] = {}
        self._balances: dict[bytes, dict[int, bytes]] = {}
        self._created: dict[bytes, None] = {}
        self._touched: dict[bytes, None] = {}
        self._settled: list[Settled] = []
        self._closed: list[bytes] = []
        self._lines: dict[tuple[bytes, bytes], Line] = {}

    def read(self, rows: Iterable[JournalRow]) -> None:
        self._groups = [(row, decode_group(row.payload)) for row in rows]

    def missing_holds(self) -> list[bytes]:
        wanted: dict[bytes, None] = {}
        opened: set[bytes] = set()
        for _, group in self._groups:
            wanted.update(dict.fromkeys(group.expired))
            for request, outcome in _transfers(group):
                statuses = outcome.results[8 * request.count :]
                for fields, status in zip(
                    TRANSFER.iter_unpack(request.records), statuses, strict=True
                ):
                    if status:
                        continue
                    if fields[11] & PENDING:
                        opened.add(fields[0])
                    elif fields[11] & SETTLING:
                        wanted[fields[4]] = None
        return [each for each in wanted if each not in opened and each not in self._holds]

    def add_holds(self, records: bytes) -> None:
        for fields in TRANSFER.iter_unpack(records):
            self._holds[fields[0]] = _Hold(
                debit=fields[1],
                credit=fields[2],
                amount=int.from_bytes(fields[3], "little"),
                unit=fields[6],
                code=fields[10],
                flags=fields[11],
                user_data=fields[5],
                timestamp_ns=fields[8],
                timeout=fields[9] if fields[4] == fields[0] else -1,
            )

    def missing_accounts(self) -> list[bytes]:
        wanted: dict[bytes, None] = {}
        created: set[bytes] = set()
        settled: list[bytes] = []
        for _, group in self._groups:
            settled += group.expired
            for request, outcome in zip(group.requests, group.outcomes, strict=True):
                statuses = outcome.results[8 * request.count :]
                if request.kind is Kind.create_accounts:
                    # One that exists already was written with an earlier page, if not by this one.
                    records = split(request.records)
                    created.update(
                        record[:ID_SIZE]
                        for record, status in zip(records, statuses, strict=True)
                        if not status
                    )
                if request.kind is not Kind.create_transfers:
                    continue
                for fields, status in zip(
                    TRANSFER.iter_unpack(request.records), statuses, strict=True
                ):
                    if status:
                        continue
                    if fields[11] & SETTLING:
                        settled.append(fields[4])
                    else:
                        wanted[fields[1]] = wanted[fields[2]] = None
        for identifier in settled:
            hold = self._holds.get(identifier)
            if hold is not None:
                wanted[hold.debit] = wanted[hold.credit] = None
        return [each for each in wanted if each not in created and each not in self._accounts]

    def add_accounts(self, records: bytes) -> None:
        for fields in ACCOUNT.iter_unpack(records):
            account = AccountState(
                fields[0], fields[6], fields[8], fields[9], fields[5], fields[7], fields[9],
                *(int.from_bytes(total, "little") for total in fields[1:5]),
            )  # fmt: skip
            self._accounts[account.id] = account

    def page(self) -> Page:
        for row, group in self._groups:
            first = row.timestamp_ns - row.count + 1
            for identifier in group.expired:
                self._release(identifier, EXPIRED, first - 1)
            for request, outcome in zip(group.requests, group.outcomes, strict=True):
                if request.kind is Kind.create_accounts:
                    self._add_accounts(request, outcome)
                elif request.kind is Kind.create_transfers:
                    self._add_transfers(row.sequence, request, outcome)
            self._end_lines(row.sequence, self._lines)
            self.sequence = row.sequence
        page = self._take()
        self._groups = []
        self._begin()
        if len(self._accounts) > ACCOUNTS_KEPT_MAX:
            self._accounts.clear()
        if len(self._holds) > HOLDS_KEPT_MAX:
            self._holds.clear()
        return page

    def _add_accounts(self, request: Request, outcome: Outcome) -> None:
        timestamps, statuses = decode_results(outcome.results)
        events = zip(ACCOUNT.iter_unpack(request.records), timestamps, statuses, strict=True)
        for fields, timestamp, status in events:
            if status:
                continue
            self._created[fields[0]] = None
            self._accounts[fields[0]] = AccountState(
                fields[0], fields[6], fields[8], fields[9], fields[5], timestamp, fields[9]
            )

    def _add_transfers(self, sequence: int, request: Request, outcome: Outcome) -> None:
        timestamps, statuses = decode_results(outcome.results)
        moved = dict(RESOLVED.iter_unpack(outcome.resolved))
        events = zip(TRANSFER.iter_unpack(request.records), timestamps, statuses, strict=True)
        for index, (fields, timestamp_ns, status) in enumerate(events):
            if status:
                continue
            (identifier, debit_id, credit_id, asked, pending_id, user_data, unit, effective_at_ns,
             _, timeout, code, flags) = fields  # fmt: skip
            amount = int.from_bytes(moved.get(index, asked), "little")
            became = OPEN if flags & PENDING else POSTED
            if flags & SETTLING:
                became = POSTED if flags & POST else VOIDED
                hold = self._release(pending_id, became, timestamp_ns)
                debit_id, credit_id, unit, code = hold.debit, hold.credit, hold.unit, hold.code
                if hold.is_charge and not effective_at_ns:
                    line = self._line(hold)
                    line.add(identifier, amount, user_data, hold.user_data, timestamp_ns, 0, flags)
                    if flags & POST:
                        line.amount += amount
                    continue
                if user_data == ID_ZERO:
                    user_data = hold.user_data
            elif self._opens_charge(fields):
                hold = _Hold(
                    debit_id, credit_id, amount, unit, code, flags, user_data, timestamp_ns,
                    place=0, timeout=timeout,
                )  # fmt: skip
                self._holds[identifier] = hold
                self._line(hold).add(
                    identifier, amount, user_data, user_data, timestamp_ns, timeout, flags
                )
                self._move(debit_id, credit_id, amount, flags, timestamp_ns, timestamp_ns)
                continue
            self._end_lines_of(sequence, debit_id, credit_id, amount, flags)
            effective_at_ns = effective_at_ns or timestamp_ns
            row = b"".join(
                (
                    _TRANSFER_START.pack(
                        16, 16, identifier, 4, self.shard, 8, sequence, 8, timestamp_ns,
                        8, effective_at_ns, 16, debit_id, 16, credit_id,
                    ),
                    numeric(amount),
                    _unit(unit),
                    _TRANSFER_MIDDLE.pack(4, code, 4, flags, 8, timeout, 16, user_data),
                    _NULL if pending_id == ID_ZERO else _ID.pack(16, pending_id),
                    _NULL,
                )
            )  # fmt: skip
            if became is OPEN:
                self._holds[identifier] = _Hold(
                    debit_id, credit_id, amount, unit, code, flags, user_data, timestamp_ns,
                    place=len(self._transfers), row=row,
                )  # fmt: skip
            self._transfers.append(row + _STATUS[became])
            self._move(debit_id, credit_id, amount, flags, timestamp_ns, effective_at_ns)

    def _opens_charge(self, fields: tuple[Any, ...]) -> bool:
        identifier, debit_id, credit_id, effective_at_ns, code, flags = (
            fields[index] for index in (0, 1, 2, 7, 10, 11)
        )
        # Totals after each change are rows of their own, so each change has one.
        return is_charge(identifier, code, flags, effective_at_ns) and not (
            (self._accounts[debit_id].flags | self._accounts[credit_id].flags) & HISTORY
        )

    def _line(self, hold: _Hold) -> Line:
        """The line to which a charge of this row of the journal comes."""
        key = hold.debit, hold.credit
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line(*key, hold.unit)
        return line

    def _end_lines_of(
        self, sequence: int, debit_id: bytes, credit_id: bytes, amount: int, flags: int
    ) -> None:
        """Before another movement on one of these accounts."""
        if amount and not flags & (PENDING | VOID):
            sides = {debit_id, credit_id}
            self._end_lines(sequence, [key for key in self._lines if sides & set(key)])

    def _end_lines(self, sequence: int, keys: Iterable[tuple[bytes, bytes]]) -> None:
        """Write lines in the order of their times: each moves what its charges moved together."""
        for line in sorted(map(self._lines.pop, list(keys)), key=lambda line: line.timestamp_ns):
            at = line.timestamp_ns
            packed = b"".join(line.events)
            self._transfers.append(
                _TRANSFER_START.pack(
                    16, 16, line_id(line.last_id), 4, self.shard, 8, sequence, 8, at, 8, at,
                    16, line.debit_id, 16, line.credit_id,
                )
                + numeric(line.amount)
                + _unit(line.unit)
                + _TRANSFER_MIDDLE.pack(4, CHARGE, 4, 0, 8, 0, 16, ID_ZERO)
                + _NULL
                + struct.pack(">i", len(packed)) + packed
                + _STATUS[POSTED]
            )  # fmt: skip
            self._move(line.debit_id, line.credit_id, line.amount, 0, at, at)

    def _move(
        self,
        debit_id: bytes,
        credit_id: bytes,
        amount: int,
        flags: int,
        timestamp_ns: int,
        effective_at_ns: int,
    ) -> None:
        """Change the totals as a created transfer does, and write its entries."""
        debit, credit = self._accounts[debit_id], self._accounts[credit_id]
        if flags & PENDING:
            debit.debits_pending += amount
            credit.credits_pending += amount
            if flags & CLOSING_DEBIT:
                debit.flags |= FROZEN
            if flags & CLOSING_CREDIT:
                credit.flags |= FROZEN
        elif amount and not (flags & SETTLING and not flags & POST):
            debit.debits_posted += amount
            credit.credits_posted += amount
            for account, signed in ((debit, -amount), (credit, amount)):
                entry = (
                    _ENTRY.pack(
                        6, 16, account.id, 8, timestamp_ns, 4, self.shard, 8, effective_at_ns
                    )
                    + numeric(signed)
                    + numeric(account.credits_posted - account.debits_posted)
                )
                self._entries.setdefault(account.id, []).append(entry)
        self._touch(debit, timestamp_ns)
        self._touch(credit, timestamp_ns)

    def _release(self, identifier: bytes, status: str, timestamp_ns: int) -> _Hold:
        """Take an ended hold off its accounts, and say in its row what became of it."""
        hold = self._holds.pop(identifier)
        if hold.is_charge:
            if hold.place < 0:
                self._closed.append(identifier)
        elif hold.place < 0:
            self._settled.append(Settled(hold.timestamp_ns, status))
        else:
            self._transfers[hold.place] = hold.row + _STATUS[status]
        debit, credit = self._accounts[hold.debit], self._accounts[hold.credit]
        debit.debits_pending -= hold.amount
        credit.credits_pending -= hold.amount
        if hold.flags & CLOSING_DEBIT:
            debit.flags &= ~FROZEN
        if hold.flags & CLOSING_CREDIT:
            credit.flags &= ~FROZEN
        self._touch(debit, timestamp_ns)
        self._touch(credit, timestamp_ns)
        return hold

    def _touch(self, account: AccountState, timestamp_ns: int) -> None:
        self._touched[account.id] = None
        if account.flags & HISTORY:
            self._balances.setdefault(account.id, {})[timestamp_ns] = _BALANCE.pack(
                7, 16, account.id, 8, timestamp_ns, 4, self.shard
            ) + b"".join(_totals(account))

    def _take(self) -> Page:
        opened = [
            self._open_row(key, hold)
            for key, hold in self._holds.items()
            if hold.is_charge and hold.place >= 0
        ]
        for hold in self._holds.values():
            hold.place, hold.row = -1, b""
        entries = [row for key in sorted(self._entries) for row in self._entries[key]]
        balances = [row for key in sorted(self._balances) for row in self._balances[key].values()]
        before = [self._accounts[key] for key in sorted(self._touched) if key not in self._created]
        totals: list[bytes] = []
        if before:
            totals = [
                array(UUID_OID, [_ID.pack(16, each.id) for each in before]),
                array(INT4_OID, [_INT4.pack(4, each.flags) for each in before]),
                *(array(NUMERIC_OID, column) for column in zip(*map(_totals, before), strict=True)),
            ]
        rows = len(self._transfers) + len(entries) + len(balances)
        return Page(
            transfers=b"".join(self._transfers),
            entries=b"".join(entries),
            balances=b"".join(balances),
            accounts=b"".join(self._account_row(self._accounts[key]) for key in self._created),
            totals=totals,
            settled=self._settled,
            opened=b"".join(opened),
            closed=self._closed,
            rows=rows + sum(map(len, (self._created, before, self._settled, opened, self._closed))),
        )

    def _open_row(self, identifier: bytes, hold: _Hold) -> bytes:
        return b"".join(
            (
                _OPEN_START.pack(9, 16, identifier, 4, self.shard, 16, hold.debit, 16, hold.credit),
                numeric(hold.amount),
                _unit(hold.unit),
                _OPEN_END.pack(16, hold.user_data, 8, hold.timestamp_ns, 8, hold.timeout),
            )
        )

    def _account_row(self, account: AccountState) -> bytes:
        return b"".join(
            (
                _ACCOUNT_START.pack(11, 16, account.id, 4, self.shard),
                _unit(account.unit),
                _ACCOUNT_MIDDLE.pack(
                    4, account.code, 4, account.flags, 16, account.user_data, 8, account.timestamp
                ),
                *_totals(account),
            )
        )


def _totals(account: AccountState) -> tuple[bytes, bytes, bytes, bytes]:
    return (
        numeric(account.debits_pending),
        numeric(account.debits_posted),
        numeric(account.credits_pending),
        numeric(account.credits_posted),
    )


def _transfers(group: Group) -> Iterable[tuple[Request, Outcome]]:
    for request, outcome in zip(group.requests, group.outcomes, strict=True):
        if request.kind is Kind.create_transfers:
            yield request, outcome


@lru_cache(maxsize=1024)
def _unit(unit: int) -> bytes:
    return numeric(unit)
