# cython: language_level=3
"""Batches of transfers: the short way for plain ones, chains, refusals, and holds that ran out."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from sakk.ledger.compiled.core cimport (
    AT_CREDIT, AT_DEBIT, AT_FLAGS, AT_PENDING, AT_TIMESTAMP, CREDIT_LIMIT, DEBIT_LIMIT, FROZEN,
    HOLD_EXPIRED, LINKED, PENDING, RECORD_BYTES, Account, Core, Entry, account_at, entry_at,
    hold_at, next_ending, pop_ending, push_ending, timeout_of, touch, write_asked,
)
from sakk.ledger.compiled.index cimport find_slot, prefetch_tag, put, tag_of, take_out
from sakk.ledger.compiled.memory cimport NONE, add, load_u64, prefetch, store_u64, store_u128, u128
from sakk.ledger.compiled.rules cimport (
    SECOND, TIMESTAMP_MAX, Event, difference, is_int_max, is_zero, malformed_status, read_event,
)
from sakk.ledger.compiled.statuses cimport *
from sakk.ledger.compiled.transfers cimport (
    AHEAD, EXPIRED_MAX, RESOLVED_BYTES, Effect, Job, as_asked, create, find_account, find_entry,
    release, remember, roll_back,
)


ctypedef struct Window:
    # What is known of the next events before their turn: accounts do not come or go meanwhile.
    uint32_t tags[64]
    uint32_t debits[64]
    uint32_t credits[64]


cdef inline void look_ahead(
    Core *core, const uint8_t *records, uint64_t count, Window *window
) noexcept nogil:
    """Ask for the memory of the next events all at once, instead of waiting for each in turn."""
    cdef uint64_t number
    cdef const uint8_t *record = records
    for number in range(count):
        window.tags[number] = tag_of(&core.entry_index, record)
        window.debits[number] = tag_of(&core.account_index, record + AT_DEBIT)
        window.credits[number] = tag_of(&core.account_index, record + AT_CREDIT)
        prefetch_tag(&core.entry_index, window.tags[number])
        prefetch_tag(&core.account_index, window.debits[number])
        prefetch_tag(&core.account_index, window.credits[number])
        record += RECORD_BYTES
    record = records
    for number in range(count):
        window.debits[number] = account_ahead(core, window.debits[number], record + AT_DEBIT)
        window.credits[number] = account_ahead(core, window.credits[number], record + AT_CREDIT)
        record += RECORD_BYTES


cdef inline uint32_t account_ahead(
    Core *core, uint32_t tag, const uint8_t *identifier
) noexcept nogil:
    cdef uint64_t slot = find_slot(&core.account_index, &core.accounts, tag, identifier)[0]
    if slot == 0:
        return NONE
    prefetch(<char *>account_at(core, <uint32_t>slot - 1) + 64)
    return <uint32_t>slot - 1


cdef inline bint plain(
    Core *core, const uint8_t *record, uint64_t timestamp, uint32_t tag, uint32_t debit_number,
    uint32_t credit_number
) noexcept nogil:
    """The short way: apply a plain transfer that breaks no rule. False for everything else, which
    takes the long way and is told the exact reason there."""
    cdef Account *debit = account_at(core, debit_number)
    cdef Account *credit = account_at(core, credit_number)
    cdef Event event
    cdef Effect effect
    cdef u128 debits, credits
    read_event(&event, record)
    if (
        debit_number == credit_number
        or event.amount == 0
        or event.code == 0
        or event.timeout
        or load_u64(record + AT_TIMESTAMP)
        or event.effective_at > TIMESTAMP_MAX
        or debit.unit != event.unit
        or credit.unit != event.unit
        or not is_zero(record + AT_PENDING)
        or (debit.flags | credit.flags) & FROZEN
        or add(debit.debits_pending, debit.debits_posted, &debits)
        or add(debits, event.amount, &debits)
        or add(credit.credits_pending, credit.credits_posted, &credits)
        or add(credits, event.amount, &credits)
        or (debit.flags & DEBIT_LIMIT and debits > debit.credits_posted)
        or (credit.flags & CREDIT_LIMIT and credits > credit.debits_posted)
        or is_zero(record)
        or is_int_max(record)
    ):
        return False
    event.tag = tag
    event.slot = find_slot(&core.entry_index, &core.entries, tag, record)
    if event.slot[0]:
        return False
    touch(core, debit_number)
    touch(core, credit_number)
    debit.debits_posted += event.amount
    credit.credits_posted += event.amount
    event.timestamp = timestamp
    event.debit, event.credit = debit_number, credit_number
    as_asked(&event, &effect)
    remember(core, &event, T_created, &effect)
    return True


cdef inline void create_transfers(Core *core, Job *job, uint64_t first) noexcept nogil:
    """A request's batch, in order; the timestamps and statuses are written into the job."""
    cdef Window window
    cdef uint64_t index = 0, base, stop, end
    cdef const uint8_t *record
    cdef uint32_t debit, credit
    for index in range(job.count):
        store_u64(job.timestamps + 8 * index, first + index)
    memset(job.statuses, 0, job.count)
    index = 0
    while index < job.count:
        base, stop = index, min(index + AHEAD, job.count)
        look_ahead(core, job.records + RECORD_BYTES * base, stop - base, &window)
        while index < stop:
            record = job.records + RECORD_BYTES * index
            debit, credit = window.debits[index - base], window.credits[index - base]
            if (
                record[AT_FLAGS] == 0
                and record[AT_FLAGS + 1] == 0
                and debit != NONE
                and credit != NONE
                and plain(core, record, first + index, window.tags[index - base], debit, credit)
            ):
                index += 1
                continue
            end = index + 1
            while end < job.count and job.records[RECORD_BYTES * end - 2] & LINKED:
                end += 1
            create_chain(core, job, index, end, first)
            index = end


