# cython: language_level=3
"""The rules for transfers: pure questions about an event, accounts and holds, in order.

Each returns the first rule that is broken, or ``T_created`` where none is.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from sakk.ledger.compiled.core cimport (
    AT_AMOUNT, AT_CODE, AT_CREDIT, AT_DEBIT, AT_EFFECTIVE, AT_FLAGS, AT_PENDING, AT_TIMEOUT,
    AT_TIMESTAMP, AT_UNIT, AT_USER_DATA, BALANCING_CREDIT, BALANCING_DEBIT, CLOSING, CREDIT_LIMIT,
    DEBIT_LIMIT, FROZEN, HOLD_EXPIRED, HOLD_POSTED, HOLD_VOIDED, PENDING, POST, SETTLING, VOID,
    Account, Core, Entry, account_at, amount_of, hold_at, timeout_of,
)
from sakk.ledger.compiled.memory cimport NONE, add, load_u64, load_u128, u128
from sakk.ledger.compiled.statuses cimport *

cdef extern from *:
    """
    #define SAKK_TIMESTAMP_MAX ((uint64_t)INT64_MAX)
    #define SAKK_SECOND 1000000000ULL
    #define SAKK_AMOUNT_MAX (~(sakk_u128)0)
    """
    const uint64_t TIMESTAMP_MAX "SAKK_TIMESTAMP_MAX"
    const uint64_t SECOND "SAKK_SECOND"
    const u128 AMOUNT_MAX "SAKK_AMOUNT_MAX"


ctypedef struct Event:
    const uint8_t *record
    u128 amount
    uint64_t unit
    uint64_t effective_at
    uint64_t timestamp  # the ledger's
    uint64_t *slot  # the id's, or the empty one where it would stand
    uint32_t tag
    uint32_t debit  # numbers of accounts, or NONE
    uint32_t credit
    uint32_t timeout
    uint16_t code
    uint16_t flags


cdef inline void read_event(Event *event, const uint8_t *record) noexcept nogil:
    event.record = record
    event.amount = load_u128(record + AT_AMOUNT)
    event.unit = load_u64(record + AT_UNIT)
    event.effective_at = load_u64(record + AT_EFFECTIVE)
    memcpy(&event.timeout, record + AT_TIMEOUT, 4)
    memcpy(&event.code, record + AT_CODE, 2)
    memcpy(&event.flags, record + AT_FLAGS, 2)


cdef inline bint is_zero(const uint8_t *identifier) noexcept nogil:
    return (load_u64(identifier) | load_u64(identifier + 8)) == 0


cdef inline bint is_int_max(const uint8_t *identifier) noexcept nogil:
    return (load_u64(identifier) & load_u64(identifier + 8)) == ~<uint64_t>0


cdef inline bint same_id(const uint8_t *one, const uint8_t *other) noexcept nogil:
    return load_u64(one) == load_u64(other) and load_u64(one + 8) == load_u64(other + 8)


cdef inline int malformed_status(const Event *event) noexcept nogil:
    """What no ledger could ever accept or remember; checked before the id is looked up."""
    if load_u64(event.record + AT_TIMESTAMP):
        return T_timestamp_must_be_zero
    if event.flags >> 8:
        return T_reserved_flag
    if is_zero(event.record):
        return T_id_must_not_be_zero
    if is_int_max(event.record):
        return T_id_must_not_be_int_max
    return T_created


cdef inline int difference(const uint8_t *new, const uint8_t *old) noexcept nogil:
    """Name the first field, in order, in which a repeat differs from its original."""
    if memcmp(new + AT_FLAGS, old + AT_FLAGS, 2):
        return T_exists_with_different_flags
    if memcmp(new + AT_PENDING, old + AT_PENDING, 16):
        return T_exists_with_different_pending_id
    if memcmp(new + AT_TIMEOUT, old + AT_TIMEOUT, 4):
        return T_exists_with_different_timeout_seconds
    if memcmp(new + AT_DEBIT, old + AT_DEBIT, 16):
        return T_exists_with_different_debit_account_id
    if memcmp(new + AT_CREDIT, old + AT_CREDIT, 16):
        return T_exists_with_different_credit_account_id
    if memcmp(new + AT_AMOUNT, old + AT_AMOUNT, 16):
        return T_exists_with_different_amount
    if memcmp(new + AT_USER_DATA, old + AT_USER_DATA, 16):
        return T_exists_with_different_user_data
    if memcmp(new + AT_UNIT, old + AT_UNIT, 8):
        return T_exists_with_different_unit
    if memcmp(new + AT_CODE, old + AT_CODE, 2):
        return T_exists_with_different_code
    if memcmp(new + AT_EFFECTIVE, old + AT_EFFECTIVE, 8):
        return T_exists_with_different_effective_at
    return T_exists


cdef inline bint exclusive(uint16_t flags) noexcept nogil:
    """A post is no void, and neither is pending, balancing or closing."""
    if flags & SETTLING == SETTLING:
        return True
    return flags & SETTLING and flags & (PENDING | BALANCING_DEBIT | BALANCING_CREDIT | CLOSING)


cdef inline int body_status(Core *core, const Event *event) noexcept nogil:
    """What a transfer that is no post or void breaks before totals count."""
    cdef const uint8_t *debit_id = event.record + AT_DEBIT
    cdef const uint8_t *credit_id = event.record + AT_CREDIT
    cdef const Account *debit
    cdef const Account *credit
    if is_zero(debit_id):
        return T_debit_account_id_must_not_be_zero
    if is_int_max(debit_id):
        return T_debit_account_id_must_not_be_int_max
    if is_zero(credit_id):
        return T_credit_account_id_must_not_be_zero
    if is_int_max(credit_id):
        return T_credit_account_id_must_not_be_int_max
    if same_id(debit_id, credit_id):
        return T_accounts_must_be_different
    if not is_zero(event.record + AT_PENDING):
        return T_pending_id_must_be_zero
    if event.timeout and not event.flags & PENDING:
        return T_timeout_reserved_for_pending_transfer
    if event.flags & CLOSING and not event.flags & PENDING:
        return T_closing_transfer_must_be_pending
    if event.amount == 0 and not event.flags & CLOSING:
        return T_amount_must_not_be_zero
    if event.unit == 0:
        return T_unit_must_not_be_zero
    if event.code == 0:
        return T_code_must_not_be_zero
    if event.effective_at > TIMESTAMP_MAX:
        return T_effective_at_out_of_range
    if event.debit == NONE:
        return T_debit_account_not_found
    if event.credit == NONE:
        return T_credit_account_not_found
    debit, credit = account_at(core, event.debit), account_at(core, event.credit)
    if debit.unit != credit.unit:
        return T_accounts_must_have_the_same_unit
    if event.unit != debit.unit:
        return T_transfer_must_have_the_same_unit_as_accounts
    if debit.flags & FROZEN:
        return T_debit_account_frozen
    if credit.flags & FROZEN:
        return T_credit_account_frozen
    return T_created


cdef inline u128 room(u128 has, u128 posted, u128 pending) noexcept nogil:
    """What a balancing side has left: has - posted - pending, at least nothing."""
    cdef u128 used
    if add(posted, pending, &used) or used >= has:
        return 0
    return has - used


cdef inline u128 balanced(
    const Account *debit, const Account *credit, const Event *event
) noexcept nogil:
    """What a transfer may move: its amount, or at most what a balancing side has left."""
    cdef u128 amount = event.amount, most
    if event.flags & BALANCING_DEBIT:
        most = room(debit.credits_posted, debit.debits_posted, debit.debits_pending)
        amount = min(amount, most)
    if event.flags & BALANCING_CREDIT:
        most = room(credit.debits_posted, credit.credits_posted, credit.credits_pending)
        amount = min(amount, most)
    return amount


cdef inline int totals_status(
    const Account *debit, const Account *credit, u128 amount, const Event *event
) noexcept nogil:
    """Overflows, the end of a time-out, then limits: no account beyond them, and holds count."""
    cdef u128 total, debits, credits
    if event.flags & PENDING:
        if add(debit.debits_pending, amount, &total):
            return T_overflows_debits_pending
        if add(credit.credits_pending, amount, &total):
            return T_overflows_credits_pending
    if add(debit.debits_posted, amount, &total):
        return T_overflows_debits_posted
    if add(credit.credits_posted, amount, &total):
        return T_overflows_credits_posted
    if add(debit.debits_pending, debit.debits_posted, &debits) or add(debits, amount, &debits):
        return T_overflows_debits
    if add(credit.credits_pending, credit.credits_posted, &credits) or add(
        credits, amount, &credits
    ):
        return T_overflows_credits
    # Below 2**63 + 2**32 * 10**9 and so below 2**64: this sum cannot wrap.
    if event.timestamp + event.timeout * SECOND > TIMESTAMP_MAX:
        return T_overflows_timeout
    if debit.flags & DEBIT_LIMIT and debits > debit.credits_posted:
        return T_exceeds_credits
    if credit.flags & CREDIT_LIMIT and credits > credit.debits_posted:
        return T_exceeds_debits
    return T_created


cdef inline int exhausted_status(const Account *debit, uint16_t flags) noexcept nogil:
    """Which side of a balancing transfer has nothing left: a transfer of nothing is refused."""
    if flags & BALANCING_DEBIT and not room(
        debit.credits_posted, debit.debits_posted, debit.debits_pending
    ):
        return T_exceeds_credits
    return T_exceeds_debits


cdef inline u128 settled_amount(const Event *event, u128 held) noexcept nogil:
    """What a post or void says of its hold: the whole, or the part that it names."""
    if event.amount == (AMOUNT_MAX if event.flags & POST else <u128>0):
        return held
    return event.amount


cdef inline int naming_status(const Event *event) noexcept nogil:
    """What a post or void breaks before its hold is looked up."""
    cdef const uint8_t *pending_id = event.record + AT_PENDING
    if is_zero(pending_id):
        return T_pending_id_must_not_be_zero
    if is_int_max(pending_id):
        return T_pending_id_must_not_be_int_max
    if same_id(pending_id, event.record):
        return T_pending_id_must_be_different
    if event.timeout:
        return T_timeout_reserved_for_pending_transfer
    if event.flags & POST and event.amount == 0:
        return T_amount_must_not_be_zero
    if event.effective_at > TIMESTAMP_MAX:
        return T_effective_at_out_of_range
    return T_created


cdef inline int hold_status(Core *core, const Event *event, Entry *pending) noexcept nogil:
    """What a post or void of this hold breaks."""
    cdef const uint8_t *debit_id = event.record + AT_DEBIT
    cdef const uint8_t *credit_id = event.record + AT_CREDIT
    cdef const Account *debit = account_at(core, pending.debit)
    cdef const Account *credit = account_at(core, pending.credit)
    cdef u128 held = amount_of(core, pending), amount = settled_amount(event, held)
    cdef uint8_t hold = hold_at(core, pending)[0]
    cdef uint32_t timeout = timeout_of(core, pending)
    if not is_zero(debit_id) and not same_id(debit_id, debit.id):
        return T_pending_transfer_has_different_debit_account_id
    if not is_zero(credit_id) and not same_id(credit_id, credit.id):
        return T_pending_transfer_has_different_credit_account_id
    if event.unit and event.unit != debit.unit:
        return T_pending_transfer_has_different_unit
    if event.code and event.code != pending.code:
        return T_pending_transfer_has_different_code
    if amount > held:
        return T_exceeds_pending_transfer_amount
    if event.flags & VOID and amount != held:
        return T_pending_transfer_has_different_amount
    if hold == HOLD_POSTED:
        return T_pending_transfer_already_posted
    if hold == HOLD_VOIDED:
        return T_pending_transfer_already_voided
    if hold == HOLD_EXPIRED or (
        timeout and event.timestamp >= pending.timestamp + timeout * SECOND
    ):
        return T_pending_transfer_expired
    if event.flags & POST and debit.flags & FROZEN:
        return T_debit_account_frozen
    if event.flags & POST and credit.flags & FROZEN:
        return T_credit_account_frozen
    return T_created
