"""A file of gift cards: read exactly, and all that is wrong is told by its line and column."""

import pytest

from sakk.core.gift_card_batch import Kind
from sakk.core.gift_card_file import read, write

GOOD = b"\xef\xbb\xbfCount;amount\r\n100;25.00\r\n\r\n2;0.000001\r\n"


def test_lines_are_read_as_spreadsheets_save_them() -> None:
    assert read(GOOD, 6) == ([(2, Kind(25_000_000, 100)), (4, Kind(1, 2))], [])


def test_what_was_read_is_written_again() -> None:
    kinds = [each for _, each in read(GOOD, 6)[0]]
    again, faults = read(write(kinds, 6).encode(), 6)
    assert ([each for _, each in again], faults) == (kinds, [])


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("25.001,1", "amount"),
        ("-1,1", "amount"),
        ("0,1", "amount"),
        ('"1,50",1', "amount"),
        ("=1+1,1", "amount"),
        ("9" * 5_000 + ",1", "amount"),
        ("25,0", "count"),
        ("25,1.5", "count"),
        ("25,10001", "count"),
        ("25", "count"),
    ],
)
def test_a_line_that_is_wrong_is_told_and_the_others_are_read(line: str, column: str) -> None:
    kinds, [fault] = read(f"amount,count\n5,1\n{line}\n7,2".encode(), 2)
    assert [(where, kind.count) for where, kind in kinds] == [(2, 1), (4, 2)]
    assert (fault.line, fault.param, fault.whole) == (3, column, False)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "amount, count"),
        (b"worth,count\n1,1", "amount, count"),
        (b"amount,count\n", "no card"),
        (b"amount,count\n\xff,1", "UTF-8"),
        (b'amount,count\n"1,1', "Line 2"),
        (b"amount,count\n" + b"1,1\n" * 201, "200"),
    ],
)
def test_a_file_that_is_none_is_refused_as_a_whole(raw: bytes, said: str) -> None:
    kinds, [fault] = read(raw, 2)
    assert (kinds, fault.whole) == ([], True)
    assert said in fault.message
