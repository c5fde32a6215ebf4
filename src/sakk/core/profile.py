"""Profiles: what is known of a legal entity or a person, and the papers that show it.

Every text can be shown on one line, countries are ISO 3166-1's two letters, days ``YYYY-MM-DD``
(ISO 8601), and an LEI's check digits hold (ISO 17442). What is not known is left out.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Any, Final

import msgspec

from sakk.core.country import is_country
from sakk.core.errors import ParameterInvalid, ParameterUnknown
from sakk.core.lei import is_lei

TEXT_LENGTH_MAX: Final = 500
NAMES_MAX: Final = 50
IDENTIFICATIONS_MAX: Final = 20
DOCUMENT_BYTES_MAX: Final = 10 * 1024 * 1024
# What a browser shows as it is, and nothing that runs.
MEDIA_TYPES: Final = ("application/pdf", "image/jpeg", "image/png")
_MAGIC: Final = {
    "application/pdf": b"%PDF-",
    "image/jpeg": b"\xff\xd8\xff",
    "image/png": b"\x89PNG\r\n\x1a\n",
}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class PartyKind(StrEnum):
    """What a party is."""

    legal_entity = "legal_entity"
    individual = "individual"


class DocumentKind(StrEnum):
    """What a document shows."""

    incorporation = "incorporation"
    register_extract = "register_extract"
    articles = "articles"
    ownership_chart = "ownership_chart"
    proof_of_address = "proof_of_address"
    passport = "passport"
    national_id = "national_id"
    residence_permit = "residence_permit"
    driving_licence = "driving_licence"
    source_of_funds = "source_of_funds"
    licence = "licence"
    other = "other"


IDENTITY_DOCUMENTS: Final = frozenset(
    {
        DocumentKind.passport,
        DocumentKind.national_id,
        DocumentKind.residence_permit,
        DocumentKind.driving_licence,
    }
)
REGISTER_DOCUMENTS: Final = frozenset({DocumentKind.incorporation, DocumentKind.register_extract})


class Address(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """Where somebody is; ``country`` by ISO 3166-1 alpha-2."""

    line1: str
    city: str
    country: str
    line2: str | None = None
    region: str | None = None
    postal_code: str | None = None


class Registration(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """The number that a register gave, and which register of which country."""

    number: str
    country: str
    authority: str | None = None


class Identification(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """A paper that says who somebody is. Dates are ``YYYY-MM-DD``."""

    kind: str
    number: str
    country: str
    expires_on: str | None = None


class LegalEntity(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """What is known of a legal entity; ``lei`` is ISO 17442's."""

    legal_name: str
    trading_names: tuple[str, ...] = ()
    native_names: tuple[str, ...] = ()
    legal_form: str | None = None
    lei: str | None = None
    registration: Registration | None = None
    incorporated_on: str | None = None
    registered_address: Address | None = None
    operating_address: Address | None = None
    industry: str | None = None
    website: str | None = None
    description: str | None = None


class Individual(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """What is known of a person; ``exposed``: do they hold a prominent public function, or know
    somebody closely who does (FATF Recommendation 12)?"""

    full_name: str
    aliases: tuple[str, ...] = ()
    native_names: tuple[str, ...] = ()
    birth_date: str | None = None
    birth_place: str | None = None
    nationalities: tuple[str, ...] = ()
    residence: str | None = None
    address: Address | None = None
    identifications: tuple[Identification, ...] = ()
    exposed: bool | None = None
    occupation: str | None = None


Details = LegalEntity | Individual
_DETAILS: Final[Mapping[str, type[Details]]] = {
    PartyKind.legal_entity: LegalEntity,
    PartyKind.individual: Individual,
}


def read_details(kind: str, document: object) -> Details:
    """What is known of a party, checked; ParameterInvalid and ParameterUnknown name the field."""
    try:
        details = msgspec.convert(document, _DETAILS[PartyKind(kind)])
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at ")
        param = _param(path.strip("`"))
        unknown = re.fullmatch(r"Object contains unknown field `(.*)`", said)
        if unknown is not None:
            name = f"{param}[{unknown[1]}]"
            raise ParameterUnknown(
                "Received unknown parameter: {name}. Remove it, or correct its name.",
                param=name,
                name=name,
            ) from None
        raise ParameterInvalid("{said}.", param=param, said=said) from None
    _check_texts(details_document(details), "details")
    if isinstance(details, LegalEntity):
        _check_entity(details)
    else:
        _check_individual(details)
    return details


def load_details(kind: str, document: object) -> Details:
    """What is known of a party, as the database holds it."""
    return msgspec.convert(document, _DETAILS[PartyKind(kind)])


def details_document(details: Details) -> dict[str, Any]:
    """As it is stored and shown: what is not known is left out."""
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(details))
    return document


