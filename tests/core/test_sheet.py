"""Sheets: what a spreadsheet runs, what a program reads, and amounts to the last digit."""

import csv
import io
import json
from datetime import UTC, datetime

import pytest

from sakk.core.sheet import Exact, Lines, Sheet, cell, encoded

AT = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (True, "true"),
        (-5, "-5"),
        (Exact("-0.000001"), "-0.000001"),
        (AT, "2026-11-26T09:30:00Z"),
        ("Acme", "Acme"),
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        (" +1", "' +1"),
        ("-2", "'-2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("＝1", "'＝1"),
        ("a\u202eb", "ab"),
    ],
)
def test_a_cell_is_no_formula(value: object, shown: str) -> None:
    assert cell(value) == shown


def test_rows_are_files_for_spreadsheets_and_programs() -> None:
    rows = [(1, 'say "hi",\r\nthere', Exact("-1.50"), AT), (2, None, Exact("0.01"), AT)]
    columns = ("number", "text", "amount", "time")
    text = b"".join(encoded(Sheet(columns, 2, iter(rows)), "csv")).decode("utf-8-sig")
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert read == [
        list(columns),
        ["1", 'say "hi",\r\nthere', "-1.50", "2026-11-26T09:30:00Z"],
        ["2", "", "0.01", "2026-11-26T09:30:00Z"],
    ]
    lines = b"".join(encoded(Sheet(columns, 2, iter(rows)), "jsonl")).splitlines()
    assert [json.loads(line)["amount"] for line in lines] == ["-1.50", "0.01"]
    assert json.loads(lines[0]) == {
        "number": 1, "text": 'say "hi",\r\nthere', "amount": "-1.50", "time": "2026-11-26T09:30:00Z"
    }  # fmt: skip
    assert list(encoded(Lines(1, iter(["é\n"])), "beancount")) == ["é\n".encode()]
