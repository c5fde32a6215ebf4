"""IVMS101, the interVASP Messaging Standard: who sends, who receives, and through whom.

The data model of version 101 (2020) and of 101.2023, which renames four elements and adds the
version to the metadata: `RENAMED_2023`. Documents of either are read, also with the spellings in
snake case, in the plural or abbreviated that other implementations write; what is written has the
standard's own names. Lengths are in characters.

Shape and constraints are apart. `read` refuses what is not the model at all; `violations` says
which of the constraints C1 to C12 a document breaks. C1 and C4 name the address type GEOG; a home
or business address says more than that, and counts too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import (
    AliasChoices,
    AliasGenerator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from sakk.core.country import is_country
from sakk.core.errors import ParameterInvalid
from sakk.core.lei import is_lei, is_registration_authority

# The code for a country that is not known or not told.
UNKNOWN_COUNTRY: Final = "XX"
PERSONS_MAX: Final = 50
NAMES_MAX: Final = 20
ACCOUNTS_MAX: Final = 50
ADDRESSES_MAX: Final = 10
ADDRESS_LINES_MAX: Final = 7
INTERMEDIARIES_MAX: Final = 20
PROBLEMS_SHOWN_MAX: Final = 5
# By the name of 2020, which stands at one place of the model each.
RENAMED_2023: Final = {
    "originatorPersons": "originatorPerson",
    "beneficiaryPersons": "beneficiaryPerson",
    "nameIdentifierType": "naturalPersonNameIdentifierType",
    "customerNumber": "customerIdentification",
}

# Other names under which others write a field, besides snake case and the plural.
SPELT_ALSO: Final[Mapping[str, tuple[str, ...]]] = {
    "primary_identifier": ("lastName", "surname"),
    "secondary_identifier": ("firstName", "givenName", "forename"),
    "name_identifier_type": (
        "naturalPersonNameIdentifierType",
        "natural_person_name_identifier_type",
    ),
    "legal_person_name": ("name",),
    "street_name": ("street",),
    "building_number": ("number",),
    "post_code": ("postcode", "postalCode", "postal_code", "zipCode", "zip_code"),
    "town_name": ("town", "city"),
    "country_sub_division": ("countrySubdivision", "state", "province"),
    "country_of_issue": ("country",),
    "registration_authority": ("ra",),
    "date_of_birth": ("dob",),
    "place_of_birth": ("pob",),
    "geographic_address": ("geographicAddresses", "geographic_addresses", "addresses"),
    "customer_identification": ("customerNumber", "customer_number"),
    "country_of_residence": ("country",),
    "customer_number": ("customerIdentification", "customer_identification"),
    "country_of_registration": ("country",),
    "originator_persons": ("originatorPerson", "originator_person"),
    "beneficiary_persons": ("beneficiaryPerson", "beneficiary_person"),
    "originating_vasp": ("originatingVasp",),
    "beneficiary_vasp": ("beneficiaryVasp",),
    "intermediary_vasp": ("intermediaryVasp",),
}

NaturalNameType = Literal["ALIA", "BIRT", "MAID", "LEGL", "MISC"]
LegalNameType = Literal["LEGL", "SHRT", "TRAD"]
AddressType = Literal["HOME", "BIZZ", "GEOG"]
IdentifierType = Literal[
    "ARNU", "CCPT", "RAID", "DRLC", "FIIN", "TXID", "SOCS", "IDCD", "LEIX", "MISC"
]
Transliteration = Literal[
    "arab", "aran", "armn", "cyrl", "deva", "geor", "grek",
    "hani", "hebr", "kana", "kore", "thai", "othr",
]  # fmt: skip
LEGAL_IDENTIFIERS: Final = frozenset({"RAID", "MISC", "LEIX", "TXID"})

Text16 = Annotated[str, StringConstraints(min_length=1, max_length=16, strip_whitespace=True)]
Text35 = Annotated[str, StringConstraints(min_length=1, max_length=35, strip_whitespace=True)]
Text50 = Annotated[str, StringConstraints(min_length=1, max_length=50, strip_whitespace=True)]
Text70 = Annotated[str, StringConstraints(min_length=1, max_length=70, strip_whitespace=True)]
Text100 = Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


class Version(StrEnum):
    """Which revision a document is written in, by its code in the metadata."""

    v2020 = "101"
    v2023 = "101.2023"


@dataclass(frozen=True, slots=True)
class Violation:
    """A constraint that does not hold: where, which one, and what to do."""

    path: str
    constraint: str
    remedy: str


def _wire(name: str) -> str:
    """The standard's name of a field."""
    first, *rest = name.split("_")
    return first + "".join("VASP" if each == "vasp" else each.capitalize() for each in rest)


