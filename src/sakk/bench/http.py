"""A lean HTTP/1.1 client: the machine's time belongs to what is measured, not to who measures.

It understands what Sakk's server sends (a status, a Content-Length, a body) and nothing more.
"""

import asyncio
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from sakk.core.errors import SakkError

READ_BYTES_MAX = 1 << 20
ANSWER_SECONDS_MAX = 60.0


class HttpBroken(SakkError):
    """The server closed the connection, or sent what this client does not understand."""

    code = "bench_http_broken"


class Connection:
    """One kept-alive connection; one request at a time."""

    def __init__(self, address: str, headers: dict[str, str]) -> None:
        self._parts = urlsplit(address)
        lines = {"Host": self._parts.netloc, **headers}
        self._fixed = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(
            self._parts.hostname, self._parts.port, limit=READ_BYTES_MAX
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._writer is not None
        self._writer.close()
        await self._writer.wait_closed()

    async def get(self, path: str) -> tuple[int, bytes, bytes]:
        """Status, the head as it came, and the body."""
        return await self._exchange(f"GET {path} HTTP/1.1\r\n{self._fixed}\r\n".encode())

    async def post(
        self, path: str, body: bytes, *, idempotency_key: str | None = None
    ) -> tuple[int, bytes, bytes]:
        """Post JSON: status, the head as it came, and the body."""
        key = "" if idempotency_key is None else f"Idempotency-Key: {idempotency_key}\r\n"
        head = (
            f"POST {path} HTTP/1.1\r\n{self._fixed}{key}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return await self._exchange(head.encode() + body)

    async def _exchange(self, request: bytes) -> tuple[int, bytes, bytes]:
        assert self._reader is not None
        assert self._writer is not None
        self._writer.write(request)
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                head = await self._reader.readuntil(b"\r\n\r\n")
                body = await self._reader.readexactly(_content_length(head))
        except (EOFError, TimeoutError) as error:
            raise HttpBroken(f"the server did not answer: {type(error).__name__}") from error
        return int(head[9:12]), head, body


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise HttpBroken("an answer without Content-Length")
