"""Identifiers: a prefix that names the kind, and a UUIDv7 in Crockford base32.

``pi_01jd8k…``: lower case, 26 characters after the underscore, time-ordered (RFC 9562 section 5.7;
the alphabet is Crockford's base32, as in ULID). Time and randomness are passed in.
"""

import hashlib

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_CHARACTERS = frozenset(ALPHABET)
# Two characters at a time, and Python's own base 32 ("0-9a-v"): ids are made and read by thousands.
_PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)
_TO_PYTHON = str.maketrans(ALPHABET, "0123456789abcdefghijklmnopqrstuv")
BODY_LENGTH = 26
RANDOM_BYTES = 10


def uuid7(*, now_ms: int, random: bytes) -> int:
    """Build a UUIDv7 as an integer from milliseconds since 1970 and ten random bytes."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"random must be {RANDOM_BYTES} bytes")
    bits = int.from_bytes(random, "big")
    rand_a = (bits >> 62) & 0xFFF
    rand_b = bits & ((1 << 62) - 1)
    return (now_ms & ((1 << 48) - 1)) << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b


def encode(prefix: str, value: int) -> str:
    """Write a 128-bit integer as ``prefix_`` and 26 base32 characters."""
    pairs = [_PAIRS[(value >> shift) & 1023] for shift in range(120, -1, -10)]
    return f"{prefix}_{''.join(pairs)}"


def decode(identifier: str) -> tuple[str, int]:
    """Read an identifier back into its prefix and 128-bit integer; ValueError if malformed."""
    prefix, separator, body = identifier.rpartition("_")
    if not separator or not prefix or len(body) != BODY_LENGTH:
        raise ValueError(f"not an identifier: {identifier!r}")
    if not _CHARACTERS.issuperset(body):
        raise ValueError(f"not an identifier: {identifier!r}")
    value = int(body.translate(_TO_PYTHON), 32)
    if value >> 128:
        raise ValueError(f"not an identifier: {identifier!r}")
    return prefix, value


def digest128(*parts: str | int) -> int:
    """Hash named parts to 128 bits: the same parts give the same id on every machine.

    Parts are joined by the unit separator, which no id, CAIP name or number contains.
    """
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
