from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core.exposure_batch import (
    ROW_BYTES,
    TX_HASH_BYTES,
    TX_HASH_OFFSET,
    UNCOUNTED,
    UNITS_MAX,
    Block,
    Segment,
    Transfer,
    cut,
    decode,
    encode,
    encode_transfers,
    ends_and_units,
    head_bytes,
    is_known,
    live,
    names_known,
    pack_row,
    rows_of,
    transfers,
)


@dataclass(frozen=True)
class Head:
    height: int
    kind: str
    first_block: int
    last_block: int
    count: int = 1


def transfer(block: int, log_index: int = 0, units: int = 1) -> Transfer:
    return Transfer(
        block, block * 12, log_index, b"\xaa" * 20, b"\xbb" * 20, units, bytes([log_index]) * 32
    )


made = st.builds(
    Transfer,
    st.integers(0, 5),
    st.just(7),
    st.integers(0, 2**32 - 1),
    st.binary(min_size=20, max_size=20),
    st.binary(min_size=20, max_size=20),
    st.integers(1, UNITS_MAX),
    st.binary(min_size=32, max_size=32),
)


@given(st.lists(made, max_size=20))
def test_transfers_come_back_as_they_were(rows: list[Transfer]) -> None:
    ordered = sorted(rows, key=lambda row: (row.block_number, row.log_index))
    payload = encode_transfers(ordered)
    assert list(transfers(payload)) == ordered
    assert cut(payload, 2) == encode_transfers([row for row in ordered if row.block_number <= 2])
    assert head_bytes(payload) + len(ordered) * ROW_BYTES == len(payload)


def test_a_row_lies_where_its_hash_is_cut_out() -> None:
    payload = encode_transfers([transfer(1, 3), transfer(1, 4)])
    start = head_bytes(payload) + ROW_BYTES + TX_HASH_OFFSET
    assert payload[start : start + TX_HASH_BYTES] == b"\x04" * 32
    assert ends_and_units(payload[-ROW_BYTES:]) == (b"\xaa" * 20, b"\xbb" * 20, 1)


@pytest.mark.parametrize("units", [0, -1, UNITS_MAX + 1, 2**255])
def test_no_batch_holds_nothing_or_more_than_a_token_can_have(units: int) -> None:
    with pytest.raises(ValueError, match="128"):
        pack_row(transfer(1, units=units))


def test_a_transfer_is_known_by_its_log_or_where_logs_are_none_by_its_transaction() -> None:
    counted = bytes(32) + (7).to_bytes(4, "big")
    uncounted = b"\1" * 32 + UNCOUNTED.to_bytes(4, "big")
    known = names_known([counted, uncounted])
    assert is_known(counted, known)
    assert not is_known(bytes(32) + (8).to_bytes(4, "big"), known)
    assert is_known(b"\1" * 32 + (8).to_bytes(4, "big"), known)
    rows = pack_row(transfer(1, 3)) + pack_row(transfer(1, 4))
    assert [key[-1] for key, _ in rows_of(rows)] == [3, 4]


def test_blocks_without_rows_are_left_out() -> None:
    payload = encode([Block(1, 12, b""), Block(2, 24, pack_row(transfer(2)))])
    assert [block.number for block in decode(payload)] == [2]


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b"", "version"),
        (b"\x02" + bytes(4), "version"),
        (encode_transfers([transfer(1)])[:-1], "cut off"),
        (encode_transfers([transfer(1)])[:10], "cut off"),
        (encode_transfers([transfer(1)]) + b"\0", "longer"),
    ],
)
def test_what_is_no_batch_is_refused(payload: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        decode(payload)


@pytest.mark.parametrize(
    ("heads", "groups"),
    [
        ([], []),
        ([Head(1, "followed", 5, 9), Head(2, "followed", 10, 10)], [[(1, 5, 9)], [(2, 10, 10)]]),
        # A reorganisation takes what was followed above its block, and nothing after it.
        (
            [
                Head(1, "followed", 5, 9),
                Head(2, "followed", 10, 12),
                Head(3, "undone", 8, 7, 0),
                Head(4, "followed", 8, 11),
            ],
            [[(1, 5, 7)], [(4, 8, 11)]],
        ),
        # Two of them: the deeper one counts for what was there before both.
        (
            [
                Head(1, "followed", 1, 9),
                Head(2, "undone", 4, 3, 0),
                Head(3, "followed", 4, 8),
                Head(4, "undone", 7, 6, 0),
            ],
            [[(1, 1, 3)], [(3, 4, 6)]],
        ),
        # What was imported stays, and is merged with what lies over it.
        (
            [
                Head(1, "followed", 5, 9),
                Head(2, "imported", 1, 6),
                Head(3, "imported", 1, 2),
                Head(4, "undone", 5, 4, 0),
            ],
            [[(2, 1, 6), (3, 1, 2)]],
        ),
        ([Head(1, "imported", 1, 6), Head(2, "followed", 6, 7)], [[(1, 1, 6), (2, 6, 7)]]),
    ],
)
def test_which_batches_count(heads: list[Head], groups: list[list[tuple[int, int, int]]]) -> None:
    assert live(heads) == [[Segment(*segment) for segment in group] for group in groups]
