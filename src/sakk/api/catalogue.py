"""The configuration that a quote needs, remembered for a moment by one process."""

import threading
import time
from collections.abc import Callable

from sqlalchemy import Connection

from sakk.flow.payment import Catalogue, read_catalogue

# A price or a token that the operator changes holds within this time.
CACHE_SECONDS = 1.0


class CatalogueCache:
    """Reads the catalogue at most once a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: tuple[float, Catalogue] | None = None
        self._lock = threading.Lock()

    def read(self, connection: Connection) -> Catalogue:
        """The catalogue; by the given connection when it is time to look again."""
        with self._lock:
            held = self._held
        if held is not None and held[0] > self._clock():
            return held[1]
        catalogue = read_catalogue(connection)
        with self._lock:
            self._held = (self._clock() + CACHE_SECONDS, catalogue)
        return catalogue
