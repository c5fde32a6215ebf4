"""The clock and the dice: the one place where ids and times come from outside the core."""

import os
import time
from datetime import UTC, datetime

from sakk.core import ids


def now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)


def new_id(prefix: str) -> str:
    """A fresh identifier: the prefix and a UUIDv7 in base32."""
    return ids.encode(
        prefix,
        ids.uuid7(now_ms=time.time_ns() // 1_000_000, random=os.urandom(ids.RANDOM_BYTES)),
    )
