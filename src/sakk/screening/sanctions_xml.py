"""The consolidated lists of the UN's Security Council and of the EU, both XML.

- UN: https://scsanctions.un.org, ``CONSOLIDATED_LIST`` with ``INDIVIDUAL`` and ``ENTITY``
- EU: the financial sanctions files (FSF), ``xmlFullSanctionsList_1_1``, ``sanctionEntity`` in the
  namespace ``http://eu.europa.ec/fpi/fsd/export``
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from sakk.core.country import country_code
from sakk.core.entity import (
    Alias,
    EntityContent,
    EntityKind,
    Identifier,
    NameQuality,
    parse_date,
)
from sakk.screening.formats import NameStatement, Notes
from sakk.screening.source import Source
from sakk.screening.xml import Node, read_records

_UN_RECORDS = frozenset({"INDIVIDUAL", "ENTITY"})
_UN_NAMES = ("FIRST_NAME", "SECOND_NAME", "THIRD_NAME", "FOURTH_NAME")
_UN_PLACE = ("STREET", "CITY", "STATE_PROVINCE", "ZIP_CODE", "COUNTRY")
_EU_PLACE = ("street", "poBox", "zipCode", "city", "place", "region", "countryDescription")
_EU_KINDS = {
    "person": EntityKind.person,
    "enterprise": EntityKind.organization,
    "entity": EntityKind.organization,
    "vessel": EntityKind.vessel,
    "aircraft": EntityKind.aircraft,
}


def parse_un(source: Source, notes: Notes) -> Iterator[NameStatement]:
    """The UN's list: an individual or entity an entry, by its permanent reference number."""
    for node in read_records(source, root="CONSOLIDATED_LIST", names=_UN_RECORDS):
        kind = EntityKind.person if node.name == "INDIVIDUAL" else EntityKind.organization
        yield NameStatement(
            line=node.line,
            ref=node.word("REFERENCE_NUMBER") or node.word("DATAID"),
            kind=kind,
            name=" ".join(filter(None, (node.word(each) for each in _UN_NAMES))),
            content=_un_content(node),
            valid_from=_day(node.word("LISTED_ON")),
        )


def _un_content(node: Node) -> EntityContent:
    own = f"{node.name}_"
    aliases = [Alias(word) for word in node.words("NAME_ORIGINAL_SCRIPT")]
    for each in node.all(f"{own}ALIAS"):
        if name := each.word("ALIAS_NAME"):
            weak = each.word("QUALITY").lower() == "low"
            aliases.append(Alias(name, NameQuality.weak if weak else NameQuality.strong))
    countries = [*node.words("NATIONALITY", "VALUE")]
    return EntityContent(
        aliases=tuple(aliases),
        births=tuple(_un_births(node)),
        birth_places=tuple(
            filter(None, (_joined(each) for each in node.all(f"{own}PLACE_OF_BIRTH")))
        ),
        countries=_codes(countries),
        programs=tuple(node.words("UN_LIST_TYPE")),
        identifiers=tuple(
            Identifier(
                each.word("TYPE_OF_DOCUMENT") or "Document",
                number,
                country_code(each.word("ISSUING_COUNTRY") or each.word("COUNTRY_OF_ISSUE")),
            )
            for each in node.all(f"{own}DOCUMENT")
            if (number := each.word("NUMBER"))
        ),
        addresses=tuple(filter(None, (_joined(each) for each in node.all(f"{own}ADDRESS")))),
        titles=(*node.words("TITLE", "VALUE"), *node.words("DESIGNATION", "VALUE")),
        remarks=" ".join(node.words("COMMENTS1")) or None,
    )


def _un_births(node: Node) -> Iterator[str]:
    for each in node.all("INDIVIDUAL_DATE_OF_BIRTH"):
        first, last = each.word("FROM_YEAR"), each.word("TO_YEAR")
        text = each.word("DATE") or each.word("YEAR")
        if not text and first:
            text = f"{first} to {last}" if last and last != first else first
        about = each.word("TYPE_OF_DATE").upper() == "APPROXIMATELY"
        date = parse_date(f"circa {text}" if about and "to" not in text else text)
        if date is not None:
            yield date


def _joined(node: Node) -> str:
    return ", ".join(filter(None, (node.word(each) for each in _UN_PLACE)))


def parse_eu(source: Source, notes: Notes) -> Iterator[NameStatement]:
    """The EU's list: a ``sanctionEntity`` an entry, by its logical id, which does not change."""
    for node in read_records(source, root="export", names=frozenset({"sanctionEntity"})):
        names = [
            Alias(name, NameQuality.strong if strong else NameQuality.weak)
            for each in node.all("nameAlias")
            if (name := _eu_name(each.attributes))
            for strong in (each.attributes.get("strong", "true") == "true",)
        ]
        code = next((each.attributes.get("code", "") for each in node.all("subjectType")), "")
        yield NameStatement(
            line=node.line,
            ref=node.attributes.get("logicalId", ""),
            kind=_EU_KINDS.get(code.lower(), EntityKind.unknown),
            name=names[0].name if names else "",
            content=_eu_content(node, tuple(names[1:])),
            valid_from=_day(node.attributes.get("designationDate", "")),
        )


def _eu_name(attributes: dict[str, str]) -> str:
    whole = " ".join(attributes.get("wholeName", "").split())
    parts = (attributes.get(key, "").strip() for key in ("firstName", "middleName", "lastName"))
    return whole or " ".join(filter(None, parts))


def _eu_content(node: Node, aliases: tuple[Alias, ...]) -> EntityContent:
    births = node.all("birthdate")
    citizen = [each.attributes.get("countryIso2Code", "") for each in node.all("citizenship")]
    titles = [each.attributes.get(key, "") for each in node.all("nameAlias") for key in _EU_TITLES]
    return EntityContent(
        aliases=aliases,
        births=tuple(dict.fromkeys(filter(None, (_eu_birth(each.attributes) for each in births)))),
        birth_places=tuple(filter(None, (_eu_place(each.attributes) for each in births))),
        countries=_codes(citizen),
        programs=tuple(
            dict.fromkeys(
                word
                for each in node.all("regulation")
                if (word := each.attributes.get("programme", ""))
            )
        ),
        identifiers=tuple(
            Identifier(
                each.attributes.get("identificationTypeDescription")
                or each.attributes.get("identificationTypeCode")
                or "Document",
                number,
                country_code(each.attributes.get("countryIso2Code", "")),
            )
            for each in node.all("identification")
            if (number := each.attributes.get("number", "").strip())
        ),
        addresses=tuple(filter(None, (_eu_place(each.attributes) for each in node.all("address")))),
        titles=tuple(dict.fromkeys(filter(None, titles))),
        remarks=" ".join(node.words("remark")) or None,
    )


_EU_TITLES = ("title", "function")


def _eu_birth(attributes: dict[str, str]) -> str | None:
    text = attributes.get("birthdate") or attributes.get("year", "")
    return parse_date(f"circa {text}" if attributes.get("circa") == "true" else text)


def _eu_place(attributes: dict[str, str]) -> str:
    return ", ".join(word for key in _EU_PLACE if (word := attributes.get(key, "").strip()))


def _codes(words: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(code for word in words if (code := country_code(word))))


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text[:10], "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
