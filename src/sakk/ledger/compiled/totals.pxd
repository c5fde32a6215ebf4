# cython: language_level=3
"""Accounts' totals and open holds as the rows show them, and what a page of the journal changes.

``sakk.ledger.rows`` in plain Python is the specification.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from sakk.ledger.compiled.binary cimport Number
from sakk.ledger.compiled.keyed cimport HashKey
from sakk.ledger.compiled.payload cimport read16, read64
from sakk.ledger.compiled.places cimport NOTHING, Index, Room, enter, find, reserve

cdef enum:
    PENDING = 1 << 1
    POST = 1 << 2
    VOID = 1 << 3
    CLOSING_DEBIT = 1 << 6
    CLOSING_CREDIT = 1 << 7
    HISTORY = 1 << 3
    FROZEN = 1 << 5

cdef enum Status:
    POSTED = 0
    OPEN = 1
    VOIDED = 2
    EXPIRED = 3

cdef enum Wrong:
    FINE = 0
    LACKING = 1  # an account or a hold that nobody has written
    NO_MEMORY = 2

cdef struct Account:
    unsigned char id[16]
    unsigned char user_data[16]
    Number debits_pending
    Number debits_posted
    Number credits_pending
    Number credits_posted
    uint64_t unit
    uint64_t timestamp
    uint32_t code
    uint32_t flags
    # In the page under way: is it touched, is it new; its entries and balances as chains.
    uint8_t is_touched
    uint8_t is_new
    uint32_t first_entry
    uint32_t last_entry
    uint32_t first_balance
    uint32_t last_balance
    # In the row of the journal under way: lines on which it is the debit side, and all on either.
    uint32_t first_line
    uint32_t open_lines

cdef struct Hold:
    unsigned char id[16]
    unsigned char debit_id[16]
    unsigned char credit_id[16]
    unsigned char user_data[16]
    Number amount
    uint64_t unit
    uint64_t timestamp
    uint32_t code
    uint32_t flags
    uint32_t place  # of its row in the page under way, NOTHING when it was written before
    uint32_t is_open
    uint32_t is_charge
    uint32_t timeout

cdef struct Entry:
    uint64_t timestamp
    uint64_t effective_at
    Number amount
    Number debits_posted
    Number credits_posted
    uint32_t following
    uint32_t is_debit

cdef struct Balance:
    uint64_t timestamp
    Number debits_pending
    Number debits_posted
    Number credits_pending
    Number credits_posted
    uint32_t following

cdef struct Written:
    uint64_t end
    uint32_t status

cdef struct Ended:
    uint64_t timestamp
    uint32_t status

# The charges between two accounts, by their places, in the row of the journal under way.
cdef struct Line:
    uint32_t debit
    uint32_t credit
    Number amount
    uint64_t unit
    uint64_t timestamp
    uint32_t first_event
    uint32_t last_event
    uint32_t count
    uint32_t is_open
    uint32_t following

cdef struct Ordered:
    uint64_t timestamp
    uint32_t place

cdef struct State:
    HashKey key
    Room accounts
    Room holds
    Index account_index
    Index hold_index
    uint64_t closed_holds
    # The page under way: rows up to their status, where each ends, chains, and who is in it.
    Room transfers
    Room written
    Room entries
    Room balances
    Room ended
    Room created
    Room touched
    Room closed
    # The row of the journal under way.
    Room lines
    Room events
    Room order
    unsigned char lacking[16]


cdef inline uint32_t find_hold(
    State *state, const unsigned char *identifier) noexcept nogil:
    cdef uint32_t place = find(
        &state.hold_index, &state.key, &state.holds, sizeof(Hold), identifier
    )
    if place == NOTHING or not (<Hold *>state.holds.at)[place].is_open:
        return NOTHING
    return place


cdef inline uint32_t find_account(
    State *state, const unsigned char *identifier) noexcept nogil:
    return find(
        &state.account_index, &state.key, &state.accounts, sizeof(Account), identifier
    )


cdef inline Hold *new_hold(
    State *state, const unsigned char *identifier) noexcept nogil:
    cdef Hold *hold = <Hold *>reserve(&state.holds, sizeof(Hold))
    cdef uint32_t place = <uint32_t>(state.holds.bytes // sizeof(Hold))
    if hold == NULL:
        return NULL
    memset(hold, 0, sizeof(Hold))
    memcpy(hold.id, identifier, 16)
    hold.place, hold.is_open = NOTHING, 1
    state.holds.bytes += sizeof(Hold)
    if not enter(&state.hold_index, &state.key, &state.holds, sizeof(Hold), place):
        return NULL
    return hold


cdef inline Account *new_account(
    State *state, const unsigned char *record, uint64_t timestamp
) noexcept nogil:
    """An account without totals; NULL when there is no memory."""
    cdef Account *account = <Account *>reserve(&state.accounts, sizeof(Account))
    cdef uint32_t place = <uint32_t>(state.accounts.bytes // sizeof(Account))
    if account == NULL:
        return NULL
    memset(account, 0, sizeof(Account))
    memcpy(account.id, record, 16)
    memcpy(account.user_data, record + 80, 16)
    account.unit = read64(record + 96)
    account.timestamp = timestamp
    account.code = read16(record + 112)
    account.flags = read16(record + 114)
    account.first_entry = account.last_entry = NOTHING
    account.first_balance = account.last_balance = NOTHING
    account.first_line = NOTHING
    state.accounts.bytes += sizeof(Account)
    if not enter(
        &state.account_index, &state.key, &state.accounts, sizeof(Account), place
    ):
        return NULL
    return account


cdef inline Wrong lack(
    State *state, const unsigned char *identifier) noexcept nogil:
    memcpy(state.lacking, identifier, 16)
    return LACKING


cdef inline Wrong push(
    State *state, Room *room, uint32_t place) noexcept nogil:
    cdef uint32_t *at = <uint32_t *>reserve(room, sizeof(uint32_t))
    if at == NULL:
        return NO_MEMORY
    at[0] = place
    room.bytes += sizeof(uint32_t)
    return FINE


cdef inline bint push_id(Room *room, const unsigned char *identifier) noexcept nogil:
    cdef unsigned char *at = reserve(room, 16)
    if at == NULL:
        return False
    memcpy(at, identifier, 16)
    room.bytes += 16
    return True


cdef inline Wrong move(
    State *state, Hold *facts, uint64_t effective_at) noexcept nogil:
    """Change the totals as a created transfer does, and note its entries."""
    cdef uint32_t debit_place = find_account(state, facts.debit_id)
    cdef uint32_t credit_place = find_account(state, facts.credit_id)
    cdef Account *debit
    cdef Account *credit
    cdef Wrong wrong
    if debit_place == NOTHING:
        return lack(state, facts.debit_id)
    if credit_place == NOTHING:
        return lack(state, facts.credit_id)
    debit = &(<Account *>state.accounts.at)[debit_place]
    credit = &(<Account *>state.accounts.at)[credit_place]
    if facts.flags & PENDING:
        debit.debits_pending += facts.amount
        credit.credits_pending += facts.amount
        if facts.flags & CLOSING_DEBIT:
            debit.flags |= FROZEN
        if facts.flags & CLOSING_CREDIT:
            credit.flags |= FROZEN
    elif facts.amount != 0 and not facts.flags & VOID:
        debit.debits_posted += facts.amount
        credit.credits_posted += facts.amount
        wrong = enter_entry(state, debit, facts, effective_at, True)
        if not wrong:
            wrong = enter_entry(state, credit, facts, effective_at, False)
        if wrong:
            return wrong
    wrong = touch(state, debit_place, facts.timestamp)
    return wrong if wrong else touch(state, credit_place, facts.timestamp)


cdef inline Wrong enter_entry(
    State *state, Account *account, Hold *facts, uint64_t effective_at, bint is_debit
) noexcept nogil:
    """One more entry in the account's chain."""
    cdef Entry *entry = <Entry *>reserve(&state.entries, sizeof(Entry))
    cdef uint32_t place = <uint32_t>(state.entries.bytes // sizeof(Entry))
    if entry == NULL:
        return NO_MEMORY
    state.entries.bytes += sizeof(Entry)
    entry.timestamp, entry.effective_at = facts.timestamp, effective_at
    entry.amount, entry.is_debit = facts.amount, is_debit
    entry.debits_posted, entry.credits_posted = account.debits_posted, account.credits_posted
    entry.following = NOTHING
    if account.first_entry == NOTHING:
        account.first_entry = place
    else:
        (<Entry *>state.entries.at)[account.last_entry].following = place
    account.last_entry = place
    return FINE


cdef inline Wrong release(
    State *state, uint32_t place, uint32_t status, uint64_t timestamp) noexcept nogil:
    """Take an ended hold off its accounts, and note in its row what became of it."""
    cdef Hold *hold = &(<Hold *>state.holds.at)[place]
    cdef uint32_t debit_place = find_account(state, hold.debit_id)
    cdef uint32_t credit_place = find_account(state, hold.credit_id)
    cdef Account *debit
    cdef Account *credit
    cdef Ended *ended
    cdef Wrong wrong
    if debit_place == NOTHING:
        return lack(state, hold.debit_id)
    if credit_place == NOTHING:
        return lack(state, hold.credit_id)
    if hold.is_charge:
        if hold.place == NOTHING and not push_id(&state.closed, hold.id):
            return NO_MEMORY
    elif hold.place == NOTHING:
        ended = <Ended *>reserve(&state.ended, sizeof(Ended))
        if ended == NULL:
            return NO_MEMORY
        ended.timestamp, ended.status = hold.timestamp, status
        state.ended.bytes += sizeof(Ended)
    else:
        (<Written *>state.written.at)[hold.place].status = status
    hold.is_open = 0
    state.closed_holds += 1
    debit = &(<Account *>state.accounts.at)[debit_place]
    credit = &(<Account *>state.accounts.at)[credit_place]
    debit.debits_pending -= hold.amount
    credit.credits_pending -= hold.amount
    if hold.flags & CLOSING_DEBIT:
        debit.flags &= ~<uint32_t>FROZEN
    if hold.flags & CLOSING_CREDIT:
        credit.flags &= ~<uint32_t>FROZEN
    wrong = touch(state, debit_place, timestamp)
    return wrong if wrong else touch(state, credit_place, timestamp)


cdef inline Wrong touch(
    State *state, uint32_t place, uint64_t timestamp) noexcept nogil:
    """The account's totals changed: of one with history, note them."""
    cdef Account *account = &(<Account *>state.accounts.at)[place]
    cdef Balance *balance
    cdef uint32_t added
    if not account.is_touched:
        account.is_touched = 1
        if push(state, &state.touched, place):
            return NO_MEMORY
    if not account.flags & HISTORY:
        return FINE
    balance = NULL
    if account.last_balance != NOTHING:
        balance = &(<Balance *>state.balances.at)[account.last_balance]
    if balance == NULL or balance.timestamp != timestamp:
        balance = <Balance *>reserve(&state.balances, sizeof(Balance))
        if balance == NULL:
            return NO_MEMORY
        added = <uint32_t>(state.balances.bytes // sizeof(Balance))
        state.balances.bytes += sizeof(Balance)
        balance.timestamp, balance.following = timestamp, NOTHING
        if account.first_balance == NOTHING:
            account.first_balance = added
        else:
            (<Balance *>state.balances.at)[account.last_balance].following = added
        account.last_balance = added
    balance.debits_pending = account.debits_pending
    balance.debits_posted = account.debits_posted
    balance.credits_pending = account.credits_pending
    balance.credits_posted = account.credits_posted
    return FINE
