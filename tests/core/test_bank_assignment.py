"""Whose a line in suspense is, as rules."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.core.test_bank_statement import LINE

from sakk.core.bank_assignment import (
    AssignmentStatus,
    BankAssignment,
    check_line,
    confirmed,
    digest_of,
    public,
)
from sakk.core.bank_statement import Outcome
from sakk.core.errors import ApprovalStale, SamePerson, UnexpectedState
from sakk.core.proposal import SecondPerson

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
WAITS = replace(LINE, status="booked", outcome=Outcome.suspense, units=500)
SAID = BankAssignment(
    line=WAITS.id,
    livemode=False,
    account_id="acct_1",
    note="They wrote.",
    status=AssignmentStatus.awaiting.value,
    proposed_by="per_1",
    created=NOW,
)


def test_only_what_came_in_and_waits_is_given_to_anybody() -> None:
    check_line(WAITS, is_case_open=False)
    check_line(replace(WAITS, outcome=Outcome.held), is_case_open=False)
    others: list[dict[str, Any]] = [
        {"status": "matched"},
        {"units": -500},
        {"outcome": Outcome.payin},
    ]
    for changes in others:
        with pytest.raises(UnexpectedState, match="stands in suspense"):
            check_line(replace(WAITS, **changes), is_case_open=False)
    with pytest.raises(UnexpectedState, match="case is open"):
        check_line(replace(WAITS, outcome=Outcome.held), is_case_open=True)


def test_another_person_confirms_what_was_shown() -> None:
    digest = digest_of(SAID, WAITS)
    done = confirmed(SAID, WAITS, SecondPerson("per_2", True, digest), now=NOW)
    assert (done.status, done.decided_by, done.decided_at) == ("confirmed", "per_2", NOW)
    # Who has no people has keys: a house of one still can.
    assert confirmed(SAID, WAITS, SecondPerson("per_1", False, digest), now=NOW)
    with pytest.raises(SamePerson):
        confirmed(SAID, WAITS, SecondPerson("per_1", True, digest), now=NOW)


@pytest.mark.parametrize(
    "changes", [{"account_id": "acct_2"}, {"note": None}, {"proposed_by": "per_3"}]
)
def test_another_proposal_has_another_digest(changes: dict[str, Any]) -> None:
    digest = digest_of(replace(SAID, **changes), WAITS)
    with pytest.raises(ApprovalStale):
        confirmed(SAID, WAITS, SecondPerson("per_2", True, digest), now=NOW)


def test_what_is_shown() -> None:
    assert public(SAID, WAITS) == {
        "account": "acct_1",
        "at": int(NOW.timestamp()),
        "by": "per_1",
        "decided_at": None,
        "decided_by": None,
        "digest": digest_of(SAID, WAITS),
        "note": "They wrote.",
        "status": "awaiting",
    }
    done = replace(SAID, status="confirmed", decided_by="per_2", decided_at=NOW)
    shown = public(done, WAITS)
    assert (shown["digest"], shown["decided_by"], shown["decided_at"]) == (
        None,
        "per_2",
        int(NOW.timestamp()),
    )
