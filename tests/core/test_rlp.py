"""RLP against the vectors of the Ethereum wiki and the `rlp` package as the second source."""

import pytest
import rlp as theirs
from hypothesis import given
from hypothesis import strategies as st

from sakk.core import rlp

items: st.SearchStrategy[rlp.Item] = st.recursive(
    st.binary(max_size=70),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=15,
)


def depth(item: rlp.Item) -> int:
    return 1 + max(map(depth, item), default=0) if isinstance(item, list) else 0


@pytest.mark.parametrize(
    ("item", "encoded"),
    [
        (b"dog", "83646f67"),
        ([b"cat", b"dog"], "c88363617483646f67"),
        (b"", "80"),
        ([], "c0"),
        (b"\x00", "00"),
        (b"\x0f", "0f"),
        (b"\x04\x00", "820400"),
        ([[], [[]], [[], [[]]]], "c7c0c1c0c3c0c1c0"),
        (
            b"Lorem ipsum dolor sit amet, consectetur adipisicing elit",
            "b838" + b"Lorem ipsum dolor sit amet, consectetur adipisicing elit".hex(),
        ),
    ],
)
def test_wiki_vectors(item: rlp.Item, encoded: str) -> None:
    assert rlp.encode(item).hex() == encoded
    assert rlp.decode(bytes.fromhex(encoded)) == item


@given(items.filter(lambda item: depth(item) <= rlp.DEPTH_MAX))
def test_encoding_agrees_with_the_rlp_package(item: rlp.Item) -> None:
    assert rlp.encode(item) == theirs.encode(item)
    assert rlp.decode(rlp.encode(item)) == item


@given(st.binary(max_size=80))
def test_whatever_decodes_is_canonical(data: bytes) -> None:
    try:
        item = rlp.decode(data)
    except ValueError:
        return
    assert rlp.encode(item) == data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "ends before"),
        ("8100", "shortest form"),
        ("817f", "shortest form"),
        ("b80100", "shortest form"),
        ("b837" + "00" * 55, "shortest form"),
        ("b90038" + "00" * 56, "shortest form"),
        ("f800", "shortest form"),
        ("b8", "cut off"),
        ("bf", "cut off"),
        ("ffffffffffffffffff", "longer than its data"),
        ("83646f", "longer than its data"),
        ("c883636174", "longer than its data"),
        ("c283", "longer than its data"),
        ("c181", "longer than its data"),
        ("0102", "after the RLP item"),
        ("c0c0", "after the RLP item"),
        ("c9c8c7c6c5c4c3c2c1c0", "nested deeper"),
    ],
)
def test_malformed_bytes_are_refused(data: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rlp.decode(bytes.fromhex(data))


def test_negative_integers_have_no_encoding() -> None:
    with pytest.raises(ValueError, match="negative"):
        rlp.encode_integer(-1)
