"""Decoders of JSON by type, each built whole before any thread reads with it."""

import threading
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_building = threading.Lock()


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """What reads answers of a kind.

    msgspec keeps what it learnt of a type in the type while it is still learning: a thread that
    reads by it meanwhile crashes the process.
    """
    hashable: Any = kind
    return _decoder(hashable)


@lru_cache(maxsize=1_024)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    with _building:
        return msgspec.json.Decoder(kind)
