"""Profiles: what is refused, and what is read out of them."""

from datetime import date
from typing import Any

import pytest

from sakk.core.errors import ParameterInvalid, ParameterUnknown
from sakk.core.ivms101 import Person, read, require
from sakk.core.profile import (
    DOCUMENT_BYTES_MAX,
    IDENTIFICATIONS_MAX,
    NAMES_MAX,
    TEXT_LENGTH_MAX,
    LegalEntity,
    PartyKind,
    check_content,
    countries_of,
    details_document,
    ivms101_of,
    load_details,
    name_of,
    names_of,
    read_details,
)

FIRM: dict[str, Any] = {
    "legal_name": "Harbour Trading Ltd",
    "trading_names": ["Harbour"],
    "native_names": ["港貿易有限公司", "Harbour"],
    "lei": "529900T8BM49AURSDO55",
    "registration": {"number": "0815", "country": "HK", "authority": "Companies Registry"},
    "incorporated_on": "2019-02-28",
    "registered_address": {"line1": "1 Queen's Road", "city": "Hong Kong", "country": "HK"},
    "operating_address": {"line1": "Gate 7", "city": "Dubai", "country": "AE"},
}
ANN: dict[str, Any] = {
    "full_name": "Ann Ómarsdóttir",
    "aliases": ["A. Omarsdottir"],
    "birth_date": "1980-02-29",
    "nationalities": ["IS", "GB"],
    "residence": "IS",
    "address": {"line1": "Bankastræti 1", "city": "Reykjavík", "country": "IS"},
    "identifications": [
        {"kind": "passport", "number": "A1", "country": "IS", "expires_on": "2030-01-31"}
    ],
    "exposed": False,
}


def test_what_is_read_is_what_is_stored() -> None:
    firm = read_details("legal_entity", FIRM)
    assert isinstance(firm, LegalEntity)
    assert details_document(firm) == FIRM
    assert load_details("legal_entity", FIRM) == firm
    assert name_of(firm) == "Harbour Trading Ltd"
    assert names_of(firm) == ("Harbour Trading Ltd", "Harbour", "港貿易有限公司")
    assert countries_of(firm) == ("HK", "AE")
    ann = read_details(PartyKind.individual, ANN)
    assert details_document(ann) == ANN
    assert (name_of(ann), names_of(ann)[1]) == ("Ann Ómarsdóttir", "A. Omarsdottir")
    assert countries_of(ann) == ("IS", "GB")


def test_who_it_is_in_the_words_of_the_travel_rule() -> None:
    """What is read here is what that standard's own reader takes, and finds nothing wrong with."""
    for details in (FIRM, ANN | {"birth_place": "Akureyri"}):
        kind = "legal_entity" if "legal_name" in details else "individual"
        written = ivms101_of(read_details(kind, details))
        person = require(
            read(Person, written, param="person"), today=date(2026, 1, 1), param="person"
        )
        [place] = person.either.geographic_address or []
        assert place.town_name in ("Hong Kong", "Reykjavík")
    bare = ivms101_of(read_details("legal_entity", {"legal_name": "A"}))
    assert bare == {
        "legalPerson": {
            "name": {
                "nameIdentifier": [
                    {"legalPersonName": "A", "legalPersonNameIdentifierType": "LEGL"}
                ]
            }
        }
    }
    home = ANN["address"] | {"line2": "2nd floor", "postal_code": "101"}
    alone = {"full_name": "A", "birth_date": "1980-01-01", "address": home}
    natural = ivms101_of(read_details("individual", alone))["naturalPerson"]
    assert "dateAndPlaceOfBirth" not in natural
    assert natural["geographicAddress"][0]["postCode"] == "101"
    assert natural["geographicAddress"][0]["addressLine"] == ["Bankastræti 1", "2nd floor"]
    assert ivms101_of(read_details("individual", {"full_name": "A"})).keys() == {"naturalPerson"}


def test_little_may_be_known() -> None:
    assert countries_of(read_details("legal_entity", {"legal_name": "A"})) == ()
    assert countries_of(read_details("individual", {"full_name": "A"})) == ()


