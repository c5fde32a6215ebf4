# cython: language_level=3
"""What one machine keeps: accounts, remembered ids, holds and their ends, and a chain's undo.

An entry is 48 bytes for each id that was ever answered: a created transfer, or a refusal. What
most transfers do not have stands in an extra, a few words in an array of their own: a word that
says which fields follow, then these, in the order of the bits. Both are written once and never
change, so their bytes are the snapshot's (``sakk.ledger.state`` describes them).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from sakk.ledger.compiled.index cimport Index
from sakk.ledger.compiled.memory cimport Arena, NONE, arena_at, store_u64, store_u128, u128

cdef enum:
    RECORD_BYTES = 128
    # Offsets in records; sakk.ledger.record has the tables.
    AT_DEBIT = 16
    AT_CREDIT = 32
    AT_AMOUNT = 48
    AT_PENDING = 64
    AT_USER_DATA = 80
    AT_UNIT = 96
    AT_EFFECTIVE = 104
    AT_TIMESTAMP = 112
    AT_TIMEOUT = 120
    AT_CODE = 124
    AT_FLAGS = 126

    LINKED = 1 << 0
    PENDING = 1 << 1
    POST = 1 << 2
    VOID = 1 << 3
    BALANCING_DEBIT = 1 << 4
    BALANCING_CREDIT = 1 << 5
    CLOSING_DEBIT = 1 << 6
    CLOSING_CREDIT = 1 << 7
    SETTLING = 12
    CLOSING = 192

    DEBIT_LIMIT = 1 << 1
    CREDIT_LIMIT = 1 << 2
    HISTORY = 1 << 3
    FROZEN = 1 << 5
    ACCOUNT_FLAGS = 47

    HOLD_OPEN = 0
    HOLD_POSTED = 1
    HOLD_VOIDED = 2
    HOLD_EXPIRED = 3

    # Fields of an extra, each with its number of words.
    X_HOLD = 1 << 0  # 1: hold number u32, timeout seconds u32
    X_PENDING = 1 << 1  # 2: pending id
    X_USER_DATA = 1 << 2  # 2
    X_EFFECTIVE = 1 << 3  # 1
    X_AMOUNT_HIGH = 1 << 4  # 1
    X_UNIT = 1 << 5  # 1: where it is not the debit account's
    X_DEBIT = 1 << 6  # 2: the debit account's id, where there was no such account
    X_CREDIT = 1 << 7  # 2
    X_ASKED_AMOUNT = 1 << 8  # 2: as asked for, where another amount moved
    X_ASKED_DEBIT = 1 << 9  # 2
    X_ASKED_CREDIT = 1 << 10  # 2
    X_ASKED_USER_DATA = 1 << 11  # 2
    X_ASKED_UNIT = 1 << 12  # 1
    X_ASKED_CODE = 1 << 13  # 1
    EXTRA_WORDS_MAX = 24
    EXTRA_SHIFT = 17  # an extra never crosses a multiple of 2**17 words; the rest is zero
    ENTRY_SHIFT = 17
    ACCOUNT_SHIFT = 14
    HOLD_SHIFT = 20


ctypedef struct Account:
    uint8_t id[16]
    u128 debits_pending
    u128 debits_posted
    u128 credits_pending
    u128 credits_posted
    uint8_t user_data[16]
    uint64_t unit
    uint64_t timestamp
    uint16_t code
    uint16_t flags
    uint16_t requested_flags
    uint16_t unused
    # In the freeze numbered so, the account's copy stands at this place of the saved ones.
    uint32_t frozen
    uint32_t saved


ctypedef struct Entry:
    uint8_t id[16]
    uint64_t amount  # what moved, its low word
    uint64_t timestamp
    uint32_t debit  # numbers of accounts
    uint32_t credit
    uint32_t extra  # the extra's first word + 1, 0 for none
    uint16_t code
    uint8_t flags
    uint8_t status


ctypedef struct Undo:
    uint32_t entry
    uint32_t settled  # the hold that was settled, or NONE
    uint16_t debit_flags
    uint16_t credit_flags


ctypedef struct Ending:
    uint64_t at
    uint64_t entry


ctypedef struct Core:
    Index account_index
    Index entry_index
    Arena accounts
    Arena entries
    Arena extras
    Arena holds
    Arena saved
    uint64_t timestamp
    uint64_t refused
    # A heap of the ends of holds; what is not open any more is dropped when it comes up.
    Ending *endings
    uint64_t ending_count
    uint64_t ending_room
    # Room for a group's undo, fresh events, amounts that differ and released holds.
    Undo *undo
    uint64_t undo_count
    uint32_t *fresh
    uint8_t *resolved
    uint64_t resolved_size
    uint8_t *expired
    uint64_t group_room
    # While a snapshot is taken, accounts below frozen_count are copied before they change.
    uint32_t freeze
    uint64_t frozen_from
    uint64_t frozen_count


cdef inline Account *account_at(Core *core, uint64_t number) noexcept nogil:
    return <Account *>core.accounts.segments[number >> ACCOUNT_SHIFT] + (
        number & ((1 << ACCOUNT_SHIFT) - 1)
    )


cdef inline Entry *entry_at(Core *core, uint64_t number) noexcept nogil:
    return <Entry *>core.entries.segments[number >> ENTRY_SHIFT] + (
        number & ((1 << ENTRY_SHIFT) - 1)
    )


cdef inline uint64_t *extra_at(Core *core, Entry *entry) noexcept nogil:
    """The entry's extra, or NULL."""
    if entry.extra == 0:
        return NULL
    return <uint64_t *>arena_at(&core.extras, entry.extra - 1)


