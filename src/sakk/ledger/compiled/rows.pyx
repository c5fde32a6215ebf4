# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""From the journal to rows: ``sakk.ledger.rows``, which is the specification, compiled.

The same interface and the same bytes. A page is computed without the interpreter's lock: the
writer, which stands in the same process, goes on meanwhile.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, qsort
from libc.string cimport memcmp, memcpy, memset

from sakk.ledger.compiled.binary cimport (
    NUMERIC_SIZE_MAX,
    Number,
    field32,
    field_id,
    field_numeric,
    load_number,
    put32,
)
from sakk.ledger.compiled.encode cimport (
    ACCOUNT_SIZE_MAX,
    BALANCE_SIZE_MAX,
    ENTRY_SIZE_MAX,
    NULL_FIELD,
    TRANSFER_SIZE_MAX,
    put_account,
    put_balance,
    put_entry,
    put_transfer,
)
from sakk.ledger.compiled.keyed cimport IdHash
from sakk.ledger.compiled.lines cimport add_event, end_lines, end_lines_of, opens_charge
from sakk.ledger.compiled.page cimport new_room, opened_rows, taken, transfer_rows
from sakk.ledger.compiled.payload cimport (
    CREATE_ACCOUNTS,
    RECORD,
    RESOLVED,
    Part,
    is_whole,
    is_zero,
    open_payload,
    read16,
    read32,
    read64,
    take,
)
from sakk.ledger.compiled.places cimport NOTHING, Room, clear, enter, reserve
from sakk.ledger.compiled.totals cimport (
    EXPIRED,
    FINE,
    LACKING,
    NO_MEMORY,
    OPEN,
    PENDING,
    POST,
    POSTED,
    VOID,
    VOIDED,
    Account,
    Balance,
    Ended,
    Entry,
    Hold,
    State,
    Written,
    Wrong,
    find_account,
    find_hold,
    lack,
    move,
    new_account,
    new_hold,
    push,
    release,
)

from sakk.ledger.journal import decode_group
from sakk.store.projection import Page, Settled

cdef enum:
    ACCOUNTS_KEPT_MAX = 1 << 20
    HOLDS_KEPT_MAX = 1 << 20
    ARRAY_HEAD = 20
    INT4_OID = 23
    NUMERIC_OID = 1700
    UUID_OID = 2950

STATUS_NAMES = ("posted", "pending", "voided", "expired")
cdef const unsigned char *SORTED_IDS  # what ``qsort`` compares by; the lock is held meanwhile


cdef int by_id(const void *left, const void *right) noexcept nogil:
    return memcmp(
        SORTED_IDS + (<const uint32_t *>left)[0] * sizeof(Account),
        SORTED_IDS + (<const uint32_t *>right)[0] * sizeof(Account),
        16,
    )


