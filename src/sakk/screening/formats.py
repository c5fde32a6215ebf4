"""The formats of lists: each is a function from a source to a stream of statements.

Lists of names:

- ``ofac_csv``, ``ofac_xml``: OFAC's legacy files (``screening/ofac.py``)
- ``ofac_advanced``: OFAC's advanced XML (``screening/ofac_advanced.py``)
- ``un``, ``eu``: the consolidated lists (``screening/sanctions_xml.py``)
- ``names_csv``, ``names_json``: a header with ``name`` (``screening/names_file.py``)

Lists of addresses:

- ``ofac``: one address a line, the coin in the file's name (``sanctioned_addresses_ETH.txt``)
- ``tagpack``: GraphSense TagPack YAML (``screening/tagpack.py``)
- ``forta``: the CSV files of Forta's labelled datasets
- ``csv``: a header and rows, `address,category,…`, by comma, semicolon or tab
- ``mapped``: CSV or JSON that the operator describes (``screening/mapping.py``)
- ``json``: an array of objects, or an object a line, with the same names
"""

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sakk.core.entity import EntityContent, EntityKind
from sakk.core.label import CONFIDENCE_MAX, ListKind
from sakk.screening.source import LINE_BYTES_MAX, Source

COLUMNS_MAX = 256
JSON_BRACKETS_MAX = 64
CONFIDENCE_STATE = 100
CONFIDENCE_CRAWLED = 20
CONFIDENCE_UNSAID = 50

# The levels of GraphSense's confidence taxonomy (graphsense-tagpack-tool, confidence.csv).
CONFIDENCE_WORDS = {
    "override": 100,
    "ownership": 100,
    "ledger_immanent": 100,
    "manual_transaction": 90,
    "service_api": 70,
    "authority_data": 60,
    "trusted_provider": 50,
    "service_data": 50,
    "forensic": 50,
    "untrusted_transaction": 40,
    "web_crawl": 20,
    "heuristic": 10,
    "unknown": 5,
}


class ListFormat(StrEnum):
    ofac = "ofac"
    tagpack = "tagpack"
    forta = "forta"
    csv = "csv"
    json = "json"
    mapped = "mapped"
    ofac_csv = "ofac_csv"
    ofac_xml = "ofac_xml"
    ofac_advanced = "ofac_advanced"
    un = "un"
    eu = "eu"
    names_csv = "names_csv"
    names_json = "names_json"


# A public pack is nobody's here to mend, so a malformed address in it is skipped and reported;
# a sanctions file or the operator's own is refused, because a skipped row there is a hole. In
# OFAC's files of names one mistyped address must not keep thousands of names out.
LENIENT = frozenset(
    {
        ListFormat.tagpack,
        ListFormat.forta,
        ListFormat.ofac_csv,
        ListFormat.ofac_xml,
        ListFormat.ofac_advanced,
    }
)
KINDS = {
    ListFormat.ofac: ListKind.sanctions,
    ListFormat.tagpack: ListKind.labels,
    ListFormat.forta: ListKind.labels,
    ListFormat.csv: ListKind.labels,
    ListFormat.json: ListKind.labels,
    ListFormat.mapped: ListKind.labels,
    ListFormat.ofac_csv: ListKind.sanctions,
    ListFormat.ofac_xml: ListKind.sanctions,
    ListFormat.ofac_advanced: ListKind.sanctions,
    ListFormat.un: ListKind.sanctions,
    ListFormat.eu: ListKind.sanctions,
    ListFormat.names_csv: ListKind.labels,
    ListFormat.names_json: ListKind.labels,
}


@dataclass(frozen=True, slots=True)
class Statement:
    """What one row of a file says, in its own words."""

    line: int
    address: str
    ticker: str | None
    words: tuple[str, ...]
    confidence: int
    entity: str | None = None
    actor: str | None = None
    source: str | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class NameStatement:
    """What one entry of a list of names says; ``ref`` is the list's own reference of it."""

    line: int
    ref: str
    kind: EntityKind
    name: str
    content: EntityContent
    valid_from: datetime | None = None
    valid_to: datetime | None = None


@dataclass(slots=True)
class Notes:
    """What a format did not use, for the report."""

    ignored_columns: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class CsvShape:
    """How a CSV file is written; no ``delimiter`` is the most frequent of the usual ones.

    A ``header`` is told in lower case; a first row that is none is told as it is.
    """

    delimiter: str | None = None
    header: bool = True
    skip_lines: int = 0


