# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""``CompiledMachine``: the ledger's state machine in C, with the reference machine's answers.

It shares no code with the reference: a differential test holds the two equal, and both against a
naive model. While a group is applied the interpreter's lock is released; the machine's own lock
keeps the parts of a snapshot that another thread reads apart from that.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.pythread cimport (
    PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock,
    PyThread_type_lock, WAIT_LOCK,
)
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from sakk.ledger.compiled.accounts cimport create_accounts
from sakk.ledger.compiled.chains cimport create_transfers, expire
from sakk.ledger.compiled.core cimport (
    RECORD_BYTES, Account, Core, Entry, account_at, entry_at, next_ending, write_account,
    write_record,
)
from sakk.ledger.compiled.index cimport find_slot, tag_of
from sakk.ledger.compiled.keyed cimport HashKey
from sakk.ledger.compiled.memory cimport (
    Arena, NONE, arena_at, arena_clear, arena_reserve, store_u64,
)
from sakk.ledger.compiled.room cimport close_core, open_core, reserve
from sakk.ledger.compiled.rules cimport TIMESTAMP_MAX
from sakk.ledger.compiled.state cimport read_account, settle_in
from sakk.ledger.compiled.statuses cimport T_created
from sakk.ledger.compiled.transfers cimport Job, find_account

from sakk.ledger.compiled.root import Roots
from sakk.ledger.frozen import HEADER, MAGIC, NO_STATE
from sakk.ledger.group import GroupOutcome, Outcome

cdef enum:
    ID_BYTES = 16
    RESULT_BYTES = 9
    NEVER_SEEN = 255
    CREATE_ACCOUNTS = 1
    CREATE_TRANSFERS = 2
    CREATE_ROOTS = 3
    # Items of a part; sakk.ledger.frozen has the same numbers, and its tests compare them.
    ACCOUNTS_A_PART = 1 << 14
    ENTRIES_A_PART = 1 << 17
    WORDS_A_PART = 1 << 17
    HOLDS_A_PART = 1 << 20
    ROOTS_A_PART = 1 << 14


cdef bytes kept(uint64_t count, uint64_t first):
    """Results of what is kept and judged by nobody: each at its time."""
    cdef bytes results = PyBytes_FromStringAndSize(NULL, count * RESULT_BYTES)
    cdef uint8_t *at = <uint8_t *>PyBytes_AS_STRING(results)
    cdef uint64_t index
    for index in range(count):
        store_u64(at + 8 * index, first + index)
    memset(at + 8 * count, 0, count)
    return results


