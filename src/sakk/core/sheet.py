"""Sheets: rows as files that spreadsheets and programs read.

CSV as RFC 4180 has it: UTF-8 with its mark, lines that end with CR LF, quotes where they are
needed. A cell that a spreadsheet would take for a formula or a command (OWASP, CSV injection)
begins with an apostrophe; a number that we wrote ourselves stays as it is. JSON lines have an
object a row.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

BOM: Final = "\ufeff"
# What a spreadsheet takes for the beginning of a formula, also in the full-width forms.
_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# Marks that turn what follows them; a person's name needs none, a forger's does.
OVERRIDES: Final = dict.fromkeys(range(0x202A, 0x202F))
_TURNING: Final = {**OVERRIDES, **dict.fromkeys(range(0x2066, 0x206A))}


class Exact(str):
    """A number that we wrote ourselves, which may begin with its sign."""

    __slots__ = ()


def tame(text: str) -> str:
    """Text without the marks that would turn what stands after it (U+202A to E, U+2066 to 9)."""
    return text.translate(_TURNING)


def cell(value: object) -> str:
    """A value as a cell that no spreadsheet takes for a formula."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case int() | Exact():
            return str(value)
        case datetime():
            return value.strftime("%Y-%m-%dT%H:%M:%SZ")
        case _:
            text = tame(str(value))
            return f"'{text}" if text.lstrip(" ").startswith(_FORMULAS) else text


def csv_head(columns: Sequence[str]) -> bytes:
    """The first line of a file, after the mark that says it is UTF-8."""
    return BOM.encode() + csv_line(columns)


def csv_line(values: Sequence[object]) -> bytes:
    """A row as a line."""
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\r\n").writerow([cell(value) for value in values])
    return line.getvalue().encode()


def json_line(columns: Sequence[str], values: Sequence[object]) -> bytes:
    """A row as an object; amounts are strings, times as ISO 8601 writes them."""
    row = dict(zip(columns, map(_plain, values), strict=True))
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _plain(value: object) -> object:
    match value:
        case None | bool() | int():
            return value
        case datetime():
            return cell(value)
        case _:
            return str(value)


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows as they come, in the order of the columns; ``total``: how many, as far as is known."""

    columns: tuple[str, ...]
    total: int
    rows: Iterator[Sequence[object]]


@dataclass(frozen=True, slots=True)
class Lines:
    """The same of a text that is not a table: a piece a row."""

    total: int
    lines: Iterator[str]


def encoded(content: Sheet | Lines, form: str) -> Iterator[bytes]:
    """What goes into a file, the head of a table first: ``csv`` or ``jsonl``, or the text."""
    if isinstance(content, Lines):
        for text in content.lines:
            yield text.encode()
        return
    if form == "csv":
        yield csv_head(content.columns)
        for row in content.rows:
            yield csv_line(row)
        return
    for row in content.rows:
        yield json_line(content.columns, row)
