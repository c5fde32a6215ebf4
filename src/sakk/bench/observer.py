"""What the world outside sees, each thing with its time: blocks at the node, webhooks at the shop.

A process of its own (``python -m sakk.bench.observer WS_URL``), so that what it costs and what
delays it is not the bench's own work. It prints one line for each thing: first its port, then
``block NS NUMBER HASH`` and ``webhook NS ID TIMESTAMP SIGNATURE BODY``. NS is the system-wide
monotonic clock in nanoseconds.
"""

import asyncio
import sys
import time

import aiohttp

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
HEAD_BYTES_MAX = 64_000


class Receiver(asyncio.Protocol):
    """One connection: every request is answered with 200 at once, then printed."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._arrived = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._buffer:
            # The time of a request is that of its first byte.
            self._arrived = time.monotonic_ns()
        self._buffer += data
        while (request := self._take()) is not None:
            assert self._transport is not None
            self._transport.write(OK)
            head, body = request
            found = _headers(head)
            say(
                "webhook",
                self._arrived,
                found["webhook-id"],
                found["webhook-timestamp"],
                found["webhook-signature"].replace(" ", "+"),
                body.decode(),
            )

    def _take(self) -> tuple[bytes, bytes] | None:
        """The next whole request out of what has arrived."""
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            assert len(self._buffer) < HEAD_BYTES_MAX, "the head of a request has no end"
            return None
        length = int(_headers(head)["content-length"])
        if len(rest) < length:
            return None
        self._buffer = rest[length:]
        return head, rest[:length]


def _headers(head: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
    return {name.lower(): value.strip() for name, _, value in pairs}


def say(kind: str, arrived_ns: int, *words: str) -> None:
    """Print one line at once."""
    print(kind, arrived_ns, *words, flush=True)


async def _watch_blocks(websocket_url: str) -> None:
    subscribe = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(websocket_url) as socket,
    ):
        await socket.send_json(subscribe)
        async for message in socket:
            arrived = time.monotonic_ns()
            told = message.json()
            if "params" in told:
                head = told["params"]["result"]
                say("block", arrived, str(int(head["number"], 16)), head["hash"])


async def _observe(websocket_url: str) -> None:
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    async with server:
        say("port", time.monotonic_ns(), str(server.sockets[0].getsockname()[1]))
        await _watch_blocks(websocket_url)


if __name__ == "__main__":
    asyncio.run(_observe(sys.argv[1]))
