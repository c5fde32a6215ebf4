"""Changes of the operator's accounts at banks, as rules."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sakk.core.bank_account import Adapter, BankAccount, BankTerms, is_usable
from sakk.core.bank_change import (
    BankChange,
    Unfinished,
    check_approved,
    check_finished,
    confirmed,
    digest_of,
    public,
)
from sakk.core.errors import ApprovalStale, SamePerson, UnexpectedState
from sakk.core.proposal import SecondPerson

NOW = datetime(2026, 11, 27, 2, tzinfo=UTC)
TERMS = BankTerms("house", Adapter.http, address="https://bank.example/v1").document()
OWN = BankAccount(
    id="ba_1",
    account_id=None,
    livemode=True,
    role="own",
    holder="Sakk",
    country="DE",
    currency="eur",
    decimals=2,
    iban="DE89370400440532013000",
    usable_at=NOW,
    terms=TERMS,
    metadata={},
    created=NOW,
)
OPENED = BankChange(
    bank_account="ba_1",
    livemode=True,
    kind="open",
    terms=TERMS,
    status="awaiting",
    proposed_by="per_1",
    created=NOW,
)


def test_it_is_used_when_it_was_approved() -> None:
    with pytest.raises(UnexpectedState):
        check_approved(OWN)
    approved = replace(OWN, approved_at=NOW)
    check_approved(approved)
    assert (is_usable(OWN, now=NOW), is_usable(approved, now=NOW)) == (False, True)
    assert is_usable(replace(OWN, role="payee"), now=NOW)


def test_another_person_approves_what_was_shown() -> None:
    digest = digest_of(OPENED, OWN)
    done = confirmed(OPENED, OWN, SecondPerson("per_2", True, digest), now=NOW)
    assert (done.status, done.decided_by, done.decided_at) == ("confirmed", "per_2", NOW)
    assert confirmed(OPENED, OWN, SecondPerson("per_1", False, digest), now=NOW)
    with pytest.raises(SamePerson):
        confirmed(OPENED, OWN, SecondPerson("per_1", True, digest), now=NOW)
    with pytest.raises(ApprovalStale):
        confirmed(OPENED, OWN, SecondPerson("per_2", True, "0" * 64), now=NOW)
    others: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"terms": {**TERMS, "address": "https://thief.example"}}, {}),
        ({"secret": b"s"}, {}),
        ({"kind": "connect"}, {}),
        ({}, {"iban": "FR7630006000011234567890189"}),
        ({}, {"opening_units": 1}),
    ]
    for change, account in others:
        assert digest_of(replace(OPENED, **change), replace(OWN, **account)) != digest


def test_what_is_shown_of_it() -> None:
    shown = public(replace(OPENED, secret=b"s"), OWN)
    assert (shown["has_secret"], shown["address"]) == (True, "https://bank.example/v1")
    assert shown["digest"] == digest_of(replace(OPENED, secret=b"s"), OWN)
    done = public(replace(OPENED, status="declined", decided_by="per_2", decided_at=NOW), OWN)
    assert (done["digest"], done["decided_at"]) == (None, int(NOW.timestamp()))


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (Unfinished.payments, "still on their way"),
        (Unfinished.returns, "back to its sender"),
        (Unfinished.lines, "wait for a person"),
        (Unfinished.balance, "is not empty"),
    ],
)
def test_it_is_closed_when_nothing_is_left(left: Unfinished, said: str) -> None:
    check_finished(None)
    with pytest.raises(UnexpectedState, match=said):
        check_finished(left)
