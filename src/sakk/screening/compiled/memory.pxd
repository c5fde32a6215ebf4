# cython: language_level=3
"""Arrays that grow, 128-bit numbers, and a keyed hash of addresses.

Large blocks grow by moving pages, not bytes, and pages that nobody has touched take no memory, so
an array may double without costing twice.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>
    typedef unsigned __int128 graph_u128;
    #define GRAPH_NONE UINT32_MAX
    #define GRAPH_HUGE ((uintptr_t)1 << 21)
    #define GRAPH_HUGE_FROM ((uint64_t)8 << 20)

    /* Room for `needed` items; 0 where there is no memory, and nothing has changed then. */
    static int graph_grow(void **items, uint64_t *room, uint64_t needed, size_t size)
    {
        uint64_t wanted = *room ? *room : 64;
        void *moved;
        if (needed <= *room)
            return 1;
        while (wanted < needed)
            wanted *= 2;
        moved = realloc(*items, wanted * size);
        if (moved == NULL)
            return 0;
        *items = moved;
        *room = wanted;
    #ifdef MADV_HUGEPAGE
        /* Walks jump about: finding a small page would take longer than reading it. */
        if (wanted * size >= GRAPH_HUGE_FROM) {
            uintptr_t start = ((uintptr_t)moved + GRAPH_HUGE - 1) & ~(uintptr_t)(GRAPH_HUGE - 1);
            (void)madvise((void *)start, (uintptr_t)moved + wanted * size - start, MADV_HUGEPAGE);
        }
    #endif
        return 1;
    }
    static inline uint64_t graph_load64(const uint8_t *at)
    {
        uint64_t value;
        memcpy(&value, at, 8);
        return __builtin_bswap64(value);
    }
    static inline uint32_t graph_load32(const uint8_t *at)
    {
        uint32_t value;
        memcpy(&value, at, 4);
        return __builtin_bswap32(value);
    }
    static inline graph_u128 graph_load128(const uint8_t *at)
    {
        return ((graph_u128)graph_load64(at) << 64) | graph_load64(at + 8);
    }
    static inline uint64_t graph_fold(uint64_t a, uint64_t b)
    {
        graph_u128 product = (graph_u128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    /* wyhash's mixing, over the 20 bytes of an address, under a key that is drawn for each graph:
       whoever makes addresses cannot choose which of them collide. */
    static inline uint64_t graph_hash(const uint8_t *key, uint64_t k0, uint64_t k1)
    {
        uint64_t first = graph_fold(graph_load64(key) ^ k0, graph_load64(key + 8) ^ k1);
        return graph_fold(first ^ graph_load32(key + 16) ^ k1, k0 ^ 0x9E3779B97F4A7C15u);
    }
    static inline int graph_same(const uint8_t *a, const uint8_t *b)
    {
        return memcmp(a, b, 20) == 0;
    }
    static inline uint64_t graph_low(graph_u128 value) { return (uint64_t)value; }
    static inline uint64_t graph_high(graph_u128 value) { return (uint64_t)(value >> 64); }
    /* A quotient that fits 64 bits: one instruction where the compiler would call a function. */
    static inline uint64_t graph_divide(graph_u128 number, uint64_t by)
    {
    #if defined(__x86_64__)
        uint64_t quotient, rest;
        __asm__("divq %4" : "=a"(quotient), "=d"(rest)
                : "a"((uint64_t)number), "d"((uint64_t)(number >> 64)), "r"(by) : "cc");
        return quotient;
    #else
        return (uint64_t)(number / by);
    #endif
    }
    static inline uint64_t graph_scale(uint64_t part, uint64_t units, uint64_t whole)
    {
        if ((part | units) <= UINT32_MAX)
            return part * units / whole;
        return graph_divide((graph_u128)part * units, whole);
    }
    /* a * b / c, rounded down, for b <= c. By the bits of a where the product would not fit. */
    static graph_u128 graph_share(graph_u128 a, graph_u128 b, graph_u128 c)
    {
        graph_u128 quotient = 0, rest = 0;
        int bit;
        if (b == c)
            return a;
        if (!((a | c) >> 64))
            return graph_divide(a * b, (uint64_t)c);
        for (bit = 127; bit >= 0; bit--) {
            /* rest < c < 2**127 here, so neither doubling nor adding b overflows. */
            quotient <<= 1;
            rest <<= 1;
            if (rest >= c) { rest -= c; quotient++; }
            if ((a >> bit) & 1) {
                rest += b;
                if (rest >= c) { rest -= c; quotient++; }
            }
        }
        return quotient;
    }
    static inline void graph_prefetch(const void *at) { __builtin_prefetch(at, 1, 3); }
    """
    ctypedef unsigned long long u128 "graph_u128"
    const uint32_t NONE "GRAPH_NONE"
    bint grow "graph_grow"(
        void **items, uint64_t *room, uint64_t needed, size_t size
    ) noexcept nogil
    uint64_t load64 "graph_load64"(const uint8_t *at) noexcept nogil
    uint32_t load32 "graph_load32"(const uint8_t *at) noexcept nogil
    u128 load128 "graph_load128"(const uint8_t *at) noexcept nogil
    uint64_t hash_address "graph_hash"(const uint8_t *key, uint64_t k0, uint64_t k1) noexcept nogil
    bint same "graph_same"(const uint8_t *a, const uint8_t *b) noexcept nogil
    uint64_t low "graph_low"(u128 value) noexcept nogil
    uint64_t high "graph_high"(u128 value) noexcept nogil
    uint64_t scale "graph_scale"(uint64_t part, uint64_t units, uint64_t whole) noexcept nogil
    u128 share_of "graph_share"(u128 a, u128 b, u128 c) noexcept nogil
    void prefetch "graph_prefetch"(const void *at) noexcept nogil
