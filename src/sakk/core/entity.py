"""Listed entities: who stands on a list of names, and what the list says of them.

A list names persons, organisations, vessels and aircraft, each by a reference of its own (OFAC's
``uid``, the UN's ``REFERENCE_NUMBER``, the EU's ``logicalId``), which is what ties one version of
an entry to the next. Dates of birth are written as in EDTF (ISO 8601-2): ``1962``, ``1962-05``,
``1962-05-03``, ``1962~`` for about, ``1960/1965`` for a range.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

NAME_LENGTH_MAX = 500
TEXT_LENGTH_MAX = 4_000
ALIASES_MAX = 500
VALUES_MAX = 500
_YEAR_FIRST = 1800
_YEAR_LAST = 2100

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            ("jan", "january"),
            ("feb", "february"),
            ("mar", "march"),
            ("apr", "april"),
            ("may",),
            ("jun", "june"),
            ("jul", "july"),
            ("aug", "august"),
            ("sep", "sept", "september"),
            ("oct", "october"),
            ("nov", "november"),
            ("dec", "december"),
        ),
        start=1,
    )
    for name in names
}
_ISO = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:[t ]\d\d:.*|z|[+-]\d\d:\d\d)?)?)?")
_DAY_FIRST = re.compile(r"(?:(\d{1,2})\s+)?([a-z]{3,9})\.?,?\s+(\d{4})")
_ABOUT = re.compile(r"^(?:circa|c\.|ca\.|about|approximately|approx\.?)\s*")
_RANGE = re.compile(r"^(?:between\s+)?(.+?)\s*(?:\bto\b|\band\b|/|–)\s*(.+)$")


class EntityKind(StrEnum):
    """What stands on the list; ``unknown`` where the list does not say."""

    person = "person"
    organization = "organization"
    vessel = "vessel"
    aircraft = "aircraft"
    unknown = "unknown"


class NameQuality(StrEnum):
    """How good a name is: the entry's own, one as good, or one that too many others bear."""

    primary = "primary"
    strong = "strong"
    weak = "weak"


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name of an entity."""

    name: str
    quality: NameQuality = NameQuality.strong


@dataclass(frozen=True, slots=True)
class Identifier:
    """A number that a state or a register gave: a passport, a tax number, an LEI, an IMO number."""

    kind: str
    value: str
    country: str | None = None


@dataclass(frozen=True, slots=True)
class EntityContent:
    """What a list says of an entity beside its reference, kind and name."""

    aliases: tuple[Alias, ...] = ()
    births: tuple[str, ...] = ()
    birth_places: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    identifiers: tuple[Identifier, ...] = ()
    addresses: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    remarks: str | None = None


@dataclass(frozen=True, slots=True)
class ListedEntity:
    """One version of an entry: as its list stated it from ``opened_version`` on.

    ``entity_id`` is the same in all versions; valid and recorded time are as those of a label.
    """

    entity_id: str
    list_id: str
    ref: str
    kind: str
    name: str
    content: EntityContent
    valid_from: datetime | None
    valid_to: datetime | None
    recorded_from: datetime
    recorded_to: datetime | None
    opened_version: int
    closed_version: int | None


def parse_date(text: str) -> str | None:
    """A date as lists write it, in EDTF; None if it is none.

    Read are ISO 8601 dates and times, ``15 Jul 1980``, ``Jul 1980``, ``1980``, each with ``circa``
    before it, and ranges ``1960 to 1965``.
    """
    word = " ".join(text.lower().split())
    about = _ABOUT.match(word)
    if about:
        word = word[about.end() :]
    one = _one_date(word)
    if one is not None:
        return f"{one}~" if about else one
    span = _RANGE.match(word)
    if span is None:
        return None
    first, last = (_one_date(_ABOUT.sub("", part)) for part in span.groups())
    if first is None or last is None or first[:4] > last[:4]:
        return None
    return f"{first[:4]}/{last[:4]}"


def _one_date(word: str) -> str | None:
    iso = _ISO.fullmatch(word)
    if iso:
        year, month, day = iso.groups()
        return _date(int(year), int(month or 0), int(day or 0))
    named = _DAY_FIRST.fullmatch(word)
    if named is None or named[2] not in _MONTHS:
        return None
    return _date(int(named[3]), _MONTHS[named[2]], int(named[1] or 0))


def _date(year: int, month: int, day: int) -> str | None:
    """Zero is what is not known, as the UN writes it."""
    if not _YEAR_FIRST <= year <= _YEAR_LAST or month > 12 or day > 31:
        return None
    if not month:
        return f"{year:04}"
    return f"{year:04}-{month:02}" + (f"-{day:02}" if day else "")


def years_of(date: str) -> tuple[int, int, bool]:
    """The first and last year of a date in EDTF, and is it only about?"""
    first, _, last = date.rstrip("~").partition("/")
    return int(first[:4]), int((last or first)[:4]), date.endswith("~")
