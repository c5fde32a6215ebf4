"""The logs bloom of a block header: what a block's logs must explain.

Yellow Paper, section 4.3.1: each log's address and topics set three bits of 2048, each taken from
eleven bits of the word's Keccak-256. Every bit that a header promises must come from some log of
the block, so logs that a node left out show as bits that no log explains.
"""

from collections.abc import Iterable
from functools import lru_cache

from sakk.core.evm import keccak256

BLOOM_BYTES = 256
BLOOM_BITS = 8 * BLOOM_BYTES
_POSITION_MASK = BLOOM_BITS - 1
# Contracts and frequent holders come back in every block; 64k words are about 20 MB.
_CACHE_WORDS = 1 << 16


@lru_cache(maxsize=_CACHE_WORDS)
def positions(word: str) -> tuple[int, int, int]:
    """The bits that an address or topic (0x-hex) sets, counted from the least significant."""
    pairs = int.from_bytes(keccak256(bytes.fromhex(word[2:]))[:6], "big")
    return pairs >> 32 & _POSITION_MASK, pairs >> 16 & _POSITION_MASK, pairs & _POSITION_MASK


def bloom_of(words: Iterable[str]) -> int:
    """The bloom of a set of addresses and topics, as the header's 2048-bit number."""
    # Marks in an array: joining 2048-bit integers word by word would copy each time.
    marks = bytearray(BLOOM_BITS)
    for word in words:
        first, second, third = positions(word)
        marks[first] = marks[second] = marks[third] = 1
    bits = marks.translate(_AS_DIGITS)
    bits.reverse()
    return int(bits, 2)


# Turns the marks 0 and 1 into the digits that `int` reads.
_AS_DIGITS = bytes([ord("0"), ord("1")]) + bytes(254)
