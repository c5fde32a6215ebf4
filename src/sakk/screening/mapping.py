"""Lists in a format that nobody here has seen: the operator describes its columns in a TOML file.

::

    format = "csv"
    skip_lines = 2                       # a title above the header
    dates = "%d.%m.%Y"

    [columns]                            # ours = theirs: a header's name, or its number from 1
    address = "Wallet-Nr."
    category = "Grund"
    valid_from = "Seit"

    [values.category]                    # theirs = ours
    Betrug = "scam"
    Geldwäsche = "money_laundering"

    [constants]                          # what the file does not say, the same in every row
    network = "eth"
    source = "Financial Intelligence Unit"

    [where]                              # rows to take; all of these must hold
    Status = ["aktiv", "neu"]

In JSON a column is a path of names, ``"wallet.address"``. Our names are those of the plain CSV
format: address, network, category, entity, actor, confidence, source, valid_from, valid_to.

A mapping with a column ``name`` describes a list of names instead, and its fields are those of
``screening/names_file.py``: name, ref, kind, aliases, birth, country and so on.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from sakk.core.errors import ParameterInvalid
from sakk.screening.formats import (
    CsvShape,
    NameStatement,
    Notes,
    Parser,
    Statement,
    csv_rows,
    json_objects,
    statement_of,
)
from sakk.screening.names_file import FIELDS as NAME_FIELDS
from sakk.screening.names_file import name_statement_of
from sakk.screening.source import Source

FILE_BYTES_MAX: Final = 256 * 1024
SKIP_LINES_MAX: Final = 1_000
FIELDS: Final = (
    "address",
    "network",
    "category",
    "entity",
    "actor",
    "confidence",
    "source",
    "valid_from",
    "valid_to",
)
_DATES: Final = ("valid_from", "valid_to", "birth")


class ColumnMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an operator says of a format; see the head of this file."""

    format: Literal["csv", "json"]
    columns: dict[str, str | int]
    values: dict[str, dict[str, str]] = {}
    constants: dict[str, str] = {}
    where: dict[str, list[str]] = {}
    delimiter: str | None = None
    header: bool = True
    skip_lines: int = 0
    dates: str | None = None


