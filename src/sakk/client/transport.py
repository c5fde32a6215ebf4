"""Requests over HTTP: one connection pool, idempotency keys, retries, and errors with types.

A request is sent again, byte for byte and under the same key, when no answer came or the answer
says that another try can help (409 while the key is in use, 429, 5xx). Waiting grows with each try,
with jitter so that many clients do not come back at once, and is bounded; ``Retry-After`` and
``Stripe-Should-Retry`` of the answer are believed.
"""

import json
import random
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from sakk.client.errors import ApiError, ConnectionFailedError, SakkError, error_from

TIMEOUT_SECONDS: Final = 30.0
BODY_BYTES_MAX: Final = 32 << 20
RETRY_AFTER_SECONDS_MAX: Final = 60.0
USER_AGENT: Final = "sakk-python"
_IDEMPOTENCY_KEY_LENGTH_MAX: Final = 255


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often to try again, and how long to wait between two tries."""

    retries_max: int = 3
    backoff_seconds_min: float = 0.5
    backoff_seconds_max: float = 8.0

    def wait_seconds(self, retry: int, *, retry_after_seconds: float | None) -> float:
        """The pause before a retry, numbered from 0: half of it fixed, half of it by chance."""
        if retry_after_seconds is not None:
            return min(retry_after_seconds, RETRY_AFTER_SECONDS_MAX)
        ceiling = min(self.backoff_seconds_max, self.backoff_seconds_min * float(2**retry))
        return ceiling * (1 + random.random()) / 2  # noqa: S311 - spread, not secrecy


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole."""

    status: int
    headers: httpx2.Headers
    body: bytes

    @property
    def should_retry(self) -> bool:
        said = self.headers.get("stripe-should-retry")
        if said in ("true", "false"):
            return said == "true"
        return self.status in (409, 429) or self.status >= 500

    @property
    def retry_after_seconds(self) -> float | None:
        try:
            seconds = float(self.headers.get("retry-after", ""))
        except ValueError:
            return None
        return seconds if 0 <= seconds < float("inf") else None


class Transport:
    """Sends requests for one key. Safe to share between threads."""

    def __init__(
        self,
        api_key: str,
        base_url: str,
        *,
        account: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        retry: RetryPolicy | None = None,
    ) -> None:
        if not api_key or not api_key.isascii() or not api_key.isprintable():
            raise ValueError("api_key must be the key as it was given: sk_… or rk_…")
        url = httpx2.URL(base_url)
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError(f"base_url must be an http(s) address, not {base_url!r}")
        self.base_url = base_url.rstrip("/")
        self.account = account
        self._api_key = api_key
        # A key says its mode.
        self.livemode = "_live_" in api_key[:8]
        self._retry = retry or RetryPolicy()
        # Redirects are not followed: the key is for the host that it was given for.
        self._http = httpx2.Client(timeout=timeout_seconds, follow_redirects=False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r}, account={self.account!r})"

    def for_account(self, account: str | None) -> "Transport":
        """The same connections, acting for an account of the operator's."""
        other = object.__new__(Transport)
        other.__dict__.update(self.__dict__)
        other.account = account
        return other

    def close(self) -> None:
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        media_type: str = "application/json",
        idempotency_key: str | None = None,
    ) -> bytes:
        """Send, with retries, and return the body of a 2xx answer; raises from `SakkError`.

        A POST's parameters stand in ``body``, or as bytes of a media type in ``content``. Every
        POST and DELETE carries an idempotency key; one is made if none is given.
        """
        key = None if method == "GET" else _key(idempotency_key)
        headers = self._headers(key)
        if method == "POST":
            if content is None:
                content = json.dumps(body or {}, separators=(",", ":"), allow_nan=False).encode()
            headers["content-type"] = media_type
        pairs = _pairs(query or {})
        for retry in range(self._retry.retries_max + 1):
            last = retry == self._retry.retries_max
            answer: Answer | None = None
            try:
                answer = self._send(method, path, pairs, content, headers)
            except httpx2.TransportError as error:
                if last:
                    raise _no_answer(error, key) from error
            if answer is not None:
                if 200 <= answer.status < 300:
                    return answer.body
                if last or not answer.should_retry:
                    raise _refused(answer, key)
            time.sleep(
                self._retry.wait_seconds(
                    retry,
                    retry_after_seconds=None if answer is None else answer.retry_after_seconds,
                )
            )
        raise AssertionError("unreachable: the last try returns or raises")

    def stream(self, path: str) -> Iterator[bytes]:
        """The bytes of a file as they come, however many; raises from `SakkError`.

        Not sent again: who reads it starts again where it broke off.
        """
        with self._http.stream(
            "GET", self.base_url + path, headers=self._headers(None)
        ) as response:
            if response.status_code != 200:
                body = response.read()[:BODY_BYTES_MAX]
                raise _refused(Answer(response.status_code, response.headers, body), None)
            try:
                yield from response.iter_bytes()
            except httpx2.TransportError as error:
                raise _no_answer(error, None) from error

    def _headers(self, key: str | None) -> dict[str, str]:
        headers = {
            "accept": "application/json",
            "authorization": f"Bearer {self._api_key}",
            "user-agent": USER_AGENT,
        }
        if self.account is not None:
            headers["stripe-account"] = self.account
        if key is not None:
            headers["idempotency-key"] = key
        return headers

    def _send(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str | int | float | bool | None]],
        content: bytes | None,
        headers: dict[str, str],
    ) -> Answer:
        with self._http.stream(
            method, self.base_url + path, params=query, content=content, headers=headers
        ) as response:
            chunks: list[bytes] = []
            size = 0
            for chunk in response.iter_bytes():
                size += len(chunk)
                if size > BODY_BYTES_MAX:
                    raise ApiError(
                        f"The answer is larger than {BODY_BYTES_MAX} bytes.",
                        status=response.status_code,
                        request_id=response.headers.get("request-id"),
                        idempotency_key=headers.get("idempotency-key"),
                    )
                chunks.append(chunk)
            return Answer(response.status_code, response.headers, b"".join(chunks))


def _key(given: str | None) -> str:
    if given is None:
        return str(uuid.uuid4())
    if not 0 < len(given) <= _IDEMPOTENCY_KEY_LENGTH_MAX or not (
        given.isascii() and given.isprintable()
    ):
        raise ValueError("idempotency_key must be 1 to 255 printable ASCII characters")
    return given


def _pairs(query: Mapping[str, Any]) -> list[tuple[str, str | int | float | bool | None]]:
    """A query in Stripe's brackets: ``created[gte]=1``, ``expand[]=customer``."""
    pairs: list[tuple[str, str | int | float | bool | None]] = []
    for name, value in query.items():
        if isinstance(value, Mapping):
            pairs.extend((f"{name}[{inner}]", one) for inner, one in value.items())
        elif isinstance(value, list | tuple):
            pairs.extend((f"{name}[]", one) for one in value)
        else:
            pairs.append((name, value))
    return pairs


def _no_answer(error: httpx2.TransportError, key: str | None) -> ConnectionFailedError:
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    outcome = (
        "." if key is None else "; whether it was done is not known. Send it again under its key."
    )
    return ConnectionFailedError(
        f"The server did not answer ({reason}){outcome}", idempotency_key=key
    )


def _refused(answer: Answer, key: str | None) -> SakkError:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    return error_from(
        answer.status,
        document,
        request_id=answer.headers.get("request-id"),
        idempotency_key=key,
    )
