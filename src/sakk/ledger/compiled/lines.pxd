# cython: language_level=3
"""Lines of charges: ``sakk.ledger.charge`` and what ``sakk.ledger.rows`` makes of it."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport qsort
from libc.string cimport memcpy, memset

from sakk.ledger.compiled.binary cimport Number, put32, store_number
from sakk.ledger.compiled.encode cimport TRANSFER_SIZE_MAX, put_transfer
from sakk.ledger.compiled.payload cimport RECORD, read16, read32, read64
from sakk.ledger.compiled.places cimport NOTHING, reserve
from sakk.ledger.compiled.totals cimport (
    FINE,
    HISTORY,
    NO_MEMORY,
    PENDING,
    POST,
    POSTED,
    VOID,
    Account,
    Hold,
    Line,
    Ordered,
    State,
    Written,
    Wrong,
    find_account,
    lack,
    move,
)

cdef enum:
    CHARGE = 601
    EVENT = 80
    LINE_STEP = 3


cdef inline bint opens_charge(State *state, const unsigned char *record) noexcept nogil:
    """Is a created transfer the reservation of a charge that comes to a line?"""
    cdef uint32_t debit, credit
    cdef Account *accounts = <Account *>state.accounts.at
    if (
        read16(record + 126) != PENDING
        or read16(record + 124) != CHARGE
        or record[8] & 0x80
        or read64(record + 104)
    ):
        return False
    debit, credit = find_account(state, record + 16), find_account(state, record + 32)
    if debit == NOTHING or credit == NOTHING:
        return True  # which `move` will not find either
    return not (accounts[debit].flags | accounts[credit].flags) & HISTORY


cdef inline Wrong add_event(
    State *state, Hold *hold, const unsigned char *record, Number amount, uint64_t timestamp
) noexcept nogil:
    """The next event of a charge, in the line of its two accounts."""
    cdef uint32_t debit = find_account(state, hold.debit_id)
    cdef uint32_t credit = find_account(state, hold.credit_id)
    cdef uint32_t place, flags = read16(record + 126)
    cdef Line *line
    cdef unsigned char *event
    if debit == NOTHING:
        return lack(state, hold.debit_id)
    if credit == NOTHING:
        return lack(state, hold.credit_id)
    place = (<Account *>state.accounts.at)[debit].first_line
    while place != NOTHING and (<Line *>state.lines.at)[place].credit != credit:
        place = (<Line *>state.lines.at)[place].following
    if place == NOTHING:
        line = <Line *>reserve(&state.lines, sizeof(Line))
        if line == NULL:
            return NO_MEMORY
        place = <uint32_t>(state.lines.bytes // sizeof(Line))
        state.lines.bytes += sizeof(Line)
        memset(line, 0, sizeof(Line))
        line.debit, line.credit, line.unit, line.is_open = debit, credit, hold.unit, 1
        line.first_event = line.last_event = NOTHING
        line.following = (<Account *>state.accounts.at)[debit].first_line
        (<Account *>state.accounts.at)[debit].first_line = place
        (<Account *>state.accounts.at)[debit].open_lines += 1
        (<Account *>state.accounts.at)[credit].open_lines += 1
    event = reserve(&state.events, EVENT + 4)
    if event == NULL:
        return NO_MEMORY
    memcpy(event, record, 16)
    store_number(event + 16, amount)
    memcpy(event + 32, record + 80, 16)
    memcpy(event + 48, hold.user_data, 16)
    memcpy(event + 64, &timestamp, 8)
    memcpy(event + 72, record + 120, 4)
    memcpy(event + 76, record + 126, 2)
    memset(event + 78, 0, 2)
    memset(event + EVENT, 0xFF, 4)  # NOTHING follows
    line = &(<Line *>state.lines.at)[place]
    place = <uint32_t>(state.events.bytes // (EVENT + 4))
    state.events.bytes += EVENT + 4
    if line.first_event == NOTHING:
        line.first_event = place
    else:
        memcpy(state.events.at + <uint64_t>line.last_event * (EVENT + 4) + EVENT, &place, 4)
    line.last_event = place
    line.count += 1
    line.timestamp = timestamp
    if flags & POST:
        line.amount += amount
    return FINE


cdef inline Wrong end_lines_of(
    State *state, uint32_t shard, uint64_t sequence, Hold *facts
) noexcept nogil:
    """Before another movement on one of these accounts, the lines that they are in."""
    cdef Account *accounts = <Account *>state.accounts.at
    cdef uint32_t debit, credit
    if state.lines.bytes == 0 or facts.amount == 0 or facts.flags & (PENDING | VOID):
        return FINE
    debit, credit = find_account(state, facts.debit_id), find_account(state, facts.credit_id)
    if (debit == NOTHING or not accounts[debit].open_lines) and (
        credit == NOTHING or not accounts[credit].open_lines
    ):
        return FINE
    return end_lines(state, shard, sequence, debit, credit)


cdef inline int by_time(const void *left, const void *right) noexcept nogil:
    cdef uint64_t a = (<const Ordered *>left)[0].timestamp
    cdef uint64_t b = (<const Ordered *>right)[0].timestamp
    return -1 if a < b else 1


cdef inline Wrong end_lines(
    State *state, uint32_t shard, uint64_t sequence, uint32_t one, uint32_t other
) noexcept nogil:
    """Write the open lines of two accounts, or all (NOTHING twice), in the order of their times."""
    cdef uint64_t index, count = 0, lines = state.lines.bytes // sizeof(Line)
    cdef bint all_of_them = one == NOTHING and other == NOTHING
    cdef Line *line
    cdef Ordered *order
    cdef Wrong wrong
    if not lines:
        return FINE
    order = <Ordered *>reserve(&state.order, lines * sizeof(Ordered))
    if order == NULL:
        return NO_MEMORY
    for index in range(lines):
        line = &(<Line *>state.lines.at)[index]
        if line.is_open and (
            all_of_them or line.debit == one or line.debit == other
            or line.credit == one or line.credit == other
        ):
            order[count].timestamp, order[count].place = line.timestamp, <uint32_t>index
            count += 1
    qsort(order, count, sizeof(Ordered), by_time)
    for index in range(count):
        wrong = end_line(state, shard, sequence, order[index].place)
        if wrong:
            return wrong
    if all_of_them:
        state.lines.bytes = state.events.bytes = 0
    return FINE


cdef inline Wrong end_line(
    State *state, uint32_t shard, uint64_t sequence, uint32_t place
) noexcept nogil:
    """Write a line as a row, and move what its charges moved together."""
    cdef Line *line = &(<Line *>state.lines.at)[place]
    cdef Account *debit = &(<Account *>state.accounts.at)[line.debit]
    cdef Account *credit = &(<Account *>state.accounts.at)[line.credit]
    cdef unsigned char record[RECORD]
    cdef unsigned char *start
    cdef unsigned char *at
    cdef const unsigned char *event
    cdef Written *written = <Written *>reserve(&state.written, sizeof(Written))
    cdef Hold facts
    cdef uint32_t *before
    start = reserve(&state.transfers, TRANSFER_SIZE_MAX + <uint64_t>line.count * EVENT)
    if written == NULL or start == NULL:
        return NO_MEMORY
    memset(record, 0, RECORD)
    memset(&facts, 0, sizeof(Hold))
    memcpy(record, state.events.at + <uint64_t>line.last_event * (EVENT + 4), 16)
    record[7] |= LINE_STEP
    memcpy(facts.debit_id, debit.id, 16)
    memcpy(facts.credit_id, credit.id, 16)
    facts.amount, facts.unit, facts.code = line.amount, line.unit, CHARGE
    facts.timestamp = line.timestamp
    at = put_transfer(start, shard, record, &facts, line.timestamp, sequence)
    at = put32(at, line.count * EVENT)
    place = line.first_event
    while place != NOTHING:
        event = state.events.at + <uint64_t>place * (EVENT + 4)
        memcpy(at, event, EVENT)
        at += EVENT
        place = read32(event + EVENT)
    state.transfers.bytes += at - start
    written.end, written.status = state.transfers.bytes, POSTED
    state.written.bytes += sizeof(Written)
    line.is_open = 0
    debit.open_lines -= 1
    credit.open_lines -= 1
    # Out of the chain of its debit account.
    before = &debit.first_line
    while &(<Line *>state.lines.at)[before[0]] != line:
        before = &(<Line *>state.lines.at)[before[0]].following
    before[0] = line.following
    return move(state, &facts, line.timestamp)
