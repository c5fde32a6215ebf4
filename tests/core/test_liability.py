"""The Merkle-sum tree: its shape, its sums, and what it refuses."""

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core import liability
from sakk.core.liability import (
    LEAF,
    NODE,
    SUM_MAX,
    Inclusion,
    LiabilityEpoch,
    Subject,
    Tree,
    build,
    leaf_hash,
    prove,
    public_epoch,
    public_proof,
    salt_of,
    tile_of,
)

SECRET = bytes(range(32))
SUBJECT = Subject(unit=7, epoch=3, sequence=11, journal_hash=b"\x05" * 32)

balances = st.dictionaries(
    st.binary(min_size=16, max_size=16),
    st.one_of(st.integers(0, 9), st.integers(0, SUM_MAX >> 6)),
    min_size=1,
    max_size=40,
)


def proof_of(tree: Tree, account_id: bytes, secret: bytes = SECRET) -> Inclusion | None:
    number = tile_of([tile.first for tile in tree.tiles], salt_of(secret, account_id))
    return prove(secret, account_id, number=number, held=tree.tiles[number].held, tops=tree.tops)


def climb(inclusion: Inclusion) -> tuple[bytes, int]:
    """From a leaf to the top, by the definition alone."""
    digest = leaf_hash(inclusion.salt, inclusion.account_id, inclusion.balance)
    total = inclusion.balance
    for step in inclusion.path:
        ours = digest + total.to_bytes(16, "big")
        theirs = step.hash + step.sum.to_bytes(16, "big")
        both = ours + theirs if step.side == "right" else theirs + ours
        digest, total = hashlib.sha256(NODE + both).digest(), total + step.sum
    return digest, total


