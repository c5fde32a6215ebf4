"""JSON-RPC to EVM nodes: typed, batched, retried only where repeating is harmless.

Results are decoded straight into the given type (msgspec). Several URLs are several providers: the
one in use is kept until it fails. A provider that is silent or unreadable is ``RpcUnavailable``;
an error that it states is ``RpcRefused``; two that differ are ``RpcDisagreement``.
Specification: JSON-RPC 2.0 and ethereum/execution-apis.

Unavailable
├── RpcUnavailable     no usable answer: the outcome is unknown
│   └── RpcInconsistent    an answer that contradicts itself or an earlier one
└── RpcDisagreement    two providers give different answers
SakkError
└── RpcRefused         the node answered with an error object
"""

import itertools
import re
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec

from sakk.core.errors import Misconfigured, SakkError, Unavailable
from sakk.core.evm import UINT256_MAX

TIMEOUT_SECONDS = 10.0
ATTEMPTS_MAX = 3
BACKOFF_SECONDS_FIRST = 0.1
BACKOFF_SECONDS_MAX = 2.0
BATCH_MAX = 100
RESPONSE_BYTES_MAX = 256 * 1024 * 1024
# Stated by providers for "ask again later", not for "no" (EIP-1474 and the hosted ones' manuals).
CODES_LATER = frozenset({-32005, -32016, -32097, 429})
CODE_METHOD_MISSING = -32601
CODE_METHOD_UNSUPPORTED = -32004

_QUANTITY = re.compile(r"0x(?:0|[1-9a-fA-F][0-9a-fA-F]{0,63})")
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*")

Result = TypeVar("Result")


class RpcUnavailable(Unavailable):
    """No provider gave a usable answer; whether a write took effect is unknown."""

    code = "rpc_unavailable"


class RpcInconsistent(RpcUnavailable):
    """A provider's answer contradicts itself or what it said before: lagging, or lying."""

    code = "rpc_inconsistent"


class RpcDisagreement(Unavailable):
    """Two providers answer the same question differently."""

    code = "rpc_disagreement"


class RpcRefused(SakkError):
    """The node answered with a JSON-RPC error object."""

    code = "rpc_refused"
    status = 502

    def __init__(self, method: str, number: int, message: str, data: object = None) -> None:
        super().__init__(f"{method} was refused by the node: {message} ({number})")
        self.number = number
        self.reason = message
        self.data = data

    @property
    def is_method_missing(self) -> bool:
        """Does this node not know the method at all?"""
        return self.number in (CODE_METHOD_MISSING, CODE_METHOD_UNSUPPORTED)


class RpcError(msgspec.Struct, frozen=True):
    code: int
    message: str = ""
    data: object = None


class Response(msgspec.Struct, Generic[Result]):
    id: int | None
    result: Result | msgspec.UnsetType | None = msgspec.UNSET
    error: RpcError | None = None


class Request(msgspec.Struct):
    id: int
    method: str
    params: Sequence[Any]
    jsonrpc: str = "2.0"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a batch."""

    method: str
    params: Sequence[Any]


@dataclass(frozen=True, slots=True)
class _Provider:
    """A node's URL, and the part of it that may be shown: no user, password, path or query."""

    url: str
    shown: str


def parse_quantity(text: str, *, maximum: int = UINT256_MAX) -> int:
    """Read a JSON-RPC quantity: 0x-hex without leading zeros; RpcInconsistent if malformed."""
    if _QUANTITY.fullmatch(text) is None:
        raise RpcInconsistent(f"the node sent a malformed quantity: {text[:80]!r}")
    value = int(text, 16)
    if value > maximum:
        raise RpcInconsistent(f"the node sent a quantity out of range: {text[:80]!r}")
    return value


def parse_data(text: str, *, length: int | None = None) -> bytes:
    """Read JSON-RPC data (0x and whole bytes), of ``length`` bytes; RpcInconsistent if not so."""
    if _DATA.fullmatch(text) is None:
        raise RpcInconsistent(f"the node sent malformed data: {text[:80]!r}")
    data = bytes.fromhex(text[2:])
    if length is not None and len(data) != length:
        raise RpcInconsistent(f"the node sent {len(data)} bytes where {length} belong")
    return data