Parser = Callable[[Source, Notes], Iterator[Statement | NameStatement]]

_OFAC_NAME = re.compile(r"sanctioned_addresses_([A-Za-z0-9]{2,10})\.txt")
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}]')
_JSON_KEY = re.compile(r'"([a-z_]{1,40})"\s*:')
_XML_ROOT = re.compile(r"<(?:\w+:)?([A-Za-z_]+)")
_XML_FORMATS = {
    "sdnList": ListFormat.ofac_xml,
    "Sanctions": ListFormat.ofac_advanced,
    "CONSOLIDATED_LIST": ListFormat.un,
    "export": ListFormat.eu,
}
OFAC_COLUMNS = 12
# Columns that only a list of addresses has.
_OF_ADDRESSES = {"category", "confidence", "network", "chain", "ticker", "actor"}
_FORTA_ADDRESS = ("banned_address", "contract_address", "address")
_FORTA_HEADERS = (
    {"banned_address", "wallet_tag", "data_source"},
    {"contract_address", "contract_tag"},
    {"address", "etherscan_tag", "etherscan_labels"},
)

# Names that operators give their columns, and ours.
_COLUMN_NAMES = {
    "address": "address",
    "wallet": "address",
    "category": "category",
    "type": "category",
    "network": "network",
    "chain": "network",
    "currency": "network",
    "ticker": "network",
    "asset": "network",
    "entity": "entity",
    "label": "entity",
    "name": "entity",
    "reason": "entity",
    "actor": "actor",
    "confidence": "confidence",
    "source": "source",
    "url": "source",
    "valid_from": "valid_from",
    "valid_to": "valid_to",
    "expires": "valid_to",
}


def detect_format(source: Source) -> ListFormat:
    """Tell a file's format by its name and its beginning; an error says how to name it."""
    name, head = source.path.name.lower(), source.head()
    if _OFAC_NAME.fullmatch(source.path.name):
        return ListFormat.ofac
    if name.endswith((".yaml", ".yml")):
        return ListFormat.tagpack
    if name.endswith((".json", ".jsonl", ".ndjson")) or head.lstrip()[:1] in ("[", "{"):
        return _detect_json(head)
    if head.lstrip()[:1] == "<":
        return _detect_xml(source, head)
    first, _, second = head.partition("\n")
    if _is_ofac_entry(first) or _is_ofac_entry(second.partition("\n")[0]):
        return ListFormat.ofac_csv
    header = set(_header_names(first))
    if any(columns <= header for columns in _FORTA_HEADERS):
        return ListFormat.forta
    if "address" in {_COLUMN_NAMES.get(column) for column in header}:
        return ListFormat.csv
    if "name" in header and not header & _OF_ADDRESSES:
        return ListFormat.names_csv
    known = ", ".join(each for each in ListFormat if each is not ListFormat.mapped)
    raise source.refusal(
        f"cannot tell the format; name it with --format ({known}), or describe it with --mapping"
    )


def _is_ofac_entry(line: str) -> bool:
    """Is this a line of `sdn.csv`: twelve columns, the first a number?"""
    values = next(csv.reader([line]), [])
    return len(values) == OFAC_COLUMNS and values[0].isascii() and values[0].isdigit()


def _detect_json(head: str) -> ListFormat:
    """A list of names has names and no addresses; what the head cannot tell is of addresses."""
    keys = set(_JSON_KEY.findall(head.lower()))
    is_names = "name" in keys and not keys & (_OF_ADDRESSES | {"address", "wallet"})
    return ListFormat.names_json if is_names else ListFormat.json


def _detect_xml(source: Source, head: str) -> ListFormat:
    root = _XML_ROOT.search(head)
    if root is None or root[1] not in _XML_FORMATS:
        known = ", ".join(f"<{name}>" for name in _XML_FORMATS)
        raise source.refusal(f"cannot tell the format; an XML list begins with one of {known}")
    return _XML_FORMATS[root[1]]


def parse_ofac(source: Source, notes: Notes) -> Iterator[Statement]:
    """One address a line; empty lines and lines from ``#`` on say nothing."""
    match = _OFAC_NAME.fullmatch(source.path.name)
    ticker = match[1] if match else None
    for text in source.lines():
        address = text.partition("#")[0].strip()
        if address:
            yield Statement(
                source.line, address, ticker, ("sanctions",), CONFIDENCE_STATE, source="OFAC SDN"
            )


