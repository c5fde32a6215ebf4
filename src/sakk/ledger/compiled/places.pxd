# cython: language_level=3
"""Memory that grows, and indexes over it: things of one size, found by the id they begin with."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memset

from sakk.ledger.compiled.keyed cimport HashKey, hash_id

cdef enum:
    NOTHING = 0xFFFFFFFF

# Things of one size that grow; ``bytes`` of it are in use.
cdef struct Room:
    unsigned char *at
    uint64_t bytes
    uint64_t size

# Places of things in a room by the id that each begins with, plus one; 0 is free.
cdef struct Index:
    uint32_t *slots
    uint64_t mask
    uint64_t count


cdef inline unsigned char *reserve(Room *room, uint64_t more) noexcept nogil:
    """Memory for so many bytes more, NULL when there is none."""
    cdef uint64_t size
    cdef unsigned char *at
    if room.bytes + more > room.size:
        size = room.size * 2 if room.size else 65536
        while size < room.bytes + more:
            size *= 2
        at = <unsigned char *>realloc(room.at, size)
        if at == NULL:
            return NULL
        room.at, room.size = at, size
    return room.at + room.bytes


cdef inline uint32_t find(
    Index *index, const HashKey *key, Room *room, uint64_t size, const unsigned char *identifier
) noexcept nogil:
    """The place of the thing with this id, or NOTHING."""
    cdef uint64_t slot
    if index.slots == NULL:
        return NOTHING
    slot = hash_id(key, identifier) & index.mask
    while index.slots[slot]:
        if memcmp(room.at + (index.slots[slot] - 1) * size, identifier, 16) == 0:
            return index.slots[slot] - 1
        slot = (slot + 1) & index.mask
    return NOTHING


cdef inline bint enter(
    Index *index, const HashKey *key, Room *room, uint64_t size, uint32_t place
) noexcept nogil:
    """Enter a thing under its id; False when there is no memory."""
    cdef uint64_t slot, old, slots
    cdef uint32_t *fresh
    if (index.count + 1) * 2 > (index.mask + 1 if index.slots != NULL else 0):
        slots = (index.mask + 1) * 2 if index.slots != NULL else 1024
        fresh = <uint32_t *>malloc(slots * sizeof(uint32_t))
        if fresh == NULL:
            return False
        memset(fresh, 0, slots * sizeof(uint32_t))
        for old in range(index.mask + 1 if index.slots != NULL else 0):
            if index.slots[old]:
                slot = hash_id(key, room.at + (index.slots[old] - 1) * size) & (slots - 1)
                while fresh[slot]:
                    slot = (slot + 1) & (slots - 1)
                fresh[slot] = index.slots[old]
        free(index.slots)
        index.slots, index.mask = fresh, slots - 1
    slot = hash_id(key, room.at + place * size) & index.mask
    while index.slots[slot]:
        slot = (slot + 1) & index.mask
    index.slots[slot] = place + 1
    index.count += 1
    return True


cdef inline void clear(Index *index, Room *room) noexcept nogil:
    free(index.slots)
    index.slots, index.mask, index.count = NULL, 0, 0
    room.bytes = 0
