# cython: language_level=3
"""Creating accounts: the rules in order, and chains, which stand or fall together."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from sakk.ledger.compiled.core cimport (
    ACCOUNT_FLAGS, CREDIT_LIMIT, DEBIT_LIMIT, LINKED, RECORD_BYTES, Account, Core, account_at,
)
from sakk.ledger.compiled.index cimport find_slot, put, tag_of, take_out
from sakk.ledger.compiled.memory cimport NONE, load_u64, store_u64
from sakk.ledger.compiled.rules cimport is_int_max, is_zero
from sakk.ledger.compiled.statuses cimport *
from sakk.ledger.compiled.transfers cimport Job, find_account

cdef enum:
    AT_FLAGS = 114
    AT_RESERVED = 116


cdef inline void create_accounts(Core *core, Job *job, uint64_t first) noexcept nogil:
    """A request's batch, in order; the timestamps and statuses are written into the job."""
    cdef uint64_t index, end
    for index in range(job.count):
        store_u64(job.timestamps + 8 * index, first + index)
    index = 0
    while index < job.count:
        end = index + 1
        while end < job.count and job.records[RECORD_BYTES * (end - 1) + AT_FLAGS] & LINKED:
            end += 1
        create_account_chain(core, job, index, end, first)
        index = end


cdef inline void create_account_chain(
    Core *core, Job *job, uint64_t start, uint64_t end, uint64_t first
) noexcept nogil:
    """A chain stands if all its accounts are new and pass, or all were there as asked for."""
    cdef uint64_t before = core.accounts.count, index
    cdef bint broken = False, existing = False
    cdef const uint8_t *record
    cdef uint32_t there
    cdef int status
    for index in range(start, end):
        record = job.records + RECORD_BYTES * index
        there = find_account(core, record)
        status = account_status(core, record, there, before)
        if status == A_exists:
            existing = True
            store_u64(job.timestamps + 8 * index, account_at(core, there).timestamp)
        elif broken:
            status = A_linked_event_failed
        elif index == end - 1 and record[AT_FLAGS] & LINKED:
            status = A_linked_event_chain_open
        elif status == A_created:
            add_account(core, record, first + index)
        broken = broken or status > A_exists
        job.statuses[index] = <uint8_t>status
    if broken or (existing and core.accounts.count > before):
        while core.accounts.count > before:
            drop_last_account(core)
        for index in range(start, end):
            if job.statuses[index] == A_created:
                job.statuses[index] = A_linked_event_failed


cdef inline int account_status(
    Core *core, const uint8_t *record, uint32_t there, uint64_t before
) noexcept nogil:
    """The first rule, in order, that a new account breaks."""
    cdef uint16_t flags, code
    cdef const Account *account
    memcpy(&code, record + 112, 2)
    memcpy(&flags, record + AT_FLAGS, 2)
    if load_u64(record + 104):
        return A_timestamp_must_be_zero
    if load_u64(record + AT_RESERVED) or load_u64(record + 120):
        return A_reserved_field
    if flags & ~ACCOUNT_FLAGS:
        return A_reserved_flag
    if is_zero(record):
        return A_id_must_not_be_zero
    if is_int_max(record):
        return A_id_must_not_be_int_max
    if there != NONE:
        account = account_at(core, there)
        if there >= before:
            return A_id_repeated_in_chain
        if flags != account.requested_flags:
            return A_exists_with_different_flags
        if memcmp(record + 80, account.user_data, 16):
            return A_exists_with_different_user_data
        if load_u64(record + 96) != account.unit:
            return A_exists_with_different_unit
        if code != account.code:
            return A_exists_with_different_code
        return A_exists
    if flags & (DEBIT_LIMIT | CREDIT_LIMIT) == DEBIT_LIMIT | CREDIT_LIMIT:
        return A_flags_are_mutually_exclusive
    if not is_zero(record + 16):
        return A_debits_pending_must_be_zero
    if not is_zero(record + 32):
        return A_debits_posted_must_be_zero
    if not is_zero(record + 48):
        return A_credits_pending_must_be_zero
    if not is_zero(record + 64):
        return A_credits_posted_must_be_zero
    if load_u64(record + 96) == 0:
        return A_unit_must_not_be_zero
    if code == 0:
        return A_code_must_not_be_zero
    return A_created


cdef inline void add_account(Core *core, const uint8_t *record, uint64_t timestamp) noexcept nogil:
    cdef uint64_t number = core.accounts.count
    cdef Account *account = account_at(core, number)
    memset(account, 0, sizeof(Account))
    memcpy(account.id, record, 16)
    memcpy(account.user_data, record + 80, 16)
    account.unit = load_u64(record + 96)
    account.timestamp = timestamp
    memcpy(&account.code, record + 112, 2)
    memcpy(&account.flags, record + AT_FLAGS, 2)
    account.requested_flags = account.flags
    core.accounts.count += 1
    index_account(core, <uint32_t>number)


cdef inline void index_account(Core *core, uint32_t number) noexcept nogil:
    cdef const uint8_t *identifier = account_at(core, number).id
    cdef uint32_t tag = tag_of(&core.account_index, identifier)
    cdef uint64_t *slot = find_slot(&core.account_index, &core.accounts, tag, identifier)
    put(&core.account_index, &core.accounts, tag, identifier, slot, number)


cdef inline void drop_last_account(Core *core) noexcept nogil:
    cdef const uint8_t *identifier = account_at(core, core.accounts.count - 1).id
    cdef uint32_t tag = tag_of(&core.account_index, identifier)
    take_out(
        &core.account_index, tag,
        find_slot(&core.account_index, &core.accounts, tag, identifier),
    )
    core.accounts.count -= 1