cdef class CompiledMachine:
    """``sakk.ledger.machine.Machine``, compiled."""

    cdef Core core
    cdef PyThread_type_lock lock
    cdef bint is_open
    cdef object roots

    def __cinit__(self) -> None:
        cdef bytes key = os.urandom(2 * sizeof(HashKey))
        self.is_open = True
        self.roots = Roots()
        if not open_core(&self.core, <const uint8_t *>PyBytes_AS_STRING(key)):
            raise MemoryError("no memory for an empty ledger")
        self.lock = PyThread_allocate_lock()
        if self.lock == NULL:
            raise MemoryError("no memory for a lock")

    def __dealloc__(self) -> None:
        if self.is_open:
            close_core(&self.core)
        if self.lock != NULL:
            PyThread_free_lock(self.lock)

    @property
    def timestamp(self) -> int:
        return self.core.timestamp

    @property
    def account_count(self) -> int:
        return self.core.accounts.count

    @property
    def transfer_count(self) -> int:
        return self.core.entries.count - self.core.refused

    @property
    def last_epoch(self) -> int:
        return self.roots.last_epoch

    def apply(self, requests: object, timestamp: int) -> object:
        """See ``Machine.apply``. MemoryError where the group's memory cannot be reserved: nothing
        was applied then. After any other error throw the machine away, it may be ahead."""
        cdef list kinds = [], records = [], results = []
        cdef uint64_t number, events = 0
        for request in requests:
            kinds.append(<int>request.kind)
            records.append(request.records)
            if not isinstance(request.records, bytes):
                raise TypeError("records are bytes")
            events += PyBytes_GET_SIZE(request.records) // RECORD_BYTES
        cdef object first = timestamp - events + 1
        if not self.core.timestamp < min(first, timestamp) <= timestamp <= TIMESTAMP_MAX:
            raise ValueError("the journal's time must advance by at least one tick an event")
        cdef uint64_t count = len(records), last = timestamp
        cdef Job *jobs = <Job *>calloc(count + 1, sizeof(Job))
        try:
            if jobs == NULL or not self._reserve(events):
                raise MemoryError("no memory for another group; nothing was applied")
            for number in range(count):
                results.append(self._prepare(&jobs[number], kinds[number], records[number]))
            self._note(kinds, records, results, last - events + 1)
            expired = self._run(jobs, count, last - events + 1)
            self.core.timestamp = last
            return GroupOutcome(
                expired,
                [
                    Outcome(
                        results[number],
                        PyBytes_FromStringAndSize(
                            <char *>self.core.resolved + jobs[number].resolved_from,
                            jobs[number].resolved_to - jobs[number].resolved_from,
                        ),
                    )
                    for number in range(count)
                ],
            )
        finally:
            free(jobs)

    cdef bint _reserve(self, uint64_t events):
        cdef bint reserved
        with nogil:
            PyThread_acquire_lock(self.lock, WAIT_LOCK)
            reserved = reserve(&self.core, events)
            PyThread_release_lock(self.lock)
        return reserved

    cdef bytes _prepare(self, Job *job, int kind, bytes records):
        """Point a job at its records, and at the bytes of its results."""
        cdef uint64_t count = PyBytes_GET_SIZE(records) // RECORD_BYTES
        cdef bytes results = PyBytes_FromStringAndSize(NULL, count * RESULT_BYTES)
        job.kind = kind
        job.records = <const uint8_t *>PyBytes_AS_STRING(records)
        job.count = count
        job.timestamps = <uint8_t *>PyBytes_AS_STRING(results)
        job.statuses = job.timestamps + 8 * count
        return results

    cdef int _note(self, list kinds, list records, list results, uint64_t first) except -1:
        """Roots and what is only kept, in order: no account or transfer has to do with it."""
        cdef uint64_t number
        for number in range(len(kinds)):
            if kinds[number] == CREATE_ROOTS:
                results[number] = self.roots.create(records[number], first)
            elif kinds[number] > CREATE_ROOTS:
                results[number] = kept(PyBytes_GET_SIZE(records[number]) // RECORD_BYTES, first)
            first += PyBytes_GET_SIZE(records[number]) // RECORD_BYTES
        return 0

    cdef bytes _run(self, Job *jobs, uint64_t count, uint64_t first):
        """Release what ran out before the first event, then every job; the released ids."""
        cdef uint64_t number, released
        cdef Core *core = &self.core
        with nogil:
            PyThread_acquire_lock(self.lock, WAIT_LOCK)
            core.resolved_size = 0
            released = expire(core, first - 1)
            for number in range(count):
                jobs[number].resolved_from = core.resolved_size
                if jobs[number].kind == CREATE_ACCOUNTS:
                    create_accounts(core, &jobs[number], first)
                elif jobs[number].kind == CREATE_TRANSFERS:
                    create_transfers(core, &jobs[number], first)
                jobs[number].resolved_to = core.resolved_size
                first += jobs[number].count
            PyThread_release_lock(self.lock)
        return PyBytes_FromStringAndSize(<char *>core.expired, ID_BYTES * released)

    def next_expiry(self) -> object:
        cdef uint64_t at
        return at if next_ending(&self.core, &at) else None

    # Lookups

    def lookup_account(self, bytes identifier not None) -> bytes:
        cdef bytes record = self.lookup_accounts(identifier)
        return record if self._account(identifier) != NONE else b""

    def lookup_transfer(self, bytes identifier not None) -> bytes:
        cdef bytes record = self.lookup_transfers(identifier)
        cdef Entry *entry = self._entry(identifier)
        return record if entry != NULL and entry.status == T_created else b""

    def lookup_result(self, bytes identifier not None) -> object:
        cdef Entry *entry = self._entry(identifier)
        return None if entry == NULL else (entry.status, entry.timestamp)

    def lookup_accounts(self, bytes ids not None) -> bytes:
        cdef uint64_t count = PyBytes_GET_SIZE(ids) // ID_BYTES, number
        cdef bytes answer = PyBytes_FromStringAndSize(NULL, count * RECORD_BYTES)
        cdef const uint8_t *identifier = <const uint8_t *>PyBytes_AS_STRING(ids)
        cdef uint8_t *record = <uint8_t *>PyBytes_AS_STRING(answer)
        cdef uint32_t found
        for number in range(count):
            found = find_account(&self.core, identifier)
            if found == NONE:
                memset(record, 0, RECORD_BYTES)
            else:
                write_account(account_at(&self.core, found), record, False)
            identifier += ID_BYTES
            record += RECORD_BYTES
        return answer

    def lookup_transfers(self, bytes ids not None) -> bytes:
        cdef uint64_t count = PyBytes_GET_SIZE(ids) // ID_BYTES, number
        cdef bytes answer = PyBytes_FromStringAndSize(NULL, count * RECORD_BYTES)
        cdef const uint8_t *identifier = <const uint8_t *>PyBytes_AS_STRING(ids)
        cdef uint8_t *record = <uint8_t *>PyBytes_AS_STRING(answer)
        cdef Entry *entry
        for number in range(count):
            entry = find(&self.core, identifier)
            if entry == NULL or entry.status != T_created:
                memset(record, 0, RECORD_BYTES)
            else:
                write_record(&self.core, entry, record)
            identifier += ID_BYTES
            record += RECORD_BYTES
        return answer

    def lookup_results(self, bytes ids not None) -> bytes:
        cdef uint64_t count = PyBytes_GET_SIZE(ids) // ID_BYTES, number
        cdef bytes answer = PyBytes_FromStringAndSize(NULL, count * RESULT_BYTES)
        cdef const uint8_t *identifier = <const uint8_t *>PyBytes_AS_STRING(ids)
        cdef uint8_t *timestamps = <uint8_t *>PyBytes_AS_STRING(answer)
        cdef uint8_t *statuses = timestamps + 8 * count
        cdef Entry *entry
        for number in range(count):
            entry = find(&self.core, identifier + ID_BYTES * number)
            store_u64(timestamps + 8 * number, 0 if entry == NULL else entry.timestamp)
            statuses[number] = NEVER_SEEN if entry == NULL else entry.status
        return answer

    def account_records(self) -> object:
        cdef uint64_t number
        cdef uint8_t record[128]
        for number in range(self.core.accounts.count):
            write_account(account_at(&self.core, number), record, False)
            yield PyBytes_FromStringAndSize(<char *>record, RECORD_BYTES)

    def transfer_records(self) -> object:
        cdef uint64_t number
        cdef uint8_t record[128]
        for number in range(self.core.entries.count):
            if entry_at(&self.core, number).status == T_created:
                write_record(&self.core, entry_at(&self.core, number), record)
                yield PyBytes_FromStringAndSize(<char *>record, RECORD_BYTES)

    # The whole state

    def freeze(self) -> object:
        return Frozen(self)

    def dump(self) -> list:
        frozen = self.freeze()
        try:
            return list(frozen.parts())
        finally:
            frozen.close()

    cdef uint32_t _account(self, bytes identifier) except? 0:
        check_id(identifier)
        return find_account(&self.core, <const uint8_t *>PyBytes_AS_STRING(identifier))

    cdef Entry *_entry(self, bytes identifier) except? NULL:
        check_id(identifier)
        return find(&self.core, <const uint8_t *>PyBytes_AS_STRING(identifier))


cdef class Frozen:
    """``sakk.ledger.machine.Frozen``: parts are read while the machine goes on.

    Entries and extras never change once written. Accounts do: below the count at the freeze each
    is copied before its first change (``touch``), and what is read is the copy. Holds are copied
    here and now, a byte each, and so are roots, which are few.
    """

    cdef CompiledMachine machine
    cdef uint32_t number  # of the freeze
    cdef uint64_t accounts, entries, words
    cdef bytes head, holds, roots

    def __cinit__(self, CompiledMachine machine not None) -> None:
        cdef Core *core = &machine.core
        cdef uint64_t number
        if core.frozen_count:
            raise ValueError("a snapshot is being taken already")
        self.machine = machine
        self.accounts, self.entries = core.accounts.count, core.entries.count
        self.words = core.extras.count
        self.holds = PyBytes_FromStringAndSize(NULL, core.holds.count)
        for number in range((core.holds.count + HOLDS_A_PART - 1) // HOLDS_A_PART):
            memcpy(
                PyBytes_AS_STRING(self.holds) + number * HOLDS_A_PART,
                core.holds.segments[number],
                min(<uint64_t>HOLDS_A_PART, core.holds.count - number * HOLDS_A_PART),
            )
        self.roots = machine.roots.joined()
        self.head = HEADER.pack(
            MAGIC, core.timestamp, self.accounts, self.entries, self.words, core.holds.count,
            len(machine.roots),
        )
        core.freeze += 1
        self.number = core.freeze
        core.frozen_count = self.accounts

    def close(self) -> None:
        """The copies are needed no more."""
        cdef Core *core = &self.machine.core
        if core.freeze == self.number and core.frozen_count:
            with nogil:
                PyThread_acquire_lock(self.machine.lock, WAIT_LOCK)
                core.frozen_count = 0
                arena_clear(&core.saved)
                PyThread_release_lock(self.machine.lock)

    def __dealloc__(self) -> None:
        if self.machine is not None:
            self.close()

    def parts(self) -> object:
        cdef uint64_t first
        yield self.head
        for first in range(0, self.accounts, ACCOUNTS_A_PART):
            yield self._accounts(first, min(first + ACCOUNTS_A_PART, self.accounts))
        for first in range(0, self.entries, ENTRIES_A_PART):
            yield PyBytes_FromStringAndSize(
                <char *>entry_at(&self.machine.core, first),
                sizeof(Entry) * min(<uint64_t>ENTRIES_A_PART, self.entries - first),
            )
        for first in range(0, self.words, WORDS_A_PART):
            yield PyBytes_FromStringAndSize(
                arena_at(&self.machine.core.extras, first),
                sizeof(uint64_t) * min(<uint64_t>WORDS_A_PART, self.words - first),
            )
        for first in range(0, len(self.holds), HOLDS_A_PART):
            yield self.holds[first : first + HOLDS_A_PART]
        for first in range(0, len(self.roots), ROOTS_A_PART * RECORD_BYTES):
            yield self.roots[first : first + ROOTS_A_PART * RECORD_BYTES]

    cdef bytes _accounts(self, uint64_t first, uint64_t last):
        cdef bytes part = PyBytes_FromStringAndSize(NULL, (last - first) * RECORD_BYTES)
        cdef uint8_t *record = <uint8_t *>PyBytes_AS_STRING(part)
        cdef Core *core = &self.machine.core
        cdef Account *account
        cdef uint64_t number
        cdef bint held
        with nogil:
            PyThread_acquire_lock(self.machine.lock, WAIT_LOCK)
            held = core.freeze == self.number and core.frozen_count
            if held:
                for number in range(first, last):
                    account = account_at(core, number)
                    if account.frozen == self.number:
                        account = <Account *>arena_at(&core.saved, account.saved)
                    write_account(account, record, True)
                    record += RECORD_BYTES
            PyThread_release_lock(self.machine.lock)
        if not held:
            raise ValueError("this freeze was closed")
        return part


cdef class Loader:
    """``sakk.ledger.machine.Loader``: parts are copied as they come, checked at the end."""

    cdef CompiledMachine machine
    cdef uint64_t left[5]
    cdef uint32_t section
    cdef bint begun

    def __cinit__(self) -> None:
        self.machine = CompiledMachine()

    def add(self, bytes part not None) -> None:
        """The next part; ValueError where it cannot be one."""
        cdef const uint8_t *at = <const uint8_t *>PyBytes_AS_STRING(part)
        cdef uint64_t count, sizes[5]
        if not self.begun:
            self._begin(part)
            return
        sizes[0], sizes[1], sizes[2], sizes[3] = RECORD_BYTES, sizeof(Entry), 8, 1
        sizes[4] = RECORD_BYTES
        while self.section < 5 and self.left[self.section] == 0:
            self.section += 1
        if self.section == 5:
            raise ValueError(NO_STATE)
        count = len(part) // sizes[self.section]
        if len(part) % sizes[self.section] or not 0 < count <= self.left[self.section]:
            raise ValueError(NO_STATE)
        if self.section == 4:
            self._add_roots(part)
        else:
            self._copy(at, count)
        self.left[self.section] -= count

    cdef int _begin(self, bytes part) except -1:
        if len(part) != HEADER.size:
            raise ValueError(NO_STATE)
        magic, timestamp, accounts, entries, words, holds, roots = HEADER.unpack(part)
        if magic != MAGIC or timestamp > TIMESTAMP_MAX:
            raise ValueError(NO_STATE)
        self.machine.core.timestamp = timestamp
        self.left[0], self.left[1], self.left[2], self.left[3] = accounts, entries, words, holds
        self.left[4] = roots
        self.begun = True
        return 0

    cdef int _add_roots(self, bytes part) except -1:
        cdef uint64_t start
        for start in range(0, len(part), RECORD_BYTES):
            if not self.machine.roots.add(part[start : start + RECORD_BYTES]):
                raise ValueError(NO_STATE)
        return 0

    cdef int _copy(self, const uint8_t *at, uint64_t count) except -1:
        cdef Core *core = &self.machine.core
        cdef Arena *arena = &core.accounts
        cdef uint64_t number, run
        if self.section == 1:
            arena = &core.entries
        elif self.section == 2:
            arena = &core.extras
        elif self.section == 3:
            arena = &core.holds
        if not arena_reserve(arena, count):
            raise MemoryError("no memory for a snapshot's state")
        while count:
            number = arena.count & ((<uint64_t>1 << arena.shift) - 1)
            run = min(count, (<uint64_t>1 << arena.shift) - number)
            if self.section == 0:
                for number in range(run):
                    read_account(account_at(core, arena.count + number), at + number * RECORD_BYTES)
            else:
                memcpy(arena_at(arena, arena.count), at, run * arena.item_size)
            at += run * (RECORD_BYTES if self.section == 0 else arena.item_size)
            arena.count += run
            count -= run
        return 0

    def finish(self) -> object:
        """The machine; ValueError where the parts were no state."""
        cdef bint good
        if not self.begun or (
            self.left[0] + self.left[1] + self.left[2] + self.left[3] + self.left[4]
        ):
            raise ValueError(NO_STATE)
        with nogil:
            good = settle_in(&self.machine.core)
        if not good:
            raise ValueError(NO_STATE)
        return self.machine


cdef Entry *find(Core *core, const uint8_t *identifier) noexcept nogil:
    """The entry of an id, or NULL."""
    cdef uint32_t tag = tag_of(&core.entry_index, identifier)
    cdef uint64_t slot = find_slot(&core.entry_index, &core.entries, tag, identifier)[0]
    return entry_at(core, <uint32_t>slot - 1) if slot else NULL


cdef int check_id(bytes identifier) except -1:
    if PyBytes_GET_SIZE(identifier) != ID_BYTES:
        raise ValueError("an id has 16 bytes")
    return 0