def parse_forta(source: Source, notes: Notes) -> Iterator[Statement]:
    """Forta's three CSV shapes; all are Ethereum addresses from Etherscan's labels."""
    rows = csv_rows(source, CsvShape())
    header = next(rows, None)
    if header is None or not any(columns <= set(header[1]) for columns in _FORTA_HEADERS):
        raise source.refusal("has none of the headers of Forta's labelled datasets", line=1)
    address_column = next(name for name in _FORTA_ADDRESS if name in header[1])
    for line, values in rows:
        row = _row(source, line, header[1], values)
        words = [
            row.get(name) or ""
            for name in ("data_source", "etherscan_labels", "contract_creator_etherscan_label")
        ]
        yield Statement(
            line=line,
            address=row[address_column],
            ticker="eth",
            # The malicious contracts that Etherscan does not label further are still on the list.
            words=tuple(filter(None, words)) or ("exploit",),
            confidence=CONFIDENCE_CRAWLED,
            entity=row.get("wallet_tag") or row.get("contract_tag") or row.get("etherscan_tag"),
            source=row.get("source") or "Forta labelled datasets",
        )


def parse_csv(source: Source, notes: Notes) -> Iterator[Statement]:
    """A header with at least an address column; names as in `_COLUMN_NAMES`."""
    for line, row in named_rows(source, notes, _COLUMN_NAMES, needed="address"):
        yield statement_of(source, line, row)