class Rpc:
    """A client of one network's providers. Safe to use from several threads; close it at the end.

    ``clock`` and ``sleep`` are the process's own unless a test passes others.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        attempts_max: int = ATTEMPTS_MAX,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not urls:
            raise Misconfigured("a network needs at least one RPC URL", param="rpc_urls")
        if attempts_max < 1:
            raise ValueError("attempts_max must be 1 or more")
        self._providers = tuple(_provider(url) for url in urls)
        self._client = httpx2.Client(
            timeout=timeout_seconds,
            headers={"content-type": "application/json"},
            follow_redirects=False,
            trust_env=False,
            verify=_certificates(),
        )
        self._timeout_seconds = timeout_seconds
        self._attempts_max = attempts_max
        self._sleep = sleep
        self._ids = itertools.count(1)
        self._preferred = 0
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def providers(self) -> tuple[str, ...]:
        """The providers by host and port, fit to be shown."""
        return tuple(provider.shown for provider in self._providers)

    def call(self, method: str, params: Sequence[Any], result: type[Result]) -> Result:
        """Read one thing. Retried and failed over: for idempotent methods only.

        RpcRefused when the node states an error, RpcUnavailable when none gave an answer.
        """
        return self.batch([Call(method, params)], result)[0]

    def find(self, method: str, params: Sequence[Any], result: type[Result]) -> Result | None:
        """Read one thing that may not be there (a JSON null); see ``call``."""
        return self.find_many([Call(method, params)], result)[0]

    def batch(self, calls: Sequence[Call], result: type[Result]) -> list[Result]:
        """Read many things of one type. One refused call refuses the batch; see ``call``."""
        answers: list[Result] = []
        for call, answer in zip(calls, self.find_many(calls, result), strict=True):
            if answer is None:
                raise RpcInconsistent(f"the node answered {call.method} with nothing")
            answers.append(answer)
        return answers

    def find_many(self, calls: Sequence[Call], result: type[Result]) -> list[Result | None]:
        """Read many things of one type that may not be there."""
        answers: list[Result | None] = []
        for answer in self.batch_each(calls, result):
            if isinstance(answer, RpcRefused):
                raise answer
            answers.append(answer)
        return answers

    def batch_each(
        self, calls: Sequence[Call], result: type[Result]
    ) -> list[Result | RpcRefused | None]:
        """Read many things of one type: for each call its answer or the node's refusal of it."""
        answers: list[Result | RpcRefused | None] = []
        for start in range(0, len(calls), BATCH_MAX):
            answers.extend(self._retried(calls[start : start + BATCH_MAX], result))
        return answers

    def compare(self, method: str, params: Sequence[Any], result: type[Result]) -> Result | None:
        """Read one thing from two providers; RpcDisagreement unless both say the same."""
        if len(self._providers) < 2:
            raise Misconfigured(
                "comparing needs two RPC URLs of different providers", param="rpc_urls"
            )
        first, second = (
            _unless_refused(self._once(place, [Call(method, params)], result)[0])
            for place in (0, 1)
        )
        if first != second:
            shown = " and ".join(self.providers[:2])
            raise RpcDisagreement(f"{shown} answer {method} differently")
        answer: Result | None = first
        return answer

    def each(
        self,
        method: str,
        params: Sequence[Any],
        result: type[Result],
        *,
        enough: Callable[[Result | SakkError | None], bool] = lambda _: False,
        places: Sequence[int] | None = None,
    ) -> list[Result | SakkError | None]:
        """Ask every provider once; an answer or an error for each, in their order.

        Stops after an answer that is ``enough``. Nothing is retried, so writes may go this way.
        ``places``: of those that are asked, where it is not all.
        """
        answers: list[Result | SakkError | None] = []
        for place in range(len(self._providers)) if places is None else places:
            try:
                answers.append(self._once(place, [Call(method, params)], result)[0])
            except SakkError as error:
                answers.append(error)
            if enough(answers[-1]):
                break
        return answers

    def _retried(self, calls: Sequence[Call], result: Any) -> list[Any]:
        """Ask the preferred provider, then the others, at most ``attempts_max`` rounds."""
        failure: SakkError | None = None
        for attempt in range(self._attempts_max):
            if attempt:
                self._sleep(min(BACKOFF_SECONDS_FIRST * 2 ** (attempt - 1), BACKOFF_SECONDS_MAX))
            start = self._preferred
            for step in range(len(self._providers)):
                place = (start + step) % len(self._providers)
                try:
                    answers = self._once(place, calls, result)
                except RpcUnavailable as error:
                    failure = error
                    continue
                with self._lock:
                    self._preferred = place
                return answers
        assert failure is not None
        raise failure

    def _once(self, place: int, calls: Sequence[Call], result: Any) -> list[Any]:
        """One HTTP request to one provider; answers or refusals in the order of the calls."""
        provider = self._providers[place]
        requests = [Request(next(self._ids), call.method, call.params) for call in calls]
        single = len(requests) == 1
        body = self._post(provider, msgspec.json.encode(requests[0] if single else requests))
        try:
            if single:
                responses = [_decoder(result, False).decode(body)]
            else:
                responses = _decoder(result, True).decode(body)
        except msgspec.DecodeError as error:
            _raise_if_batch_refused(body, calls[0].method)
            raise RpcUnavailable(
                f"{provider.shown} answered {calls[0].method} with something unreadable: {error}"
            ) from None
        if single and responses[0].error is not None:
            return [_refusal(calls[0].method, responses[0].error)]
        by_id = {response.id: response for response in responses}
        if len(by_id) != len(requests) or len(responses) != len(requests):
            raise RpcInconsistent(f"{provider.shown} answered {len(responses)} of {len(requests)}")
        return [_answer(provider, request, by_id.get(request.id)) for request in requests]

    def _post(self, provider: _Provider, content: bytes) -> bytes:
        """Send and read at most RESPONSE_BYTES_MAX; every failure is RpcUnavailable."""
        try:
            with self._client.stream("POST", provider.url, content=content) as response:
                if response.status_code == 429 or response.status_code >= 500:
                    raise RpcUnavailable(f"{provider.shown} answered HTTP {response.status_code}")
                chunks: list[bytes] = []
                size = 0
                for chunk in response.iter_bytes():
                    size += len(chunk)
                    if size > RESPONSE_BYTES_MAX:
                        raise RpcUnavailable(f"{provider.shown} sent more than can be read")
                    chunks.append(chunk)
                # Nodes state refusals with 200, some with 400: both carry an error object.
                if response.status_code not in (200, 400):
                    raise RpcUnavailable(f"{provider.shown} answered HTTP {response.status_code}")
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            # The error's own text may hold the URL with its credentials.
            raise RpcUnavailable(f"{provider.shown}: {type(error).__name__}") from None
        return b"".join(chunks)