cdef inline uint8_t *hold_at(Core *core, Entry *entry) noexcept nogil:
    """The state of a pending transfer's hold."""
    cdef uint64_t *extra = extra_at(core, entry)
    return <uint8_t *>arena_at(&core.holds, <uint32_t>extra[1])


cdef inline u128 amount_of(Core *core, Entry *entry) noexcept nogil:
    cdef const uint64_t *word
    cdef u128 amount = entry.amount
    if entry.extra:
        word = extra_field(extra_at(core, entry), X_AMOUNT_HIGH)
        if word != NULL:
            amount |= <u128>word[0] << 64
    return amount


cdef inline uint32_t timeout_of(Core *core, Entry *entry) noexcept nogil:
    cdef const uint64_t *extra = extra_at(core, entry)
    if extra == NULL or not extra[0] & X_HOLD:
        return 0
    return <uint32_t>(extra[1] >> 32)


cdef inline uint32_t field_words(uint32_t bit) noexcept nogil:
    if bit & (X_HOLD | X_EFFECTIVE | X_AMOUNT_HIGH | X_UNIT | X_ASKED_UNIT | X_ASKED_CODE):
        return 1
    return 2


cdef inline uint32_t extra_words(uint64_t mask) noexcept nogil:
    """How many words an extra with these fields has, its first word counted."""
    cdef uint32_t words = 1, bit = 1
    while bit <= X_ASKED_CODE:
        if mask & bit:
            words += field_words(bit)
        bit <<= 1
    return words


cdef inline const uint64_t *extra_field(const uint64_t *extra, uint32_t wanted) noexcept nogil:
    """Where a field of an extra stands, or NULL."""
    cdef const uint64_t *word
    cdef uint32_t bit = 1
    if extra == NULL or not extra[0] & wanted:
        return NULL
    word = extra + 1
    while bit < wanted:
        if extra[0] & bit:
            word += field_words(bit)
        bit <<= 1
    return word


cdef inline void copy_field(
    uint8_t *record, uint32_t offset, const uint64_t *extra, uint32_t bit, size_t size
) noexcept nogil:
    cdef const uint64_t *word = extra_field(extra, bit)
    if word != NULL:
        memcpy(record + offset, word, size)


cdef inline void write_record(Core *core, Entry *entry, uint8_t *record) noexcept nogil:
    """The transfer's 128 bytes as it took effect; of a refusal, as it was asked for."""
    cdef const uint64_t *extra = extra_at(core, entry)
    cdef uint32_t timeout = timeout_of(core, entry)
    cdef uint16_t flags = entry.flags
    memset(record, 0, RECORD_BYTES)
    memcpy(record, entry.id, 16)
    if entry.debit != NONE:
        memcpy(record + AT_DEBIT, account_at(core, entry.debit).id, 16)
        store_u64(record + AT_UNIT, account_at(core, entry.debit).unit)
    if entry.credit != NONE:
        memcpy(record + AT_CREDIT, account_at(core, entry.credit).id, 16)
    store_u64(record + AT_AMOUNT, entry.amount)
    store_u64(record + AT_TIMESTAMP, entry.timestamp)
    memcpy(record + AT_TIMEOUT, &timeout, 4)
    memcpy(record + AT_CODE, &entry.code, 2)
    memcpy(record + AT_FLAGS, &flags, 2)
    if extra == NULL:
        return
    copy_field(record, AT_PENDING, extra, X_PENDING, 16)
    copy_field(record, AT_USER_DATA, extra, X_USER_DATA, 16)
    copy_field(record, AT_EFFECTIVE, extra, X_EFFECTIVE, 8)
    copy_field(record, AT_AMOUNT + 8, extra, X_AMOUNT_HIGH, 8)
    copy_field(record, AT_UNIT, extra, X_UNIT, 8)
    copy_field(record, AT_DEBIT, extra, X_DEBIT, 16)
    copy_field(record, AT_CREDIT, extra, X_CREDIT, 16)


