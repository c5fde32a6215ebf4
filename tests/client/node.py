"""A node of the tests: says of one chain what a test has it say, and a seller beside it."""

import json
from typing import Any

import httpx2
from tests.client.selling import NETWORK, Seller

from sakk.client.wallet_transport import WalletTransport

URL = "https://node.example/rpc"
NODES = {NETWORK: URL}
ALLOWANCE, BITMAP, STATE, CHANNELS = "0xdd62ed3e", "0x4fe02b44", "0xe94a0102", "0x7a7ebd7b"


class Node:
    """``words``: what a call answers, by its first four bytes. None: the node is away."""

    def __init__(self, **words: int | None) -> None:
        self.words = words
        self.time = 0
        self.asked: list[str] = []
        self.is_away = False

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if self.is_away:
            raise httpx2.ConnectError("away", request=request)
        answers = []
        for call in json.loads(request.content):
            answers.append({"jsonrpc": "2.0", "id": call["id"], "result": self._answer(call)})
        return httpx2.Response(200, json=answers)

    def _answer(self, call: dict[str, Any]) -> Any:
        if call["method"] == "eth_getBlockByNumber":
            return {"number": "0x1", "timestamp": hex(self.time)}
        name = {
            ALLOWANCE: "allowance",
            BITMAP: "bitmap",
            STATE: "state",
        }.get(call["params"][0]["data"][:10], "channel")
        self.asked.append(name)
        value = self.words.get(name)
        width = 128 if name == "channel" else 64
        return f"0x{(value or 0) << (256 if width == 128 else 0):0{width}x}"


def buying(wallet: Any, seller: Seller, node: Node) -> httpx2.Client:
    """A client that pays, for which the seller and the node are all there is."""

    def serve(request: httpx2.Request) -> httpx2.Response:
        return node(request) if str(request.url) == URL else seller(request)

    paying: Any = WalletTransport(wallet, httpx2.MockTransport(serve))
    return httpx2.Client(transport=paying)