@pytest.mark.parametrize(
    ("kind", "changes", "param", "said"),
    [
        ("legal_entity", {"legal_name": 5}, "details[legal_name]", "Expected `str`"),
        ("legal_entity", {"lei": "529900T8BM49AURSDO54"}, "details[lei]", "no LEI"),
        ("legal_entity", {"legal_name": " "}, "details[legal_name]", "printable"),
        ("legal_entity", {"legal_name": "a" + " " * 500}, "details[legal_name]", "printable"),
        ("legal_entity", {"legal_name": "a\u202eb"}, "details[legal_name]", "printable"),
        (
            "legal_entity",
            {"legal_name": "a" * (TEXT_LENGTH_MAX + 1)},
            "details[legal_name]",
            "500",
        ),
        (
            "legal_entity",
            {"trading_names": ["a"] * (NAMES_MAX + 1)},
            "details[trading_names]",
            "At most 50",
        ),
        ("legal_entity", {"trading_names": ["a", ""]}, "details[trading_names][1]", "printable"),
        ("legal_entity", {"trading_names": ["a", 5]}, "details[trading_names][1]", "Expected"),
        ("legal_entity", {"incorporated_on": "2019-02-29"}, "details[incorporated_on]", "no day"),
        ("legal_entity", {"incorporated_on": "20190228"}, "details[incorporated_on]", "no day"),
        (
            "legal_entity",
            {"registration": {"number": "1", "country": "XX"}},
            "details[registration][country]",
            "no country",
        ),
        (
            "legal_entity",
            {"registration": {"country": "HK"}},
            "details[registration]",
            "missing required field `number`",
        ),
        (
            "legal_entity",
            {"operating_address": {"line1": "1", "city": "2", "country": "hk"}},
            "details[operating_address][country]",
            "no country",
        ),
        ("individual", {"birth_date": "x"}, "details[birth_date]", "no day"),
        ("individual", {"nationalities": ["IS", "ZZ"]}, "details[nationalities][1]", "no country"),
        ("individual", {"residence": "ZZ"}, "details[residence]", "no country"),
        (
            "individual",
            {"address": {"line1": "1", "city": "2", "country": "ZZ"}},
            "details[address][country]",
            "no country",
        ),
        (
            "individual",
            {"identifications": ANN["identifications"] * (IDENTIFICATIONS_MAX + 1)},
            "details[identifications]",
            "At most 20",
        ),
        (
            "individual",
            {"identifications": [{"kind": "club_card", "number": "1", "country": "IS"}]},
            "details[identifications][0][kind]",
            "none of",
        ),
        (
            "individual",
            {"identifications": [{"kind": "passport", "number": "1", "country": "ZZ"}]},
            "details[identifications][0][country]",
            "no country",
        ),
        (
            "individual",
            {
                "identifications": [
                    {"kind": "passport", "number": "1", "country": "IS", "expires_on": "soon"}
                ]
            },
            "details[identifications][0][expires_on]",
            "no day",
        ),
    ],
)
def test_what_is_refused_is_named(
    kind: str, changes: dict[str, Any], param: str, said: str
) -> None:
    document = (FIRM if kind == "legal_entity" else ANN) | changes
    with pytest.raises(ParameterInvalid, match=said) as caught:
        read_details(kind, document)
    assert caught.value.param == param


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(ParameterUnknown) as caught:
        read_details("legal_entity", FIRM | {"registration": {"nr": 1}})
    assert caught.value.param == "details[registration][nr]"


@pytest.mark.parametrize(
    ("media_type", "content", "param"),
    [
        ("text/html", b"<html>", "media_type"),
        ("application/pdf", b"", "content"),
        ("application/pdf", b"%PDF-" + bytes(DOCUMENT_BYTES_MAX), "content"),
        ("application/pdf", b"<html>", "content"),
        ("image/png", b"\xff\xd8\xff", "content"),
    ],
)
def test_a_document_is_what_it_says(media_type: str, content: bytes, param: str) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        check_content(media_type, content)
    assert caught.value.param == param


def test_documents_that_are_taken() -> None:
    check_content("application/pdf", b"%PDF-1.7")
    check_content("image/jpeg", b"\xff\xd8\xff\xe0")
    check_content("image/png", b"\x89PNG\r\n\x1a\n")
