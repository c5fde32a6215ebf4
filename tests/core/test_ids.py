import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core.ids import ALPHABET, BODY_LENGTH, decode, digest128, encode, uuid7

RANDOM = bytes(range(10))


def test_uuid7_has_the_layout_of_rfc_9562() -> None:
    made = uuid.UUID(int=uuid7(now_ms=1_795_334_692_123, random=RANDOM))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == 1_795_334_692_123


@pytest.mark.parametrize("length", [0, 9, 11])
def test_uuid7_needs_ten_random_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="10 bytes"):
        uuid7(now_ms=0, random=bytes(length))


@given(st.integers(0, 2**47), st.integers(1, 1000), st.binary(min_size=10, max_size=10))
def test_ids_sort_by_their_time(now_ms: int, later_ms: int, random: bytes) -> None:
    first = encode("pi", uuid7(now_ms=now_ms, random=random))
    second = encode("pi", uuid7(now_ms=now_ms + later_ms, random=bytes(10)))
    assert first < second


@given(st.integers(0, 2**128 - 1), st.sampled_from(["pi", "acct", "a_b"]))
def test_encode_and_decode_are_inverse(value: int, prefix: str) -> None:
    identifier = encode(prefix, value)
    assert decode(identifier) == (prefix, value)
    body = identifier.rpartition("_")[2]
    assert len(body) == BODY_LENGTH
    assert set(body) <= set(ALPHABET)


@pytest.mark.parametrize(
    "identifier",
    [
        "",
        "pi",
        "pi_",
        "_" + "0" * 26,
        "pi_" + "0" * 25,
        "pi_" + "0" * 27,
        "pi_" + "0" * 25 + "i",
        "pi_" + "0" * 25 + "U",
        "pi_" + "A" * 26,
        "pi_8" + "0" * 25,
        "pi-" + "0" * 26,
    ],
)
def test_what_is_no_identifier(identifier: str) -> None:
    with pytest.raises(ValueError, match="not an identifier"):
        decode(identifier)


def test_digest_depends_on_every_part_and_their_order() -> None:
    digests = {
        digest128("a", "b", 1),
        digest128("a", "b", 2),
        digest128("b", "a", 1),
        digest128("ab", 1),
        digest128("a", "b1"),
    }
    assert len(digests) == 5
    assert all(0 <= each < 2**128 for each in digests)
    assert digest128("a", 1) == digest128("a", "1")
    # On every machine and for ever: the ledger's ids hang on it.
    assert digest128("ledger-transfer", "pin_1", "post", 0, 0) == int(
        "896e4e850ed7002b35b2c050201c43f7", 16
    )