# Chains


cdef inline void create_chain(
    Core *core, Job *job, uint64_t start, uint64_t end, uint64_t first
) noexcept nogil:
    """Create the events of one chain wholly or not at all; a single event is a chain of one.

    A chain stands if all its events are new and pass. A repeated one answers event by event as it
    did before. One that mixes new events with existing ones fails.
    """
    cdef uint64_t entries = core.entries.count, extras = core.extras.count
    cdef uint64_t holds = core.holds.count, resolved = core.resolved_size
    cdef uint64_t index, fresh = 0, timestamp
    cdef Event event
    cdef u128 moved = 0
    cdef bint broken = False, existing = False, known
    cdef int status
    cdef uint32_t found
    core.undo_count = 0
    for index in range(start, end):
        read_event(&event, job.records + RECORD_BYTES * index)
        event.timestamp = first + index
        status = malformed_status(&event)
        known = False
        if status == T_created:
            found = find_entry(core, &event)
            if found != NONE and found < entries:
                known = True
                status = answer_again(core, entry_at(core, found), event.record, &timestamp)
                store_u64(job.timestamps + 8 * index, timestamp)
                existing = existing or status == T_exists
            else:
                core.fresh[fresh] = <uint32_t>index
                fresh += 1
        if known:
            pass
        elif broken:
            status = T_linked_event_failed
        elif index == end - 1 and event.flags & LINKED:
            status = T_linked_event_chain_open
        elif status == T_created:
            if found != NONE:
                status = T_id_repeated_in_chain
            else:
                event.debit = find_account(core, event.record + AT_DEBIT)
                event.credit = find_account(core, event.record + AT_CREDIT)
                status = create(core, &event, &moved)
                if status == T_created and moved != event.amount:
                    add_resolved(core, <uint32_t>index, moved)
        broken = broken or status > T_exists
        job.statuses[index] = <uint8_t>status
    if broken or (existing and core.undo_count):
        roll_back(core, entries, extras, holds)
        core.resolved_size = resolved
        refuse(core, job, fresh, first)
    else:
        expect_endings(core)
    core.undo_count = 0