@lru_cache(maxsize=1)
def _certificates() -> ssl.SSLContext:
    """The certificates that providers are checked by, read once a process."""
    return httpx2.create_ssl_context(trust_env=False)


def _provider(url: str) -> _Provider:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Misconfigured("an RPC URL begins with http:// or https:// and a host")
    port = f":{parts.port}" if parts.port else ""
    return _Provider(url=url, shown=f"{parts.hostname}{port}")


_building = threading.Lock()


@lru_cache(maxsize=256)
def _decoder(result: Any, many: bool) -> msgspec.json.Decoder[Any]:
    """What reads answers; built whole before any thread reads with it.

    msgspec keeps what it learnt of a type in the type while it is still learning: a thread that
    reads by it meanwhile crashes the process.
    """
    with _building:
        response: Any = Response[result]
        return msgspec.json.Decoder(list[response] if many else response)


def _raise_if_batch_refused(body: bytes, method: str) -> None:
    """A node may refuse a whole batch with one error object."""
    try:
        response = _decoder(object, False).decode(body)
    except msgspec.DecodeError:
        return
    if response.error is not None:
        raise _refusal(method, response.error)


def _answer(provider: _Provider, request: Request, response: Response[Any] | None) -> Any:
    if response is None:
        raise RpcInconsistent(f"{provider.shown} left {request.method} without an answer")
    if response.error is not None:
        return _refusal(request.method, response.error)
    if response.result is msgspec.UNSET:
        raise RpcInconsistent(f"{provider.shown} answered {request.method} with nothing")
    return response.result


def _refusal(method: str, error: RpcError) -> RpcRefused:
    """The node's refusal; one that only means "later" is raised as RpcUnavailable."""
    if error.code in CODES_LATER:
        raise RpcUnavailable(f"the node asks for {method} to be repeated later: {error.message}")
    return RpcRefused(method, error.code, error.message, error.data)


def _unless_refused(answer: Any) -> Any:
    if isinstance(answer, RpcRefused):
        raise answer
    return answer