cdef inline void write_asked(Core *core, Entry *entry, uint8_t *record) noexcept nogil:
    """The 128 bytes as they were asked for, without the ledger's timestamp."""
    cdef const uint64_t *extra = extra_at(core, entry)
    write_record(core, entry, record)
    store_u64(record + AT_TIMESTAMP, 0)
    copy_field(record, AT_AMOUNT, extra, X_ASKED_AMOUNT, 16)
    copy_field(record, AT_DEBIT, extra, X_ASKED_DEBIT, 16)
    copy_field(record, AT_CREDIT, extra, X_ASKED_CREDIT, 16)
    copy_field(record, AT_USER_DATA, extra, X_ASKED_USER_DATA, 16)
    copy_field(record, AT_UNIT, extra, X_ASKED_UNIT, 8)
    copy_field(record, AT_CODE, extra, X_ASKED_CODE, 2)


cdef inline void write_account(
    const Account *account, uint8_t *record, bint requested
) noexcept nogil:
    """The account's 128 bytes; for a snapshot with its flags as requested behind them."""
    memset(record, 0, RECORD_BYTES)
    memcpy(record, account.id, 16)
    store_u128(record + 16, account.debits_pending)
    store_u128(record + 32, account.debits_posted)
    store_u128(record + 48, account.credits_pending)
    store_u128(record + 64, account.credits_posted)
    memcpy(record + 80, account.user_data, 16)
    store_u64(record + 96, account.unit)
    store_u64(record + 104, account.timestamp)
    memcpy(record + 112, &account.code, 2)
    memcpy(record + 114, &account.flags, 2)
    if requested:
        memcpy(record + 116, &account.requested_flags, 2)


cdef inline void touch(Core *core, uint64_t number) noexcept nogil:
    """The account is about to change: while a snapshot is taken, keep what it was."""
    cdef Account *account
    if number < core.frozen_from or number >= core.frozen_count:
        return
    account = account_at(core, number)
    if account.frozen != core.freeze:
        memcpy(arena_at(&core.saved, core.saved.count), account, sizeof(Account))
        account.frozen = core.freeze
        account.saved = <uint32_t>core.saved.count
        core.saved.count += 1


# The ends of holds


cdef inline bint earlier(const Ending *one, const Ending *other) noexcept nogil:
    return one.at < other.at or (one.at == other.at and one.entry < other.entry)


cdef inline void push_ending(Core *core, uint64_t at, uint64_t entry) noexcept nogil:
    """Room was reserved."""
    cdef Ending new
    cdef uint64_t place = core.ending_count, parent
    new.at, new.entry = at, entry
    core.ending_count += 1
    while place:
        parent = (place - 1) // 2
        if not earlier(&new, &core.endings[parent]):
            break
        core.endings[place] = core.endings[parent]
        place = parent
    core.endings[place] = new


cdef inline void pop_ending(Core *core) noexcept nogil:
    cdef Ending last
    cdef uint64_t place = 0, child
    core.ending_count -= 1
    last = core.endings[core.ending_count]
    while True:
        child = 2 * place + 1
        if child >= core.ending_count:
            break
        if child + 1 < core.ending_count and earlier(
            &core.endings[child + 1], &core.endings[child]
        ):
            child += 1
        if not earlier(&core.endings[child], &last):
            break
        core.endings[place] = core.endings[child]
        place = child
    core.endings[place] = last


cdef inline bint next_ending(Core *core, uint64_t *at) noexcept nogil:
    """The first end of an open hold; False where there is none."""
    while core.ending_count:
        if hold_at(core, entry_at(core, core.endings[0].entry))[0] == HOLD_OPEN:
            at[0] = core.endings[0].at
            return True
        pop_ending(core)
    return False