def name_of(details: Details) -> str:
    """The name by which a party is listed."""
    return details.legal_name if isinstance(details, LegalEntity) else details.full_name


def names_of(details: Details) -> tuple[str, ...]:
    """Every name that is compared with the lists, each once."""
    others = (
        details.trading_names if isinstance(details, LegalEntity) else details.aliases
    ) + details.native_names
    return tuple(dict.fromkeys((name_of(details), *others)))


def countries_of(details: Details) -> tuple[str, ...]:
    """Every country that a party has to do with, each once."""
    found: list[str | None]
    if isinstance(details, LegalEntity):
        places = (details.registered_address, details.operating_address)
        found = [each.country for each in places if each is not None]
        found += [] if details.registration is None else [details.registration.country]
    else:
        found = [*details.nationalities, details.residence]
        found += [] if details.address is None else [details.address.country]
    return tuple(dict.fromkeys(each for each in found if each is not None))


def ivms101_of(details: Details) -> dict[str, Any]:
    """Who it is in the words of IVMS101 (``Person``), as far as the standard has a place for it."""
    if isinstance(details, LegalEntity):
        place = details.registered_address or details.operating_address
        name: dict[str, Any] = {
            "legalPersonName": details.legal_name,
            "legalPersonNameIdentifierType": "LEGL",
        }
        legal: dict[str, Any] = {"name": {"nameIdentifier": [name]}, **_geographic(place, "BIZZ")}
        if details.lei is not None:
            number = {"nationalIdentifier": details.lei, "nationalIdentifierType": "LEIX"}
            legal["nationalIdentification"] = number
        if details.registration is not None:
            legal["countryOfRegistration"] = details.registration.country
        return {"legalPerson": legal}
    name = {"primaryIdentifier": details.full_name, "nameIdentifierType": "LEGL"}
    natural: dict[str, Any] = {
        "name": {"nameIdentifier": [name]},
        **_geographic(details.address, "HOME"),
    }
    if details.birth_date is not None and details.birth_place is not None:
        natural["dateAndPlaceOfBirth"] = {
            "dateOfBirth": details.birth_date,
            "placeOfBirth": details.birth_place,
        }
    if details.residence is not None:
        natural["countryOfResidence"] = details.residence
    return {"naturalPerson": natural}


def _geographic(place: Address | None, kind: str) -> dict[str, Any]:
    if place is None:
        return {}
    address = {
        "addressType": kind,
        "addressLine": [line for line in (place.line1, place.line2, place.region) if line],
        "townName": place.city,
        "country": place.country,
    }
    if place.postal_code is not None:
        address["postCode"] = place.postal_code
    return {"geographicAddress": [address]}


