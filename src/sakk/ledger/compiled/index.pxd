# cython: language_level=3
"""From 128-bit ids to numbers of items: extendible hashing over small open-addressing tables.

A slot is 8 bytes: the upper 32 of the id's keyed hash (the tag), and the item's number + 1. The
tag's first bits choose a table, its last bits the slot where probing begins; ids are compared in
the item itself, whose first 16 bytes they are. A table that is three quarters full splits in two,
so growing moves at most one table's slots at a time: some tens of microseconds, never a pause.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport abort
from libc.string cimport memcmp, memcpy, memset

from sakk.ledger.compiled.keyed cimport HashKey, hash_id
from sakk.ledger.compiled.memory cimport Arena, arena_at, map_memory, prefetch, unmap_memory

cdef enum:
    TABLE_SHIFT = 14
    TABLE_SLOTS = 1 << 14
    TABLE_FULL = 3 << 12  # a table with so many splits
    TABLE_HEAD = 8  # words before the slots: count, depth
    TABLE_WORDS = (1 << 14) + 8
    DEPTH_MAX = 18
    SLAB_TABLES = 15
    SLAB_BYTES = 1 << 21
    SLABS_MAX = 1 << 15
    SPARE_TABLES = 8  # at least so many are at hand before a group


ctypedef struct Index:
    uint64_t **directory  # of tables, 2**depth of them
    uint32_t depth
    char **slabs
    uint64_t slab_count
    uint64_t tables_used
    uint64_t *scratch  # one table's words
    HashKey key


cdef inline bint index_reserve(Index *index, uint64_t tables) noexcept nogil:
    """Have so many tables at hand; False where there is no memory."""
    while index.slab_count * SLAB_TABLES < index.tables_used + tables:
        if index.slab_count == SLABS_MAX:
            return False
        index.slabs[index.slab_count] = <char *>map_memory(SLAB_BYTES)
        if index.slabs[index.slab_count] == NULL:
            return False
        index.slab_count += 1
    return True


cdef inline uint64_t *new_table(Index *index, uint64_t depth) noexcept nogil:
    """A table of empty slots, or NULL."""
    cdef uint64_t number = index.tables_used
    cdef uint64_t *table
    if not index_reserve(index, 1):
        return NULL
    table = <uint64_t *>index.slabs[number // SLAB_TABLES] + TABLE_WORDS * (number % SLAB_TABLES)
    table[1] = depth
    index.tables_used += 1
    return table


cdef inline bint index_open(Index *index) noexcept nogil:
    """False where there is no memory. The key is the caller's to set."""
    index.directory = <uint64_t **>map_memory(sizeof(void *) << DEPTH_MAX)
    index.slabs = <char **>map_memory(sizeof(void *) * SLABS_MAX)
    index.scratch = <uint64_t *>map_memory(sizeof(uint64_t) * TABLE_WORDS)
    if index.directory == NULL or index.slabs == NULL or index.scratch == NULL:
        return False
    index.directory[0] = new_table(index, 0)
    return index.directory[0] != NULL


cdef inline void index_close(Index *index) noexcept nogil:
    cdef uint64_t number
    for number in range(index.slab_count):
        unmap_memory(index.slabs[number], SLAB_BYTES)
    unmap_memory(index.directory, sizeof(void *) << DEPTH_MAX)
    unmap_memory(index.slabs, sizeof(void *) * SLABS_MAX)
    unmap_memory(index.scratch, sizeof(uint64_t) * TABLE_WORDS)


cdef inline uint32_t tag_of(Index *index, const uint8_t *identifier) noexcept nogil:
    return <uint32_t>(hash_id(&index.key, identifier) >> 32)


cdef inline uint64_t *table_of(Index *index, uint32_t tag) noexcept nogil:
    return index.directory[<uint64_t>tag >> (32 - index.depth)]


cdef inline void prefetch_tag(Index *index, uint32_t tag) noexcept nogil:
    prefetch(table_of(index, tag) + TABLE_HEAD + (tag & (TABLE_SLOTS - 1)))