cdef inline int answer_again(
    Core *core, Entry *entry, const uint8_t *record, uint64_t *timestamp
) noexcept nogil:
    """The answer to an id that was seen before this chain."""
    cdef uint8_t asked[128]
    timestamp[0] = entry.timestamp
    write_asked(core, entry, asked)
    if entry.status == T_created:
        return difference(record, asked)
    return entry.status if memcmp(record, asked, RECORD_BYTES) == 0 else T_id_already_failed


cdef inline void add_resolved(Core *core, uint32_t index, u128 amount) noexcept nogil:
    """The transfer moved another amount than its record says."""
    memcpy(core.resolved + core.resolved_size, &index, 4)
    store_u128(core.resolved + core.resolved_size + 4, amount)
    core.resolved_size += RESOLVED_BYTES


cdef inline void expect_endings(Core *core) noexcept nogil:
    """The chain stands: its holds will run out."""
    cdef uint64_t number
    cdef uint32_t timeout
    cdef Entry *entry
    for number in range(core.undo_count):
        entry = entry_at(core, core.undo[number].entry)
        timeout = timeout_of(core, entry)
        if entry.flags & PENDING and timeout:
            push_ending(core, entry.timestamp + timeout * SECOND, core.undo[number].entry)


cdef inline void refuse(
    Core *core, Job *job, uint64_t fresh, uint64_t first
) noexcept nogil:
    """Remember a failed chain's new events as refused; of an id that it repeats, the last one."""
    cdef uint64_t number
    cdef uint32_t index
    cdef Event event
    cdef Effect effect
    for number in range(fresh):
        index = core.fresh[number]
        if job.statuses[index] == T_created:
            job.statuses[index] = T_linked_event_failed
    if fresh > 1:
        drop_repeated(core, job, fresh)
    for number in range(fresh):
        index = core.fresh[number]
        if index == NONE:
            continue
        read_event(&event, job.records + RECORD_BYTES * index)
        event.timestamp = first + index
        find_entry(core, &event)
        event.debit = find_account(core, event.record + AT_DEBIT)
        event.credit = find_account(core, event.record + AT_CREDIT)
        as_asked(&event, &effect)
        remember(core, &event, job.statuses[index], &effect)


cdef inline void drop_repeated(Core *core, Job *job, uint64_t fresh) noexcept nogil:
    """Cross out the new events whose id comes again later in the chain.

    The index tells: the ids stand in it for a moment, last first, as entries behind the last.
    """
    cdef uint64_t place, number = fresh
    cdef Event event
    while number:
        number -= 1
        event.record = job.records + RECORD_BYTES * core.fresh[number]
        place = core.entries.count + number
        memcpy(entry_at(core, place).id, event.record, 16)
        if find_entry(core, &event) != NONE:
            core.fresh[number] = NONE
        else:
            put(
                &core.entry_index, &core.entries, event.tag, event.record, event.slot,
                <uint32_t>place,
            )
    for number in range(fresh):
        if core.fresh[number] != NONE:
            event.record = job.records + RECORD_BYTES * core.fresh[number]
            find_entry(core, &event)
            take_out(&core.entry_index, event.tag, event.slot)


# Time-outs


cdef inline uint64_t expire(Core *core, uint64_t now) noexcept nogil:
    """Release holds that ran out by ``now``, oldest end first; how many."""
    cdef uint64_t count = 0, at, number
    while count < EXPIRED_MAX and next_ending(core, &at) and at <= now:
        number = core.endings[0].entry
        pop_ending(core)
        hold_at(core, entry_at(core, number))[0] = HOLD_EXPIRED
        release(core, entry_at(core, number))
        memcpy(core.expired + 16 * count, entry_at(core, number).id, 16)
        count += 1
    return count
