# cython: language_level=3
"""A core from a snapshot's bytes: copied section by section, then checked and indexed whole.

Bytes that are not a state must not lead anywhere: every number is checked before it is used.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from sakk.ledger.compiled.accounts cimport index_account
from sakk.ledger.compiled.core cimport (
    EXTRA_SHIFT, HOLD_EXPIRED, HOLD_OPEN, PENDING, X_ASKED_CODE, X_HOLD, Account, Core, Entry,
    account_at, entry_at, extra_at, extra_words, hold_at, push_ending, timeout_of,
)
from sakk.ledger.compiled.index cimport find_slot, prefetch_tag, put, tag_of
from sakk.ledger.compiled.memory cimport NONE, arena_at, load_u64, load_u128
from sakk.ledger.compiled.room cimport reserve_endings
from sakk.ledger.compiled.rules cimport SECOND
from sakk.ledger.compiled.statuses cimport T_created, T_exceeds_debits
from sakk.ledger.compiled.transfers cimport AHEAD, find_account


cdef inline void read_account(Account *account, const uint8_t *record) noexcept nogil:
    """What ``write_account`` wrote for a snapshot."""
    memset(account, 0, sizeof(Account))
    memcpy(account.id, record, 16)
    account.debits_pending = load_u128(record + 16)
    account.debits_posted = load_u128(record + 32)
    account.credits_pending = load_u128(record + 48)
    account.credits_posted = load_u128(record + 64)
    memcpy(account.user_data, record + 80, 16)
    account.unit = load_u64(record + 96)
    account.timestamp = load_u64(record + 104)
    memcpy(&account.code, record + 112, 2)
    memcpy(&account.flags, record + 114, 2)
    memcpy(&account.requested_flags, record + 116, 2)


cdef inline bint index_accounts(Core *core) noexcept nogil:
    """False where an id stands twice."""
    cdef uint64_t number
    for number in range(core.accounts.count):
        if find_account(core, account_at(core, number).id) != NONE:
            return False
        index_account(core, <uint32_t>number)
    return True


cdef inline bint is_whole(Core *core, Entry *entry) noexcept nogil:
    """Does everything that the entry names exist?"""
    cdef uint64_t first, span = <uint64_t>1 << EXTRA_SHIFT, mask, words
    cdef bint created = entry.status == T_created
    if entry.status > T_exceeds_debits:
        return False
    if entry.debit >= core.accounts.count and (created or entry.debit != NONE):
        return False
    if entry.credit >= core.accounts.count and (created or entry.credit != NONE):
        return False
    if entry.extra == 0:
        return not (created and entry.flags & PENDING)
    first = entry.extra - 1
    if first >= core.extras.count:
        return False
    mask = extra_at(core, entry)[0]
    if mask == 0 or mask >= 2 * X_ASKED_CODE:
        return False
    words = extra_words(mask)
    if first + words > core.extras.count or (first & (span - 1)) + words > span:
        return False
    if created and entry.flags & PENDING:
        return mask & X_HOLD and <uint32_t>extra_at(core, entry)[1] < core.holds.count
    return True


cdef inline bint index_entries(Core *core) noexcept nogil:
    """Index every id, count refusals, and expect the ends of open holds; False where one is not
    whole, or stands twice."""
    cdef uint32_t tags[64]
    cdef uint64_t base = 0, stop, number
    cdef uint64_t *slot
    cdef uint32_t timeout
    cdef Entry *entry
    while base < core.entries.count:
        stop = min(base + AHEAD, core.entries.count)
        for number in range(base, stop):
            tags[number - base] = tag_of(&core.entry_index, entry_at(core, number).id)
            prefetch_tag(&core.entry_index, tags[number - base])
        for number in range(base, stop):
            entry = entry_at(core, number)
            slot = find_slot(&core.entry_index, &core.entries, tags[number - base], entry.id)
            if slot[0] or not is_whole(core, entry):
                return False
            put(
                &core.entry_index, &core.entries, tags[number - base], entry.id, slot,
                <uint32_t>number,
            )
            if entry.status != T_created:
                core.refused += 1
            elif entry.flags & PENDING and hold_at(core, entry)[0] == HOLD_OPEN:
                timeout = timeout_of(core, entry)
                if timeout:
                    push_ending(core, entry.timestamp + timeout * SECOND, number)
        base = stop
    return True


cdef inline bint settle_in(Core *core) noexcept nogil:
    """Everything was copied: check it and index it. False where it is no state."""
    cdef uint64_t number
    for number in range(core.holds.count):
        if <uint8_t>arena_at(&core.holds, number)[0] > HOLD_EXPIRED:
            return False
    return (
        reserve_endings(core, core.holds.count) and index_accounts(core) and index_entries(core)
    )