def naive_top(leaves: list[tuple[bytes, int]]) -> tuple[bytes, int]:
    """RFC 9162, 2.1.1: split at the largest power of two below the number of leaves."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    parts = [naive_top(leaves[:split]), naive_top(leaves[split:])]
    text = b"".join(digest + total.to_bytes(16, "big") for digest, total in parts)
    return hashlib.sha256(NODE + text).digest(), sum(total for _, total in parts)


@given(balances, st.sampled_from([1, 2, 4, 16, 1_024]))
def test_every_leaf_leads_to_the_one_top(owed: dict[bytes, int], tile_leaves: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(liability, "TILE_LEAVES", tile_leaves)
        tree = build(SECRET, owed.items())
        assert (tree.leaves, tree.total) == (len(owed), sum(owed.values()))
        seen = set()
        for account_id, balance in owed.items():
            found = proof_of(tree, account_id)
            assert found is not None
            assert found.balance == balance
            assert climb(found) == (tree.top, tree.total)
            seen.add(found.index)
        assert seen == set(range(len(owed)))


@given(balances)
def test_the_shape_is_the_published_one(owed: dict[bytes, int]) -> None:
    salted = sorted((salt_of(SECRET, key), key, value) for key, value in owed.items())
    leaves = [(leaf_hash(*each), each[2]) for each in salted]
    tree = build(SECRET, owed.items())
    assert naive_top(leaves) == (tree.top, tree.total)


@given(balances, st.randoms(use_true_random=False))
def test_the_order_of_the_accounts_changes_nothing(owed: dict[bytes, int], random) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(owed.items())
    random.shuffle(shuffled)
    assert build(SECRET, shuffled) == build(SECRET, owed.items())


def test_the_bytes_are_what_the_documents_say() -> None:
    """By hand, once: two accounts of 5 and 6."""
    ids = (b"\x01" * 16, b"\x02" * 16)
    tree = build(SECRET, [(ids[0], 5), (ids[1], 6)])
    leaves = sorted(
        (salt_of(SECRET, each) + each + owed.to_bytes(16, "big"))
        for each, owed in zip(ids, (5, 6), strict=True)
    )
    nodes = [
        hashlib.sha256(b"sakk.liability.leaf.1" + each).digest() + each[48:] for each in leaves
    ]
    top = hashlib.sha256(b"sakk.liability.node.1" + b"".join(nodes)).digest()
    assert tree.top == top
    text = (
        (7).to_bytes(8, "big") + (3).to_bytes(8, "big") + (11).to_bytes(8, "big") + b"\x05" * 32
        + (2).to_bytes(8, "big") + (11).to_bytes(16, "big") + top
    )  # fmt: skip
    assert tree.root(SUBJECT) == hashlib.sha256(b"sakk.liability.root.1" + text).digest()


def test_no_odd_leaf_is_doubled() -> None:
    """CVE-2012-2459: three leaves and the same with the last one twice are two trees."""
    owed = [(bytes([n]) * 16, n) for n in (1, 2, 3)]
    tree = build(SECRET, owed)
    last = max(owed, key=lambda each: salt_of(SECRET, each[0]))
    with pytest.raises(ValueError, match="twice"):
        build(SECRET, [*owed, last])
    found = proof_of(tree, last[0])
    assert found is not None
    assert (found.index, len(found.path)) == (2, 1)


def test_a_node_is_never_a_leaf() -> None:
    assert LEAF != NODE
    assert len(LEAF) == len(NODE)
    assert len(LEAF) + 32 + 16 + 16 != len(NODE) + 2 * (32 + 16)


@pytest.mark.parametrize(
    ("owed", "message"),
    [
        ([], "at least one leaf"),
        ([(b"\x01" * 16, -1)], "can not have a balance of -1"),
        ([(b"\x01" * 16, SUM_MAX + 1)], "can not have a balance"),
        ([(b"\x01" * 15, 1)], "can not have a balance"),
        ([(b"\x01" * 16, SUM_MAX), (b"\x02" * 16, 1)], "does not fit 128 bits"),
        ([(b"\x01" * 16, 1), (b"\x01" * 16, 1)], "stands there twice"),
        ([(b"\x01" * 16, 1), (b"\x01" * 16, 2)], "stands there twice"),
    ],
)
def test_what_is_no_tree(owed: list[tuple[bytes, int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(SECRET, owed)


def test_a_secret_is_whole() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        build(b"short", [(b"\x01" * 16, 1)])


def test_the_largest_total_fits() -> None:
    tree = build(SECRET, [(b"\x01" * 16, SUM_MAX - 1), (b"\x02" * 16, 1)])
    assert tree.total == SUM_MAX


def test_who_is_not_there_has_no_proof() -> None:
    tree = build(SECRET, [(bytes([n]) * 16, n) for n in range(9)])
    for stranger in range(200, 220):
        assert proof_of(tree, bytes([stranger]) * 16) is None


def test_another_secret_gives_other_hashes_and_another_order() -> None:
    owed = [(bytes([n]) * 16, 5) for n in range(32)]
    trees = [build(secret, owed) for secret in (SECRET, b"\x09" * 32)]
    assert trees[0].top != trees[1].top
    orders = [
        [tree.tiles[0].held[start : start + 16] for start in range(0, 32 * 32, 32)]
        for tree in trees
    ]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


@pytest.mark.parametrize(
    "other",
    [
        Subject(8, 3, 11, b"\x05" * 32),
        Subject(7, 4, 11, b"\x05" * 32),
        Subject(7, 3, 12, b"\x05" * 32),
        Subject(7, 3, 11, b"\x06" * 32),
    ],
)
def test_a_root_speaks_of_one_unit_epoch_and_row(other: Subject) -> None:
    tree = build(SECRET, [(b"\x01" * 16, 5)])
    assert tree.root(other) != tree.root(SUBJECT)


def epoch_of(tree: Tree, *, journalled: datetime | None) -> LiabilityEpoch:
    return LiabilityEpoch(
        id="le_1",
        livemode=False,
        shard=0,
        epoch=3,
        unit="test/usdc",
        unit_id=7,
        sequence=11,
        journal_hash=b"\x05" * 32,
        as_of=datetime(2025, 12, 31, tzinfo=UTC),
        root_id=b"\x01" * 16,
        root=tree.root(SUBJECT),
        total=tree.total,
        leaves=tree.leaves,
        secret=SECRET,
        tops=tree.tops,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        journalled=journalled,
    )


def test_what_is_published() -> None:
    tree = build(SECRET, [(b"\x01" * 16, 1_250_000), (b"\x02" * 16, 0)])
    epoch = epoch_of(tree, journalled=datetime(2026, 1, 2, tzinfo=UTC))
    assert epoch.subject == SUBJECT
    assert public_epoch(epoch, decimals=6) == {
        "id": "le_1",
        "object": "liability_epoch",
        "as_of": 1_767_139_200,
        "created": 1_767_225_600,
        "currency": "usdc",
        "epoch": 3,
        "journal_hash": "05" * 32,
        "journal_sequence": 11,
        "leaves": 2,
        "livemode": False,
        "metadata": {},
        "root": tree.root(SUBJECT).hex(),
        "shard": 0,
        "total": "1250000",
        "total_decimal": "1.250000",
        "unit": "test/usdc",
    }
    assert public_epoch(epoch, decimals=None)["total_decimal"] is None
    found = proof_of(tree, b"\x01" * 16)
    assert found is not None
    shown = public_proof(epoch, "acct_1", [("merchant:acct_1:available#test/usdc", found)])
    assert shown["balance"] == "1250000"
    assert shown["leaves"][0]["path"][0]["sum"] == "0"
    assert "secret" not in shown


def test_nothing_is_published_before_it_is_journalled() -> None:
    with pytest.raises(ValueError, match="not in the journal"):
        public_epoch(epoch_of(build(SECRET, [(b"\x01" * 16, 1)]), journalled=None), decimals=6)
