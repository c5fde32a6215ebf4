"""Nodes: do all that we ask about one network tell the same chain?"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# A node so many blocks behind the one that is furthest is behind.
BEHIND_BLOCKS: Final = 20


class NodeState(StrEnum):
    """What an operator has to know of a node, the worst first."""

    differs = "differs"
    silent = "silent"
    behind = "behind"
    well = "well"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one node said. ``hash``: of the block that all were asked for, None where it has none.

    ``why``: what went wrong, where it said nothing.
    """

    name: str
    head: int | None
    hash: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One node, looked at."""

    name: str
    state: NodeState
    head: int | None
    hash: str | None
    why: str | None


def common_height(heads: Sequence[int], confirmations: int) -> int | None:
    """A block that every node has to have, and to have the same: final by our own count."""
    return max(0, min(heads) - confirmations) if heads else None


def judge(answers: Sequence[Answer], *, followed: str | None) -> list[Node]:
    """What each node is. ``followed``: the hash of the common block as we followed it; where it was
    not followed, or is forgotten, the first node's own stands for it."""
    heads = [each.head for each in answers if each.head is not None]
    best = max(heads, default=0)
    hashes = [each.hash for each in answers if each.hash is not None]
    expected = followed or (hashes[0] if hashes else None)
    return [
        Node(each.name, _state(each, best, expected), each.head, each.hash, each.why)
        for each in answers
    ]


def _state(answer: Answer, best: int, expected: str | None) -> NodeState:
    if answer.head is None or answer.hash is None:
        return NodeState.silent
    if answer.hash != expected:
        return NodeState.differs
    return NodeState.behind if best - answer.head > BEHIND_BLOCKS else NodeState.well
