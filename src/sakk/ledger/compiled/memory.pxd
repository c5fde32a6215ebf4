# cython: language_level=3
"""Memory that never moves: arrays in segments, and 128-bit numbers that never wrap.

Segments come from mmap, zeroed, and are given their pages when they are first touched. A process
that may have no more memory gets MemoryError where it reserves, before it changes anything; where
the kernel promised pages that it has not got, it kills the process, and the journal is the truth.
"""

from libc.stdint cimport uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #include <stdlib.h>
    #include <sys/mman.h>
    #ifndef MAP_ANONYMOUS
    #define MAP_ANONYMOUS MAP_ANON
    #endif
    #ifndef MAP_NORESERVE
    #define MAP_NORESERVE 0
    #endif
    typedef unsigned __int128 sakk_u128;
    #define SAKK_NONE UINT32_MAX

    static inline int sakk_add(sakk_u128 a, sakk_u128 b, sakk_u128 *sum)
    {
        return __builtin_add_overflow(a, b, sum);
    }
    static inline sakk_u128 sakk_load_u128(const void *from)
    {
        sakk_u128 value;
        memcpy(&value, from, 16);
        return value;
    }
    static inline void sakk_store_u128(void *to, sakk_u128 value) { memcpy(to, &value, 16); }
    static inline uint64_t sakk_load_u64(const void *from)
    {
        uint64_t value;
        memcpy(&value, from, 8);
        return value;
    }
    static inline void sakk_store_u64(void *to, uint64_t value) { memcpy(to, &value, 8); }
    static inline uint64_t sakk_high(sakk_u128 value) { return (uint64_t)(value >> 64); }
    static inline sakk_u128 sakk_wide(uint64_t high, uint64_t low)
    {
        return ((sakk_u128)high << 64) | low;
    }
    static inline void sakk_prefetch(const void *at) { __builtin_prefetch(at, 1, 3); }

    /* Small pages: the kernel may stop a process to gather a huge one, for tens of ms. */
    static void *sakk_map(size_t size)
    {
        void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        return at == MAP_FAILED ? NULL : at;
    }
    static void sakk_unmap(void *at, size_t size)
    {
        if (at != NULL)
            (void)munmap(at, size);
    }
    """
    ctypedef unsigned long long u128 "sakk_u128"
    const uint32_t NONE "SAKK_NONE"
    bint add "sakk_add"(u128 a, u128 b, u128 *sum) noexcept nogil
    u128 load_u128 "sakk_load_u128"(const void *at) noexcept nogil
    void store_u128 "sakk_store_u128"(void *at, u128 value) noexcept nogil
    uint64_t load_u64 "sakk_load_u64"(const void *at) noexcept nogil
    void store_u64 "sakk_store_u64"(void *at, uint64_t value) noexcept nogil
    uint64_t high "sakk_high"(u128 value) noexcept nogil
    u128 wide "sakk_wide"(uint64_t high, uint64_t low) noexcept nogil
    void prefetch "sakk_prefetch"(const void *at) noexcept nogil
    void *map_memory "sakk_map"(size_t size) noexcept nogil
    void unmap_memory "sakk_unmap"(void *at, size_t size) noexcept nogil


ctypedef struct Arena:
    # Item n stands in segment n >> shift; the table of segments is mapped once for all of them.
    char **segments
    uint32_t shift
    uint32_t item_size
    uint64_t count
    uint64_t segment_count
    uint64_t segments_max


cdef inline bint arena_open(
    Arena *arena, uint32_t item_size, uint32_t shift, uint64_t items_max
) noexcept nogil:
    """False where there is no memory."""
    arena.item_size = item_size
    arena.shift = shift
    arena.segments_max = items_max >> shift
    arena.segments = <char **>map_memory(arena.segments_max * sizeof(char *))
    return arena.segments != NULL


cdef inline size_t segment_size(Arena *arena) noexcept nogil:
    return <size_t>arena.item_size << arena.shift


cdef inline void arena_clear(Arena *arena) noexcept nogil:
    """Forget every item, and give the memory back."""
    cdef uint64_t number
    for number in range(arena.segment_count):
        unmap_memory(arena.segments[number], segment_size(arena))
        arena.segments[number] = NULL
    arena.segment_count = 0
    arena.count = 0


cdef inline void arena_close(Arena *arena) noexcept nogil:
    if arena.segments != NULL:
        arena_clear(arena)
        unmap_memory(arena.segments, arena.segments_max * sizeof(char *))
        arena.segments = NULL


cdef inline bint arena_reserve(Arena *arena, uint64_t more) noexcept nogil:
    """Make room for more items; False where there is no memory or no number left."""
    cdef uint64_t needed = (arena.count + more + (<uint64_t>1 << arena.shift) - 1) >> arena.shift
    cdef char *segment
    if needed > arena.segments_max:
        return False
    while arena.segment_count < needed:
        segment = <char *>map_memory(segment_size(arena))
        if segment == NULL:
            return False
        arena.segments[arena.segment_count] = segment
        arena.segment_count += 1
    return True


cdef inline char *arena_at(Arena *arena, uint64_t number) noexcept nogil:
    cdef uint64_t within = number & ((<uint64_t>1 << arena.shift) - 1)
    return arena.segments[number >> arena.shift] + within * arena.item_size
