"""Parties: what is missing, what may follow, who has to say yes, and what a merchant sees."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sakk.core import party as rules
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.ownership import Holding, Ownership, Relation, owners_of
from sakk.core.party import Hit, Link, Party, PartyDocument, PartyStatus, Rating
from sakk.core.profile import read_details

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
TODAY = NOW.date()
NOBODY = Ownership((), 0)


def party(**changes: Any) -> Party:
    return replace(
        Party(
            id="pty_1",
            account_id="acct_1",
            customer_id=None,
            livemode=True,
            role="account",
            kind="legal_entity",
            name="Firm",
            details={"legal_name": "Firm"},
            revision=1,
            status="submitted",
            rating="medium",
            metadata={},
            created=NOW,
        ),
        **changes,
    )


def document(kind: str, **changes: Any) -> PartyDocument:
    return replace(
        PartyDocument(
            id="pdoc_1",
            account_id="acct_1",
            livemode=True,
            party_id="pty_1",
            kind=kind,
            name="scan.pdf",
            media_type="application/pdf",
            size=5,
            sha256="00",
            country="HK",
            issued_on=None,
            expires_on=None,
            removed_at=None,
            created=NOW,
        ),
        **changes,
    )


def link(**changes: Any) -> Link:
    return replace(
        Link(
            id="plnk_1",
            account_id="acct_1",
            livemode=True,
            of_party="pty_1",
            party_id="pty_2",
            relation="owner",
            share_ppm=250_000,
            title=None,
            removed_at=None,
            created=NOW,
        ),
        **changes,
    )


FIRM = {
    "legal_name": "Firm",
    "registration": {"number": "1", "country": "HK"},
    "registered_address": {"line1": "1", "city": "2", "country": "HK"},
    "incorporated_on": "2020-01-01",
}
ANN = {
    "full_name": "Ann",
    "birth_date": "1980-01-01",
    "nationalities": ["IS"],
    "address": {"line1": "1", "city": "2", "country": "IS"},
}


@pytest.mark.parametrize(
    ("kind", "details", "documents", "ownership", "lacking"),
    [
        ("legal_entity", FIRM, ["incorporation"], NOBODY, []),
        ("legal_entity", FIRM, ["register_extract", "other"], NOBODY, []),
        (
            "legal_entity",
            {"legal_name": "Firm"},
            [],
            owners_of("firm", [Holding("ann", "firm", Relation.owner, 700_001)], {"ann"}),
            [
                "details[registration]",
                "details[registered_address]",
                "details[incorporated_on]",
                "a document of kind incorporation or register_extract",
                "links: owners of the remaining 29.9999 %",
            ],
        ),
        (
            "legal_entity",
            FIRM,
            ["incorporation"],
            Ownership((), 250_000),
            ["links: owners of the remaining 25 %"],
        ),
        ("legal_entity", FIRM, ["incorporation"], Ownership((), 249_999), []),
        ("individual", ANN, ["passport"], NOBODY, []),
        (
            "individual",
            {"full_name": "Ann"},
            ["proof_of_address"],
            NOBODY,
            [
                "details[birth_date]",
                "details[nationalities]",
                "details[address]",
                "a document of identity that has not expired",
            ],
        ),
    ],
)
def test_what_is_missing(
    kind: str,
    details: dict[str, Any],
    documents: list[str],
    ownership: Ownership,
    lacking: list[str],
) -> None:
    found = rules.missing(
        read_details(kind, details),
        [document(each) for each in documents],
        ownership,
        today=TODAY,
    )
    assert found == lacking


def test_an_expired_paper_shows_nothing() -> None:
    ends = {"2026-11-25": True, "2026-11-26": False}
    for last, expired in ends.items():
        paper = document("passport", expires_on=last)
        assert rules.is_expired(paper, TODAY) is expired
        lacking = rules.missing(read_details("individual", ANN), [paper], NOBODY, today=TODAY)
        assert bool(lacking) is expired


def test_the_next_review_is_by_rating_or_by_the_first_paper_that_ends() -> None:
    assert rules.next_review(Rating.low, [], now=NOW) == NOW + timedelta(days=1095)
    assert rules.next_review("high", [document("other")], now=NOW) == NOW + timedelta(days=365)
    papers = [
        document("passport", expires_on="2027-03-01"),
        document("licence", expires_on="2020-01-01"),
    ]
    assert rules.next_review(Rating.medium, papers, now=NOW) == datetime(2027, 3, 1, 12, tzinfo=UTC)
    assert rules.next_review(Rating.medium, [], now=NOW) == NOW + timedelta(days=730)


MAY = {
    ("draft", "submit"): "submitted",
    ("rejected", "submit"): "submitted",
    ("submitted", "approve"): "approved",
    ("approved", "approve"): "approved",
    ("suspended", "approve"): "approved",
    ("submitted", "reject"): "rejected",
    ("approved", "suspend"): "suspended",
}


@pytest.mark.parametrize("status", list(PartyStatus))
@pytest.mark.parametrize("act", ["submit", "approve", "reject", "suspend"])
def test_what_may_follow(status: str, act: str) -> None:
    expected = MAY.get((status, act))
    if expected is not None:
        assert rules.after(status, act) == expected
        return
    with pytest.raises(UnexpectedState, match=f"This party is {status}"):
        rules.after(status, act)


def test_who_needs_two_persons() -> None:
    assert not rules.needs_second(party())
    assert rules.needs_second(party(rating="high"))
    assert rules.needs_second(party(status="suspended"))


def test_the_digest_is_of_everything_that_is_approved() -> None:
    base = rules.digest_of(party(), [link()], [document("other")])
    assert base == rules.digest_of(party(), [link(title="CEO")], [document("passport")])
    others = [
        rules.digest_of(party(revision=2), [link()], [document("other")]),
        rules.digest_of(party(details={"legal_name": "Other"}), [link()], [document("other")]),
        rules.digest_of(party(rating="low"), [link()], [document("other")]),
        rules.digest_of(party(open_hits=1), [link()], [document("other")]),
        rules.digest_of(party(lists_version=7), [link()], [document("other")]),
        rules.digest_of(party(), [link(share_ppm=250_001)], [document("other")]),
        rules.digest_of(party(), [], [document("other")]),
        rules.digest_of(party(), [link()], [document("other", sha256="01")]),
    ]
    assert len({base, *others}) == len(others) + 1


@pytest.mark.parametrize(
    ("role", "customer", "expected"),
    [
        (None, None, "related"),
        ("related", None, "related"),
        ("account", None, "account"),
        (None, "cus_1", "customer"),
        ("customer", "cus_1", "customer"),
    ],
)
def test_nobody_is_the_account_unless_it_is_said(
    role: str | None, customer: str | None, expected: str
) -> None:
    assert rules.role_of(role, customer) == expected


@pytest.mark.parametrize(
    ("role", "customer", "param"),
    [("account", "cus_1", "role"), ("customer", None, "customer")],
)
def test_roles_that_contradict(role: str, customer: str | None, param: str) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        rules.role_of(role, customer)
    assert caught.value.param == param


PERSON = party(id="pty_2", kind="individual")


@pytest.mark.parametrize(
    ("of_party", "who", "relation", "share_ppm", "param"),
    [
        (PERSON, party(), "owner", 1, "of_party"),
        (party(), party(), "owner", 1, "party"),
        (party(), party(id="pty_3"), "director", 0, "party"),
        (party(), party(id="pty_3"), "signatory", 0, "party"),
        (party(), PERSON, "owner", 0, "share_ppm"),
        (party(), PERSON, "owner", 1_000_001, "share_ppm"),
        (party(), PERSON, "controller", 1, "share_ppm"),
    ],
)
def test_links_that_say_nothing(
    of_party: Party, who: Party, relation: str, share_ppm: int, param: str
) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        rules.check_link(of_party, who, relation, share_ppm)
    assert caught.value.param == param


def test_links_that_are_taken() -> None:
    rules.check_link(party(), PERSON, "director", 0)
    rules.check_link(party(), PERSON, "owner", 1)
    rules.check_link(party(), party(id="pty_3"), "owner", 1_000_000)
    rules.check_link(party(), party(id="pty_3"), "controller", 0)


def test_a_merchant_sees_that_something_is_looked_at_and_no_more() -> None:
    for status in PartyStatus:
        row = party(
            status=status.value,
            rating="high",
            reason="listed",
            open_hits=3,
            review_at=NOW,
            submitted_at=NOW,
        )
        shown = rules.public_party(row, to_operator=False)
        hidden = status in (PartyStatus.submitted, PartyStatus.suspended)
        assert shown["status"] == ("under_review" if hidden else status)
        assert not {"rating", "reason", "open_hits", "review_at", "approval"} & shown.keys()
        full = rules.public_party(row, to_operator=True)
        assert (full["status"], full["open_hits"], full["decided_at"]) == (status, 3, None)
        assert full["review_at"] == int(NOW.timestamp())


def test_what_hangs_on_a_party_is_shown_without_its_content() -> None:
    assert rules.public_link(link(removed_at=NOW))["removed"] is True
    shown = rules.public_document(document("other"))
    assert (shown["object"], shown["size"], shown["removed"]) == ("party_document", 5, False)
    hit = Hit(
        id="phit_1",
        party_id="pty_1",
        account_id="acct_1",
        livemode=True,
        revision=1,
        entity_id="e",
        entry_version=3,
        list_name="ofac-sdn",
        list_version=4,
        name="Firm",
        matched="FIRM",
        score=990,
        evidence={},
        state="open",
        note=None,
        decided_by=None,
        decided_at=None,
        created=NOW,
    )
    assert rules.public_hit(hit)["score"] == 990
