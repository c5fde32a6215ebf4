"""OFAC's ``SDN_ADVANCED.XML`` and ``CONS_ADVANCED.XML``: the advanced sanctions data model.

A party refers to tables of words, places and documents before it, and the sanctions it is under
refer back to it from behind. So the file is read twice: once for all that is referred to, once for
the parties. What is kept between is small, and has a maximum.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from sakk.core.country import country_code
from sakk.core.entity import Alias, EntityContent, EntityKind, Identifier, NameQuality
from sakk.screening.formats import NameStatement, Notes, Statement
from sakk.screening.ofac import COIN_ADDRESS, coin_statement
from sakk.screening.source import Source
from sakk.screening.xml import Node, read_records

ROOT: Final = "Sanctions"
REFERENCES_MAX: Final = 2_000_000

_WORDS = frozenset(
    {
        "Country",
        "FeatureType",
        "IDRegDocType",
        "NamePartType",
        "PartySubType",
        "PartyType",
        "SanctionsType",
    }
)
_TABLES = _WORDS | {"Location", "IDRegDocument", "SanctionsEntry"}
_KINDS = {
    "individual": EntityKind.person,
    "entity": EntityKind.organization,
    "vessel": EntityKind.vessel,
    "aircraft": EntityKind.aircraft,
}
# Features that say a number by which a party is known.
_NUMBERS = ("SWIFT", "BIK", "IMO", "MMSI", "Call Sign", "D-U-N-S", "ISIN", "Serial", "Tail Number")


@dataclass(slots=True)
class _Tables:
    """What parties refer to, by the file's own ids."""

    words: dict[tuple[str, str], str] = field(default_factory=dict)
    party_types: dict[str, str] = field(default_factory=dict)
    places: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    documents: dict[str, list[Identifier]] = field(default_factory=lambda: defaultdict(list))
    programs: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    listed: dict[str, datetime] = field(default_factory=dict)


def parse_sdn_advanced(source: Source, notes: Notes) -> Iterator[Statement | NameStatement]:
    """A ``DistinctParty`` an entry, with its places, documents and programs looked up."""
    tables = _read_tables(source)
    source.rewind()
    for party in read_records(source, root=ROOT, names=frozenset({"DistinctParty"})):
        for profile in party.all("Profile"):
            yield from _party(party, profile, tables)


def _read_tables(source: Source) -> _Tables:
    tables = _Tables()
    for count, node in enumerate(read_records(source, root=ROOT, names=_TABLES)):
        if count >= REFERENCES_MAX:
            raise source.refusal(f"refers to more than {REFERENCES_MAX} things", line=node.line)
        key = node.attributes.get("ID", "")
        if node.name in _WORDS:
            tables.words[node.name, key] = " ".join(node.text.split())
            if node.name == "PartySubType":
                tables.party_types[key] = node.attributes.get("PartyTypeID", "")
        elif node.name == "Location":
            tables.places[key] = _place(node, tables)
        elif node.name == "IDRegDocument":
            _note_document(node, tables)
        else:
            _note_sanctions(node, tables)
    return tables


def _place(node: Node, tables: _Tables) -> tuple[str, str | None]:
    parts = node.words("LocationPart", "LocationPartValue", "Value")
    code = None
    for each in node.all("LocationCountry"):
        word = tables.words.get(("Country", each.attributes.get("CountryID", "")), "")
        parts.append(word)
        code = code or country_code(word)
    return ", ".join(filter(None, parts)), code


def _note_document(node: Node, tables: _Tables) -> None:
    number = node.word("IDRegistrationNo")
    if not number:
        return
    kind = tables.words.get(("IDRegDocType", node.attributes.get("IDRegDocTypeID", "")), "")
    issuer = tables.words.get(("Country", node.attributes.get("IssuedBy-CountryID", "")), "")
    tables.documents[node.attributes.get("IdentityID", "")].append(
        Identifier(kind or "Document", number, country_code(issuer))
    )


def _note_sanctions(node: Node, tables: _Tables) -> None:
    profile = node.attributes.get("ProfileID", "")
    for measure in node.all("SanctionsMeasure"):
        kind = ("SanctionsType", measure.attributes.get("SanctionsTypeID", ""))
        if tables.words.get(kind) == "Program" and (program := measure.word("Comment")):
            tables.programs[profile].append(program)
    for date in node.all("EntryEvent", "Date"):
        moment = _moment(date)
        if moment is not None and moment < tables.listed.get(
            profile, datetime.max.replace(tzinfo=UTC)
        ):
            tables.listed[profile] = moment


def _moment(node: Node) -> datetime | None:
    try:
        year, month, day = (int(node.word(part)) for part in ("Year", "Month", "Day"))
        return datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        return None


