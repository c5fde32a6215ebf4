"""Approvals of many payouts by one word: a Merkle tree over what each of them says.

What is approved, and may be signed, is `batch_message`: how many payouts of which batch, and the
root over what a person would approve of each alone (`sakk.core.approval.approval_message`). Whoever
has one payout and its path finds that root again, or, if anything of it was changed, another one.

The tree is that of RFC 9162, section 2.1.1, with SHA-256: a leaf begins with a zero byte and a node
with a one, so that neither is shown as the other, and nothing is doubled to fill a level. The
message names the number of leaves, so a place has one path, of one length.
"""

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

HASH_BYTES: Final = 32
_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


class Membership(NamedTuple):
    """Where one payout stands among the ``size`` that were approved together.

    ``path``: the hashes beside the way from its leaf to the root, the lowest first.
    """

    batch: str
    size: int
    place: int
    path: tuple[bytes, ...]

    def joined(self) -> bytes:
        """The path as it is kept: hash after hash."""
        return b"".join(self.path)


def membership(batch: str, size: int, place: int, joined: bytes) -> Membership:
    """A membership as it was kept."""
    at = range(0, len(joined), HASH_BYTES)
    return Membership(batch, size, place, tuple(joined[each : each + HASH_BYTES] for each in at))


def batch_message(batch: str, size: int, root: bytes) -> bytes:
    """What an approver signs of payouts of a batch, once for all of them."""
    return "\n".join(("sakk batch approval v1", batch, str(size), root.hex())).encode()


def leaf(content: bytes) -> bytes:
    """The leaf of what a person would approve of one payout alone."""
    return hashlib.sha256(_LEAF + content).digest()


def tree(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """All levels, from the leaves to the root; ValueError without a leaf."""
    if not leaves:
        raise ValueError("a tree has a leaf")
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        above = [_node(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)]
        # The last of an odd level goes up as it is.
        levels.append(above + below[len(above) * 2 :])
    return levels


def root_of(levels: Sequence[Sequence[bytes]]) -> bytes:
    """The root of a tree."""
    return levels[-1][0]


def path_of(levels: Sequence[Sequence[bytes]], place: int) -> tuple[bytes, ...]:
    """The path of the leaf at ``place``."""
    path = []
    for level in levels[:-1]:
        beside = place ^ 1
        if beside < len(level):
            path.append(level[beside])
        place >>= 1
    return tuple(path)


def root_by(content: bytes, member: Membership) -> bytes:
    """The root that what is approved of one payout leads to (RFC 9162, section 2.1.3.2).

    ValueError for a path that no tree of so many leaves has at that place.
    """
    place, last, found = member.place, member.size - 1, leaf(content)
    if not 0 <= place <= last or any(len(each) != HASH_BYTES for each in member.path):
        raise ValueError("no place in such a tree")
    path = iter(member.path)
    for beside in path:
        # Where nothing stands beside it on a level it goes up as it is.
        while place == last and not place & 1 and last:
            place, last = place >> 1, last >> 1
        if not last:
            raise ValueError("the path is longer than the tree is high")
        found = _node(beside, found) if place & 1 else _node(found, beside)
        place, last = place >> 1, last >> 1
    if last:
        raise ValueError("the path ends below the root")
    return found


def message_by(content: bytes, member: Membership) -> bytes:
    """What was signed, if this payout was among what was approved; ValueError as `root_by`."""
    return batch_message(member.batch, member.size, root_by(content, member))


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE + left + right).digest()
