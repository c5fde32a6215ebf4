"""Due diligence: what a person may say yes to, when it takes two, and what a no does."""

import pytest
from tests.flow.diligence import FIRM, Office, open_office
from tests.flow.policing import VAULT

from sakk.core.errors import (
    ApprovalStale,
    ParameterInvalid,
    PermissionDenied,
    SamePerson,
    StepUpFailed,
    StepUpRequired,
    UnexpectedState,
)
from sakk.core.party import HitState
from sakk.flow import due_diligence, party
from sakk.flow.account import update as update_account
from sakk.flow.beneficiary import resolve
from sakk.flow.step_up import StepUp
from sakk.flow.travel_rule import described_account
from sakk.store import party as store
from sakk.store.database import Database


@pytest.fixture
def office(database: Database) -> Office:
    return open_office(database)


def test_one_person_approves_what_was_shown(office: Office) -> None:
    row = office.firm()
    approved = office.approve(row, office.first)
    assert (approved.status, approved.decided_by) == ("approved", office.first.id)
    assert approved.review_at is not None
    assert (approved.review_at - office.desk.now).days == 730
    assert office.acts(row)[-2:] == ["submitted", "approved"]
    # Who it was found to be is who sends its payouts, by the Travel Rule.
    with office.desk.database.begin() as connection:
        sender = described_account(
            connection, VAULT, account_id=office.desk.account, livemode=False
        )
    assert sender is not None
    assert sender.legal_person is not None
    assert sender.legal_person.country_of_registration == "HK"
    # Looked at again, an approved one is approved again.
    assert office.approve(row, office.second).decided_by == office.second.id


def test_who_does_not_fit_the_travel_rules_words_is_approved_all_the_same(office: Office) -> None:
    row = office.firm()
    place = {"line1": "x" * 400, "city": "Hong Kong", "country": "HK"}
    with office.desk.database.begin() as connection:
        details = {"details": FIRM | {"registered_address": place}}
        party.update(connection, office.whose(), row.id, changes=details, now=office.desk.now)
        store.change(connection, row.id, {"screened_revision": 2})
    assert office.approve(office.read(row), office.first).status == "approved"


def test_high_risk_takes_two_persons_who_saw_the_same(office: Office) -> None:
    row = office.firm()
    due_diligence.rate(
        office.desk.parts, office.whose(office.first), row.id, rating="high", note="cash"
    )
    assert office.approve(row, office.first).status == "submitted"
    with pytest.raises(SamePerson):
        office.approve(row, office.first)
    with office.desk.database.begin() as connection:
        details = {"details": FIRM | {"legal_name": "Other"}}
        party.update(connection, office.whose(), row.id, changes=details, now=office.desk.now)
        store.change(connection, row.id, {"screened_revision": 2})
    # What the first said yes to is not there any more: the second is the first again.
    assert office.approve(row, office.second).status == "submitted"
    done = office.approve(row, office.first)
    assert (done.status, done.approval) == ("approved", None)
    assert done.review_at is not None
    assert (done.review_at - office.desk.now).days == 365


def test_what_is_not_approved(office: Office) -> None:
    row = office.firm()
    with pytest.raises(ApprovalStale):
        office.approve(row, office.first, digest="0" * 64)
    with pytest.raises(StepUpRequired):
        office.approve(row, office.first, step_up=StepUp())
    with pytest.raises(StepUpFailed):
        office.approve(row, office.first, step_up=StepUp(code="000000"))
    with pytest.raises(ParameterInvalid):
        office.approve(row, office.first, note=" ")
    teller = office.desk.member("eve", "finance")
    with pytest.raises(PermissionDenied):
        office.approve(row, teller)
    with pytest.raises(UnexpectedState, match="compared with the lists"):
        office.approve(office.firm(screened=False), office.first)
    with pytest.raises(UnexpectedState, match="This party is draft"):
        office.approve(office.firm(submitted=False), office.first)
    assert office.read(row).status == "submitted"


def test_every_likeness_is_decided_first(office: Office) -> None:
    row = office.firm()
    hit = office.hit(row)
    with pytest.raises(UnexpectedState, match="1 likenesses"):
        office.approve(row, office.first)
    office.decide(row, hit, office.first, HitState.false_positive)
    with pytest.raises(UnexpectedState, match="false_positive already"):
        office.decide(row, hit, office.second, HitState.true_match)
    assert office.approve(row, office.first).status == "approved"


def test_a_true_match_takes_the_approval_back_and_two_persons_give_it_again(
    office: Office,
) -> None:
    row = office.firm()
    office.approve(row, office.first)
    hit = office.hit(row)
    office.decide(row, hit, office.first, HitState.true_match)
    suspended = office.read(row)
    assert (suspended.status, suspended.open_hits) == ("suspended", 0)
    assert office.approve(row, office.first).status == "suspended"
    assert office.approve(row, office.second).status == "approved"


def test_a_no_takes_one_and_can_be_mended(office: Office) -> None:
    row = office.firm()
    assert office.refuse(row, office.first, "reject").status == "rejected"
    with office.desk.database.begin() as connection:
        again = party.submit(connection, office.whose(), row.id, now=office.desk.now)
    assert (again.status, again.reason) == ("submitted", None)
    office.approve(row, office.first)
    assert office.refuse(row, office.second, "suspend").status == "suspended"
    with pytest.raises(UnexpectedState):
        office.refuse(row, office.second, "suspend")


def ask_to_pay(office: Office) -> None:
    with office.desk.database.begin() as connection:
        resolve(connection, [], account_id=office.desk.account, livemode=False, now=office.desk.now)


def refuses_to_pay(office: Office) -> None:
    with pytest.raises(PermissionDenied, match="not verified"):
        ask_to_pay(office)


def test_an_account_that_must_be_verified_pays_only_while_it_is(office: Office) -> None:
    ask_to_pay(office)
    with office.desk.database.begin() as connection:
        update_account(
            connection,
            office.desk.account,
            {"payouts": {"verification": "required"}},
            livemode=False,
            by_operator=True,
            now=office.desk.now,
        )
    refuses_to_pay(office)
    row = office.firm()
    refuses_to_pay(office)
    office.approve(row, office.first)
    ask_to_pay(office)
    office.refuse(row, office.first, "suspend")
    refuses_to_pay(office)