def check_content(media_type: str, content: bytes) -> None:
    """A document is what it says that it is, as far as its first bytes tell; ParameterInvalid."""
    if media_type not in MEDIA_TYPES:
        raise ParameterInvalid(
            "A document is one of {media_types}.",
            param="media_type",
            media_types=", ".join(MEDIA_TYPES),
        )
    if not 0 < len(content) <= DOCUMENT_BYTES_MAX:
        raise ParameterInvalid(
            "A document has 1 byte to {bytes_max} bytes, not {size}.",
            param="content",
            bytes_max=DOCUMENT_BYTES_MAX,
            size=len(content),
        )
    if not content.startswith(_MAGIC[media_type]):
        raise ParameterInvalid(
            "The content does not begin as {media_type} does. Send the file as it is, in base64.",
            param="content",
            media_type=media_type,
        )


def check_date(text: str | None, *, param: str) -> None:
    """A day as ``YYYY-MM-DD`` (ISO 8601); ParameterInvalid otherwise."""
    if text is None:
        return
    try:
        if _DATE.fullmatch(text) is None:
            raise ValueError
        date.fromisoformat(text)
    except ValueError:
        raise ParameterInvalid(
            "{text} is no day: write YYYY-MM-DD.", param=param, text=repr(text)
        ) from None


def check_country(code: str | None, *, param: str) -> None:
    """Two capital letters of ISO 3166-1; ParameterInvalid otherwise."""
    if code is not None and not is_country(code):
        raise ParameterInvalid(
            "{code} is no country: use the two capital letters of ISO 3166-1.",
            param=param,
            code=repr(code),
        )


def _check_entity(details: LegalEntity) -> None:
    if details.lei is not None and not is_lei(details.lei):
        raise ParameterInvalid(
            "{lei} is no LEI: 18 letters and digits and two check digits (ISO 17442).",
            param="details[lei]",
            lei=repr(details.lei),
        )
    check_date(details.incorporated_on, param="details[incorporated_on]")
    if details.registration is not None:
        check_country(details.registration.country, param="details[registration][country]")
    for name in ("registered_address", "operating_address"):
        place: Address | None = getattr(details, name)
        if place is not None:
            check_country(place.country, param=f"details[{name}][country]")


def _check_individual(details: Individual) -> None:
    check_date(details.birth_date, param="details[birth_date]")
    for index, code in enumerate(details.nationalities):
        check_country(code, param=f"details[nationalities][{index}]")
    check_country(details.residence, param="details[residence]")
    if details.address is not None:
        check_country(details.address.country, param="details[address][country]")
    if len(details.identifications) > IDENTIFICATIONS_MAX:
        raise ParameterInvalid(
            "At most {papers_max} papers.",
            param="details[identifications]",
            papers_max=IDENTIFICATIONS_MAX,
        )
    for index, paper in enumerate(details.identifications):
        at = f"details[identifications][{index}]"
        if paper.kind not in IDENTITY_DOCUMENTS:
            raise ParameterInvalid(
                "{kind} is none of {kinds}.",
                param=f"{at}[kind]",
                kind=repr(paper.kind),
                kinds=", ".join(sorted(IDENTITY_DOCUMENTS)),
            )
        check_country(paper.country, param=f"{at}[country]")
        check_date(paper.expires_on, param=f"{at}[expires_on]")


def _check_texts(value: object, at: str) -> None:
    """Every text can be shown on one line, and none is empty or endless."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            _check_texts(each, f"{at}[{name}]")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) > NAMES_MAX:
            raise ParameterInvalid(
                "At most {entries_max} entries.", param=at, entries_max=NAMES_MAX
            )
        for index, each in enumerate(value):
            _check_texts(each, f"{at}[{index}]")
    elif isinstance(value, str) and not (
        value.strip() and len(value) <= TEXT_LENGTH_MAX and value.isprintable()
    ):
        raise ParameterInvalid(
            "A text here has 1 to {length_max} printable characters.",
            param=at,
            length_max=TEXT_LENGTH_MAX,
        )


def _param(path: str) -> str:
    """msgspec's ``$.registration.country`` as the door writes it."""
    return "details" + re.sub(r"\.(\w+)", r"[\1]", path.removeprefix("$"))
