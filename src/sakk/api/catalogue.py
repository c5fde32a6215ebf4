"""The configuration that quotes and payouts need, remembered for a moment by one process."""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection

from sakk.flow.payment import Catalogue, read_catalogue
from sakk.flow.payout import Offer, read_offer

# A price or a token that the operator changes holds within this time.
CACHE_SECONDS = 1.0

T = TypeVar("T")


class CatalogueCache:
    """Reads each part of the configuration at most once a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[object, tuple[float, Any]] = {}
        self._lock = threading.Lock()

    def read(self, connection: Connection) -> Catalogue:
        """The catalogue; by the given connection when it is time to look again."""
        return self._remembered("catalogue", lambda: read_catalogue(connection))

    def read_offer(self, connection: Connection, *, livemode: bool) -> Offer:
        """What can be paid out in a mode."""
        return self._remembered(
            ("offer", livemode), lambda: read_offer(connection, livemode=livemode)
        )

    def _remembered(self, name: object, look: Callable[[], T]) -> T:
        with self._lock:
            held = self._held.get(name)
        if held is not None and held[0] > self._clock():
            found: T = held[1]
            return found
        found = look()
        with self._lock:
            self._held[name] = (self._clock() + CACHE_SECONDS, found)
        return found