def named_rows(
    source: Source, notes: Notes, known: dict[str, str], *, needed: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a CSV file with a header, in our names; other columns are noted as ignored."""
    rows = csv_rows(source, CsvShape())
    _, names = next(rows, (0, []))
    columns = [known.get(name, "") for name in names]
    if needed not in columns:
        raise source.refusal(f"the header has no column {needed!r}", line=1)
    used = [column for column in columns if column]
    if len(used) != len(set(used)):
        raise source.refusal("two columns of the header mean the same", line=1)
    notes.ignored_columns = tuple(
        name for name, column in zip(names, columns, strict=True) if not column
    )
    for line, values in rows:
        row = _row(source, line, columns, values)
        row.pop("", None)
        yield line, dict(row)


def parse_json(source: Source, notes: Notes) -> Iterator[Statement]:
    """An array of objects, or one object a line."""
    for line, row in named_objects(source, notes, _COLUMN_NAMES):
        yield statement_of(source, line, row)


def named_objects(
    source: Source, notes: Notes, known: dict[str, str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON file in our names; other names are noted as ignored."""
    ignored: set[str] = set()
    for line, item in json_objects(source):
        if not isinstance(item, dict):
            raise source.refusal("expected an object", line=line)
        row: dict[str, Any] = {}
        for name, value in item.items():
            column = known.get(name.lower())
            if column is None:
                ignored.add(name[:80])
            elif column in row:
                raise source.refusal(f"two names mean {column!r}", line=line)
            else:
                row[column] = value
        if len(ignored) > COLUMNS_MAX:
            raise source.refusal(f"more than {COLUMNS_MAX} names are unknown", line=line)
        notes.ignored_columns = tuple(sorted(ignored))
        yield line, row


def json_objects(source: Source) -> Iterator[tuple[int, Any]]:
    """The objects of an array, or one a line, each with the line on which it begins."""
    is_array = source.head().lstrip()[:1] == "["
    return _json_array(source) if is_array else _json_lines(source)


def parse_confidence(text: str) -> int | None:
    """A whole number from 0 to 100, or a word of GraphSense's taxonomy; None if neither."""
    word = text.strip().lower()
    if word in CONFIDENCE_WORDS:
        return CONFIDENCE_WORDS[word]
    if word.isascii() and word.isdigit() and len(word) <= 3 and int(word) <= CONFIDENCE_MAX:
        return int(word)
    return None


def statement_of(source: Source, line: int, row: dict[str, Any]) -> Statement:
    """A row in our names as a statement; what it can not be is refused with its line."""

    def text(name: str) -> str | None:
        value = row.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise source.refusal(f"{name!r} must be text", line=line)
        return str(value).strip() or None

    address = text("address")
    if address is None:
        raise source.refusal("the row has no address", line=line)
    confidence = text("confidence")
    level = CONFIDENCE_UNSAID if confidence is None else parse_confidence(confidence)
    if level is None:
        raise source.refusal(
            f"'confidence' is a whole number from 0 to {CONFIDENCE_MAX}", line=line
        )
    valid_from, valid_to = validity(source, line, text("valid_from"), text("valid_to"))
    category = text("category")
    return Statement(
        line=line,
        address=address,
        ticker=text("network"),
        words=(category,) if category else (),
        confidence=level,
        entity=text("entity"),
        actor=text("actor"),
        source=text("source"),
        valid_from=valid_from,
        valid_to=valid_to,
    )


def validity(
    source: Source, line: int, first: str | None, last: str | None
) -> tuple[datetime | None, datetime | None]:
    """From when until before when a row holds; refused is what is no time, or the wrong way."""
    valid_from = _moment(source, line, "valid_from", first)
    valid_to = _moment(source, line, "valid_to", last)
    if valid_from and valid_to and valid_to <= valid_from:
        raise source.refusal("'valid_to' is not after 'valid_from'", line=line)
    return valid_from, valid_to


def _moment(source: Source, line: int, name: str, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise source.refusal(
            f"{name!r} is not a date or time of ISO 8601: {value[:40]!r}", line=line
        ) from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _header_names(line: str) -> list[str]:
    delimiter = max(",;\t", key=line.count)
    return [name.strip().strip('"').lower() for name in line.split(delimiter)]


def csv_rows(source: Source, shape: CsvShape) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line on which each begins."""
    lines = source.lines()
    for _ in range(shape.skip_lines):
        next(lines, "")
    first = next(lines, "")
    delimiter = shape.delimiter or max(",;\t", key=first.count)

    def all_lines() -> Iterator[str]:
        yield first
        yield from lines

    reader = csv.reader(all_lines(), delimiter=delimiter, strict=True)
    begins = 1 + shape.skip_lines
    header = shape.header
    while True:
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise source.refusal(f"not CSV: {error}", line=begins) from error
        if len(values) > COLUMNS_MAX:
            raise source.refusal(f"more than {COLUMNS_MAX} columns", line=begins)
        if values:
            yield begins, [value.strip().lower() for value in values] if header else values
            header = False
        begins = source.line + 1


def _row(source: Source, line: int, names: Sequence[str], values: list[str]) -> dict[str, str]:
    if len(values) != len(names):
        raise source.refusal(
            f"has {len(values)} columns where the header has {len(names)}", line=line
        )
    return dict(zip(names, values, strict=True))


def _json_lines(source: Source) -> Iterator[tuple[int, Any]]:
    for text in source.lines():
        if text.strip():
            yield source.line, _json_object(source, source.line, text)


def _json_array(source: Source) -> Iterator[tuple[int, Any]]:
    """The objects of an array one by one, each with the line on which it begins.

    A JSON string holds no line break, so the file is cut line by line at the braces outside
    strings, and no more than one object is held. What stands between objects is checked here, what
    stands in them by the parser.
    """
    item, between, expected = "", "", "["
    depth = begins = 0
    for text in source.lines():
        start = 0
        for match in _JSON_TOKEN.finditer(text):
            brace = match[0]
            if brace == "{":
                if depth == 0:
                    between += text[start : match.start()]
                    _expect(source, between, expected)
                    start, begins = match.start(), source.line
                depth += 1
            elif brace == "}" and depth > 0:
                depth -= 1
                if depth == 0:
                    item += text[start : match.end()]
                    yield begins, _json_object(source, begins, item)
                    item, between, expected, start = "", "", ",", match.end()
        if depth:
            item += text[start:]
        else:
            between += text[start:].strip()
        if len(item) + len(between) > LINE_BYTES_MAX:
            raise source.refusal(
                f"an object is longer than {LINE_BYTES_MAX} bytes", line=source.line
            )
    if depth:
        raise source.refusal("not JSON: the file ends within an object", line=begins)
    _expect(source, between, "[]" if expected == "[" else "]")


def _expect(source: Source, between: str, expected: str) -> None:
    """What stands between the objects of an array must be its brackets and commas."""
    found = "".join(between.split())
    if found != expected:
        raise source.refusal(
            f"not JSON, or not an array of objects: expected {expected!r}, found {found[:40]!r}",
            line=source.line,
        )


def _json_object(source: Source, line: int, text: str) -> Any:
    # The parser recurses in C, and how deep it may is not ours to say: a hostile file must not
    # take the process with it.
    if text.count("{") + text.count("[") > JSON_BRACKETS_MAX:
        raise source.refusal(f"more than {JSON_BRACKETS_MAX} brackets in an object", line=line)
    try:
        return json.loads(text)
    except ValueError as error:
        problem = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        inner = error.lineno - 1 if isinstance(error, json.JSONDecodeError) else 0
        raise source.refusal(f"not JSON: {problem}", line=line + inner) from error