def _spellings(name: str) -> AliasChoices:
    """All names under which a field is read."""
    wire = _wire(name)
    plural = "es" if name.endswith("s") else "s"
    regular = (wire, name, f"{wire}{plural}", f"{name}{plural}")
    return AliasChoices(*dict.fromkeys((*regular, *SPELT_ALSO.get(name, ()))))


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        # At the first document: few processes read any, and each would wait a tenth of a second.
        defer_build=True,
        alias_generator=AliasGenerator(validation_alias=_spellings, serialization_alias=_wire),
    )


class NaturalPersonNameId(_Part):
    """A name: ``primary_identifier`` is the family name, ``secondary_identifier`` the others."""

    primary_identifier: Text100
    secondary_identifier: Text100 | None = None
    name_identifier_type: NaturalNameType


class NaturalPersonName(_Part):
    """Names in Latin script, in the local script, and as they sound."""

    name_identifier: tuple[NaturalPersonNameId, ...] = Field(min_length=1, max_length=NAMES_MAX)
    local_name_identifier: tuple[NaturalPersonNameId, ...] = Field((), max_length=NAMES_MAX)
    phonetic_name_identifier: tuple[NaturalPersonNameId, ...] = Field((), max_length=NAMES_MAX)


class LegalPersonNameId(_Part):
    """A legal person's name, and what kind of name it is."""

    legal_person_name: Text100
    legal_person_name_identifier_type: LegalNameType


class LegalPersonName(_Part):
    """Names in Latin script, in the local script, and as they sound."""

    name_identifier: tuple[LegalPersonNameId, ...] = Field(min_length=1, max_length=NAMES_MAX)
    local_name_identifier: tuple[LegalPersonNameId, ...] = Field((), max_length=NAMES_MAX)
    phonetic_name_identifier: tuple[LegalPersonNameId, ...] = Field((), max_length=NAMES_MAX)


class GeographicAddress(_Part):
    """A postal address, in parts or in lines."""

    address_type: AddressType
    department: Text50 | None = None
    sub_department: Text70 | None = None
    street_name: Text70 | None = None
    building_number: Text16 | None = None
    building_name: Text35 | None = None
    floor: Text70 | None = None
    post_box: Text16 | None = None
    room: Text70 | None = None
    post_code: Text16 | None = None
    town_name: Text35
    town_location_name: Text35 | None = None
    district_name: Text35 | None = None
    country_sub_division: Text35 | None = None
    address_line: tuple[Text70, ...] = Field((), max_length=ADDRESS_LINES_MAX)
    country: Country


class NationalIdentification(_Part):
    """A number by which an authority knows a person."""

    national_identifier: Text35
    national_identifier_type: IdentifierType
    country_of_issue: Country | None = None
    registration_authority: Text35 | None = None


class DateAndPlaceOfBirth(_Part):
    """When and where a natural person was born."""

    date_of_birth: date
    place_of_birth: Text70


class NaturalPerson(_Part):
    """A human being."""

    name: NaturalPersonName
    geographic_address: tuple[GeographicAddress, ...] = Field((), max_length=ADDRESSES_MAX)
    national_identification: NationalIdentification | None = None
    customer_identification: Text50 | None = None
    date_and_place_of_birth: DateAndPlaceOfBirth | None = None
    country_of_residence: Country | None = None


