"""The JSON-RPC client of the local chain: calls, batches, and anvil's own methods.

The wallet of the other side and the chain's set-up use it, so it shares nothing with the watcher's
client that they are there to test.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import httpx2

from sakk.core.errors import SakkError, Unavailable

TIMEOUT_SECONDS = 30.0
# Larger batches are sent in parts: anvil answers a batch only when all of it has run.
BATCH_MAX = 500

Call = tuple[str, Sequence[Any]]


class LocalRpcRefused(SakkError):
    """The node answered with a JSON-RPC error; ``rpc_code`` is its number."""

    code = "local_rpc_refused"

    def __init__(self, message: str, *, rpc_code: int) -> None:
        super().__init__(message)
        self.rpc_code = rpc_code


class LocalRpc:
    """One connection to a local node; not shared between threads."""

    def __init__(self, url: str) -> None:
        self.url = url
        # No TLS on this machine: to read the certificates takes longer than most that follows.
        self._client = httpx2.Client(timeout=TIMEOUT_SECONDS, trust_env=False, verify=False)

    def call(self, method: str, *params: Any) -> Any:
        """One call; LocalRpcRefused when refused, Unavailable when not answered."""
        return self.batch([(method, params)])[0]

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Calls in order, their results in the same order; the first refusal is raised."""
        results: list[Any] = []
        for start in range(0, len(calls), BATCH_MAX):
            results += self._send(calls[start : start + BATCH_MAX])
        return results

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _send(self, calls: Sequence[Call]) -> list[Any]:
        body = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            for number, (method, params) in enumerate(calls)
        ]
        try:
            response = self._client.post(self.url, json=body)
            response.raise_for_status()
            answers: list[dict[str, Any]] = response.json()
        except httpx2.HTTPError as error:
            raise Unavailable(
                f"the local chain at {self.url} does not answer: {type(error).__name__} {error}"
            ) from error
        by_number = {answer["id"]: answer for answer in answers}
        return [_result(by_number[number], calls[number][0]) for number in range(len(calls))]


def _result(answer: dict[str, Any], method: str) -> Any:
    if "error" in answer:
        error = answer["error"]
        raise LocalRpcRefused(f"{method}: {error['message']}", rpc_code=error["code"])
    return answer["result"]
