"""Approvals of a batch: one root over all lines, and a path that nothing else has."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.client.approval import batch_message as made_by_the_client
from sakk.core.approval_batch import (
    Membership,
    batch_message,
    leaf,
    membership,
    message_by,
    path_of,
    root_by,
    root_of,
    tree,
)

BATCH = "pob_1"


def contents(count: int) -> list[bytes]:
    return [f"payout {place}".encode() for place in range(count)]


def member(count: int, place: int) -> Membership:
    levels = tree([leaf(each) for each in contents(count)])
    return Membership(BATCH, count, place, path_of(levels, place))


def rfc_root(leaves: list[bytes]) -> bytes:
    """MTH as RFC 9162, section 2.1.1, writes it down."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    below = rfc_root(leaves[:split]) + rfc_root(leaves[split:])
    return hashlib.sha256(b"\x01" + below).digest()


@pytest.mark.parametrize("count", [*range(1, 18), 33, 100])
def test_every_leaf_leads_to_the_root_of_the_standard(count: int) -> None:
    leaves = [leaf(each) for each in contents(count)]
    root = root_of(tree(leaves))
    assert root == rfc_root(leaves)
    message = batch_message(BATCH, count, root)
    for place, content in enumerate(contents(count)):
        assert message_by(content, member(count, place)) == message
    shown = [each.decode() for each in contents(count)]
    assert made_by_the_client(BATCH, shown) == message.decode()


@given(count=st.integers(1, 40), data=st.data())
def test_nothing_else_leads_there(count: int, data: st.DataObject) -> None:
    """Another line, place, number of lines or path is another root, or none."""
    place = data.draw(st.integers(0, count - 1))
    true, content = member(count, place), contents(count)[place]
    root = root_by(content, true)
    assert root_by(content + b"0", true) != root
    other_path = tuple(bytes(32) for _ in true.path)
    shorter, longer = true.path[:-1], (*true.path, bytes(32))
    for wrong in (
        true._replace(place=data.draw(st.integers(-1, count).filter(lambda at: at != place))),
        true._replace(path=other_path) if true.path else true._replace(place=1),
        true._replace(path=shorter) if true.path else true._replace(size=0),
        true._replace(path=longer),
        true._replace(path=(b"short", *true.path)),
        true._replace(size=-1),
    ):
        try:
            found = root_by(content, wrong)
        except ValueError:
            continue
        assert found != root


def test_the_number_of_lines_is_signed_too() -> None:
    """Some paths fit trees of more than one size: the message does not."""
    content = contents(3)[0]
    true = member(3, 0)
    for size in (2, 4, 5):
        try:
            other = message_by(content, true._replace(size=size))
        except ValueError:
            continue
        assert other != message_by(content, true)


def test_a_node_is_no_leaf() -> None:
    levels = tree([leaf(each) for each in contents(4)])
    node = levels[1][0]
    assert leaf(levels[0][0] + levels[0][1]) != node
    with pytest.raises(ValueError, match="longer"):
        root_by(b"", Membership(BATCH, 1, 0, (bytes(32),)))
    with pytest.raises(ValueError, match="below the root"):
        root_by(b"", Membership(BATCH, 2, 0, ()))


def test_a_membership_is_kept_as_bytes() -> None:
    found = member(7, 6)
    assert membership(found.batch, found.size, found.place, found.joined()) == found


def test_of_nothing_there_is_no_tree() -> None:
    with pytest.raises(ValueError, match="has a leaf"):
        tree([])
    with pytest.raises(ValueError, match="no payout"):
        made_by_the_client(BATCH, [])
