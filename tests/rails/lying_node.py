"""A JSON-RPC server that stands between a client and a real node, and lies when told to.

By default it passes everything on. ``node.answer(method, change)`` alters answers; the switches cut
connections, freeze the head or answer nothing.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2

Change = Callable[[list[Any], Any], Any]


class LyingNode:
    """The server; ``url`` is its address. ``calls`` are the methods asked so far, in order."""

    def __init__(self, truth: str) -> None:
        self.calls: list[str] = []
        # Cut the connection after the real node had the request: the client cannot know.
        self.cut_after: set[str] = set()
        self.status: int | None = None
        self.raw_body: bytes | None = None
        self._changes: dict[str, Change] = {}
        self._truth = httpx2.Client(base_url=truth, trust_env=False, timeout=30)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, method: str, change: Change) -> None:
        """Replace a method's result by ``change(params, result)``; Refuse states an error."""
        self._changes[method] = change

    def honest(self) -> None:
        """Pass everything on again."""
        self._changes.clear()
        self.cut_after.clear()
        self.status = None
        self.raw_body = None

    def close(self) -> None:
        """Stop serving and wait for what runs."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._truth.close()

    def respond(self, body: bytes) -> bytes | None:
        """The answer to one HTTP body; None to cut the connection."""
        parsed = json.loads(body)
        requests = parsed if isinstance(parsed, list) else [parsed]
        self.calls.extend(request["method"] for request in requests)
        truths = self._truth.post("/", json=requests).json()
        by_id = {truth["id"]: truth for truth in truths}
        answers = [self._lie(request, by_id[request["id"]]) for request in requests]
        if any(request["method"] in self.cut_after for request in requests):
            return None
        if self.raw_body is not None:
            return self.raw_body
        return json.dumps(answers if isinstance(parsed, list) else answers[0]).encode()

    def _lie(self, request: dict[str, Any], truth: dict[str, Any]) -> dict[str, Any]:
        change = self._changes.get(request["method"])
        if change is None:
            return truth
        try:
            result = change(request["params"], truth.get("result"))
        except Refuse as refusal:
            error = {"code": refusal.number, "message": refusal.message}
            return {"jsonrpc": "2.0", "id": request["id"], "error": error}
        return {"jsonrpc": "2.0", "id": request["id"], "result": result}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        node = self

        class Handler(BaseHTTPRequestHandler):
            # HTTP/1.0: each answer ends its connection, so none is left open at the end.
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                answer = node.respond(body)
                if answer is None:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(node.status or 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


class Refuse(Exception):
    """Raised by a change: answer with this JSON-RPC error."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number
        self.message = message


def always(result: object) -> Change:
    """The change that answers with this, whatever the truth is."""
    return lambda params, truth: result


@contextmanager
def lying_node(truth: str) -> Iterator[LyingNode]:
    """A lying node in front of the node at ``truth``."""
    node = LyingNode(truth)
    try:
        yield node
    finally:
        node.close()