class LegalPerson(_Part):
    """A company, or another body that can act."""

    name: LegalPersonName
    geographic_address: tuple[GeographicAddress, ...] = Field((), max_length=ADDRESSES_MAX)
    customer_number: Text50 | None = None
    national_identification: NationalIdentification | None = None
    country_of_registration: Country | None = None


class Person(_Part):
    """Either a natural or a legal person, never both."""

    natural_person: NaturalPerson | None = None
    legal_person: LegalPerson | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.natural_person is None) == (self.legal_person is None):
            raise ValueError("give naturalPerson or legalPerson, one of them")
        return self

    @property
    def either(self) -> NaturalPerson | LegalPerson:
        """The person that it is."""
        return self.natural_person or self.legal_person  # type: ignore[return-value]  # `_one`

    def legal_name(self) -> str:
        """The name of type LEGL, else the first; a natural person's with the family name last."""
        if self.natural_person is not None:
            names = self.natural_person.name.name_identifier
            chosen = next((each for each in names if each.name_identifier_type == "LEGL"), names[0])
            return f"{chosen.secondary_identifier or ''} {chosen.primary_identifier}".strip()
        assert self.legal_person is not None
        known = self.legal_person.name.name_identifier
        return next(
            (each for each in known if each.legal_person_name_identifier_type == "LEGL"), known[0]
        ).legal_person_name


class Originator(_Part):
    """Who sends."""

    originator_persons: tuple[Person, ...] = Field(min_length=1, max_length=PERSONS_MAX)
    account_number: tuple[Text100, ...] = Field((), max_length=ACCOUNTS_MAX)


class Beneficiary(_Part):
    """Who receives."""

    beneficiary_persons: tuple[Person, ...] = Field(min_length=1, max_length=PERSONS_MAX)
    account_number: tuple[Text100, ...] = Field((), max_length=ACCOUNTS_MAX)


class OriginatingVasp(_Part):
    """The institution that sends for the originator."""

    originating_vasp: Person | None = None


class BeneficiaryVasp(_Part):
    """The institution that receives for the beneficiary."""

    beneficiary_vasp: Person | None = None


class IntermediaryVasp(_Part):
    """An institution in between, and its place in the order, from 1."""

    intermediary_vasp: Person
    sequence: int = Field(ge=0, strict=True)


class TransferPath(_Part):
    """Through whom a transfer goes."""

    transfer_path: tuple[IntermediaryVasp, ...] = Field((), max_length=INTERMEDIARIES_MAX)


class PayloadMetadata(_Part):
    """How names were brought into Latin script, and the version of the standard."""

    transliteration_method: tuple[Transliteration, ...] = Field((), max_length=NAMES_MAX)
    payload_version: Version | None = None


class IdentityPayload(_Part):
    """All that is told of a transfer's parties. Every part may be left out, and told later."""

    originator: Originator | None = None
    beneficiary: Beneficiary | None = None
    originating_vasp: OriginatingVasp | None = None
    beneficiary_vasp: BeneficiaryVasp | None = None
    transfer_path: TransferPath | None = None
    payload_metadata: PayloadMetadata | None = None


M = TypeVar("M", bound=_Part)


def read(kind: type[M], document: Any, *, param: str) -> M:
    """The model that a JSON document is; ParameterInvalid names the fields that are none.

    Some write an institution without its wrapper, `originatingVASP: {legalPerson: …}`: it is read.
    """
    try:
        return kind.model_validate(_wrapped(document) if kind is IdentityPayload else document)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        path = _path(param, found[0]["loc"])
        words = [f"{_path(param, each['loc'])}: {_remedy(each)}" for each in found]
        more = len(words) - PROBLEMS_SHOWN_MAX
        shown = "; ".join(words[:PROBLEMS_SHOWN_MAX]) + (f"; and {more} more" if more > 0 else "")
        raise ParameterInvalid("This is not IVMS101. {shown}.", param=path, shown=shown) from None


