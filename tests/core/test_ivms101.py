"""IVMS101: documents of both versions read and written, and every constraint."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sakk.core import ivms101
from sakk.core.errors import ParameterInvalid
from sakk.core.ivms101 import (
    GeographicAddress,
    IdentityPayload,
    LegalPerson,
    NationalIdentification,
    NaturalPerson,
    Person,
    Version,
    read,
    require,
    violations,
    write,
)

TODAY = date(2026, 1, 1)
SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "data" / "kyt" / "travelrule"
samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the data stand beside the repository")


def natural(**changes: Any) -> dict[str, Any]:
    person = {
        "name": {
            "nameIdentifier": [
                {
                    "primaryIdentifier": "Engels",
                    "secondaryIdentifier": "Friedrich",
                    "nameIdentifierType": "LEGL",
                }
            ]
        },
        "dateAndPlaceOfBirth": {"dateOfBirth": "1820-11-28", "placeOfBirth": "Barmen"},
    }
    return {key: value for key, value in {**person, **changes}.items() if value is not None}


def legal(**changes: Any) -> dict[str, Any]:
    person = {
        "name": {
            "nameIdentifier": [
                {"legalPersonName": "Acme Ltd", "legalPersonNameIdentifierType": "LEGL"}
            ]
        },
        "nationalIdentification": {
            "nationalIdentifier": "506700GE1G29325QX363",
            "nationalIdentifierType": "LEIX",
        },
    }
    return {key: value for key, value in {**person, **changes}.items() if value is not None}


def payload(person: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"originator": {"originatorPersons": [person], "accountNumber": ["0xabc"]}, **more}


def test_both_versions() -> None:
    old = payload(
        {"naturalPerson": natural(customerIdentification="7")},
        beneficiary={"beneficiaryPersons": [{"legalPerson": legal(customerNumber="8")}]},
        originatingVASP={"originatingVASP": {"legalPerson": legal()}},
        transferPath={
            "transferPath": [{"intermediaryVASP": {"legalPerson": legal()}, "sequence": 1}]
        },
        payloadMetadata={"transliterationMethod": ["cyrl"]},
    )
    model = read(IdentityPayload, old, param="ivms101")
    assert write(model) == old
    new = write(model, Version.v2023)
    assert new["payloadMetadata"] == {
        "transliterationMethod": ["cyrl"],
        "payloadVersion": "101.2023",
    }
    person = new["originator"]["originatorPerson"][0]["naturalPerson"]
    assert person["name"]["nameIdentifier"][0]["naturalPersonNameIdentifierType"] == "LEGL"
    assert person["customerIdentification"] == "7"
    company = new["beneficiary"]["beneficiaryPerson"][0]["legalPerson"]
    assert company["customerIdentification"] == "8"
    again = read(IdentityPayload, new, param="ivms101")
    assert write(again) == old
    assert write(again, Version.v2023) == new
    assert violations(model, today=TODAY) == []


def test_metadata_that_says_the_version_alone_is_left_out() -> None:
    new = {**payload({"legalPerson": legal()}), "payloadMetadata": {"payloadVersion": "101.2023"}}
    assert write(read(IdentityPayload, new, param="p")) == payload({"legalPerson": legal()})
    assert "payloadMetadata" not in write(
        read(Person, {"naturalPerson": natural()}, param="p"), Version.v2023
    )


def test_an_institution_without_its_wrapper() -> None:
    bare = payload({"legalPerson": legal()}, originatingVASP={"legalPerson": legal()})
    model = read(IdentityPayload, bare, param="p")
    assert model.originating_vasp is not None
    assert write(model)["originatingVASP"] == {"originatingVASP": {"legalPerson": legal()}}


@pytest.mark.parametrize(
    ("document", "param", "words"),
    [
        ("text", "p", "p: Input should be a valid dictionary"),
        (["list"], "p", "p: Input should be"),
        (payload({}), "p[originator][originatorPersons][0]", "one of them"),
        (
            payload({"naturalPerson": natural(), "legalPerson": legal()}),
            "p[originator][originatorPersons][0]",
            "give naturalPerson or legalPerson",
        ),
        (
            payload({"naturalPerson": {}}),
            "p[originator][originatorPersons][0][naturalPerson][name]",
            "is missing",
        ),
        ({"sender": {}}, "p[sender]", "no element of the standard"),
        (
            {"originator": {"originatorPersons": [], "originatorPerson": []}},
            "p[originator][originatorPersons]",
            "at least 1 item",
        ),
        (
            payload({"legalPerson": legal(customerNumber="x" * 51)}),
            "p[originator][originatorPersons][0][legalPerson][customerNumber]",
            "at most 50 characters",
        ),
        (
            payload({"legalPerson": legal(countryOfRegistration="Germany")}),
            "p[originator][originatorPersons][0][legalPerson][countryOfRegistration]",
            "pattern",
        ),
    ],
)
def test_what_is_not_the_model(document: Any, param: str, words: str) -> None:
    with pytest.raises(ParameterInvalid) as refused:
        read(IdentityPayload, document, param="p")
    assert refused.value.param == param
    assert words in refused.value.message


def test_many_mistakes_are_counted() -> None:
    with pytest.raises(ParameterInvalid, match="and 4 more"):
        read(IdentityPayload, {f"x{number}": 1 for number in range(9)}, param="p")


ADDRESS = {
    "addressType": "HOME",
    "streetName": "Thorne Road",
    "buildingNumber": "78",
    "townName": "Hicksville",
    "country": "US",
}


def _address(**changes: Any) -> dict[str, Any]:
    both = {**ADDRESS, **changes}
    return {key: value for key, value in both.items() if value is not None}


def _identification(**changes: Any) -> dict[str, Any]:
    return {"nationalIdentifier": "1", "nationalIdentifierType": "TXID", **changes}


@pytest.mark.parametrize(
    ("kind", "document", "expected"),
    [
        (NaturalPerson, natural(), []),
        (LegalPerson, legal(), []),
        (GeographicAddress, ADDRESS, []),
        (GeographicAddress, _address(buildingNumber=None, buildingName="House"), []),
        (GeographicAddress, _address(streetName=None, addressLine=["78 Thorne Road"]), []),
        (GeographicAddress, _address(country="XX"), []),
        (
            IdentityPayload,
            payload({"naturalPerson": natural(dateAndPlaceOfBirth=None)}),
            [("C1", "p[originator][originatorPersons][0][naturalPerson]")],
        ),
        (
            IdentityPayload,
            payload({"legalPerson": legal(nationalIdentification=None)}),
            [("C4", "p[originator][originatorPersons][0][legalPerson]")],
        ),
        # A beneficiary may be known by name alone.
        (
            IdentityPayload,
            {"beneficiary": {"beneficiaryPersons": [{"legalPerson": legal()}]}},
            [],
        ),
        (
            NaturalPerson,
            natural(dateAndPlaceOfBirth={"dateOfBirth": "2026-01-01", "placeOfBirth": "x"}),
            [("C2", "p[dateAndPlaceOfBirth][dateOfBirth]")],
        ),
        (
            NaturalPerson,
            natural(countryOfResidence="XK"),
            [("C3", "p[countryOfResidence]")],
        ),
        (
            LegalPerson,
            legal(countryOfRegistration="UK"),
            [("C3", "p[countryOfRegistration]")],
        ),
        (GeographicAddress, _address(country="UK"), [("C3", "p[country]")]),
        (
            NationalIdentification,
            _identification(countryOfIssue="EN"),
            [("C3", "p[countryOfIssue]")],
        ),
        (
            LegalPerson,
            legal(
                name={
                    "nameIdentifier": [
                        {"legalPersonName": "Acme", "legalPersonNameIdentifierType": "SHRT"}
                    ]
                }
            ),
            [("C5", "p[name][nameIdentifier]")],
        ),
        (
            NaturalPerson,
            natural(
                name={"nameIdentifier": [{"primaryIdentifier": "A", "nameIdentifierType": "ALIA"}]}
            ),
            [("C6", "p[name][nameIdentifier]")],
        ),
        (
            LegalPerson,
            legal(
                nationalIdentification=_identification(
                    nationalIdentifierType="CCPT", registrationAuthority="RA000628"
                )
            ),
            [("C7", "p[nationalIdentification][nationalIdentifierType]")],
        ),
        (GeographicAddress, _address(buildingNumber=None), [("C8", "p")]),
        (GeographicAddress, _address(streetName=None), [("C8", "p")]),
        (
            LegalPerson,
            legal(nationalIdentification=_identification()),
            [("C9", "p[nationalIdentification][registrationAuthority]")],
        ),
        (
            LegalPerson,
            legal(
                nationalIdentification={
                    "nationalIdentifier": "506700GE1G29325QX363",
                    "nationalIdentifierType": "LEIX",
                    "countryOfIssue": "DE",
                    "registrationAuthority": "RA000628",
                }
            ),
            [
                ("C9", "p[nationalIdentification][countryOfIssue]"),
                ("C9", "p[nationalIdentification][registrationAuthority]"),
            ],
        ),
        (
            NationalIdentification,
            _identification(registrationAuthority="RA000191"),
            [("C10", "p[registrationAuthority]")],
        ),
        (
            NationalIdentification,
            _identification(
                nationalIdentifierType="LEIX", nationalIdentifier="506700GE1G29325QX36"
            ),
            [("C11", "p[nationalIdentifier]")],
        ),
        (
            ivms101.TransferPath,
            {
                "transferPath": [
                    {"intermediaryVASP": {"legalPerson": legal()}, "sequence": number}
                    for number in (1, 3)
                ]
            },
            [("C12", "p[transferPath]")],
        ),
    ],
)
def test_constraints(kind: Any, document: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    model = read(kind, document, param="p")
    found = violations(model, today=TODAY, param="p")
    assert sorted((each.constraint, each.path) for each in found) == sorted(expected)


def test_the_first_violation_is_told_with_its_remedy() -> None:
    broken = read(GeographicAddress, _address(country="UK"), param="a")
    with pytest.raises(ParameterInvalid, match=r"a\[country\]: UK is no country.*C3") as refused:
        require(broken, today=TODAY, param="a")
    assert refused.value.param == "a[country]"
    good = read(GeographicAddress, ADDRESS, param="a")
    assert require(good, today=TODAY, param="a") is good


def _named(kind: str, *names: tuple[str, str]) -> Person:
    if kind == "natural":
        ids = [{"primaryIdentifier": name, "nameIdentifierType": code} for name, code in names]
        return read(Person, {"naturalPerson": {"name": {"nameIdentifier": ids}}}, param="p")
    ids = [{"legalPersonName": name, "legalPersonNameIdentifierType": code} for name, code in names]
    return read(Person, {"legalPerson": {"name": {"nameIdentifier": ids}}}, param="p")


@pytest.mark.parametrize(
    ("person", "name"),
    [
        (read(Person, {"naturalPerson": natural()}, param="p"), "Friedrich Engels"),
        (_named("natural", ("X", "ALIA"), ("Li Wei", "LEGL")), "Li Wei"),
        (_named("natural", ("X", "ALIA")), "X"),
        (_named("legal", ("Acme", "SHRT"), ("Acme Ltd", "LEGL")), "Acme Ltd"),
        (_named("legal", ("Acme", "TRAD")), "Acme"),
    ],
)
def test_legal_names(person: Person, name: str) -> None:
    assert person.legal_name() == name


@samples
@pytest.mark.parametrize(
    ("name", "kind", "broken"),
    [
        ("address", GeographicAddress, []),
        ("natural_person", NaturalPerson, []),
        ("legal_person", LegalPerson, []),
        ("national_identification", NationalIdentification, []),
        ("person_natural_person", Person, []),
        # The check digits of this sample's LEI do not hold.
        ("person_legal_person", Person, ["C11"]),
        ("identity_payload", IdentityPayload, []),
    ],
)
def test_samples_round_trip(name: str, kind: Any, broken: list[str]) -> None:
    document = json.loads((SAMPLES / f"ivms101_{name}.json").read_text())
    model = read(kind, document, param="p")
    assert write(model) == document
    assert write(read(kind, write(model, Version.v2023), param="p")) == document
    assert [each.constraint for each in violations(model, today=TODAY)] == broken


@samples
def test_other_spellings_are_the_same_document() -> None:
    plain, other = (
        read(IdentityPayload, json.loads((SAMPLES / name).read_text()), param="p")
        for name in ("ivms101_identity_payload.json", "ivms101_identity_payload_alt.json")
    )
    assert other == plain


@samples
def test_a_person_is_one_person() -> None:
    document = json.loads((SAMPLES / "ivms101_person_both_persons.json").read_text())
    with pytest.raises(ParameterInvalid, match="one of them"):
        read(Person, document, param="p")
