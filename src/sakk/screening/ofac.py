"""OFAC's lists of names in their legacy forms: CSV (`sdn.csv` and its companions) and `sdn.xml`.

https://ofac.treasury.gov, "SDN data specification": CSV without a header, ``-0-`` for what is
empty, a Ctrl-Z at the end. `sdn.csv` (or `cons_prim.csv`) has the entries, `alt.csv` their other
names, `add.csv` their addresses, `sdn_comments.csv` what was too long for the remarks; one list is
all of them, of one day. Weak names, dates, numbers and digital-currency addresses stand in the
remarks.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from sakk.core.country import country_code
from sakk.core.entity import (
    Alias,
    EntityContent,
    EntityKind,
    Identifier,
    NameQuality,
    parse_date,
)
from sakk.screening.formats import (
    CONFIDENCE_STATE,
    OFAC_COLUMNS,
    CsvShape,
    NameStatement,
    Notes,
    Parser,
    Statement,
    csv_rows,
)
from sakk.screening.source import Source
from sakk.screening.xml import Node, read_records

# A companion is held in memory until its entries come by.
COMPANION_BYTES_MAX: Final = 64 << 20
ALT_COLUMNS: Final = 5
ADD_COLUMNS: Final = 6
COMMENT_COLUMNS: Final = 2
COIN_ADDRESS: Final = "Digital Currency Address"

_END = "\x1a"
_NOTHING = "-0-"
_KINDS = {
    "individual": EntityKind.person,
    "entity": EntityKind.organization,
    "": EntityKind.organization,
    "vessel": EntityKind.vessel,
    "aircraft": EntityKind.aircraft,
}
_ALIAS = re.compile(r"^(?:alt\. )?[afn]\.k\.a\. '(.+)'\.?$")
_COIN = re.compile(r"^(?:alt\. )?Digital Currency Address - ([A-Za-z0-9]{2,10})\s+(\S+?)[.,]?$")
_FACT = re.compile(r"^(?:alt\. )?(DOB|POB|nationality|citizen)\s+(.+?)\.?$")
_NUMBER = re.compile(
    r"^(?:alt\. )?(Passport|SWIFT/BIC|LEI|MMSI|Vessel Registration Identification|BIK \(RU\)"
    r"|[A-Z][\w./\- ]{0,60}? (?:No\.|Number|ID|Identification)(?: No\.)?)\s+"
    r"((?:IMO )?[\w][\w./\-]{2,60})(?:\s+\(([^()]{2,60})\))?\.?$"
)


def coin_statement(line: int, ticker: str, address: str, entity: str) -> Statement:
    """A digital-currency address of an entry, as a label."""
    return Statement(
        line, address, ticker, ("sanctions",), CONFIDENCE_STATE, entity=entity, source="OFAC SDN"
    )


@dataclass(slots=True)
class _Companions:
    """What the files beside the entries say, by the entry's number; lines for what is left over."""

    aliases: dict[str, list[Alias]] = field(default_factory=lambda: defaultdict(list))
    addresses: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    countries: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    remarks: dict[str, str] = field(default_factory=dict)
    first: dict[str, tuple[Source, int]] = field(default_factory=dict)


def ofac_csv_parser(companions: Sequence[Source]) -> Parser:
    """The parser of an entries' file with its companions, told apart by their columns."""

    def parse(source: Source, notes: Notes) -> Iterator[Statement | NameStatement]:
        beside = _Companions()
        for each in companions:
            _read_companion(each, beside)
        for line, values in _rows(source, OFAC_COLUMNS):
            beside.first.pop(values[0], None)
            yield from _entry(line, values, beside)
        for ref, (other, line) in beside.first.items():
            raise other.refusal(
                f"speaks of entry {ref}, which {source.path.name} does not have;"
                " are the files of one day?",
                line=line,
            )

    return parse


def _rows(source: Source, columns: int) -> Iterator[tuple[int, list[str]]]:
    """The rows with nothing for ``-0-``; some tools put a header above, which begins with a word"""
    for line, values in csv_rows(source, CsvShape(delimiter=",", header=False)):
        # The last column is text that may go on in another file: its end stays as it was cut.
        values = [*(each.strip() for each in values[:-1]), values[-1].lstrip()]
        values = ["" if each.strip() == _NOTHING else each for each in values]
        if values[0].startswith(_END):
            return
        if len(values) != columns:
            raise source.refusal(
                f"has {len(values)} columns where {columns} were expected", line=line
            )
        if values[0].isascii() and values[0].isdigit():
            yield line, values
        elif line != 1:
            raise source.refusal(f"has no entry number: {values[0][:40]!r}", line=line)


def _read_companion(source: Source, beside: _Companions) -> None:
    source.limit(COMPANION_BYTES_MAX)
    first = source.head().partition("\n")[0].rstrip("\r")
    columns = len(next(csv.reader([first]), []))
    if columns not in (ALT_COLUMNS, ADD_COLUMNS, COMMENT_COLUMNS):
        raise source.refusal(
            f"has {columns} columns: it is none of alt.csv, add.csv and sdn_comments.csv", line=1
        )
    for line, values in _rows(source, columns):
        ref = values[0]
        beside.first.setdefault(ref, (source, line))
        if columns == ALT_COLUMNS:
            if not values[3]:
                raise source.refusal("the row has no name", line=line)
            beside.aliases[ref].append(Alias(values[3]))
        elif columns == ADD_COLUMNS:
            text = ", ".join(value for value in values[2:5] if value)
            if text:
                beside.addresses[ref].append(text)
            if code := country_code(values[4]):
                beside.countries[ref].append(code)
        else:
            beside.remarks[ref] = values[1]


