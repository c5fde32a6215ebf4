"""The console as an ASGI application: bodies in, pages out, work in threads of its own."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from starlette.types import Receive, Scope, Send

from sakk.console.door import Door
from sakk.console.request import arrived
from sakk.console.respond import HSTS, SECURITY, Response
from sakk.console.route import BODY_BYTES_MAX, ROOT
from sakk.console.table import ENTRANCES, SCREENS
from sakk.console.visit import ConsoleSettings
from sakk.flow.context import Parts
from sakk.store.identity import new_id

BODY_SECONDS_MAX: Final = 30.0
WAITING_MAX: Final = 64
METHODS: Final = frozenset({"GET", "HEAD", "POST"})


def is_console(path: str) -> bool:
    """Does a path belong to the console?"""
    return path == ROOT or path.startswith(f"{ROOT}/")


class Console:
    """One process's console. It owns its threads."""

    def __init__(
        self, parts: Parts, settings: ConsoleSettings, *, threads: int = 4, processes: int = 1
    ) -> None:
        self.door = Door(parts, settings, SCREENS, ENTRANCES, processes)
        self._settings = settings
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="console")
        self._inside = 0

    def close(self) -> None:
        """Wait for what is being done."""
        self._threads.shutdown(wait=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        identifier = new_id("req")
        response = await self._answer(scope, receive, identifier)
        more = [*SECURITY, ("request-id", identifier)]
        if self._settings.is_secure:
            more.append(HSTS)
        given = {name for name, _ in response.headers}
        sent = [*response.headers, *(pair for pair in more if pair[0] not in given)]
        if response.pieces is None or response.size is not None:
            sent.append(("content-length", str(response.size or len(response.body))))
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent]
        body = b"" if scope["method"] == "HEAD" else response.body
        await send({"type": "http.response.start", "status": response.status, "headers": raw})
        if response.pieces is not None and scope["method"] != "HEAD":
            await self._send_pieces(response.pieces, send)
        await send({"type": "http.response.body", "body": body})

    async def _send_pieces(self, pieces: Iterator[bytes], send: Send) -> None:
        """What is too large for memory, read a piece at a time beside the loop."""
        loop = asyncio.get_running_loop()
        while (piece := await loop.run_in_executor(self._threads, next, pieces, None)) is not None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})

    async def _answer(self, scope: Scope, receive: Receive, identifier: str) -> Response:
        if scope["method"] not in METHODS:
            return _plain(405, "Method not allowed.")
        if self._inside >= WAITING_MAX:
            return _plain(503, "Too many requests are waiting. Try again in a second.")
        self._inside += 1
        try:
            request = arrived(
                scope,
                b"",
                request_id=identifier,
                trusted_proxies=self._settings.trusted_proxies,
            )
            loop = asyncio.get_running_loop()
            bytes_max = self.door.body_bytes_max(request.path)
            if bytes_max > BODY_BYTES_MAX:
                # So many large files at once are the memory of a machine: no stranger sends one.
                is_known = await loop.run_in_executor(self._threads, self.door.knows, request)
                bytes_max = bytes_max if is_known else BODY_BYTES_MAX
            body = await _body(receive, bytes_max)
            if body is None:
                return _plain(413, "The form is too large, or took too long to arrive.")
            request = replace(request, body=body)
            return await loop.run_in_executor(self._threads, self.door.answer, request)
        finally:
            self._inside -= 1


async def _body(receive: Receive, bytes_max: int) -> bytes | None:
    """The body, up to a size and a time; None for one that has more."""
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > bytes_max:
                    return None
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError:
        return None


def _plain(status: int, text: str) -> Response:
    return Response(status, [("content-type", "text/plain; charset=utf-8")], text.encode())
