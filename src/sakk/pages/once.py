"""What a rendered form carries, so that it does once what it is sent for, however often that is."""

import os
import time
from typing import Final

from sakk.core import ids

# The field's name.
ONCE: Final = "_once"


def new_once() -> str:
    """A seed for what one rendered form creates: a UUIDv7."""
    random = os.urandom(ids.RANDOM_BYTES)
    return f"{ids.uuid7(now_ms=time.time_ns() // 1_000_000, random=random):032x}"


def seed_of(sent: object) -> int:
    """The seed that a form carries; a fresh one for what is no such seed.

    Where a proof was asked for in between, the form's own is the last of two.
    """
    try:
        seed = int(str(sent[-1] if isinstance(sent, list) else sent), 16)
        ids.encode("seed", seed)
    except ValueError:
        return int(new_once(), 16)
    return seed