def _entry(
    line: int, values: list[str], beside: _Companions
) -> Iterator[Statement | NameStatement]:
    ref, name, kind, programs, title, call_sign, _, _, _, flag, owner, remarks = values
    more = beside.remarks.get(ref)
    # Remarks that were too long go on where they were cut; those that ended are added to.
    text = f"{remarks}{'; ' if remarks.rstrip().endswith('.') else ''}{more}" if more else remarks
    facts = _read_remarks(text)
    countries = [*facts.countries, *beside.countries.get(ref, ())]
    if code := country_code(flag):
        countries.append(code)
    identifiers = list(facts.identifiers)
    if call_sign:
        identifiers.append(Identifier("Vessel Call Sign", call_sign))
    content = EntityContent(
        aliases=(*beside.aliases.get(ref, ()), *facts.aliases),
        births=tuple(facts.births),
        birth_places=tuple(facts.birth_places),
        countries=tuple(dict.fromkeys(countries)),
        programs=tuple(filter(None, (word.strip() for word in programs.split("] [")))),
        identifiers=tuple(identifiers),
        addresses=tuple(beside.addresses.get(ref, ())),
        titles=tuple(filter(None, (title,))),
        remarks="; ".join(filter(None, (text, f"Owner: {owner}" if owner else ""))) or None,
    )
    yield NameStatement(line, ref, _KINDS.get(kind.lower(), EntityKind.unknown), name, content)
    for ticker, address in facts.coins:
        yield coin_statement(line, ticker, address, name)


@dataclass(slots=True)
class _Facts:
    """What the remarks of an entry say."""

    aliases: list[Alias] = field(default_factory=list)
    births: list[str] = field(default_factory=list)
    birth_places: list[str] = field(default_factory=list)
    countries: list[str] = field(default_factory=list)
    identifiers: list[Identifier] = field(default_factory=list)
    coins: list[tuple[str, str]] = field(default_factory=list)


def _read_remarks(text: str) -> _Facts:
    facts = _Facts()
    for part in text.split(";"):
        word = part.strip()
        if alias := _ALIAS.match(word):
            facts.aliases.append(Alias(alias[1], NameQuality.weak))
        elif coin := _COIN.match(word):
            facts.coins.append((coin[1], coin[2]))
        elif fact := _FACT.match(word):
            _note_fact(facts, fact[1], fact[2])
        elif number := _NUMBER.match(word):
            country = country_code(number[3]) if number[3] else None
            facts.identifiers.append(Identifier(number[1], number[2], country))
    return facts


def _note_fact(facts: _Facts, word: str, value: str) -> None:
    if word == "DOB":
        if date := parse_date(value):
            facts.births.append(date)
    elif word == "POB":
        facts.birth_places.append(value)
    elif code := country_code(value):
        facts.countries.append(code)


def parse_sdn_xml(source: Source, notes: Notes) -> Iterator[Statement | NameStatement]:
    """``SDN.XML`` and ``CONSOLIDATED.XML``: an ``sdnEntry`` an entry."""
    for node in read_records(source, root="sdnList", names=frozenset({"sdnEntry"})):
        name = _xml_name(node)
        numbers = [
            (each.word("idType"), each.word("idNumber"), country_code(each.word("idCountry")))
            for each in node.all("idList", "id")
        ]
        countries = [
            code
            for path in (("nationalityList", "nationality"), ("citizenshipList", "citizenship"))
            for word in node.words(*path, "country")
            if (code := country_code(word))
        ]
        countries += filter(None, map(country_code, node.words("vesselInfo", "vesselFlag")))
        identifiers = [
            Identifier(kind, number, country)
            for kind, number, country in numbers
            if number and not kind.startswith(COIN_ADDRESS)
        ]
        identifiers += [
            Identifier("Vessel Call Sign", word) for word in node.words("vesselInfo", "callSign")
        ]
        content = EntityContent(
            aliases=tuple(
                Alias(_xml_name(each), _quality(each.word("category")))
                for each in node.all("akaList", "aka")
            ),
            births=_dates(node.words("dateOfBirthList", "dateOfBirthItem", "dateOfBirth")),
            birth_places=tuple(node.words("placeOfBirthList", "placeOfBirthItem", "placeOfBirth")),
            countries=tuple(dict.fromkeys(countries)),
            programs=tuple(node.words("programList", "program")),
            identifiers=tuple(identifiers),
            addresses=tuple(_xml_address(each) for each in node.all("addressList", "address")),
            titles=tuple(node.words("title")),
            remarks=node.word("remarks") or None,
        )
        kind = _KINDS.get(node.word("sdnType").lower(), EntityKind.unknown)
        yield NameStatement(node.line, node.word("uid"), kind, name, content)
        for word, number, _ in numbers:
            if word.startswith(COIN_ADDRESS) and number:
                yield coin_statement(node.line, word.rpartition("- ")[2], number, name)


def _xml_name(node: Node) -> str:
    return ", ".join(filter(None, (node.word("lastName"), node.word("firstName"))))


def _xml_address(node: Node) -> str:
    parts = ("address1", "address2", "address3", "city", "stateOrProvince", "postalCode", "country")
    return ", ".join(filter(None, (node.word(part) for part in parts)))


def _quality(word: str) -> NameQuality:
    return NameQuality.weak if word.lower() == "weak" else NameQuality.strong


def _dates(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(date for word in words if (date := parse_date(word)))
