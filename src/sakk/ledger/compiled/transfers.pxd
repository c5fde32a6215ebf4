# cython: language_level=3
"""Creating transfers: a fast way for plain ones, and chains, which stand or fall together.

Every memory that is written here was reserved before the group began.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from sakk.ledger.compiled.core cimport (
    AT_AMOUNT, AT_CREDIT, AT_DEBIT, AT_PENDING, AT_USER_DATA, CLOSING_CREDIT, CLOSING_DEBIT,
    EXTRA_SHIFT, FROZEN, HOLD_OPEN, HOLD_POSTED, HOLD_VOIDED, PENDING, POST, SETTLING,
    X_AMOUNT_HIGH, X_ASKED_AMOUNT, X_ASKED_CODE, X_ASKED_CREDIT, X_ASKED_DEBIT, X_ASKED_UNIT,
    X_ASKED_USER_DATA, X_CREDIT, X_DEBIT, X_EFFECTIVE, X_HOLD, X_PENDING, X_UNIT, X_USER_DATA,
    Account, Core, Entry, Undo, account_at, amount_of, entry_at, extra_words, hold_at, touch,
    write_asked,
)
from sakk.ledger.compiled.index cimport find_slot, put, tag_of, take_out
from sakk.ledger.compiled.memory cimport NONE, arena_at, high, u128
from sakk.ledger.compiled.rules cimport (
    Event, balanced, body_status, exclusive, exhausted_status, hold_status, is_zero, naming_status,
    same_id, settled_amount, totals_status,
)
from sakk.ledger.compiled.statuses cimport *

cdef enum:
    AHEAD = 64  # events whose places in memory are asked for before they are needed
    RESOLVED_BYTES = 20
    EXPIRED_MAX = 8192


ctypedef struct Job:
    # One request of a group.
    const uint8_t *records
    uint64_t count
    uint8_t *timestamps  # u64 each
    uint8_t *statuses
    uint64_t resolved_from  # in the group's resolved bytes
    uint64_t resolved_to
    uint32_t kind


ctypedef struct Effect:
    # What a transfer does, where it may differ from what was asked.
    u128 amount
    const uint8_t *user_data
    uint64_t unit
    uint16_t code


# Remembering


cdef inline void write_words(uint64_t **word, const void *field, size_t size) noexcept nogil:
    word[0][0] = 0
    memcpy(word[0], field, size)
    word[0] += (size + 7) // 8


cdef inline uint64_t extra_mask(
    Core *core, const Event *event, int status, const Effect *effect
) noexcept nogil:
    """Which fields do not follow from the entry and its accounts."""
    cdef const uint8_t *record = event.record
    cdef uint64_t mask = 0, unit = 0
    cdef bint created = status == T_created
    if event.debit != NONE:
        unit = account_at(core, event.debit).unit
        if not same_id(record + AT_DEBIT, account_at(core, event.debit).id):
            mask |= X_ASKED_DEBIT
    elif not is_zero(record + AT_DEBIT):
        mask |= X_DEBIT
    if event.credit == NONE:
        if not is_zero(record + AT_CREDIT):
            mask |= X_CREDIT
    elif not same_id(record + AT_CREDIT, account_at(core, event.credit).id):
        mask |= X_ASKED_CREDIT
    if event.timeout or (created and event.flags & PENDING):
        mask |= X_HOLD
    if not is_zero(record + AT_PENDING):
        mask |= X_PENDING
    if not is_zero(effect.user_data):
        mask |= X_USER_DATA
    if event.effective_at:
        mask |= X_EFFECTIVE
    if high(effect.amount):
        mask |= X_AMOUNT_HIGH
    if effect.unit != unit:
        mask |= X_UNIT
    if effect.amount != event.amount:
        mask |= X_ASKED_AMOUNT
    if not same_id(effect.user_data, record + AT_USER_DATA):
        mask |= X_ASKED_USER_DATA
    if effect.unit != event.unit:
        mask |= X_ASKED_UNIT
    if effect.code != event.code:
        mask |= X_ASKED_CODE
    return mask


cdef inline uint32_t add_extra(
    Core *core, const Event *event, const Effect *effect, uint64_t mask, uint32_t hold
) noexcept nogil:
    """Write an extra; its first word's place + 1."""
    cdef uint64_t words = extra_words(mask), span = <uint64_t>1 << EXTRA_SHIFT, first
    cdef uint64_t left = span - (core.extras.count & (span - 1)), number
    cdef const uint8_t *record = event.record
    cdef uint64_t *word
    cdef uint64_t amount_high = high(effect.amount)
    if words > left:
        for number in range(left):
            (<uint64_t *>arena_at(&core.extras, core.extras.count + number))[0] = 0
        core.extras.count += left
    first = core.extras.count
    word = <uint64_t *>arena_at(&core.extras, first)
    core.extras.count += words
    word[0] = mask
    word += 1
    if mask & X_HOLD:
        word[0] = <uint64_t>event.timeout << 32 | hold
        word += 1
    if mask & X_PENDING:
        write_words(&word, record + AT_PENDING, 16)
    if mask & X_USER_DATA:
        write_words(&word, effect.user_data, 16)
    if mask & X_EFFECTIVE:
        write_words(&word, &event.effective_at, 8)
    if mask & X_AMOUNT_HIGH:
        write_words(&word, &amount_high, 8)
    if mask & X_UNIT:
        write_words(&word, &effect.unit, 8)
    if mask & X_DEBIT:
        write_words(&word, record + AT_DEBIT, 16)
    if mask & X_CREDIT:
        write_words(&word, record + AT_CREDIT, 16)
    if mask & X_ASKED_AMOUNT:
        write_words(&word, record + AT_AMOUNT, 16)
    if mask & X_ASKED_DEBIT:
        write_words(&word, record + AT_DEBIT, 16)
    if mask & X_ASKED_CREDIT:
        write_words(&word, record + AT_CREDIT, 16)
    if mask & X_ASKED_USER_DATA:
        write_words(&word, record + AT_USER_DATA, 16)
    if mask & X_ASKED_UNIT:
        write_words(&word, &event.unit, 8)
    if mask & X_ASKED_CODE:
        write_words(&word, &event.code, 2)
    return <uint32_t>(first + 1)