cdef class Book:
    """One shard's totals and open holds as the rows show them, and the page under way."""

    cdef readonly int shard
    cdef readonly int64_t sequence
    cdef State _state
    cdef list _rows

    def __cinit__(self) -> None:
        memset(&self._state, 0, sizeof(State))

    def __init__(self, shard: int) -> None:
        self.shard = shard
        self._state.key = (<IdHash>IdHash()).key
        self.forget()

    def __dealloc__(self):
        free(self._state.account_index.slots)
        free(self._state.hold_index.slots)
        free(self._state.accounts.at)
        free(self._state.holds.at)
        free(self._state.transfers.at)
        free(self._state.written.at)
        free(self._state.entries.at)
        free(self._state.balances.at)
        free(self._state.ended.at)
        free(self._state.created.at)
        free(self._state.touched.at)
        free(self._state.closed.at)
        free(self._state.lines.at)
        free(self._state.events.at)
        free(self._state.order.at)

    def forget(self) -> None:
        """Know nothing, as at the start."""
        self.sequence = -1
        clear(&self._state.account_index, &self._state.accounts)
        clear(&self._state.hold_index, &self._state.holds)
        self._state.closed_holds = 0
        self._rows = []
        self._begin()

    cdef void _begin(self) noexcept:
        self._state.transfers.bytes = self._state.written.bytes = 0
        self._state.entries.bytes = self._state.balances.bytes = 0
        self._state.ended.bytes = 0
        self._state.created.bytes = self._state.touched.bytes = 0
        self._state.closed.bytes = self._state.lines.bytes = self._state.events.bytes = 0

    def read(self, rows: object) -> None:
        """Take up the next rows of the journal; ValueError where a payload is none."""
        cdef bytes payload
        self._rows = list(rows)
        for row in self._rows:
            payload = row.payload
            if not is_whole(<const unsigned char *>PyBytes_AS_STRING(payload), len(payload)):
                decode_group(payload)  # which says what is wrong
                raise ValueError("the payload is none")

    def missing_holds(self) -> list:
        """Ids of holds that these rows settle and that neither they nor the book hold."""
        cdef Part part
        cdef const unsigned char *expired
        cdef const unsigned char *record
        cdef uint32_t index, flags
        cdef bytes payload
        wanted, opened = {}, set()
        for row in self._rows:
            payload = row.payload
            for index in range(open_payload(
                <const unsigned char *>PyBytes_AS_STRING(payload), len(payload), &part, &expired
            )):
                self._want_hold(expired + index * 16, wanted)
            while take(&part):
                if part.kind == CREATE_ACCOUNTS:
                    continue
                for index in range(part.count):
                    record = part.records + <uint64_t>index * RECORD
                    flags = read16(record + 126)
                    if part.statuses[index] or not flags & (PENDING | POST | VOID):
                        continue
                    if flags & PENDING:
                        opened.add(PyBytes_FromStringAndSize(<const char *>record, 16))
                    else:
                        self._want_hold(record + 64, wanted)
        return [each for each in wanted if each not in opened]

    cdef int _want_hold(self, const unsigned char *identifier, dict wanted) except -1:
        cdef uint32_t place = find_hold(&self._state, identifier)
        if place == NOTHING:
            wanted[PyBytes_FromStringAndSize(<const char *>identifier, 16)] = None
        return 0

    def add_holds(self, bytes records not None) -> None:
        """Open holds that were written before, as 128-byte records with their timestamps."""
        cdef const unsigned char *at = <const unsigned char *>PyBytes_AS_STRING(records)
        cdef uint64_t start
        cdef Hold *hold
        for start in range(0, len(records), RECORD):
            if find_hold(&self._state, at + start) != NOTHING:
                continue
            hold = new_hold(&self._state, at + start)
            if hold == NULL:
                raise MemoryError
            memcpy(hold.debit_id, at + start + 16, 16)
            memcpy(hold.credit_id, at + start + 32, 16)
            hold.amount = load_number(at + start + 48)
            memcpy(hold.user_data, at + start + 80, 16)
            hold.unit = read64(at + start + 96)
            hold.timestamp = read64(at + start + 112)
            hold.code = read16(at + start + 124)
            hold.flags = read16(at + start + 126)
            hold.is_charge = memcmp(at + start, at + start + 64, 16) == 0
            hold.timeout = read32(at + start + 120) if hold.is_charge else 0

    def missing_accounts(self) -> list:
        """Ids of accounts that these rows touch and that neither they nor the book hold."""
        cdef Part part
        cdef const unsigned char *expired
        cdef const unsigned char *record
        cdef uint32_t index, flags
        cdef bytes payload
        wanted, created = {}, set()
        for row in self._rows:
            payload = row.payload
            for index in range(open_payload(
                <const unsigned char *>PyBytes_AS_STRING(payload), len(payload), &part, &expired
            )):
                self._want_sides(expired + index * 16, wanted)
            while take(&part):
                for index in range(part.count):
                    if part.statuses[index]:
                        continue
                    record = part.records + <uint64_t>index * RECORD
                    if part.kind == CREATE_ACCOUNTS:
                        created.add(PyBytes_FromStringAndSize(<const char *>record, 16))
                        continue
                    flags = read16(record + 126)
                    if flags & (POST | VOID):
                        self._want_sides(record + 64, wanted)
                    else:
                        self._want_account(record + 16, wanted)
                        self._want_account(record + 32, wanted)
        return [each for each in wanted if each not in created]

    cdef int _want_sides(self, const unsigned char *identifier, dict wanted) except -1:
        cdef uint32_t place = find_hold(&self._state, identifier)
        if place != NOTHING:
            self._want_account((<Hold *>self._state.holds.at)[place].debit_id, wanted)
            self._want_account((<Hold *>self._state.holds.at)[place].credit_id, wanted)
        return 0

    cdef int _want_account(self, const unsigned char *identifier, dict wanted) except -1:
        if find_account(&self._state, identifier) == NOTHING:
            wanted[PyBytes_FromStringAndSize(<const char *>identifier, 16)] = None
        return 0

    def add_accounts(self, bytes records not None) -> None:
        """Accounts that were written before, as 128-byte records with totals and timestamps."""
        cdef const unsigned char *at = <const unsigned char *>PyBytes_AS_STRING(records)
        cdef uint64_t start
        cdef Account *account
        for start in range(0, len(records), RECORD):
            if find_account(&self._state, at + start) != NOTHING:
                continue
            account = new_account(&self._state, at + start, read64(at + start + 104))
            if account == NULL:
                raise MemoryError
            account.debits_pending = load_number(at + start + 16)
            account.debits_posted = load_number(at + start + 32)
            account.credits_pending = load_number(at + start + 48)
            account.credits_posted = load_number(at + start + 64)

    def page(self) -> object:
        """What the rows come to; KeyError where they build upon what was never written."""
        cdef bytes payload
        cdef const unsigned char *at
        cdef uint64_t size, first, sequence
        cdef Wrong wrong
        cdef uint64_t holds_before = self._state.holds.bytes
        for row in self._rows:
            payload = row.payload
            at, size = <const unsigned char *>PyBytes_AS_STRING(payload), len(payload)
            sequence, first = row.sequence, row.timestamp_ns - row.count + 1
            with nogil:
                wrong = self._apply(at, size, sequence, first)
            if wrong == LACKING:
                raise KeyError(bytes(self._state.lacking[:16]))
            if wrong == NO_MEMORY:
                raise MemoryError
            self.sequence = row.sequence
        page = self._take(holds_before)
        self._end(holds_before)
        return page

    cdef Wrong _apply(
        self, const unsigned char *at, uint64_t size, uint64_t sequence, uint64_t first
    ) noexcept nogil:
        """Continue totals, rows and chains by one payload."""
        cdef Part part
        cdef const unsigned char *expired
        cdef const unsigned char *record
        cdef uint32_t index, place, resolved
        cdef Number amount
        cdef Account *account
        cdef Wrong wrong
        for index in range(open_payload(at, size, &part, &expired)):
            place = find_hold(&self._state, expired + index * 16)
            if place == NOTHING:
                return lack(&self._state, expired + index * 16)
            wrong = release(&self._state, place, EXPIRED, first - 1)
            if wrong:
                return wrong
        while take(&part):
            resolved = 0
            for index in range(part.count):
                if part.statuses[index]:
                    continue
                record = part.records + <uint64_t>index * RECORD
                if part.kind == CREATE_ACCOUNTS:
                    account = new_account(&self._state, record, read64(part.results + index * 8))
                    if account == NULL:
                        return NO_MEMORY
                    account.is_new = 1
                    place = find_account(&self._state, record)
                    wrong = push(&self._state, &self._state.created, place)
                else:
                    while (
                        resolved < part.resolved_count
                        and read32(part.resolved + resolved * RESOLVED) < index
                    ):
                        resolved += 1
                    amount = load_number(record + 48)
                    if (
                        resolved < part.resolved_count
                        and read32(part.resolved + resolved * RESOLVED) == index
                    ):
                        amount = load_number(part.resolved + resolved * RESOLVED + 4)
                    wrong = self._transfer(
                        record, read64(part.results + index * 8), amount, sequence
                    )
                if wrong:
                    return wrong
        return end_lines(&self._state, self.shard, sequence, NOTHING, NOTHING)

    cdef Wrong _transfer(
        self, const unsigned char *record, uint64_t timestamp, Number amount, uint64_t sequence
    ) noexcept nogil:
        """A created transfer: its row, its hold, and what it does to both accounts."""
        cdef Hold hold
        cdef Written *written
        cdef uint32_t place, status
        cdef unsigned char *start
        cdef unsigned char *end
        cdef uint32_t flags = read16(record + 126)
        cdef uint64_t effective_at = read64(record + 104)
        cdef Wrong wrong
        memset(&hold, 0, sizeof(Hold))
        memcpy(hold.debit_id, record + 16, 16)
        memcpy(hold.credit_id, record + 32, 16)
        memcpy(hold.user_data, record + 80, 16)
        hold.unit, hold.code = read64(record + 96), read16(record + 124)
        status = OPEN if flags & PENDING else POSTED
        if flags & (POST | VOID):
            status = POSTED if flags & POST else VOIDED
            place = find_hold(&self._state, record + 64)
            if place == NOTHING:
                return lack(&self._state, record + 64)
            wrong = release(&self._state, place, status, timestamp)
            if wrong:
                return wrong
            hold = (<Hold *>self._state.holds.at)[place]
            if hold.is_charge and not effective_at:
                return add_event(&self._state, &hold, record, amount, timestamp)
            hold.is_charge = 0
            if not is_zero(record + 80):
                memcpy(hold.user_data, record + 80, 16)
        else:
            hold.is_charge = opens_charge(&self._state, record)
        hold.amount, hold.flags, hold.timestamp = amount, flags, timestamp
        if hold.is_charge:
            wrong = self._open(record, &hold, 0)
            if not wrong:
                wrong = add_event(&self._state, &hold, record, amount, timestamp)
            return wrong if wrong else move(&self._state, &hold, timestamp)
        wrong = end_lines_of(&self._state, self.shard, sequence, &hold)
        if wrong:
            return wrong
        effective_at = effective_at if effective_at else timestamp
        written = <Written *>reserve(&self._state.written, sizeof(Written))
        start = reserve(&self._state.transfers, TRANSFER_SIZE_MAX)
        if written == NULL or start == NULL:
            return NO_MEMORY
        end = put_transfer(start, self.shard, record, &hold, effective_at, sequence)
        end = put32(end, NULL_FIELD)
        self._state.transfers.bytes += end - start
        written.end, written.status = self._state.transfers.bytes, status
        if status == OPEN:
            wrong = self._open(
                record, &hold, <uint32_t>(self._state.written.bytes // sizeof(Written))
            )
            if wrong:
                return wrong
        self._state.written.bytes += sizeof(Written)
        return move(&self._state, &hold, effective_at)

    cdef Wrong _open(
        self, const unsigned char *record, Hold *facts, uint32_t place
    ) noexcept nogil:
        """A hold that stands open, of a row at this place of the page."""
        cdef Hold *opened = new_hold(&self._state, record)
        if opened == NULL:
            return NO_MEMORY
        memcpy(facts.id, record, 16)
        opened[0] = facts[0]
        opened.is_open, opened.place = 1, place
        opened.timeout = read32(record + 120)
        return FINE

    cdef object _take(self, uint64_t holds_before):
        """The page's rows, in the order of their accounts where there may be many of one."""
        global SORTED_IDS
        cdef uint32_t *touched = <uint32_t *>self._state.touched.at
        cdef uint64_t touched_count = self._state.touched.bytes // sizeof(uint32_t)
        cdef uint64_t created_count = self._state.created.bytes // sizeof(uint32_t)
        cdef uint64_t rows = (
            self._state.written.bytes // sizeof(Written)
            + self._state.entries.bytes // sizeof(Entry)
            + self._state.balances.bytes // sizeof(Balance)
        )
        cdef uint64_t opened_count = 0, index
        SORTED_IDS = self._state.accounts.at
        if touched_count:
            qsort(touched, touched_count, sizeof(uint32_t), by_id)
        totals = self._totals(touched, touched_count)
        settled = [
            Settled(ended.timestamp, STATUS_NAMES[ended.status])
            for ended in (<Ended *>self._state.ended.at)[
                : self._state.ended.bytes // sizeof(Ended)
            ]
        ]
        closed = [
            self._state.closed.at[index : index + 16]
            for index in range(0, self._state.closed.bytes, 16)
        ]
        opened = opened_rows(&self._state, self.shard, holds_before, &opened_count)
        changed = self._changed(touched, touched_count)
        return Page(
            transfers=transfer_rows(&self._state),
            entries=self._entry_rows(touched, touched_count),
            balances=self._balance_rows(touched, touched_count),
            accounts=self._account_rows(),
            totals=totals,
            settled=settled,
            opened=opened,
            closed=closed,
            rows=rows + created_count + changed + len(settled) + opened_count + len(closed),
        )

    cdef uint64_t _changed(self, uint32_t *touched, uint64_t count) noexcept:
        """How many of the touched accounts stood before."""
        cdef uint64_t index, changed = 0
        for index in range(count):
            if not (<Account *>self._state.accounts.at)[touched[index]].is_new:
                changed += 1
        return changed

    cdef bytes _entry_rows(self, uint32_t *touched, uint64_t count):
        cdef Room out = new_room(self._state.entries.bytes // sizeof(Entry) * ENTRY_SIZE_MAX)
        cdef unsigned char *at = out.at
        cdef Account *account
        cdef Entry *entry
        cdef uint64_t index
        cdef uint32_t place
        for index in range(count):
            account = &(<Account *>self._state.accounts.at)[touched[index]]
            place = account.first_entry
            while place != NOTHING:
                entry = &(<Entry *>self._state.entries.at)[place]
                at = put_entry(at, self.shard, account, entry)
                place = entry.following
        return taken(&out, at)

    cdef bytes _balance_rows(self, uint32_t *touched, uint64_t count):
        cdef Room out = new_room(self._state.balances.bytes // sizeof(Balance) * BALANCE_SIZE_MAX)
        cdef unsigned char *at = out.at
        cdef Account *account
        cdef Balance *balance
        cdef uint64_t index
        cdef uint32_t place
        for index in range(count):
            account = &(<Account *>self._state.accounts.at)[touched[index]]
            place = account.first_balance
            while place != NOTHING:
                balance = &(<Balance *>self._state.balances.at)[place]
                at = put_balance(at, self.shard, account, balance)
                place = balance.following
        return taken(&out, at)

    cdef bytes _account_rows(self):
        cdef uint64_t index, count = self._state.created.bytes // sizeof(uint32_t)
        cdef Room out = new_room(count * ACCOUNT_SIZE_MAX)
        cdef unsigned char *at = out.at
        cdef Account *account
        for index in range(count):
            account = &(<Account *>self._state.accounts.at)[
                (<uint32_t *>self._state.created.at)[index]
            ]
            at = put_account(at, self.shard, account)
        return taken(&out, at)

    cdef list _totals(self, uint32_t *touched, uint64_t count):
        """Six arrays of the touched accounts that stood before; none where there are none."""
        cdef uint64_t index, changed = self._changed(touched, count)
        cdef Account *account
        cdef Room out
        cdef unsigned char *at
        cdef int column
        totals = []
        for column in range(6 if changed else 0):
            out = new_room(ARRAY_HEAD + changed * NUMERIC_SIZE_MAX)
            at = put32(put32(out.at, 1), 0)
            at = put32(at, UUID_OID if column == 0 else INT4_OID if column == 1 else NUMERIC_OID)
            at = put32(put32(at, <uint32_t>changed), 1)
            for index in range(count):
                account = &(<Account *>self._state.accounts.at)[touched[index]]
                if account.is_new:
                    continue
                if column == 0:
                    at = field_id(at, account.id)
                elif column == 1:
                    at = field32(at, account.flags)
                elif column == 2:
                    at = field_numeric(at, account.debits_pending, 0)
                elif column == 3:
                    at = field_numeric(at, account.debits_posted, 0)
                elif column == 4:
                    at = field_numeric(at, account.credits_pending, 0)
                else:
                    at = field_numeric(at, account.credits_posted, 0)
            totals.append(taken(&out, at))
        return totals

    cdef int _end(self, uint64_t holds_before) except -1:
        """Make ready for the next page, and keep no more than it may need."""
        cdef uint64_t index, count = self._state.touched.bytes // sizeof(uint32_t)
        cdef Account *account
        cdef Hold *holds = <Hold *>self._state.holds.at
        for index in range(count):
            account = &(<Account *>self._state.accounts.at)[
                (<uint32_t *>self._state.touched.at)[index]
            ]
            account.is_touched = 0
            account.first_entry = account.last_entry = NOTHING
            account.first_balance = account.last_balance = NOTHING
        count = self._state.created.bytes // sizeof(uint32_t)
        for index in range(count):
            (<Account *>self._state.accounts.at)[
                (<uint32_t *>self._state.created.at)[index]
            ].is_new = 0
        count = self._state.holds.bytes // sizeof(Hold)
        for index in range(holds_before // sizeof(Hold), count):
            holds[index].place = NOTHING
        if self._state.closed_holds * 2 > count:
            self._drop_closed_holds(count)
        if self._state.accounts.bytes > ACCOUNTS_KEPT_MAX * sizeof(Account):
            clear(&self._state.account_index, &self._state.accounts)
        if self._state.holds.bytes > HOLDS_KEPT_MAX * sizeof(Hold):
            clear(&self._state.hold_index, &self._state.holds)
            self._state.closed_holds = 0
        self._rows = []
        self._begin()
        return 0

    cdef int _drop_closed_holds(self, uint64_t count) except -1:
        """Move the open holds together, and find them anew."""
        cdef Hold *holds = <Hold *>self._state.holds.at
        cdef uint64_t index, kept = 0
        for index in range(count):
            if holds[index].is_open:
                holds[kept] = holds[index]
                kept += 1
        clear(&self._state.hold_index, &self._state.holds)
        self._state.closed_holds = 0
        for index in range(kept):
            if not enter(
                &self._state.hold_index, &self._state.key, &self._state.holds, sizeof(Hold), index
            ):
                raise MemoryError
        self._state.holds.bytes = kept * sizeof(Hold)
        return 0
