# cython: language_level=3
"""A payload of the journal, read where it lies; ``sakk.ledger.journal`` describes its bytes."""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef enum:
    CREATE_ACCOUNTS = 1
    CREATE_TRANSFERS = 2
    RECORD = 128
    RESULT = 9
    RESOLVED = 20
    HEAD = 12


cdef inline uint32_t read32(const unsigned char *at) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, at, 4)
    return value


cdef inline uint64_t read64(const unsigned char *at) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, at, 8)
    return value


cdef inline uint32_t read16(const unsigned char *at) noexcept nogil:
    return at[0] | (<uint32_t>at[1] << 8)


cdef inline bint is_zero(const unsigned char *identifier) noexcept nogil:
    return read64(identifier) == 0 and read64(identifier + 8) == 0


# A request inside of a payload; ``take`` moves on to the next.
cdef struct Part:
    const unsigned char *at
    const unsigned char *end
    uint32_t left
    uint32_t kind
    uint32_t count
    uint32_t resolved_count
    const unsigned char *records
    const unsigned char *results
    const unsigned char *statuses
    const unsigned char *resolved


cdef inline bint take(Part *part) noexcept nogil:
    """Read the next request of accounts or transfers; False at the end. Of others no row is made.

    The payload was checked before.
    """
    while part.left:
        part.left -= 1
        part.kind = part.at[0]
        part.count = read32(part.at + 4)
        part.resolved_count = read32(part.at + 8)
        part.records = part.at + HEAD
        part.results = part.records + <uint64_t>part.count * RECORD
        part.statuses = part.results + <uint64_t>part.count * 8
        part.resolved = part.statuses + part.count
        part.at = part.resolved + <uint64_t>part.resolved_count * RESOLVED
        if part.kind <= CREATE_TRANSFERS:
            return True
    return False


cdef inline uint32_t open_payload(
    const unsigned char *at, uint64_t size, Part *part, const unsigned char **expired
) noexcept nogil:
    """Begin to read a payload; the number of its expired holds."""
    cdef uint32_t count = read32(at + 8)
    part.left = read32(at + 4)
    part.end = at + size
    expired[0] = at + HEAD
    part.at = at + HEAD + <uint64_t>count * 16
    return count


cdef inline bint is_whole(const unsigned char *at, uint64_t size) noexcept nogil:
    """Does a payload hold what it describes, and nothing more?"""
    cdef uint64_t end, requests
    if size < HEAD or memcmp(at, b"SKJ1", 4) != 0:
        return False
    end = HEAD + <uint64_t>read32(at + 8) * 16
    for requests in range(read32(at + 4)):
        if end + HEAD > size or at[end] < 1 or at[end] > 4:
            return False
        end += (
            HEAD
            + <uint64_t>read32(at + end + 4) * (RECORD + RESULT)
            + <uint64_t>read32(at + end + 8) * RESOLVED
        )
    return end == size
