"""Sightings: how files at a server looked, so that one that is still written is left alone."""

import threading
import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Sightings:
    """How each file of one place was seen, and since when; of a process, and safe for threads."""

    seen: dict[str, tuple[str, float]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def settled(self, found: dict[str, str], *, quiet_seconds: float) -> list[str]:
        """Of the files that are there (their versions by name) those that have not changed."""
        now = time.monotonic()
        with self.lock:
            self.seen = {
                name: self.seen[name]
                if self.seen.get(name, ("", 0.0))[0] == version
                else (version, now)
                for name, version in found.items()
            }
            return [name for name in found if now - self.seen[name][1] >= quiet_seconds]

    def version(self, name: str) -> str:
        with self.lock:
            return self.seen.get(name, ("", 0.0))[0]
