"""Rate limits: token buckets in the memory of one process."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

BUCKETS_MAX: Final = 50_000


class TokenBuckets:
    """One bucket per name: ``rate`` tokens a second, at most ``burst`` saved up."""

    def __init__(
        self, *, rate: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str) -> bool:
        """Take a token; False when there is none."""
        with self._lock:
            level = self._level(name)
            taken = level >= 1
            self._buckets[name] = (level - 1 if taken else level, self._clock())
            self._buckets.move_to_end(name)
            if len(self._buckets) > BUCKETS_MAX:
                self._buckets.popitem(last=False)
            return taken

    def has(self, name: str) -> bool:
        """Is there a token? Takes none."""
        with self._lock:
            return self._level(name) >= 1

    def _level(self, name: str) -> float:
        level, at = self._buckets.get(name, (self._burst, self._clock()))
        return min(self._burst, level + (self._clock() - at) * self._rate)
