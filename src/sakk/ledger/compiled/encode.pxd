# cython: language_level=3
"""Rows for COPY, in the order of the columns that ``sakk.store.projection`` names."""

from libc.stdint cimport uint32_t, uint64_t

from sakk.ledger.compiled.binary cimport (
    NUMERIC_SIZE_MAX,
    Number,
    field32,
    field64,
    field_difference,
    field_id,
    field_numeric,
    put16,
    put32,
)
from sakk.ledger.compiled.payload cimport is_zero, read32
from sakk.ledger.compiled.totals cimport Account, Balance, Entry, Hold

# Rows at their longest: fields with their lengths, and numerics.
cdef enum:
    TRANSFER_SIZE_MAX = 2 + 6 * 20 + 4 * 12 + 3 * 8 + 4 + 2 * NUMERIC_SIZE_MAX
    OPEN_SIZE_MAX = 2 + 4 * 20 + 2 * 12 + 8 + 2 * NUMERIC_SIZE_MAX
    ENTRY_SIZE_MAX = 2 + 20 + 8 + 2 * 12 + 2 * NUMERIC_SIZE_MAX
    BALANCE_SIZE_MAX = 2 + 20 + 8 + 12 + 4 * NUMERIC_SIZE_MAX
    ACCOUNT_SIZE_MAX = 2 + 2 * 20 + 3 * 8 + 12 + 5 * NUMERIC_SIZE_MAX
    NULL_FIELD = 0xFFFFFFFF


cdef inline unsigned char *put_transfer(
    unsigned char *at,
    uint32_t shard,
    const unsigned char *record,
    Hold *facts,
    uint64_t effective_at,
    uint64_t sequence,
) noexcept nogil:
    """A transfer up to its charges and its status. ``facts``: what it moved, inherited fields
    filled in.
    """
    at = field_id(put16(at, 16), record)
    at = field64(field32(at, shard), sequence)
    at = field64(field64(at, facts.timestamp), effective_at)
    at = field_id(field_id(at, facts.debit_id), facts.credit_id)
    at = field_numeric(field_numeric(at, facts.amount, 0), <Number>facts.unit, 0)
    at = field32(field32(at, facts.code), facts.flags)
    at = field_id(field64(at, read32(record + 120)), facts.user_data)
    return put32(at, NULL_FIELD) if is_zero(record + 64) else field_id(at, record + 64)


cdef inline unsigned char *put_open(
    unsigned char *at, uint32_t shard, Hold *hold
) noexcept nogil:
    at = field32(field_id(put16(at, 9), hold.id), shard)
    at = field_id(field_id(at, hold.debit_id), hold.credit_id)
    at = field_numeric(field_numeric(at, hold.amount, 0), <Number>hold.unit, 0)
    return field64(field64(field_id(at, hold.user_data), hold.timestamp), hold.timeout)


cdef inline unsigned char *put_entry(
    unsigned char *at, uint32_t shard, Account *account, Entry *entry
) noexcept nogil:
    at = field64(field_id(put16(at, 6), account.id), entry.timestamp)
    at = field64(field32(at, shard), entry.effective_at)
    at = field_numeric(at, entry.amount, entry.is_debit)
    return field_difference(at, entry.credits_posted, entry.debits_posted)


cdef inline unsigned char *put_balance(
    unsigned char *at, uint32_t shard, Account *account, Balance *balance
) noexcept nogil:
    at = field64(field_id(put16(at, 7), account.id), balance.timestamp)
    at = field_numeric(field32(at, shard), balance.debits_pending, 0)
    at = field_numeric(at, balance.debits_posted, 0)
    at = field_numeric(at, balance.credits_pending, 0)
    return field_numeric(at, balance.credits_posted, 0)


cdef inline unsigned char *put_account(
    unsigned char *at, uint32_t shard, Account *account
) noexcept nogil:
    at = field32(field_id(put16(at, 11), account.id), shard)
    at = field_numeric(at, <Number>account.unit, 0)
    at = field32(field32(at, account.code), account.flags)
    at = field64(field_id(at, account.user_data), account.timestamp)
    at = field_numeric(at, account.debits_pending, 0)
    at = field_numeric(at, account.debits_posted, 0)
    at = field_numeric(at, account.credits_pending, 0)
    return field_numeric(at, account.credits_posted, 0)