def load_mapping(path: Path) -> ColumnMapping:
    """Read a mapping file; ParameterInvalid (``mapping``) names what is wrong with it."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise _refusal(path, f"cannot be opened: {error.strerror}") from error
    if len(content) > FILE_BYTES_MAX:
        raise _refusal(path, f"is larger than {FILE_BYTES_MAX} bytes")
    try:
        mapping = msgspec.toml.decode(content, type=ColumnMapping)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _refusal(path, str(error)) from error
    _check(path, mapping)
    return mapping


def mapped_parser(mapping: ColumnMapping) -> Parser:
    """The parser of the format that a mapping describes."""

    of_names = "name" in mapping.columns

    def parse(source: Source, notes: Notes) -> Iterator[Statement | NameStatement]:
        rows = _csv(source, mapping, notes) if mapping.format == "csv" else _json(source, mapping)
        for line, row, wanted in rows:
            if all(row.get(f"where {name}") in values for name, values in mapping.where.items()):
                row = _read(source, line, wanted, mapping)
                if of_names:
                    yield name_statement_of(source, line, row)
                else:
                    yield statement_of(source, line, row)

    return parse


# A row: its line, the texts that ``where`` asks for, and those that the columns name.
_Row = tuple[int, dict[str, str], dict[str, Any]]


def _csv(source: Source, mapping: ColumnMapping, notes: Notes) -> Iterator[_Row]:
    shape = CsvShape(mapping.delimiter, header=False, skip_lines=mapping.skip_lines)
    rows = csv_rows(source, shape)
    first = next(rows, None)
    if first is None:
        return
    names = [value.strip() for value in first[1]] if mapping.header else []
    places = {
        ours: _place(source, first[0], theirs, names, len(first[1]))
        for ours, theirs in mapping.columns.items()
    }
    asked = {
        name: _place(source, first[0], int(name) if name.isdigit() else name, names, len(first[1]))
        for name in mapping.where
    }
    used = {*places.values(), *asked.values()}
    notes.ignored_columns = tuple(name for place, name in enumerate(names) if place not in used)
    if not mapping.header:
        yield _placed(source, first, places, asked, len(first[1]))
    for row in rows:
        yield _placed(source, row, places, asked, len(first[1]))


def _placed(
    source: Source,
    row: tuple[int, list[str]],
    places: dict[str, int],
    asked: dict[str, int],
    width: int,
) -> _Row:
    line, values = row
    if len(values) != width:
        raise source.refusal(f"has {len(values)} columns where the first has {width}", line=line)
    return (
        line,
        {f"where {name}": values[place].strip() for name, place in asked.items()},
        {ours: values[place] for ours, place in places.items()},
    )


def _place(source: Source, line: int, theirs: str | int, names: list[str], width: int) -> int:
    """Where a column stands; a number is counted from 1."""
    if isinstance(theirs, int):
        if not 1 <= theirs <= width:
            raise source.refusal(f"has {width} columns, and the mapping asks for {theirs}", line=1)
        return theirs - 1
    if names.count(theirs) != 1:
        found = ", ".join(names[:20]) or "no header"
        times = "no column" if theirs not in names else "more than one column"
        raise source.refusal(f"has {times} {theirs!r}; it has {found}", line=line)
    return names.index(theirs)


def _json(source: Source, mapping: ColumnMapping) -> Iterator[_Row]:
    for line, item in json_objects(source):
        if not isinstance(item, dict):
            raise source.refusal("expected an object", line=line)
        yield (
            line,
            {f"where {name}": str(_at(item, name)) for name in mapping.where},
            {ours: _at(item, str(theirs)) for ours, theirs in mapping.columns.items()},
        )


def _at(item: Any, path: str) -> Any:
    """What stands at a path of names; None where there is nothing."""
    for name in path.split("."):
        item = item.get(name) if isinstance(item, dict) else None
    return item


def _read(
    source: Source, line: int, wanted: dict[str, Any], mapping: ColumnMapping
) -> dict[str, Any]:
    """One row in our words."""
    row: dict[str, Any] = dict(mapping.constants)
    for ours, value in wanted.items():
        if value is None or value == "":
            continue
        text = value.strip() if isinstance(value, str) else value
        if ours in mapping.values:
            known = mapping.values[ours]
            if str(text) not in known:
                raise source.refusal(
                    f"{str(text)[:80]!r} is no value of {ours!r} that the mapping knows: add it to "
                    f"[values.{ours}]",
                    line=line,
                )
            text = known[str(text)]
        if ours in _DATES and mapping.dates is not None:
            text = _date(source, line, ours, str(text), mapping.dates)
        row[ours] = text
    return row


def _date(source: Source, line: int, name: str, text: str, form: str) -> str:
    try:
        parsed = datetime.strptime(text, form)  # noqa: DTZ007 - the zone is told below
    except ValueError:
        raise source.refusal(
            f"{name!r} is not a date of the form {form!r}: {text[:40]!r}", line=line
        ) from None
    if name == "birth":
        return parsed.date().isoformat()
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).isoformat()


def _check(path: Path, mapping: ColumnMapping) -> None:
    known = NAME_FIELDS if "name" in mapping.columns else FIELDS
    for place in (mapping.columns, mapping.values, mapping.constants):
        unknown = sorted(set(place) - set(known))
        if unknown:
            raise _refusal(path, f"there is no field {unknown[0]!r}; known are {', '.join(known)}")
    if "name" not in mapping.columns and "address" not in mapping.columns:
        raise _refusal(path, "[columns] does not say where the address stands, or the name")
    both = sorted(set(mapping.columns) & set(mapping.constants))
    if both:
        raise _refusal(path, f"{both[0]!r} is both a column and a constant")
    if not set(mapping.values) <= set(mapping.columns):
        raise _refusal(path, "[values] translates a field that is no column")
    if not 0 <= mapping.skip_lines <= SKIP_LINES_MAX:
        raise _refusal(path, f"skip_lines is 0 to {SKIP_LINES_MAX}")
    if mapping.delimiter is not None and len(mapping.delimiter) != 1:
        raise _refusal(path, "delimiter is one character")
    numbered = [theirs for theirs in mapping.columns.values() if isinstance(theirs, int)]
    if mapping.format == "json" and (numbered or mapping.skip_lines or mapping.delimiter):
        raise _refusal(path, "numbers, skip_lines and delimiter are for CSV")
    if not mapping.header and len(numbered) != len(mapping.columns):
        raise _refusal(path, "without a header, columns are numbers")


def _refusal(path: Path, problem: str) -> ParameterInvalid:
    return ParameterInvalid(f"{path}: {problem}", param="mapping")
