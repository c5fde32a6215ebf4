"""The reference machine: the ledger's rules in plain Python, read as their specification.

A pure function of (state, group of requests, journal time): no clock, no I/O, no randomness. The
same journal gives the same state, the same results and the same bytes on every machine.

Requests arrive as 128-byte records (``sakk.ledger.record``). A group's ``timestamp`` is the time
of its last event; the events before it stand one nanosecond apart, so every event of a shard has
a time of its own. Before a group's first event, holds whose time is over are released.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sakk.ledger.group import (
    EXPIRED_MAX,
    NANOSECONDS,
    RESOLVED,
    GroupOutcome,
    Kind,
    Outcome,
    Request,
)
from sakk.ledger.record import (
    ACCOUNT,
    ID_INT_MAX,
    ID_SIZE,
    ID_ZERO,
    NEVER_SEEN,
    NO_RECORD,
    RECORD_SIZE,
    RESERVED,
    TRANSFER,
    encode_results,
    split,
)
from sakk.ledger.root import Roots
from sakk.ledger.rules import (
    ACCOUNT_FLAGS,
    CLOSING,
    CLOSING_CREDIT,
    CLOSING_DEBIT,
    CREDIT_LIMIT,
    DEBIT_LIMIT,
    FROZEN,
    LINKED,
    PENDING,
    POST,
    SETTLING,
    VOID,
    AccountState,
    Fields,
    Hold,
    account_record,
    balanced,
    chains,
    difference,
    exclusive,
    exhausted_status,
    limits_status,
    malformed_status,
    same,
    settled_amount,
    stamp,
    timestamp_of,
    totals_of,
    totals_status,
)
from sakk.ledger.state import FrozenReference
from sakk.ledger.types import (
    AMOUNT_MAX,
    TIMESTAMP_MAX,
    CreateAccountStatus,
    CreateTransferStatus,
)

S = CreateTransferStatus
A = CreateAccountStatus


@dataclass(frozen=True, slots=True)
class _Undo:
    """What one applied transfer changed, so that its chain can be taken back."""

    settled: bytes | None
    accounts: tuple[tuple[AccountState, int, int, int, int, int], ...]


class ReferenceMachine:
    """``sakk.ledger.machine.Machine`` in plain Python."""

    def __init__(self) -> None:
        self.timestamp = 0
        self.accounts: dict[bytes, AccountState] = {}
        # Records as they took effect (amount, accounts, timestamp), in the order of creation.
        self.transfers: dict[bytes, bytes] = {}
        # Records as they were asked for, where the effect differs: for comparing repeats.
        self.requested: dict[bytes, bytes] = {}
        self.rejected: dict[bytes, tuple[int, bytes]] = {}
        self.holds: dict[bytes, int] = {}
        self.roots = Roots()
        self._expiries: list[tuple[int, int, bytes]] = []
        # What the chain under way applied so far, by transfer id.
        self._undo: dict[bytes, _Undo] = {}

    # What the writer calls

    def apply(self, requests: Sequence[Request], timestamp: int) -> GroupOutcome:
        """Apply a group at a journal time later than every time before it."""
        first = timestamp - sum(request.count for request in requests) + 1
        if not self.timestamp < min(first, timestamp) <= timestamp <= TIMESTAMP_MAX:
            raise ValueError("the journal's time must advance by at least one tick an event")
        expired = self._expire(first - 1)
        outcomes = []
        for request in requests:
            if request.kind is Kind.create_accounts:
                outcomes.append(self._create_accounts(request.records, first))
            elif request.kind is Kind.create_transfers:
                outcomes.append(self._create_transfers(request.records, first))
            elif request.kind is Kind.create_roots:
                outcomes.append(self.roots.create(request.records, first))
            else:
                # What is only kept: it stands in the journal, and changes nothing here.
                times = range(first, first + request.count)
                outcomes.append(Outcome(encode_results(times, bytes(request.count))))
            first += request.count
        self.timestamp = timestamp
        return GroupOutcome(expired, outcomes)

    def next_expiry(self) -> int | None:
        """When the next open hold runs out (ns), or None."""
        expiries = self._expiries
        while expiries and self.holds.get(expiries[0][2]) != Hold.open:
            heapq.heappop(expiries)
        return expiries[0][0] if expiries else None

    @property
    def account_count(self) -> int:
        return len(self.accounts)

    @property
    def last_epoch(self) -> int:
        return self.roots.last_epoch

    @property
    def transfer_count(self) -> int:
        return len(self.transfers)

    def lookup_account(self, identifier: bytes) -> bytes:
        account = self.accounts.get(identifier)
        return b"" if account is None else account_record(account, RESERVED)

    def lookup_transfer(self, identifier: bytes) -> bytes:
        return self.transfers.get(identifier, b"")

    def lookup_result(self, identifier: bytes) -> tuple[int, int] | None:
        record = self.transfers.get(identifier)
        if record is not None:
            return S.created.value, timestamp_of(record)
        refusal = self.rejected.get(identifier)
        return None if refusal is None else (refusal[0], timestamp_of(refusal[1]))

    def lookup_accounts(self, ids: bytes) -> bytes:
        return b"".join([self.lookup_account(each) or NO_RECORD for each in split(ids, ID_SIZE)])

    def lookup_transfers(self, ids: bytes) -> bytes:
        return b"".join([self.transfers.get(each, NO_RECORD) for each in split(ids, ID_SIZE)])

    def lookup_results(self, ids: bytes) -> bytes:
        results = [self.lookup_result(each) or (NEVER_SEEN, 0) for each in split(ids, ID_SIZE)]
        return encode_results(
            [timestamp for _, timestamp in results], bytes([status for status, _ in results])
        )

    def account_records(self) -> Iterator[bytes]:
        return (account_record(account, RESERVED) for account in self.accounts.values())

    def transfer_records(self) -> Iterator[bytes]:
        return iter(self.transfers.values())

    def freeze(self) -> FrozenReference:
        return FrozenReference(self)

    def dump(self) -> list[bytes]:
        return list(self.freeze().parts())

    # Time-outs

    def _expire(self, now: int) -> bytes:
        """Release holds that ran out by ``now``, oldest expiry first."""
        released: list[bytes] = []
        while len(released) < EXPIRED_MAX:
            expires_at = self.next_expiry()
            if expires_at is None or expires_at > now:
                break
            identifier = heapq.heappop(self._expiries)[2]
            self.holds[identifier] = Hold.expired
            self._release(TRANSFER.unpack(self.transfers[identifier]))
            released.append(identifier)
        return b"".join(released)

    def _release(self, pending: Fields) -> None:
        """Take a hold off its two accounts, and thaw what it froze."""
        debit, credit = self.accounts[pending[1]], self.accounts[pending[2]]
        amount = int.from_bytes(pending[3], "little")
        debit.debits_pending -= amount
        credit.credits_pending -= amount
        if pending[11] & CLOSING_DEBIT:
            debit.flags &= ~FROZEN
        if pending[11] & CLOSING_CREDIT:
            credit.flags &= ~FROZEN

    # Accounts

    def _create_accounts(self, records: bytes, first: int) -> Outcome:
        cut = split(records)
        timestamps = list(range(first, first + len(cut)))
        statuses = bytearray(len(cut))
        for start, end in chains([record[114] & LINKED for record in cut]):
            created: dict[bytes, None] = {}
            broken = existing = False
            for index in range(start, end):
                status = self._account_status(cut[index], created)
                if status == A.exists:
                    existing = True
                    timestamps[index] = self.accounts[cut[index][:16]].timestamp
                elif broken:
                    status = A.linked_event_failed
                elif index == end - 1 and cut[index][114] & LINKED:
                    status = A.linked_event_chain_open
                elif status == A.created:
                    self._add_account(cut[index], timestamps[index])
                    created[cut[index][:16]] = None
                broken = broken or status > A.exists
                statuses[index] = status
            if broken or (existing and created):
                for identifier in created:
                    del self.accounts[identifier]
                for index in range(start, end):
                    if statuses[index] == A.created:
                        statuses[index] = A.linked_event_failed
        return Outcome(encode_results(timestamps, bytes(statuses)))

    def _account_status(self, record: bytes, created: dict[bytes, None]) -> CreateAccountStatus:
        """The first rule, in order, that a new account breaks."""
        identifier, *totals, user_data, unit, timestamp, code, flags, reserved = ACCOUNT.unpack(
            record
        )
        for status, broken in (
            (A.timestamp_must_be_zero, timestamp),
            (A.reserved_field, reserved != RESERVED),
            (A.reserved_flag, flags & ~ACCOUNT_FLAGS),
            (A.id_must_not_be_zero, identifier == ID_ZERO),
            (A.id_must_not_be_int_max, identifier == ID_INT_MAX),
        ):
            if broken:
                return status
        there = self.accounts.get(identifier)
        if there is not None:
            for status, broken in (
                (A.id_repeated_in_chain, identifier in created),
                (A.exists_with_different_flags, flags != there.requested_flags),
                (A.exists_with_different_user_data, user_data != there.user_data),
                (A.exists_with_different_unit, unit != there.unit),
                (A.exists_with_different_code, code != there.code),
            ):
                if broken:
                    return status
            return A.exists
        both = DEBIT_LIMIT | CREDIT_LIMIT
        for status, broken in (
            (A.flags_are_mutually_exclusive, flags & both == both),
            (A.debits_pending_must_be_zero, totals[0] != ID_ZERO),
            (A.debits_posted_must_be_zero, totals[1] != ID_ZERO),
            (A.credits_pending_must_be_zero, totals[2] != ID_ZERO),
            (A.credits_posted_must_be_zero, totals[3] != ID_ZERO),
            (A.unit_must_not_be_zero, not unit),
            (A.code_must_not_be_zero, not code),
        ):
            if broken:
                return status
        return A.created

    def _add_account(self, record: bytes, timestamp: int) -> None:
        fields = ACCOUNT.unpack(record)
        identifier, user_data, unit, code, flags = (fields[i] for i in (0, 5, 6, 8, 9))
        self.accounts[identifier] = AccountState(
            identifier, unit, code, flags, user_data, timestamp, requested_flags=flags
        )

    # Transfers

    def _create_transfers(self, records: bytes, first: int) -> Outcome:
        count = len(records) // RECORD_SIZE
        timestamps = list(range(first, first + count))
        statuses = bytearray(count)
        stamped = split(stamp(records, timestamps))
        resolved: list[bytes] = []
        accounts, transfers, rejected = self.accounts, self.transfers, self.rejected
        chain_end = 0
        for index, fields in enumerate(TRANSFER.iter_unpack(records)):
            if index < chain_end:
                continue
            (identifier, debit_id, credit_id, amount_bytes, pending_id, _, unit, effective_at,
             timestamp, timeout, code, flags) = fields  # fmt: skip
            debit, credit = accounts.get(debit_id), accounts.get(credit_id)
            if not flags and debit is not None and credit is not None:
                # The short way: a plain transfer that breaks no rule, decided by one condition.
                # What it does not accept takes the long way, which knows the exact reason.
                amount = int.from_bytes(amount_bytes, "little")
                debits = debit.debits_pending + debit.debits_posted + amount
                credits = credit.credits_pending + credit.credits_posted + amount
                if (
                    debit is not credit
                    and amount
                    and code
                    and not (timestamp or timeout or effective_at > TIMESTAMP_MAX)
                    and debit.unit == unit == credit.unit
                    and pending_id == ID_ZERO
                    and debits <= AMOUNT_MAX
                    and credits <= AMOUNT_MAX
                    and not (debit.flags | credit.flags) & FROZEN
                    and not (debit.flags & DEBIT_LIMIT and debits > debit.credits_posted)
                    and not (credit.flags & CREDIT_LIMIT and credits > credit.debits_posted)
                    and identifier not in transfers
                    and identifier not in rejected
                    and identifier != ID_ZERO
                    and identifier != ID_INT_MAX
                ):
                    debit.debits_posted += amount
                    credit.credits_posted += amount
                    transfers[identifier] = stamped[index]
                    continue
            chain_end = index + 1
            while chain_end < count and records[chain_end * RECORD_SIZE - 2] & LINKED:
                chain_end += 1
            self._create_chain(records, stamped, (index, chain_end), timestamps, statuses, resolved)
        return Outcome(encode_results(timestamps, bytes(statuses)), b"".join(resolved))

    def _create_chain(
        self,
        records: bytes,
        stamped: list[bytes],
        span: tuple[int, int],
        timestamps: list[int],
        statuses: bytearray,
        resolved: list[bytes],
    ) -> None:
        """Create the events of one chain wholly or not at all; a single event is a chain of one.

        A chain stands if all its events are new and pass. A repeated one answers event by event
        as it did before. One that mixes new events with existing ones fails.
        """
        undo = self._undo = {}
        moved: list[bytes] = []
        fresh: list[int] = []
        broken = existing = False
        for index in range(*span):
            record = records[index * RECORD_SIZE : (index + 1) * RECORD_SIZE]
            fields = TRANSFER.unpack(record)
            status = malformed_status(fields)
            known = self._known(record) if status == S.created else None
            if known is not None:
                status, timestamps[index] = known
                existing = existing or status == S.exists
            elif broken:
                status = S.linked_event_failed
            elif index == span[1] - 1 and fields[11] & LINKED:
                status = S.linked_event_chain_open
            elif status == S.created:
                status, amount = self._create(fields, stamped[index], timestamps[index])
                if status == S.created and amount != fields[3]:
                    moved.append(RESOLVED.pack(index, amount))
            if known is None and malformed_status(fields) == S.created:
                fresh.append(index)
            broken = broken or status > S.exists
            statuses[index] = status
        if broken or (existing and undo):
            self._roll_back()
            for index in fresh:
                if statuses[index] == S.created:
                    statuses[index] = S.linked_event_failed
                self.rejected[stamped[index][:16]] = (statuses[index], stamped[index])
        else:
            resolved.extend(moved)
        self._undo = {}

    def _known(self, record: bytes) -> tuple[CreateTransferStatus, int] | None:
        """The answer to an id that was seen before this chain, or None."""
        identifier = record[:16]
        refusal = self.rejected.get(identifier)
        if refusal is not None:
            status = S(refusal[0]) if same(record, refusal[1]) else S.id_already_failed
            return status, timestamp_of(refusal[1])
        existing = self.transfers.get(identifier)
        if existing is None or identifier in self._undo:
            return None
        asked = self.requested.get(identifier, existing)
        return difference(TRANSFER.unpack(record), TRANSFER.unpack(asked)), timestamp_of(existing)

    def _create(
        self, fields: Fields, stamped: bytes, timestamp: int
    ) -> tuple[CreateTransferStatus, bytes]:
        """Check a new transfer against every rule in order, and apply it if it breaks none.

        Returns the status, and the amount that moved as 16 bytes.
        """
        flags = fields[11]
        if fields[0] in self._undo:
            return S.id_repeated_in_chain, ID_ZERO
        if exclusive(flags):
            return S.flags_are_mutually_exclusive, ID_ZERO
        if flags & SETTLING:
            return self._settle(fields, stamped, timestamp)
        status = self._body_status(fields)
        if status:
            return status, ID_ZERO
        debit, credit = self.accounts[fields[1]], self.accounts[fields[2]]
        wanted = int.from_bytes(fields[3], "little")
        amount = balanced(debit, credit, wanted, flags)
        status = totals_status(debit, credit, amount, pending=bool(flags & PENDING))
        if not status and timestamp + fields[9] * NANOSECONDS > TIMESTAMP_MAX:
            status = S.overflows_timeout
        if not status:
            status = limits_status(debit, credit, amount)
        if not status and wanted and not amount:
            status = exhausted_status(debit, flags)
        if status:
            return status, ID_ZERO
        self._undo[fields[0]] = _Undo(None, (totals_of(debit), totals_of(credit)))
        self._book(fields, debit, credit, amount)
        moved = amount.to_bytes(16, "little")
        self._store(fields, stamped, timestamp, (fields[1], fields[2], moved, *fields[5:7]))
        if flags & PENDING:
            self.expect_expiry(fields[0])
        return S.created, moved

    def _book(self, fields: Fields, debit: AccountState, credit: AccountState, amount: int) -> None:
        """Move the amount, or hold it; freeze what the flags close."""
        flags = fields[11]
        if flags & PENDING:
            debit.debits_pending += amount
            credit.credits_pending += amount
            self.holds[fields[0]] = Hold.open
        else:
            debit.debits_posted += amount
            credit.credits_posted += amount
        if flags & CLOSING_DEBIT:
            debit.flags |= FROZEN
        if flags & CLOSING_CREDIT:
            credit.flags |= FROZEN

    def _body_status(self, fields: Fields) -> CreateTransferStatus:
        """The first rule that a transfer which is no post or void breaks before totals count."""
        (_, debit_id, credit_id, amount, pending_id, _, unit, effective_at, _, timeout, code,
         flags) = fields  # fmt: skip
        debit, credit = self.accounts.get(debit_id), self.accounts.get(credit_id)
        for status, broken in (
            (S.debit_account_id_must_not_be_zero, debit_id == ID_ZERO),
            (S.debit_account_id_must_not_be_int_max, debit_id == ID_INT_MAX),
            (S.credit_account_id_must_not_be_zero, credit_id == ID_ZERO),
            (S.credit_account_id_must_not_be_int_max, credit_id == ID_INT_MAX),
            (S.accounts_must_be_different, debit_id == credit_id),
            (S.pending_id_must_be_zero, pending_id != ID_ZERO),
            (S.timeout_reserved_for_pending_transfer, timeout and not flags & PENDING),
            (S.closing_transfer_must_be_pending, flags & CLOSING and not flags & PENDING),
            (S.amount_must_not_be_zero, amount == ID_ZERO and not flags & CLOSING),
            (S.unit_must_not_be_zero, not unit),
            (S.code_must_not_be_zero, not code),
            (S.effective_at_out_of_range, effective_at > TIMESTAMP_MAX),
            (S.debit_account_not_found, debit is None),
            (S.credit_account_not_found, credit is None),
        ):
            if broken:
                return status
        assert debit is not None
        assert credit is not None
        if debit.unit != credit.unit:
            return S.accounts_must_have_the_same_unit
        if unit != debit.unit:
            return S.transfer_must_have_the_same_unit_as_accounts
        if debit.flags & FROZEN:
            return S.debit_account_frozen
        return S.credit_account_frozen if credit.flags & FROZEN else S.created

    def _settle(
        self, fields: Fields, stamped: bytes, timestamp: int
    ) -> tuple[CreateTransferStatus, bytes]:
        """Post or void a hold: check in order, release it, and move what is posted."""
        status = self._settle_status(fields, timestamp)
        if status:
            return status, ID_ZERO
        pending_id, flags = fields[4], fields[11]
        pending = TRANSFER.unpack(self.transfers[pending_id])
        debit, credit = self.accounts[pending[1]], self.accounts[pending[2]]
        self._undo[fields[0]] = _Undo(pending_id, (totals_of(debit), totals_of(credit)))
        amount = settled_amount(fields, pending)
        self._release(pending)
        if flags & POST:
            self.holds[pending_id] = Hold.posted
            debit.debits_posted += amount
            credit.credits_posted += amount
        else:
            self.holds[pending_id] = Hold.voided
        moved = amount.to_bytes(16, "little")
        user_data = pending[5] if fields[5] == ID_ZERO else fields[5]
        inherited = (pending[1], pending[2], moved, user_data, pending[6])
        self._store((*fields[:10], pending[10], flags), stamped, timestamp, inherited)
        return S.created, moved

    def _settle_status(self, fields: Fields, timestamp: int) -> CreateTransferStatus:
        """The first rule, in order, that a post or void breaks."""
        (identifier, debit_id, credit_id, amount_bytes, pending_id, _, unit, effective_at, _,
         timeout, code, flags) = fields  # fmt: skip
        for status, broken in (
            (S.pending_id_must_not_be_zero, pending_id == ID_ZERO),
            (S.pending_id_must_not_be_int_max, pending_id == ID_INT_MAX),
            (S.pending_id_must_be_different, pending_id == identifier),
            (S.timeout_reserved_for_pending_transfer, timeout),
            (S.amount_must_not_be_zero, flags & POST and amount_bytes == ID_ZERO),
            (S.effective_at_out_of_range, effective_at > TIMESTAMP_MAX),
            (S.pending_transfer_not_found, pending_id not in self.transfers),
            (S.pending_transfer_not_pending, pending_id not in self.holds),
        ):
            if broken:
                return status
        pending = TRANSFER.unpack(self.transfers[pending_id])
        debit, credit = self.accounts[pending[1]], self.accounts[pending[2]]
        amount, held = settled_amount(fields, pending), int.from_bytes(pending[3], "little")
        hold = self.holds[pending_id]
        expires_at = timestamp_of(self.transfers[pending_id]) + pending[9] * NANOSECONDS
        for status, broken in (
            (
                S.pending_transfer_has_different_debit_account_id,
                debit_id not in (ID_ZERO, pending[1]),
            ),
            (
                S.pending_transfer_has_different_credit_account_id,
                credit_id not in (ID_ZERO, pending[2]),
            ),
            (S.pending_transfer_has_different_unit, unit not in (0, pending[6])),
            (S.pending_transfer_has_different_code, code not in (0, pending[10])),
            (S.exceeds_pending_transfer_amount, amount > held),
            (S.pending_transfer_has_different_amount, flags & VOID and amount != held),
            (S.pending_transfer_already_posted, hold == Hold.posted),
            (S.pending_transfer_already_voided, hold == Hold.voided),
            (
                S.pending_transfer_expired,
                hold == Hold.expired or (pending[9] and timestamp >= expires_at),
            ),
            (S.debit_account_frozen, flags & POST and debit.flags & FROZEN),
            (S.credit_account_frozen, flags & POST and credit.flags & FROZEN),
        ):
            if broken:
                return status
        return S.created

    def _store(self, fields: Fields, stamped: bytes, timestamp: int, effect: Fields) -> None:
        """Keep a transfer as it took effect, and as it was asked for where that differs.

        ``effect``: debit account, credit account, amount, user data, unit. ``fields`` carries
        the code that took effect.
        """
        debit_id, credit_id, moved, user_data, unit = effect
        identifier = fields[0]
        record = TRANSFER.pack(
            identifier, debit_id, credit_id, moved, fields[4], user_data, unit, fields[7],
            timestamp, fields[9], fields[10], fields[11],
        )  # fmt: skip
        self.transfers[identifier] = record
        if record != stamped:
            self.requested[identifier] = stamped

    def _roll_back(self) -> None:
        """Take back what the chain under way applied, last first."""
        for identifier, undo in reversed(self._undo.items()):
            for account, *totals in undo.accounts:
                (account.debits_pending, account.debits_posted, account.credits_pending,
                 account.credits_posted, account.flags) = totals  # fmt: skip
            del self.transfers[identifier]
            self.requested.pop(identifier, None)
            self.holds.pop(identifier, None)
            if undo.settled is not None:
                self.holds[undo.settled] = Hold.open
                self.expect_expiry(undo.settled)

    def expect_expiry(self, identifier: bytes) -> None:
        """Queue an open hold's time-out."""
        fields = TRANSFER.unpack(self.transfers[identifier])
        if fields[9]:
            expires_at = fields[8] + fields[9] * NANOSECONDS
            heapq.heappush(self._expiries, (expires_at, fields[8], identifier))