cdef inline uint64_t *find_slot(
    Index *index, Arena *items, uint32_t tag, const uint8_t *identifier
) noexcept nogil:
    """The id's slot, or the empty slot where it would stand."""
    cdef uint64_t *slots = table_of(index, tag) + TABLE_HEAD
    cdef uint32_t place = tag & (TABLE_SLOTS - 1)
    cdef uint64_t slot
    while True:
        slot = slots[place]
        if slot == 0:
            return slots + place
        if slot >> 32 == tag and not memcmp(arena_at(items, <uint32_t>slot - 1), identifier, 16):
            return slots + place
        place = (place + 1) & (TABLE_SLOTS - 1)


cdef inline void place_slot(uint64_t *table, uint64_t slot) noexcept nogil:
    """Put a slot that is not there into a table that has room."""
    cdef uint32_t place = <uint32_t>(slot >> 32) & (TABLE_SLOTS - 1)
    while table[TABLE_HEAD + place]:
        place = (place + 1) & (TABLE_SLOTS - 1)
    table[TABLE_HEAD + place] = slot
    table[0] += 1


cdef inline void split_table(Index *index, uint32_t tag) noexcept nogil:
    """Cut the tag's table in two; nothing happens where that cannot be, it fills further then."""
    cdef uint64_t *low = table_of(index, tag)
    cdef uint64_t *high
    cdef uint64_t depth = low[1], first, span, number, slot
    if depth == DEPTH_MAX:
        return
    high = new_table(index, depth + 1)
    if high == NULL:
        return
    if depth == index.depth:
        for number in range(<uint64_t>1 << depth):
            slot = (<uint64_t>1 << depth) - 1 - number
            index.directory[2 * slot + 1] = index.directory[slot]
            index.directory[2 * slot] = index.directory[slot]
        index.depth += 1
    memcpy(index.scratch, low, sizeof(uint64_t) * TABLE_WORDS)
    memset(low, 0, sizeof(uint64_t) * TABLE_WORDS)
    low[1] = depth + 1
    for number in range(TABLE_HEAD, TABLE_WORDS):
        slot = index.scratch[number]
        if slot:
            place_slot(high if slot >> (63 - depth) & 1 else low, slot)
    # The directory's entries of the old table, in order: the second half is the new one's.
    span = <uint64_t>1 << (index.depth - depth)
    first = (<uint64_t>tag >> (32 - index.depth)) & ~(span - 1)
    for number in range(span // 2, span):
        index.directory[first + number] = high


cdef inline void put(
    Index *index, Arena *items, uint32_t tag, const uint8_t *identifier, uint64_t *slot,
    uint32_t number
) noexcept nogil:
    """Write a new id's number into the empty slot that was found for it."""
    cdef uint64_t *table = table_of(index, tag)
    if table[0] >= TABLE_FULL:
        split_table(index, tag)
        table = table_of(index, tag)
        if table[0] >= TABLE_SLOTS - 1:
            # Every split was refused memory for a quarter of a table. What was applied of this
            # group stands in memory alone: end here, the journal has everything that counts.
            abort()
        slot = find_slot(index, items, tag, identifier)
    slot[0] = <uint64_t>tag << 32 | (<uint64_t>number + 1)
    table[0] += 1


cdef inline void take_out(Index *index, uint32_t tag, uint64_t *slot) noexcept nogil:
    """Empty a slot, and close the gap: what was pushed past it moves back."""
    cdef uint64_t *table = table_of(index, tag)
    cdef uint64_t *slots = table + TABLE_HEAD
    cdef uint32_t gap = <uint32_t>(slot - slots), place = gap, home
    while True:
        place = (place + 1) & (TABLE_SLOTS - 1)
        if slots[place] == 0:
            break
        home = <uint32_t>(slots[place] >> 32) & (TABLE_SLOTS - 1)
        if ((place - home) & (TABLE_SLOTS - 1)) >= ((place - gap) & (TABLE_SLOTS - 1)):
            slots[gap] = slots[place]
            gap = place
    slots[gap] = 0
    table[0] -= 1
