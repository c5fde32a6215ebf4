"""Lists of names in plain CSV and JSON: the operator's own, or what a mapping describes.

The columns are ``name`` and, as far as there are any, ``ref``, ``kind``, ``aliases``,
``weak_aliases``, ``birth``, ``birth_place``, ``country``, ``program``, ``identifier``, ``address``,
``title``, ``remarks``, ``valid_from``, ``valid_to``. Several values of one column are divided by a
semicolon; in JSON they may be an array. Without ``ref`` an entry is known by its name.
"""

from collections.abc import Iterator
from typing import Any, Final

from sakk.core.country import country_code
from sakk.core.entity import (
    Alias,
    EntityContent,
    EntityKind,
    Identifier,
    NameQuality,
    parse_date,
)
from sakk.screening.formats import NameStatement, Notes, named_objects, named_rows, validity
from sakk.screening.source import Source

FIELDS: Final = (
    "name",
    "ref",
    "kind",
    "aliases",
    "weak_aliases",
    "birth",
    "birth_place",
    "country",
    "program",
    "identifier",
    "address",
    "title",
    "remarks",
    "valid_from",
    "valid_to",
)
# Names that operators give their columns, and ours.
COLUMN_NAMES: Final = {
    **{name: name for name in FIELDS},
    "id": "ref",
    "reference": "ref",
    "type": "kind",
    "alias": "aliases",
    "aka": "aliases",
    "birth_date": "birth",
    "birthdate": "birth",
    "dob": "birth",
    "pob": "birth_place",
    "nationality": "country",
    "countries": "country",
    "programs": "program",
    "identifiers": "identifier",
    "addresses": "address",
    "remark": "remarks",
    "reason": "remarks",
}
_KIND_WORDS = {
    **{kind.value: kind for kind in EntityKind},
    "individual": EntityKind.person,
    "natural_person": EntityKind.person,
    "entity": EntityKind.organization,
    "organisation": EntityKind.organization,
    "company": EntityKind.organization,
    "legal_person": EntityKind.organization,
    "ship": EntityKind.vessel,
}


def parse_names_csv(source: Source, notes: Notes) -> Iterator[NameStatement]:
    """A header with at least ``name``; columns as in `COLUMN_NAMES`."""
    for line, row in named_rows(source, notes, COLUMN_NAMES, needed="name"):
        yield name_statement_of(source, line, row)


def parse_names_json(source: Source, notes: Notes) -> Iterator[NameStatement]:
    """An array of objects, or one object a line."""
    for line, row in named_objects(source, notes, COLUMN_NAMES):
        yield name_statement_of(source, line, row)


def name_statement_of(source: Source, line: int, row: dict[str, Any]) -> NameStatement:
    """A row in our names as an entry; what it can not be is refused with its line."""
    values = {column: _values(source, line, column, row.get(column)) for column in FIELDS}

    def one(column: str) -> str | None:
        return "; ".join(values[column]) or None

    name = one("name")
    if name is None:
        raise source.refusal("the row has no name", line=line)
    word = (one("kind") or EntityKind.unknown).lower().replace(" ", "_")
    if word not in _KIND_WORDS:
        known = ", ".join(EntityKind)
        raise source.refusal(f"unknown kind {word[:40]!r}; known are {known}", line=line)
    valid_from, valid_to = validity(source, line, one("valid_from"), one("valid_to"))
    content = EntityContent(
        aliases=(
            *(Alias(each) for each in values["aliases"]),
            *(Alias(each, NameQuality.weak) for each in values["weak_aliases"]),
        ),
        births=tuple(_birth(source, line, each) for each in values["birth"]),
        birth_places=values["birth_place"],
        countries=tuple(_country(source, line, each) for each in values["country"]),
        programs=values["program"],
        identifiers=tuple(Identifier("identifier", each) for each in values["identifier"]),
        addresses=values["address"],
        titles=values["title"],
        remarks=one("remarks"),
    )
    ref = one("ref") or name.casefold()
    return NameStatement(line, ref, _KIND_WORDS[word], name, content, valid_from, valid_to)


def _values(source: Source, line: int, column: str, value: Any) -> tuple[str, ...]:
    """The texts of a column: none, one, several divided by semicolons, or an array's."""
    items = value if isinstance(value, list) else [value]
    found: list[str] = []
    for item in items:
        if item is None:
            continue
        if isinstance(item, bool) or not isinstance(item, str | int):
            raise source.refusal(f"{column!r} must be text", line=line)
        parts = str(item).split(";") if isinstance(item, str) else [str(item)]
        found.extend(part.strip() for part in parts if part.strip())
    return tuple(found)


def _birth(source: Source, line: int, text: str) -> str:
    date = parse_date(text)
    if date is None:
        raise source.refusal(f"'birth' is not a date or year: {text[:40]!r}", line=line)
    return date


def _country(source: Source, line: int, text: str) -> str:
    code = country_code(text)
    if code is None:
        raise source.refusal(
            f"'country' is none: {text[:40]!r}; write two letters of ISO 3166", line=line
        )
    return code