cdef inline void remember(
    Core *core, Event *event, int status, const Effect *effect
) noexcept nogil:
    """Append the entry of an id that is new, and index it."""
    cdef uint64_t number = core.entries.count, mask
    cdef Entry *entry = entry_at(core, number)
    cdef uint32_t hold = 0
    memcpy(entry.id, event.record, 16)
    entry.amount = <uint64_t>effect.amount
    entry.timestamp = event.timestamp
    entry.debit = event.debit
    entry.credit = event.credit
    entry.code = effect.code
    entry.flags = <uint8_t>event.flags
    entry.status = <uint8_t>status
    entry.extra = 0
    mask = extra_mask(core, event, status, effect)
    if status == T_created and event.flags & PENDING:
        hold = <uint32_t>core.holds.count
        arena_at(&core.holds, hold)[0] = HOLD_OPEN
        core.holds.count += 1
    if mask:
        entry.extra = add_extra(core, event, effect, mask, hold)
    if status != T_created:
        core.refused += 1
    core.entries.count += 1
    put(&core.entry_index, &core.entries, event.tag, event.record, event.slot, <uint32_t>number)


cdef inline void as_asked(const Event *event, Effect *effect) noexcept nogil:
    effect.amount = event.amount
    effect.user_data = event.record + AT_USER_DATA
    effect.unit = event.unit
    effect.code = event.code


# One transfer


cdef inline uint32_t find_account(Core *core, const uint8_t *identifier) noexcept nogil:
    """The account's number, or NONE."""
    cdef uint32_t tag = tag_of(&core.account_index, identifier)
    cdef uint64_t slot = find_slot(&core.account_index, &core.accounts, tag, identifier)[0]
    return <uint32_t>slot - 1 if slot else NONE


cdef inline uint32_t find_entry(Core *core, Event *event) noexcept nogil:
    """The number of the event's id, or NONE; the event keeps its slot."""
    cdef uint64_t slot
    event.tag = tag_of(&core.entry_index, event.record)
    event.slot = find_slot(&core.entry_index, &core.entries, event.tag, event.record)
    slot = event.slot[0]
    return <uint32_t>slot - 1 if slot else NONE


cdef inline void note_undo(
    Core *core, uint32_t settled, const Account *debit, const Account *credit
) noexcept nogil:
    cdef Undo *undo = core.undo + core.undo_count
    undo.entry = <uint32_t>core.entries.count
    undo.settled = settled
    undo.debit_flags = debit.flags
    undo.credit_flags = credit.flags
    core.undo_count += 1


cdef inline int create(Core *core, Event *event, u128 *moved) noexcept nogil:
    """Check a new transfer against every rule in order, and apply it if it breaks none."""
    cdef Account *debit
    cdef Account *credit
    cdef Effect effect
    cdef int status
    if exclusive(event.flags):
        return T_flags_are_mutually_exclusive
    if event.flags & SETTLING:
        return settle(core, event, moved)
    status = body_status(core, event)
    if status:
        return status
    debit, credit = account_at(core, event.debit), account_at(core, event.credit)
    as_asked(event, &effect)
    effect.amount = balanced(debit, credit, event)
    status = totals_status(debit, credit, effect.amount, event)
    if status:
        return status
    if event.amount and not effect.amount:
        return exhausted_status(debit, event.flags)
    note_undo(core, NONE, debit, credit)
    touch(core, event.debit)
    touch(core, event.credit)
    if event.flags & PENDING:
        debit.debits_pending += effect.amount
        credit.credits_pending += effect.amount
    else:
        debit.debits_posted += effect.amount
        credit.credits_posted += effect.amount
    if event.flags & CLOSING_DEBIT:
        debit.flags |= FROZEN
    if event.flags & CLOSING_CREDIT:
        credit.flags |= FROZEN
    remember(core, event, T_created, &effect)
    moved[0] = effect.amount
    return T_created