def write(part: _Part, version: Version = Version.v2020) -> dict[str, Any]:
    """The JSON document of a model, in the names of a version; empty parts are left out."""
    document: dict[str, Any] = _pruned(part.model_dump(mode="json", by_alias=True))
    if version is Version.v2020:
        metadata = document.get("payloadMetadata", {})
        metadata.pop("payloadVersion", None)
        return _pruned(document) if isinstance(part, IdentityPayload) else document
    renamed: dict[str, Any] = _renamed(document)
    if isinstance(part, IdentityPayload):
        renamed.setdefault("payloadMetadata", {})["payloadVersion"] = version.value
    return renamed


def violations(part: _Part, *, today: date, param: str = "") -> list[Violation]:
    """The constraints C1 to C12 that a payload, a person or another part breaks, in order."""
    return list(_broken(part, param, today))


def require(part: M, *, today: date, param: str) -> M:
    """The same part; ParameterInvalid with the field of the first constraint that it breaks."""
    for each in _broken(part, param, today):
        raise ParameterInvalid(
            "{path}: {remedy} (IVMS101 {constraint}).",
            param=each.path,
            path=each.path,
            remedy=each.remedy,
            constraint=each.constraint,
        )
    return part


def _broken(part: _Part, path: str, today: date) -> Iterator[Violation]:
    yield from _own(part, path, today)
    for name in type(part).model_fields:
        value = getattr(part, name)
        inner = _path(path, (_wire(name),))
        if isinstance(value, _Part):
            yield from _broken(value, inner, today)
        elif isinstance(value, tuple):
            for place, each in enumerate(value):
                if isinstance(each, _Part):
                    yield from _broken(each, f"{inner}[{place}]", today)


def _own(part: _Part, path: str, today: date) -> Iterator[Violation]:
    """What one part breaks by itself."""
    check = _CHECKS.get(type(part))
    if check is not None:
        yield from check(part, path)
    elif isinstance(part, DateAndPlaceOfBirth) and part.date_of_birth >= today:
        where = _path(path, ("dateOfBirth",))
        yield Violation(where, "C2", "the date of birth must lie in the past")


def _natural_name(part: NaturalPersonName, path: str) -> Iterator[Violation]:
    if all(each.name_identifier_type != "LEGL" for each in part.name_identifier):
        where = _path(path, ("nameIdentifier",))
        yield Violation(where, "C6", "give one name of the type LEGL")


def _legal_name(part: LegalPersonName, path: str) -> Iterator[Violation]:
    if all(each.legal_person_name_identifier_type != "LEGL" for each in part.name_identifier):
        where = _path(path, ("nameIdentifier",))
        yield Violation(where, "C5", "give one name of the type LEGL")


def _path_order(part: TransferPath, path: str) -> Iterator[Violation]:
    order = [each.sequence for each in part.transfer_path]
    if order != list(range(1, len(order) + 1)):
        where = _path(path, ("transferPath",))
        yield Violation(where, "C12", "number the intermediaries 1, 2, 3 … in order, without a gap")


def _identified(part: Originator, path: str) -> Iterator[Violation]:
    """C1 and C4: more than a name is known of whoever sends."""
    for place, person in enumerate(part.originator_persons):
        each = person.either
        known: list[object] = [each.geographic_address, each.national_identification]
        if isinstance(each, NaturalPerson):
            known += [each.customer_identification, each.date_and_place_of_birth]
            name, constraint = "naturalPerson", "C1"
            remedy = (
                "give a geographicAddress, a customerIdentification, a nationalIdentification "
                "or dateAndPlaceOfBirth"
            )
        else:
            known += [each.customer_number]
            name, constraint = "legalPerson", "C4"
            remedy = "give a geographicAddress, a customerNumber or a nationalIdentification"
        if not any(known):
            yield Violation(f"{path}[originatorPersons][{place}][{name}]", constraint, remedy)


def _address(part: GeographicAddress, path: str) -> Iterator[Violation]:
    building = part.building_name or part.building_number
    if not part.address_line and not (part.street_name and building):
        yield Violation(
            path,
            "C8",
            "give addressLine, or streetName with buildingNumber or buildingName",
        )
    yield from _countries(path, country=part.country)


