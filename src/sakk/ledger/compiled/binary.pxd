# cython: language_level=3
"""Values in PostgreSQL's binary format, written into memory: what ``sakk.store.copy`` does."""

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    typedef unsigned __int128 sakk_number;

    static inline sakk_number sakk_load(const unsigned char *at)
    {
        sakk_number value;
        memcpy(&value, at, 16);
        return value;
    }

    static inline void sakk_store(unsigned char *at, sakk_number value)
    {
        memcpy(at, &value, 16);
    }

    static inline unsigned char *sakk_put16(unsigned char *at, uint16_t value)
    {
        value = __builtin_bswap16(value);
        memcpy(at, &value, 2);
        return at + 2;
    }

    static inline unsigned char *sakk_put32(unsigned char *at, uint32_t value)
    {
        value = __builtin_bswap32(value);
        memcpy(at, &value, 4);
        return at + 4;
    }

    static inline unsigned char *sakk_put64(unsigned char *at, uint64_t value)
    {
        value = __builtin_bswap64(value);
        memcpy(at, &value, 8);
        return at + 8;
    }

    /* A value of 16 bytes, 32 or 64 bits, with its length before it. */
    static inline unsigned char *sakk_field_id(unsigned char *at, const unsigned char *id)
    {
        at = sakk_put32(at, 16);
        memcpy(at, id, 16);
        return at + 16;
    }

    static inline unsigned char *sakk_field32(unsigned char *at, uint32_t value)
    {
        return sakk_put32(sakk_put32(at, 4), value);
    }

    static inline unsigned char *sakk_field64(unsigned char *at, uint64_t value)
    {
        return sakk_put64(sakk_put32(at, 8), value);
    }

    /* A NUMERIC: digits of base 10,000, the first one first, without zeros at the end. */
    static inline unsigned char *sakk_field_numeric(
        unsigned char *at, sakk_number value, int is_negative)
    {
        uint16_t digits[10];
        int count = 0, low = 0;
        uint64_t rest;
        while (value >> 64) {
            digits[count++] = (uint16_t)(value % 10000);
            value /= 10000;
        }
        for (rest = (uint64_t)value; rest; rest /= 10000)
            digits[count++] = (uint16_t)(rest % 10000);
        while (low < count && digits[low] == 0)
            low++;
        at = sakk_put32(at, 8 + 2 * (uint32_t)(count - low));
        at = sakk_put16(at, (uint16_t)(count - low));
        at = sakk_put16(at, (uint16_t)(count ? count - 1 : 0));
        at = sakk_put16(at, is_negative ? 0x4000 : 0);
        at = sakk_put16(at, 0);
        while (count > low)
            at = sakk_put16(at, digits[--count]);
        return at;
    }

    /* Credits less debits, which may be below zero. */
    static inline unsigned char *sakk_field_difference(
        unsigned char *at, sakk_number credits, sakk_number debits)
    {
        if (credits >= debits)
            return sakk_field_numeric(at, credits - debits, 0);
        return sakk_field_numeric(at, debits - credits, 1);
    }
    """
    # 128 bits; never turned into a Python number.
    ctypedef unsigned long long Number "sakk_number"
    Number load_number "sakk_load"(const unsigned char *at) noexcept nogil
    void store_number "sakk_store"(unsigned char *at, Number value) noexcept nogil
    unsigned char *put16 "sakk_put16"(unsigned char *at, uint16_t value) noexcept nogil
    unsigned char *put32 "sakk_put32"(unsigned char *at, uint32_t value) noexcept nogil
    unsigned char *field_id "sakk_field_id"(
        unsigned char *at, const unsigned char *identifier) noexcept nogil
    unsigned char *field32 "sakk_field32"(unsigned char *at, uint32_t value) noexcept nogil
    unsigned char *field64 "sakk_field64"(unsigned char *at, uint64_t value) noexcept nogil
    unsigned char *field_numeric "sakk_field_numeric"(
        unsigned char *at, Number value, int is_negative) noexcept nogil
    unsigned char *field_difference "sakk_field_difference"(
        unsigned char *at, Number credits, Number debits) noexcept nogil

# A numeric of 128 bits: its length, four numbers and at most ten digits.
cdef enum:
    NUMERIC_SIZE_MAX = 4 + 8 + 20
