"""How an exchange is asked: by https, one after another, with a limit on time, bytes and rate.

Whatever is no usable answer is ``VenueUnavailable``: what was asked for may have been done.
"""

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import httpx2
import msgspec

from sakk.rails.venue import VenueUnavailable

TIMEOUT_SECONDS: Final = 8.0
RESPONSE_BYTES_MAX: Final = 4 * 1024 * 1024
# Between two requests: three a second at most, which is below what either exchange allows.
INTERVAL_SECONDS: Final = 0.34
# How long nobody is asked who said that it is too much, where it does not say itself.
PAUSE_SECONDS: Final = 60.0
PAUSE_SECONDS_MAX: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, and JSON as it was read."""

    status: int
    body: Any


@dataclass(slots=True)
class Caller:
    """Asks one exchange; safe to call from many threads."""

    name: str
    location: str
    transport: httpx2.BaseTransport | None = None
    interval_seconds: float = INTERVAL_SECONDS
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    latency_ms: int = 0
    _next: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _client: httpx2.Client | None = None

    def ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: str = ""
    ) -> Answer:
        """One request, when its turn comes."""
        self._wait()
        begun = self.monotonic()
        try:
            with self._opened().stream(
                method,
                self.location + path,
                headers={"content-type": "application/x-www-form-urlencoded", **(headers or {})},
                content=body.encode() if body else None,
            ) as response:
                content = b""
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > RESPONSE_BYTES_MAX:
                        raise VenueUnavailable(f"{self.name} answers more than can be read")
                status, retry = response.status_code, response.headers.get("retry-after")
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            # The error's own text may hold what was signed.
            raise VenueUnavailable(f"{self.name}: {type(error).__name__}") from None
        self.latency_ms = int((self.monotonic() - begun) * 1000)
        if status in (418, 429):
            self.pause(float(retry) if retry and retry.isdecimal() else PAUSE_SECONDS)
            raise VenueUnavailable(f"{self.name} is asked too often")
        try:
            return Answer(status, msgspec.json.decode(content))
        except msgspec.DecodeError:
            raise VenueUnavailable(f"{self.name} answered HTTP {status}, and no JSON") from None

    def close(self) -> None:
        """Hang up; the next question connects again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def pause(self, seconds: float = PAUSE_SECONDS) -> None:
        """Ask nothing for so long."""
        with self._lock:
            self._next = self.monotonic() + min(seconds, PAUSE_SECONDS_MAX)

    def _wait(self) -> None:
        with self._lock:
            now = self.monotonic()
            turn = max(now, self._next)
            if turn - now > TIMEOUT_SECONDS:
                raise VenueUnavailable(f"{self.name} is not asked for {turn - now:.0f} s more")
            self._next = turn + self.interval_seconds
        if turn > now:
            self.sleep(turn - now)

    def _opened(self) -> httpx2.Client:
        with self._lock:
            if self._client is None:
                self._client = httpx2.Client(
                    timeout=TIMEOUT_SECONDS,
                    follow_redirects=False,
                    trust_env=False,
                    verify=_certificates(),
                    transport=self.transport,
                    headers={"user-agent": "sakk"},
                )
            return self._client


@lru_cache(maxsize=1)
def _certificates() -> ssl.SSLContext:
    """The certificates that exchanges are checked by, read once a process."""
    return httpx2.create_ssl_context(trust_env=False)
