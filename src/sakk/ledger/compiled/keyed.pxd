# cython: language_level=3
"""A keyed hash of 128-bit ids, for indexes whose ids are chosen by strangers.

Multiply-add over 128 bits, the top 64 kept: two different ids collide with probability 2**-64
over the choice of the key, whatever the ids are (Dietzfelbinger 1996; Thorup, "High Speed Hashing
for Integers and Strings", section 3.3). The key is drawn once a machine and never leaves it.
"""

from libc.stdint cimport uint64_t

cdef extern from *:
    """
    #include <string.h>
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "the compiled ledger is for little-endian machines; the reference machine serves here"
    #endif
    typedef unsigned __int128 sakk_u128;
    typedef struct { sakk_u128 offset, low, high; } sakk_hash_key;

    static inline uint64_t sakk_hash(const sakk_hash_key *key, const unsigned char *id)
    {
        uint64_t low, high;
        memcpy(&low, id, 8);
        memcpy(&high, id + 8, 8);
        return (uint64_t)((key->offset + key->low * low + key->high * high) >> 64);
    }
    """
    ctypedef struct HashKey "sakk_hash_key":
        pass
    uint64_t hash_id "sakk_hash"(const HashKey *key, const unsigned char *id) noexcept nogil


cdef class IdHash:
    cdef HashKey key
