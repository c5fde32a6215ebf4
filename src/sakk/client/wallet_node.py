"""Questions of a wallet to a node that its owner trusts: Ethereum's JSON-RPC, a batch at a time.

A question is a step of the wallet's flow, so that it goes by the HTTP client that the wallet stands
under, with threads and with an event loop.
"""

import json
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

from sakk.client.wallet_step import Answer, Ask, NoAnswer, Read, Send, Step


class NodeAway(Exception):
    """The node did not answer, or its answer can not be read."""


class Call(NamedTuple):
    """One question."""

    method: str
    params: list[Any]


def eth_call(to: str, data: str) -> Call:
    """What a contract answers now."""
    return Call("eth_call", [{"to": to, "data": data}, "latest"])


def word(address: str) -> str:
    """An address as calldata holds it, without 0x."""
    return address[2:].lower().rjust(64, "0")


def ask_node(url: str, calls: Sequence[Call]) -> Generator[Step, Any, list[Any]]:
    """What a node answers, in the order of the questions; raises NodeAway."""
    headers = {"content-type": "application/json"}
    try:
        answer: Answer = yield Send(Ask("POST", url, headers, body_of(calls)), is_callers=False)
        body: bytes = yield Read()
    except NoAnswer as error:
        raise NodeAway(f"the node at {url} does not answer: {error}") from error
    if answer.status != 200:
        raise NodeAway(f"the node at {url} answers with status {answer.status}")
    return results_of(url, body, len(calls))


def body_of(calls: Sequence[Call]) -> bytes:
    """A batch of JSON-RPC."""
    return json.dumps(
        [
            {"jsonrpc": "2.0", "id": place, "method": call.method, "params": call.params}
            for place, call in enumerate(calls)
        ]
    ).encode()


def results_of(url: str, body: bytes, count: int) -> list[Any]:
    """The results of a batch, each in its place; raises NodeAway."""
    try:
        documents = json.loads(body)
        found = {each["id"]: each["result"] for each in documents}
        return [found[place] for place in range(count)]
    except (ValueError, KeyError, TypeError) as error:
        said = body[:200].decode("utf-8", "replace")
        raise NodeAway(f"the node at {url} refuses: {said}") from error
