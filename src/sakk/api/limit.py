"""Rate limits of the API, by token buckets."""

import time
from collections.abc import Callable

from sakk.core.errors import RateLimited
from sakk.core.peer import place_of
from sakk.pages.limit import TokenBuckets

# Of one IP address: a person who mistypes is not stopped, and guessing 256 bits is hopeless anyway.
CLAIMS_PER_MINUTE_MAX = 120
# What agents sign: a raise, once in a while, of each of many behind one address.
SIGNED_PER_MINUTE_MAX = 3_000
# Of one IP address: a provider tells of each step of each order, and may have many at once.
NOTICES_PER_MINUTE_MAX = 1_200
# Of one IP address without a key, at HTTP 402's facilitator: each may cost the node a question.
X402_PER_SECOND_MAX = 50


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
        notices = max(1.0, NOTICES_PER_MINUTE_MAX / processes)
        self._notices = TokenBuckets(rate=notices / 60, burst=notices, clock=clock)
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
        if not self._claims.take(place_of(address)):
            raise RateLimited(
                "Too many requests from this IP address. Try again in a minute.",
                retry_after_seconds=60,
            )

    def count_signed(self, address: str | None) -> None:
        """Raise RateLimited for an address that sends more than its agents can have to say."""
        if not self._signed.take(place_of(address)):
            raise RateLimited(
                "Too many signed requests from this IP address. Try again in a second."
            )

    def count_notice(self, address: str | None) -> None:
        """Raise RateLimited for an address that tells of more than a provider's orders."""
        if not self._notices.take(place_of(address)):
            raise RateLimited(
                "Too many notices from this IP address. Try again in a minute.",
                retry_after_seconds=60,
            )

    def count_x402(self, address: str | None) -> None:
        """Raise RateLimited for an address that has too many payments checked without a key."""
        if self._x402 is not None and not self._x402.take(place_of(address)):
            raise RateLimited(
                "Too many payments from this IP address without an API key. Send one, or slow down."
            )

    def check_failures(self, address: str | None) -> None:
        """Raise RateLimited for an address that has tried too many keys that do not exist."""
        if self._failures is not None and not self._failures.has(place_of(address)):
            raise RateLimited(
                "Too many failed authentications from this IP address. Try again in a minute.",
                retry_after_seconds=60,
            )

    def count_failure(self, address: str | None) -> None:
        if self._failures is not None:
            self._failures.take(place_of(address))
