"""Travel Rule records: persons in short, what is missing, how far a record is."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from sakk.core.errors import ParameterInvalid
from sakk.core.ivms101 import IdentityPayload, Person, read, violations, write
from sakk.core.regime import Counterparty, CounterpartyKind, Requirement
from sakk.core.travel_rule import (
    Exchange,
    Known,
    TravelRule,
    TravelRuleStatus,
    counterparty_of,
    known_of,
    missing,
    numbered,
    payload_of,
    person_of,
    public_travel_rule,
    same_name,
    standing,
)
from sakk.core.vasp import Vasp, vasp_person

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TODAY = date(2026, 1, 1)
LEI = "506700GE1G29325QX363"
WALLET = "0x8ba1f109551bd432803012645ac136ddd64dba72"
ACME = {"type": "legal", "name": "Acme Ltd", "country": "GB"}
ANN = {"type": "natural", "name": "Lee", "given_name": "Ann", "country": "HK"}


def person(**given: Any) -> Person:
    return person_of(given, today=TODAY, param="p")


def test_persons_in_short() -> None:
    ann = person(**ANN, town="Hong Kong", address="1 Harbour Road\nWan Chai")
    assert write(ann) == {
        "naturalPerson": {
            "name": {
                "nameIdentifier": [
                    {
                        "primaryIdentifier": "Lee",
                        "secondaryIdentifier": "Ann",
                        "nameIdentifierType": "LEGL",
                    }
                ]
            },
            "geographicAddress": [
                {
                    "addressType": "HOME",
                    "townName": "Hong Kong",
                    "addressLine": ["1 Harbour Road", "Wan Chai"],
                    "country": "HK",
                }
            ],
            "countryOfResidence": "HK",
        }
    }
    acme = person(**ACME, lei=LEI, town="Oxford", address="1 High Street")
    assert acme.legal_person is not None
    assert acme.legal_person.geographic_address[0].address_type == "BIZZ"
    assert violations(acme, today=TODAY) == []
    assert person(type="legal", name="Acme").legal_name() == "Acme"
    assert person(type="natural", name="Lee Ann").legal_name() == "Lee Ann"


def test_long_lines_are_cut_between_words() -> None:
    ann = person(**ANN, town="Hong Kong", address="word " * 30 + "\n\n  end ")
    assert ann.natural_person is not None
    lines = ann.natural_person.geographic_address[0].address_line
    assert [len(line) for line in lines] == [69, 69, 9, 3]


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"name": "Acme"}, "p[type]"),
        ({"type": "legal"}, "p[name]"),
        ({**ACME, "address": "1 High Street"}, "p[town]"),
        ({"type": "legal", "name": "A", "address": "x", "town": "y"}, "p[country]"),
        ({**ACME, "town": "Oxford", "address": "x\n" * 8}, "p[address]"),
        ({**ACME, "country": "UK"}, "p[legalPerson][countryOfRegistration]"),
        ({**ACME, "lei": LEI[:-1] + "4"}, "p[legalPerson][nationalIdentification]"),
        ({"person": {"legalPerson": {}}}, "p[person][legalPerson][name]"),
    ],
)
def test_what_is_no_person(given: dict[str, Any], param: str) -> None:
    with pytest.raises(ParameterInvalid) as refused:
        person_of(given, today=TODAY, param="p")
    assert refused.value.param is not None
    assert refused.value.param.startswith(param)


def test_a_whole_person() -> None:
    whole = write(person(**ACME))
    assert write(person(person=whole)) == whole


VASP = Vasp(
    id="vasp_1",
    livemode=False,
    name="Bob",
    lei=None,
    country=None,
    travel_address=None,
    addresses=[],
    status="active",
    created=NOW,
)


@pytest.mark.parametrize(
    ("told", "known", "expected"),
    [
        ({}, None, Counterparty(CounterpartyKind.unknown)),
        ({"wallet": "self_hosted"}, None, Counterparty(CounterpartyKind.self_hosted)),
        ({"wallet": "hosted"}, None, Counterparty(CounterpartyKind.vasp)),
        (
            {"wallet": "hosted", "vasp": {"travel_address": "ta1"}},
            None,
            Counterparty(CounterpartyKind.vasp, None, reachable=True),
        ),
        # The directory knows better than who says that the wallet is his own.
        ({"wallet": "self_hosted"}, VASP, Counterparty(CounterpartyKind.vasp, "vasp_1")),
        (
            {},
            replace(VASP, travel_address="ta1"),
            Counterparty(CounterpartyKind.vasp, "vasp_1", reachable=True),
        ),
    ],
)
def test_counterparties(told: dict[str, Any], known: Vasp | None, expected: Counterparty) -> None:
    assert counterparty_of(told, known) == expected


def test_an_originator_has_the_number_by_which_we_know_them() -> None:
    ann, acme = numbered(person(**ANN), "acct_1"), numbered(person(**ACME), "acct_1")
    assert ann.natural_person is not None
    assert ann.natural_person.customer_identification == "acct_1"
    assert acme.legal_person is not None
    assert acme.legal_person.customer_number == "acct_1"
    assert numbered(ann, "acct_2") is ann
    assert numbered(acme, "acct_2") is acme


ALL = (
    "name",
    "account",
    "address",
    "country",
    "national_identification",
    "customer_identification",
    "birth",
    "lei",
)


@pytest.mark.parametrize(
    ("who", "has"),
    [
        (None, set()),
        (person(type="natural", name="Lee"), {"name"}),
        (person(**ANN), {"name", "country"}),
        (person(**ANN, town="x", address="y"), {"name", "country", "address"}),
        (numbered(person(**ANN), "7"), {"name", "country", "customer_identification"}),
        (person(type="legal", name="Acme"), {"name"}),
        (person(**ACME), {"name", "country"}),
        (numbered(person(**ACME), "7"), {"name", "country", "customer_identification"}),
        (person(**ACME, lei=LEI), {"name", "country", "lei", "national_identification"}),
        (
            person(
                person={
                    "naturalPerson": {
                        "name": {
                            "nameIdentifier": [
                                {"primaryIdentifier": "Lee", "nameIdentifierType": "LEGL"}
                            ]
                        },
                        "nationalIdentification": {
                            "nationalIdentifier": "1",
                            "nationalIdentifierType": "CCPT",
                        },
                        "dateAndPlaceOfBirth": {
                            "dateOfBirth": "1990-01-01",
                            "placeOfBirth": "Leeds",
                        },
                    }
                }
            ),
            {"name", "national_identification", "birth"},
        ),
    ],
)
def test_which_fields_a_person_has(who: Person | None, has: set[str]) -> None:
    for name in ALL:
        lacks = missing(
            Requirement(True, originator=((name,),)), Known(who, (), None, (WALLET,), None)
        )
        assert bool(lacks) is (name not in has), name
    assert not missing(
        Requirement(True, originator=(("account",),)), Known(who, ("acct",), None, ())
    )


def test_what_is_missing_is_named_with_its_remedy() -> None:
    requirement = Requirement(
        True,
        originator=(("name",), ("address+national_identification", "birth")),
        beneficiary=(("name",), ("account",)),
        ownership=True,
        counterparty=True,
    )
    nobody = Known(None, (), None, (WALLET,))
    found = missing(requirement, nobody)
    assert [each.field for each in found] == [
        "beneficiary.wallet",
        "originator.name",
        "originator.address",
        "beneficiary.name",
        "beneficiary.ownership",
    ]
    assert found[2].document() == {
        "field": "originator.address",
        "message": "Give the originator's postal address with national identification number or "
        "date and place of birth, with /v1/travel_rule/originator.",
    }
    assert found[3].message == "Give the beneficiary's name, with travel_rule."


@pytest.mark.parametrize(
    ("declared", "ownership", "proved"),
    [
        (False, None, False),
        (False, "declaration", False),
        (True, "declaration", True),
        (False, "eip191", True),
        (False, "eip712", True),
        (False, "transfer", True),
        (True, "something", False),
    ],
)
def test_what_proves_ownership(declared: bool, ownership: str | None, proved: bool) -> None:
    requirement = Requirement(True, ownership=True, declaration=declared)
    known = Known(None, (), None, (), ownership)
    assert (missing(requirement, known) == []) is proved


@pytest.mark.parametrize(
    ("requirement", "lacks", "exchange", "status"),
    [
        (Requirement(False), False, Exchange.none, TravelRuleStatus.not_required),
        (Requirement(True), True, Exchange.none, TravelRuleStatus.required),
        (Requirement(True), False, Exchange.none, TravelRuleStatus.complete),
        (Requirement(True, exchange=True), True, Exchange.none, TravelRuleStatus.required),
        (Requirement(True, exchange=True), False, Exchange.none, TravelRuleStatus.pending),
        (Requirement(True, exchange=True), False, Exchange.asked, TravelRuleStatus.pending),
        (Requirement(True, exchange=True), False, Exchange.unanswered, TravelRuleStatus.pending),
        (Requirement(True, exchange=True), False, Exchange.approved, TravelRuleStatus.complete),
        (Requirement(True, exchange=True), False, Exchange.concluded, TravelRuleStatus.complete),
        (Requirement(True, exchange=True), True, Exchange.rejected, TravelRuleStatus.refused),
    ],
)
def test_how_far_a_record_is(
    requirement: Requirement, lacks: bool, exchange: Exchange, status: TravelRuleStatus
) -> None:
    nothing = missing(Requirement(True, originator=(("name",),)), Known(None, (), None, ()))
    assert standing(requirement, nothing if lacks else [], exchange) is status


def test_payloads() -> None:
    known = Known(
        numbered(person(**ACME), "acct_1"), ("acct_1",), person(**ANN), (WALLET,), "eip191"
    )
    ours = vasp_person("Sakk Pay", lei=LEI, country="CH")
    payload = payload_of(known, ours=ours, theirs=vasp_person("Bob", lei=None, country=None))
    assert violations(payload, today=TODAY) == []
    assert known_of(payload, ownership="eip191") == known
    assert payload.beneficiary_vasp is not None
    nothing = payload_of(Known(None, (), None, ()), ours=None, theirs=None)
    assert nothing == IdentityPayload()
    assert known_of(nothing, ownership=None) == Known(None, (), None, ())
    assert read(IdentityPayload, write(payload), param="p") == payload


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Acme Ltd", "ACME, LTD.", True),
        ("Acme Ltd", "Acme Limited", False),
        ("Straße AG", "STRASSE AG", True),
    ],
)
def test_names_that_are_the_same(one: str, other: str, same: bool) -> None:
    assert same_name(person(type="legal", name=one), person(type="legal", name=other)) is same


RECORD = TravelRule(
    id="trv_1",
    account_id="acct_1",
    livemode=False,
    direction="outgoing",
    subject="po_1",
    status="required",
    regime="eu",
    network="eip155:1",
    address=WALLET,
    currency="eur",
    amount=100,
    counterparty="vasp",
    vasp=None,
    requirement=Requirement(True, reasons=("Because.",)).document(),
    missing=[{"field": "originator.name", "message": "Give it."}],
    ownership=None,
    exchange="none",
    request_identifier="1",
    token_hash="secret",
    peer_callback="https://example.com/secret",
    tx_hash=None,
    payload=b"sealed",
    deadline_at=NOW,
    completed_at=None,
    ended_at=None,
    decided_by="per_1",
    reason="Ask Bob.",
    legal_hold=False,
    created=NOW,
)


def test_what_is_shown_names_fields_and_nothing_secret() -> None:
    shown = public_travel_rule(RECORD, operator=True)
    assert (shown["decided_by"], shown["reason"], shown["exchange"]) == (
        "per_1",
        "Ask Bob.",
        "none",
    )
    assert shown["reasons"] == ["Because."]
    assert shown["deadline_at"] == int(NOW.timestamp())
    assert "secret" not in str(shown)
    merchant = public_travel_rule(RECORD, operator=False)
    hidden = ("decided_by", "reason", "exchange", "legal_hold")
    assert [merchant[name] for name in hidden] == [None] * 4
    assert merchant["missing"] == RECORD.missing
