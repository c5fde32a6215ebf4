# cython: language_level=3
"""HMAC-SHA256 (FIPS 198-1, 180-4) of short messages under keys whose first block is done already.

A message is 64 to 119 bytes: two blocks behind the key's, and one for the outer hash.
"""

from libc.stdint cimport uint32_t

cdef extern from *:
    r"""
    #include <stdint.h>
    #include <string.h>

    typedef struct { uint32_t inner[8]; uint32_t outer[8]; } sakk_mac_key;

    static const uint32_t SAKK_K[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
        0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
        0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
        0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
        0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
        0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
        0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
        0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
        0xc67178f2,
    };
    static const uint32_t SAKK_START[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
        0x5be0cd19,
    };

    #define SAKK_ROTATE(x, n) (((x) >> (n)) | ((x) << (32 - (n))))

    #define SAKK_ROUND(a, b, c, d, e, f, g, h, i) \
        t = h + (SAKK_ROTATE(e, 6) ^ SAKK_ROTATE(e, 11) ^ SAKK_ROTATE(e, 25)) \
            + ((e & f) ^ (~e & g)) + SAKK_K[i] + w[i]; \
        d += t; \
        h = t + (SAKK_ROTATE(a, 2) ^ SAKK_ROTATE(a, 13) ^ SAKK_ROTATE(a, 22)) \
            + ((a & b) ^ (a & c) ^ (b & c));

    static void sakk_block_anywhere(uint32_t *state, const unsigned char *block)
    {
        uint32_t w[64], t;
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
        uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
        int i;
        for (i = 0; i < 16; i++) {
            memcpy(&w[i], block + 4 * i, 4);
            w[i] = __builtin_bswap32(w[i]);
        }
        for (i = 16; i < 64; i++)
            w[i] = w[i - 16] + w[i - 7]
                + (SAKK_ROTATE(w[i - 15], 7) ^ SAKK_ROTATE(w[i - 15], 18) ^ (w[i - 15] >> 3))
                + (SAKK_ROTATE(w[i - 2], 17) ^ SAKK_ROTATE(w[i - 2], 19) ^ (w[i - 2] >> 10));
        /* The words change names instead of places: nothing is moved. */
        for (i = 0; i < 64; i += 8) {
            SAKK_ROUND(a, b, c, d, e, f, g, h, i)
            SAKK_ROUND(h, a, b, c, d, e, f, g, i + 1)
            SAKK_ROUND(g, h, a, b, c, d, e, f, i + 2)
            SAKK_ROUND(f, g, h, a, b, c, d, e, i + 3)
            SAKK_ROUND(e, f, g, h, a, b, c, d, i + 4)
            SAKK_ROUND(d, e, f, g, h, a, b, c, i + 5)
            SAKK_ROUND(c, d, e, f, g, h, a, b, i + 6)
            SAKK_ROUND(b, c, d, e, f, g, h, a, i + 7)
        }
        state[0] += a; state[1] += b; state[2] += c; state[3] += d;
        state[4] += e; state[5] += f; state[6] += g; state[7] += h;
    }

    #if defined(__x86_64__) && defined(__GNUC__)
    #include <cpuid.h>
    #include <immintrin.h>

    /* By the processor's own instructions (Intel SDM, volume 2, SHA256RNDS2 and its like). */
    __attribute__((target("sha,ssse3,sse4.1")))
    static void sakk_block_by_machine(uint32_t *state, const unsigned char *block)
    {
        const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
        __m128i low = _mm_loadu_si128((const __m128i *)state);
        __m128i high = _mm_loadu_si128((const __m128i *)(state + 4));
        __m128i w[4], abef, cdgh, abef_before, cdgh_before, words;
        int i;
        low = _mm_shuffle_epi32(low, 0xb1);
        high = _mm_shuffle_epi32(high, 0x1b);
        abef_before = abef = _mm_alignr_epi8(low, high, 8);
        cdgh_before = cdgh = _mm_blend_epi16(high, low, 0xf0);
        for (i = 0; i < 4; i++)
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 16 * i)), order);
        for (i = 0; i < 16; i++) {
            words = _mm_add_epi32(w[i & 3], _mm_loadu_si128((const __m128i *)(SAKK_K + 4 * i)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, words);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(words, 0x0e));
            words = _mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]);
            words = _mm_add_epi32(words, _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
            w[i & 3] = _mm_sha256msg2_epu32(words, w[(i + 3) & 3]);
        }
        abef = _mm_shuffle_epi32(_mm_add_epi32(abef, abef_before), 0x1b);
        cdgh = _mm_shuffle_epi32(_mm_add_epi32(cdgh, cdgh_before), 0xb1);
        _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(abef, cdgh, 0xf0));
        _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(cdgh, abef, 8));
    }

    static int sakk_has_instructions(void)
    {
        unsigned int a, b, c, d, wanted = 1u << 9 | 1u << 19;
        if (!__get_cpuid(1, &a, &b, &c, &d) || (c & wanted) != wanted)
            return 0;
        return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
    }
    #else
    #define sakk_block_by_machine sakk_block_anywhere
    static int sakk_has_instructions(void) { return 0; }
    #endif

    static int sakk_by_machine = -1;

    static void sakk_block(uint32_t *state, const unsigned char *block)
    {
        if (sakk_by_machine < 0)
            sakk_by_machine = sakk_has_instructions();
        if (sakk_by_machine)
            sakk_block_by_machine(state, block);
        else
            sakk_block_anywhere(state, block);
    }

    /* Whether the processor's instructions are used, where it has them; for tests. */
    static int sakk_use_instructions(int wanted)
    {
        sakk_by_machine = wanted && sakk_has_instructions();
        return sakk_by_machine;
    }

    static void sakk_put_state(unsigned char *at, const uint32_t *state)
    {
        int i;
        for (i = 0; i < 8; i++) {
            uint32_t word = __builtin_bswap32(state[i]);
            memcpy(at + 4 * i, &word, 4);
        }
    }

    /* A key of 32 bytes. */
    static void sakk_set_key(sakk_mac_key *key, const unsigned char *secret)
    {
        unsigned char block[64];
        int i;
        for (i = 0; i < 64; i++)
            block[i] = (i < 32 ? secret[i] : 0) ^ 0x36;
        memcpy(key->inner, SAKK_START, 32);
        sakk_block(key->inner, block);
        for (i = 0; i < 64; i++)
            block[i] ^= 0x36 ^ 0x5c;
        memcpy(key->outer, SAKK_START, 32);
        sakk_block(key->outer, block);
    }

    /* Of 64 to 119 bytes. */
    static void sakk_mac(
        const sakk_mac_key *key, const unsigned char *message, uint32_t size, unsigned char *mac)
    {
        uint32_t state[8];
        unsigned char block[64];
        uint32_t bits = __builtin_bswap32((64 + size) * 8);
        memcpy(state, key->inner, 32);
        sakk_block(state, message);
        memset(block, 0, 64);
        memcpy(block, message + 64, size - 64);
        block[size - 64] = 0x80;
        memcpy(block + 60, &bits, 4);
        sakk_block(state, block);
        memset(block, 0, 64);
        sakk_put_state(block, state);
        block[32] = 0x80;
        bits = __builtin_bswap32((64 + 32) * 8);
        memcpy(block + 60, &bits, 4);
        memcpy(state, key->outer, 32);
        sakk_block(state, block);
        sakk_put_state(mac, state);
    }

    /* Takes as long wherever two differ. */
    static int sakk_same(const unsigned char *one, const unsigned char *other, int size)
    {
        unsigned char found = 0;
        while (size--)
            found |= one[size] ^ other[size];
        return found == 0;
    }
    """
    bint use_instructions "sakk_use_instructions"(bint wanted) noexcept nogil
    ctypedef struct MacKey "sakk_mac_key":
        pass
    void set_key "sakk_set_key"(MacKey *key, const unsigned char *secret) noexcept nogil
    void put_mac "sakk_mac"(
        const MacKey *key, const unsigned char *message, uint32_t size, unsigned char *mac
    ) noexcept nogil
    bint is_same "sakk_same"(
        const unsigned char *one, const unsigned char *other, int size) noexcept nogil