def _party(party: Node, profile: Node, tables: _Tables) -> Iterator[Statement | NameStatement]:
    names = [
        (name, alias.attributes, quality)
        for identity in profile.all("Identity")
        for alias in identity.all("Alias")
        for name, quality in _names(identity, alias, tables)
    ]
    main = next((n for n, attributes, _ in names if attributes.get("Primary") == "true"), "")
    name = main or next((name for name, _, _ in names), "")
    facts = _Facts()
    for feature in profile.all("Feature"):
        kind = tables.words.get(("FeatureType", feature.attributes.get("FeatureTypeID", "")), "")
        _note_feature(kind, feature, tables, facts)
    for identity in profile.all("Identity"):
        facts.identifiers += tables.documents.get(identity.attributes.get("ID", ""), ())
    key = profile.attributes.get("ID", "")
    content = EntityContent(
        aliases=tuple(Alias(other, quality) for other, _, quality in names if other != name),
        births=tuple(facts.births),
        birth_places=tuple(facts.birth_places),
        countries=tuple(dict.fromkeys(facts.countries)),
        programs=tuple(dict.fromkeys(tables.programs.get(key, ()))),
        identifiers=tuple(facts.identifiers),
        addresses=tuple(facts.addresses),
        titles=tuple(facts.titles),
        remarks=party.word("Comment") or None,
    )
    yield NameStatement(
        line=party.line,
        ref=party.attributes.get("FixedRef", ""),
        kind=_kind(profile, tables),
        name=name,
        content=content,
        valid_from=tables.listed.get(key),
    )
    for ticker, address in facts.coins:
        yield coin_statement(party.line, ticker, address, name)


def _kind(profile: Node, tables: _Tables) -> EntityKind:
    """Vessels and aircraft are subtypes of what is neither person nor organisation."""
    subtype = profile.attributes.get("PartySubTypeID", "")
    words = (
        tables.words.get(("PartySubType", subtype), ""),
        tables.words.get(("PartyType", tables.party_types.get(subtype, "")), ""),
    )
    return next(
        (_KINDS[word.lower()] for word in words if word.lower() in _KINDS), EntityKind.unknown
    )


def _names(identity: Node, alias: Node, tables: _Tables) -> Iterator[tuple[str, NameQuality]]:
    """The spellings of one name: a documented name for each script."""
    groups = {
        group.attributes.get("ID", ""): tables.words.get(
            ("NamePartType", group.attributes.get("NamePartTypeID", "")), ""
        )
        for group in identity.all("NamePartGroups", "MasterNamePartGroup", "NamePartGroup")
    }
    weak = alias.attributes.get("LowQuality") == "true"
    for documented in alias.all("DocumentedName"):
        last: list[str] = []
        rest: list[str] = []
        for part in documented.all("DocumentedNamePart", "NamePartValue"):
            is_last = groups.get(part.attributes.get("NamePartGroupID", "")) == "Last Name"
            (last if is_last else rest).append(" ".join(part.text.split()))
        name = ", ".join(filter(None, (" ".join(last), " ".join(rest))))
        if name:
            yield name, NameQuality.weak if weak else NameQuality.strong


@dataclass(slots=True)
class _Facts:
    """What the features of a party say."""

    births: list[str] = field(default_factory=list)
    birth_places: list[str] = field(default_factory=list)
    countries: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    identifiers: list[Identifier] = field(default_factory=list)
    coins: list[tuple[str, str]] = field(default_factory=list)


def _note_feature(kind: str, feature: Node, tables: _Tables, facts: _Facts) -> None:
    places = [
        tables.places[key]
        for each in feature.all("FeatureVersion", "VersionLocation")
        if (key := each.attributes.get("LocationID", "")) in tables.places
    ]
    details = feature.words("FeatureVersion", "VersionDetail")
    if kind.startswith(COIN_ADDRESS):
        facts.coins += [(kind.rpartition("- ")[2], "".join(word.split())) for word in details]
    elif kind == "Birthdate":
        facts.births += filter(None, map(_period, feature.all("FeatureVersion", "DatePeriod")))
    elif kind == "Place of Birth":
        facts.birth_places += [*details, *(text for text, _ in places if text)]
    elif kind in ("Nationality Country", "Citizenship Country", "Vessel Flag"):
        words = [country_code(word) for word in details]
        facts.countries += filter(None, [*words, *(code for _, code in places)])
    elif kind == "Location":
        facts.addresses += [text for text, _ in places if text]
    elif kind == "Title":
        facts.titles += details
    elif any(word in kind for word in _NUMBERS):
        facts.identifiers += [Identifier(kind, word) for word in details]


def _period(node: Node) -> str | None:
    """A period in EDTF: a day, a month, a year, or a range of years."""
    first = next((m for m in map(_moment, node.all("Start", "From")) if m), None)
    last = next((m for m in map(_moment, node.all("End", "To")) if m), None)
    if first is None:
        return None
    last = last or first
    about = any(each.attributes.get("Approximate") == "true" for each in node.all("Start"))
    if first.year != last.year:
        return f"{first.year:04}/{last.year:04}"
    if first == last:
        text = f"{first:%Y-%m-%d}"
    elif first.month == last.month:
        text = f"{first:%Y-%m}"
    else:
        text = f"{first:%Y}"
    return f"{text}~" if about else text