cdef inline void release(Core *core, Entry *pending) noexcept nogil:
    """Take a hold off its two accounts, and thaw what it froze."""
    cdef Account *debit = account_at(core, pending.debit)
    cdef Account *credit = account_at(core, pending.credit)
    cdef u128 amount = amount_of(core, pending)
    touch(core, pending.debit)
    touch(core, pending.credit)
    debit.debits_pending -= amount
    credit.credits_pending -= amount
    if pending.flags & CLOSING_DEBIT:
        debit.flags &= ~FROZEN
    if pending.flags & CLOSING_CREDIT:
        credit.flags &= ~FROZEN


cdef inline int settle(Core *core, Event *event, u128 *moved) noexcept nogil:
    """Post or void a hold: check in order, release it, and move what is posted."""
    cdef const uint8_t *pending_id = event.record + AT_PENDING
    cdef uint64_t slot
    cdef Entry *pending
    cdef Account *debit
    cdef Account *credit
    cdef Effect effect
    cdef uint8_t inherited[16]
    cdef int status = naming_status(event)
    if status:
        return status
    slot = find_slot(
        &core.entry_index, &core.entries, tag_of(&core.entry_index, pending_id), pending_id
    )[0]
    if slot == 0 or entry_at(core, <uint32_t>slot - 1).status != T_created:
        return T_pending_transfer_not_found
    pending = entry_at(core, <uint32_t>slot - 1)
    if not pending.flags & PENDING:
        return T_pending_transfer_not_pending
    status = hold_status(core, event, pending)
    if status:
        return status
    debit, credit = account_at(core, pending.debit), account_at(core, pending.credit)
    effect.amount = settled_amount(event, amount_of(core, pending))
    effect.unit = debit.unit
    effect.code = pending.code
    effect.user_data = event.record + AT_USER_DATA
    if is_zero(effect.user_data):
        write_user_data(core, pending, inherited)
        effect.user_data = inherited
    note_undo(core, <uint32_t>slot - 1, debit, credit)
    release(core, pending)
    if event.flags & POST:
        hold_at(core, pending)[0] = HOLD_POSTED
        debit.debits_posted += effect.amount
        credit.credits_posted += effect.amount
    else:
        hold_at(core, pending)[0] = HOLD_VOIDED
    event.debit, event.credit = pending.debit, pending.credit
    remember(core, event, T_created, &effect)
    moved[0] = effect.amount
    return T_created


cdef inline void write_user_data(Core *core, Entry *entry, uint8_t *user_data) noexcept nogil:
    cdef uint8_t record[128]
    write_asked(core, entry, record)
    memcpy(user_data, record + AT_USER_DATA, 16)


cdef inline void roll_back(
    Core *core, uint64_t first, uint64_t extras, uint64_t holds
) noexcept nogil:
    """Take back what the chain under way applied, last first."""
    cdef Undo *undo
    cdef Entry *entry
    cdef Account *debit
    cdef Account *credit
    cdef uint32_t tag
    cdef u128 amount
    while core.undo_count:
        core.undo_count -= 1
        undo = core.undo + core.undo_count
        entry = entry_at(core, undo.entry)
        debit, credit = account_at(core, entry.debit), account_at(core, entry.credit)
        amount = amount_of(core, entry)
        if entry.flags & PENDING:
            debit.debits_pending -= amount
            credit.credits_pending -= amount
        elif not entry.flags & SETTLING or entry.flags & POST:
            debit.debits_posted -= amount
            credit.credits_posted -= amount
        if undo.settled != NONE:
            amount = amount_of(core, entry_at(core, undo.settled))
            debit.debits_pending += amount
            credit.credits_pending += amount
            hold_at(core, entry_at(core, undo.settled))[0] = HOLD_OPEN
        debit.flags, credit.flags = undo.debit_flags, undo.credit_flags
        tag = tag_of(&core.entry_index, entry.id)
        take_out(
            &core.entry_index, tag, find_slot(&core.entry_index, &core.entries, tag, entry.id)
        )
    core.entries.count = first
    core.extras.count = extras
    core.holds.count = holds
