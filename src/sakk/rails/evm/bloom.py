"""The logs bloom of a block header: what a block's logs must explain.

Yellow Paper, section 4.3.1: each log's address and topics set three bits of 2048, each taken from
eleven bits of the word's Keccak-256. Every bit that a header promises must come from some log of
the block, so logs that a node left out show as bits that no log explains.
"""

from collections.abc import Iterable
from functools import lru_cache

from sakk.core.evm import keccak256

BLOOM_BYTES = 256
_POSITION_MASK = 2047
# Contracts and frequent holders come back in every block; 64k words are about 20 MB.
_CACHE_WORDS = 1 << 16


@lru_cache(maxsize=_CACHE_WORDS)
def word_bits(word: str) -> int:
    """The three bits (or fewer) that an address or topic, given as 0x-hex, sets."""
    digest = keccak256(bytes.fromhex(word[2:]))
    first = int.from_bytes(digest[0:2], "big") & _POSITION_MASK
    second = int.from_bytes(digest[2:4], "big") & _POSITION_MASK
    third = int.from_bytes(digest[4:6], "big") & _POSITION_MASK
    return 1 << first | 1 << second | 1 << third


def bloom_of(words: Iterable[str]) -> int:
    """The bloom of a set of addresses and topics."""
    bits = 0
    for word in words:
        bits |= word_bits(word)
    return bits