def _identification(part: NationalIdentification, path: str) -> Iterator[Violation]:
    yield from _countries(path, countryOfIssue=part.country_of_issue)
    authority = part.registration_authority
    if authority is not None and not is_registration_authority(authority):
        yield Violation(
            _path(path, ("registrationAuthority",)),
            "C10",
            "give a code of GLEIF's Registration Authorities List, RA and six digits",
        )
    if part.national_identifier_type == "LEIX" and not is_lei(part.national_identifier):
        yield Violation(
            _path(path, ("nationalIdentifier",)),
            "C11",
            "this is no LEI: 20 characters whose check digits hold (ISO 17442)",
        )


def _resident(part: NaturalPerson, path: str) -> Iterator[Violation]:
    yield from _countries(path, countryOfResidence=part.country_of_residence)


def _legal(part: LegalPerson, path: str) -> Iterator[Violation]:
    yield from _countries(path, countryOfRegistration=part.country_of_registration)
    found = part.national_identification
    if found is None:
        return
    inner = _path(path, ("nationalIdentification",))
    if found.national_identifier_type not in LEGAL_IDENTIFIERS:
        yield Violation(
            _path(inner, ("nationalIdentifierType",)),
            "C7",
            f"a legal person's is one of {', '.join(sorted(LEGAL_IDENTIFIERS))}",
        )
    if found.country_of_issue is not None:
        yield Violation(
            _path(inner, ("countryOfIssue",)), "C9", "leave it out: it is for natural persons"
        )
    named = found.registration_authority is not None
    if named == (found.national_identifier_type == "LEIX"):
        yield Violation(
            _path(inner, ("registrationAuthority",)),
            "C9",
            "leave it out beside an LEI" if named else "name the register: only an LEI needs none",
        )


def _countries(path: str, **codes: str | None) -> Iterator[Violation]:
    for name, code in codes.items():
        if code is not None and code != UNKNOWN_COUNTRY and not is_country(code):
            yield Violation(
                _path(path, (name,)),
                "C3",
                f"{code} is no country of ISO 3166-1; write two letters, or XX if not known",
            )


_CHECKS: Final[Mapping[type[_Part], Callable[[Any, str], Iterator[Violation]]]] = {
    Originator: _identified,
    NaturalPersonName: _natural_name,
    LegalPersonName: _legal_name,
    GeographicAddress: _address,
    NationalIdentification: _identification,
    NaturalPerson: _resident,
    LegalPerson: _legal,
    TransferPath: _path_order,
}


def _path(base: str, location: Sequence[int | str]) -> str:
    """A field as parameters are named: ``travel_rule[person][naturalPerson][name]``."""
    path = base
    for each in location:
        path = f"{path}[{each}]" if path else str(each)
    return path


def _remedy(error: Mapping[str, Any]) -> str:
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is no element of the standard, or stands there twice"
        case _:
            message: str = error["msg"]
            return message.removeprefix("Value error, ")


def _wrapped(document: Any) -> Any:
    """The institutions of a payload inside their wrappers."""
    if not isinstance(document, dict):
        return document
    wrapped = {}
    for key, value in document.items():
        bare = isinstance(value, dict) and not value.keys().isdisjoint(_PERSON_NAMES)
        is_vasp = key.lower().replace("_", "") in ("originatingvasp", "beneficiaryvasp")
        wrapped[key] = {key: value} if bare and is_vasp else value
    return wrapped


_PERSON_NAMES: Final = frozenset({"naturalPerson", "legalPerson", "natural_person", "legal_person"})


def _pruned(document: Any) -> Any:
    if isinstance(document, dict):
        kept = {key: _pruned(value) for key, value in document.items()}
        return {key: value for key, value in kept.items() if value not in (None, [], {})}
    return [_pruned(each) for each in document] if isinstance(document, list) else document


def _renamed(document: Any) -> Any:
    if isinstance(document, dict):
        return {RENAMED_2023.get(key, key): _renamed(value) for key, value in document.items()}
    return [_renamed(each) for each in document] if isinstance(document, list) else document
