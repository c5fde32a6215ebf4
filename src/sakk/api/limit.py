"""Rate limits: token buckets in the memory of one process."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from sakk.core.errors import RateLimited

BUCKETS_MAX = 50_000
# Of one IP address: a person who mistypes is not stopped, and guessing 256 bits is hopeless anyway.
CLAIMS_PER_MINUTE_MAX = 120
# What agents sign: a raise, once in a while, of each of many behind one address.
SIGNED_PER_MINUTE_MAX = 3_000
# Of one IP address without a key, at HTTP 402's facilitator: each may cost the node a question.
X402_PER_SECOND_MAX = 50


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


class Limits:
    """Requests by key; by IP address failed authentications, claims, payments, what is signed."""

    def __init__(
        self,
        *,
        requests_per_second: int | None,
        failures_per_minute: int | None,
        processes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._requests: TokenBuckets | None = None
        self._failures: TokenBuckets | None = None
        claims = max(1.0, CLAIMS_PER_MINUTE_MAX / processes)
        self._claims = TokenBuckets(rate=claims / 60, burst=claims, clock=clock)
        signed = max(1.0, SIGNED_PER_MINUTE_MAX / processes)
        self._signed = TokenBuckets(rate=signed / 60, burst=signed, clock=clock)
        self._x402: TokenBuckets | None = None
        if requests_per_second is not None:
            share = max(1.0, requests_per_second / processes)
            self._requests = TokenBuckets(rate=share, burst=share, clock=clock)
            x402 = max(1.0, X402_PER_SECOND_MAX / processes)
            self._x402 = TokenBuckets(rate=x402, burst=2 * x402, clock=clock)
        if failures_per_minute is not None:
            burst = max(1.0, failures_per_minute / processes)
            self._failures = TokenBuckets(rate=burst / 60, burst=burst, clock=clock)

    def count_request(self, key_id: str) -> None:
        """Raise RateLimited when a key has used up its share of this second."""
        if self._requests is not None and not self._requests.take(key_id):
            raise RateLimited("Too many requests with this API key. Slow down and try again.")

    def count_claim(self, address: str | None) -> None:
        """Raise RateLimited for an address that looks at claims again and again."""
        if not self._claims.take(address or ""):
            raise RateLimited(
                "Too many requests from this IP address. Try again in a minute.",
                retry_after_seconds=60,
            )

    def count_signed(self, address: str | None) -> None:
        """Raise RateLimited for an address that sends more than its agents can have to say."""
        if not self._signed.take(address or ""):
            raise RateLimited(
                "Too many signed requests from this IP address. Try again in a second."
            )

    def count_x402(self, address: str | None) -> None:
        """Raise RateLimited for an address that has too many payments checked without a key."""
        if self._x402 is not None and not self._x402.take(address or ""):
            raise RateLimited(
                "Too many payments from this IP address without an API key. Send one, or slow down."
            )

    def check_failures(self, address: str | None) -> None:
        """Raise RateLimited for an address that has tried too many keys that do not exist."""
        if self._failures is not None and not self._failures.has(address or ""):
            raise RateLimited(
                "Too many failed authentications from this IP address. Try again in a minute.",
                retry_after_seconds=60,
            )

    def count_failure(self, address: str | None) -> None:
        if self._failures is not None:
            self._failures.take(address or "")
