# cython: language_level=3
"""``IdHash``: the keyed hash as an object, for indexes in Python and for tests."""

import os

from libc.string cimport memcpy

KEY_SIZE = 48


cdef class IdHash:
    def __init__(self, key: bytes | None = None) -> None:
        drawn = os.urandom(KEY_SIZE) if key is None else key
        if len(drawn) != KEY_SIZE:
            raise ValueError(f"a key has {KEY_SIZE} bytes, not {len(drawn)}")
        memcpy(&self.key, <const unsigned char *>drawn, sizeof(HashKey))

    def __call__(self, bytes identifier not None) -> int:
        if len(identifier) != 16:
            raise ValueError(f"an id has 16 bytes, not {len(identifier)}")
        return hash_id(&self.key, <const unsigned char *>identifier)
