"""Nodes: every one that is set up for a network is asked now, and held against the others.

What we act on is compared where it matters (``flow/confirm.py``); this is for who looks after the
nodes. Nothing is kept of it.
"""

from dataclasses import dataclass

from sakk.core import node as rules
from sakk.core.errors import SakkError
from sakk.core.network import Network
from sakk.core.node import Answer, Node
from sakk.flow.context import Parts
from sakk.rails.evm.raw import RawHeader
from sakk.rails.evm.rpc import Rpc, parse_quantity
from sakk.store import network as store


@dataclass(frozen=True, slots=True)
class Looked:
    """The nodes of a network, and the block by which they were compared."""

    nodes: list[Node]
    height: int | None


def look(parts: Parts, network: Network) -> Looked:
    """Ask every node for its head and then for one block that all must have; no lock is held."""
    rpc = parts.rail_of(network).rpc
    heads = [
        _headed(each) for each in rpc.each("eth_getBlockByNumber", ["latest", False], RawHeader)
    ]
    known = [head for head, _ in heads if head is not None]
    height = rules.common_height(known, network.confirmations)
    if height is None:
        answers = [
            Answer(name, None, why=why) for name, (_, why) in zip(rpc.providers, heads, strict=True)
        ]
        return Looked(rules.judge(answers, followed=None), None)
    with parts.database.read() as connection:
        followed = store.known_hash(connection, network.network, height)
    answers = _compared(rpc, heads, height)
    return Looked(rules.judge(answers, followed=followed), height)


_Head = tuple[int | None, str | None]


def _headed(answer: RawHeader | SakkError | None) -> _Head:
    """A node's head, or why there is none."""
    try:
        if isinstance(answer, RawHeader):
            return parse_quantity(answer.number), None
    except SakkError as error:
        return None, error.message
    return None, "it has no head" if answer is None else answer.message


def _compared(rpc: Rpc, heads: list[_Head], height: int) -> list[Answer]:
    """Who said nothing at first is not asked again: a dead node costs its time once."""
    asked = [place for place, (head, _) in enumerate(heads) if head is not None]
    found = rpc.each("eth_getBlockByNumber", [hex(height), False], RawHeader, places=asked)
    blocks = dict(zip(asked, found, strict=True))
    answers = []
    for place, (name, (head, why)) in enumerate(zip(rpc.providers, heads, strict=True)):
        block = blocks.get(place)
        if isinstance(block, RawHeader):
            answers.append(Answer(name, head, block.hash))
        elif isinstance(block, SakkError):
            answers.append(Answer(name, head, why=block.message))
        else:
            answers.append(Answer(name, head, why=why or f"it has no block {height}"))
    return answers
