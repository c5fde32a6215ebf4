"""Work on cases by people: two to end one, nothing confirmed that changed, one case one officer."""

import threading
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text
from tests.flow.policing import OPERATOR_KEY, Desk, Member
from tests.flow.test_case import acts, found, opening, told

from sakk.core.case import Case, CaseKind, Outcome, Place, Priority, Settings
from sakk.core.errors import (
    ApprovalStale,
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    SakkError,
    SamePerson,
    StepUpFailed,
    StepUpRequired,
    UnexpectedState,
)
from sakk.core.payout import Payout
from sakk.core.person import Actor
from sakk.flow import case_work as flow
from sakk.flow.account import create as create_account
from sakk.flow.case import open_cases
from sakk.flow.case_age import age_stage
from sakk.flow.case_evidence import evidence
from sakk.flow.case_subject import find_matter
from sakk.flow.step_up import StepUp
from sakk.flow.word import Word
from sakk.store import case as store
from sakk.store.database import Database
from sakk.store.identity import new_id


@pytest.fixture
def desk(database: Database) -> Desk:
    """A merchant's payouts, and people."""
    account = new_id("acct")
    desk = Desk(database, account)
    with database.begin() as connection:
        create_account(connection, account_id=account, livemode=False, now=desk.now)
    return desk


def waiting(desk: Desk, *, priority: Priority = Priority.normal) -> Payout:
    """A payout under review, with its case."""
    row = desk.payout(1, status="requested", under_review=True)
    about = opening(row.id, kind=CaseKind.payout, account_id=desk.account, priority=priority)
    with desk.database.begin() as connection:
        open_cases(connection, [about], now=desk.now)
    return row


def propose(
    desk: Desk, subject: str, by: Member | Actor, outcome: Outcome = Outcome.release, **more: Any
) -> tuple[Case, str]:
    actor = by if isinstance(by, Actor) else by.actor
    plan = flow.Plan(outcome, **more)
    return flow.propose(desk.parts, subject, plan, actor=actor, livemode=False)


def confirm(
    desk: Desk, subject: str, by: Member | Actor, digest: str, code: str | None = None
) -> Case:
    step_up = None if code is None else StepUp(code=code)
    word = Word(by, digest=digest) if isinstance(by, Actor) else by.yes(digest, step_up)
    return flow.confirm(desk.parts, subject, word, livemode=False)


def people(desk: Desk) -> tuple[Member, Member]:
    return desk.member("carl", "compliance"), desk.member("dora", "compliance")


def test_two_people_end_a_case(desk: Desk) -> None:
    row = waiting(desk)
    carl, dora = people(desk)
    case, digest = propose(desk, row.id, carl, note="a false match")
    assert (case.status, case.outcome) == ("awaiting_second", None)
    assert propose(desk, row.id, carl, note="a false match")[0] == case
    with pytest.raises(SamePerson):
        confirm(desk, case.id, carl, digest)
    with pytest.raises(StepUpRequired):
        flow.confirm(desk.parts, case.id, dora.yes(digest, StepUp()), livemode=False)
    with pytest.raises(StepUpFailed):
        confirm(desk, case.id, dora, digest, "000000")
    assert desk.read(row).under_review
    code = dora.code()
    closed = confirm(desk, case.id, dora, digest, code)
    assert (closed.status, closed.outcome) == ("closed", "release")
    released = desk.read(row)
    assert (released.status, released.under_review) == ("screened", False)
    # Whoever did not get the answer asks again, and is told the same.
    assert confirm(desk, case.id, dora, digest, dora.code()) == closed
    assert acts(desk.database, case.id) == ["opened", "proposed", "confirmed", "carried_out"]
    assert told(desk.database, case.id) == ["case.closed", "case.proposed", "case.opened"]
    with desk.database.begin() as connection:
        confirmed = store.list_acts(connection, case.id)[2]
    assert (confirmed.actor, confirmed.detail["digest"]) == (dora.id, digest)
    assert confirmed.before["status"] == "awaiting_second"


@pytest.mark.parametrize("roles", [("approver",), ("admin",), ("finance", "viewer")])
def test_only_compliance_works_on_cases(desk: Desk, roles: tuple[str, ...]) -> None:
    row = waiting(desk)
    other = desk.member("carl", *roles)
    for act in (
        lambda: propose(desk, row.id, other),
        lambda: take(desk, row.id, other),
        lambda: write(desk, row.id, other),
    ):
        with pytest.raises(PermissionDenied, match="role compliance"):
            act()


def test_a_key_without_a_person_decides_nothing(desk: Desk) -> None:
    """Neither the operator's key nor whoever has the machine, but in the sandbox."""
    row = waiting(desk)
    for actor in (OPERATOR_KEY, Actor("machine")):
        with pytest.raises(PermissionDenied, match="Only a person"):
            propose(desk, row.id, actor)
    with desk.database.begin() as connection:
        store.put_settings(connection, Settings(False, True, None, "test", desk.now))
    case, digest = propose(desk, row.id, OPERATOR_KEY)
    assert confirm(desk, case.id, Actor("machine"), digest).status == "closed"
    # A person is a person in the sandbox too.
    other = waiting(desk)
    carl = desk.member("carl", "compliance")
    case, digest = propose(desk, other.id, carl)
    with pytest.raises(SamePerson):
        confirm(desk, case.id, carl, digest)
    live = Settings(True, True, None, "test", desk.now)
    with pytest.raises(ValueError, match="two people"), desk.database.begin() as connection:
        store.put_settings(connection, live)


def test_what_changed_is_not_confirmed(desk: Desk) -> None:
    row = waiting(desk)
    carl, dora = people(desk)
    case, digest = propose(desk, row.id, carl)
    # A note that the second person did not read.
    write(desk, case.id, carl)
    with pytest.raises(ApprovalStale):
        confirm(desk, case.id, dora, digest)
    digest = shown(desk, case.id)
    # A new finding.
    with desk.database.begin() as connection:
        open_cases(connection, [opening(row.id, reason="another list")], now=desk.now)
    with pytest.raises(ApprovalStale):
        confirm(desk, case.id, dora, digest)
    digest = shown(desk, case.id)
    # The merchant called the payout off.
    with desk.database.begin() as connection:
        connection.execute(text("UPDATE payouts SET status = 'canceled'"))
    with pytest.raises(ApprovalStale):
        confirm(desk, case.id, dora, digest)
    with pytest.raises(UnexpectedState, match="can not be done any more"):
        confirm(desk, case.id, dora, shown(desk, case.id))
    declined = flow.decline(
        desk.parts, case.id, actor=dora.actor, livemode=False, reason="it is canceled"
    )
    assert (declined.status, declined.proposal) == ("in_progress", None)
    case, digest = propose(desk, row.id, carl, Outcome.dismiss)
    assert confirm(desk, case.id, dora, digest).outcome == "dismiss"


def test_a_waiting_one_is_never_dismissed(desk: Desk) -> None:
    row = waiting(desk)
    carl, _ = people(desk)
    for outcome, more in (
        (Outcome.dismiss, {}),
        (Outcome.seize, {"place": Place.left}),
        (Outcome.return_, {"destination": "0x" + "11" * 20}),
    ):
        with pytest.raises(UnexpectedState, match="release, reject"):
            propose(desk, row.id, carl, outcome, **more)
    with pytest.raises(ResourceMissing):
        propose(desk, "case_none", carl)


def test_two_proposals_at_once_are_one(desk: Desk) -> None:
    row = waiting(desk)
    carl, dora = people(desk)
    got: list[str] = []

    def say(by: Member, outcome: Outcome) -> None:
        try:
            propose(desk, row.id, by, outcome)
            got.append(outcome.value)
        except UnexpectedState:
            got.append("refused")

    run([lambda: say(carl, Outcome.release), lambda: say(dora, Outcome.reject)])
    assert sorted(got)[0] in ("refused", "reject", "release")
    assert got.count("refused") == 1
    assert acts(desk.database, found(desk.database, row.id).id).count("proposed") == 1


def test_two_confirmations_at_once_end_it_once(desk: Desk) -> None:
    row = waiting(desk)
    carl, dora = people(desk)
    erin = desk.member("erin", "compliance")
    case, digest = propose(desk, row.id, carl)
    codes = {dora.id: dora.code(), erin.id: erin.code()}
    got: list[str] = []

    def say(by: Member) -> None:
        try:
            got.append(confirm(desk, case.id, by, digest, codes[by.id]).status)
        except SakkError as error:
            got.append(error.code)

    run([lambda: say(dora), lambda: say(erin)])
    assert got.count("closed") == 1
    assert acts(desk.database, case.id).count("confirmed") == 1


def test_two_officers_do_not_take_the_same_case(desk: Desk) -> None:
    row = waiting(desk)
    carl, dora = people(desk)
    got: list[str] = []

    def grab(by: Member) -> None:
        try:
            got.append(take(desk, row.id, by).assignee or "")
        except UnexpectedState:
            got.append("taken")

    run([lambda: grab(carl), lambda: grab(dora)])
    owner = found(desk.database, row.id).assignee
    assert sorted(got) == sorted([owner or "", "taken"])
    case = found(desk.database, row.id)
    assert (case.status, acts(desk.database, case.id)) == ("assigned", ["opened", "assigned"])
    first, second = (carl, dora) if owner == carl.id else (dora, carl)
    # Taken again by the same: nothing new. Given on by who knows whose it was.
    assert take(desk, row.id, first) == case
    with pytest.raises(UnexpectedState, match=first.id):
        take(desk, row.id, second)
    assert take(desk, row.id, second, was=first.id).assignee == second.id
    with pytest.raises(ParameterInvalid, match="role compliance"):
        take(desk, row.id, second, assignee=desk.member("fay", "viewer").id)
    write(desk, row.id, second)
    assert found(desk.database, row.id).status == "in_progress"
    assert told(desk.database, case.id).count("case.assigned") == 2


def test_notes_and_files_are_kept_once_and_for_good(desk: Desk) -> None:
    row = waiting(desk)
    carl, _ = people(desk)
    identifier = new_id("cnote")
    first = write(desk, row.id, carl, identifier)
    assert write(desk, row.id, carl, identifier) == first
    file = new_id("catt")
    for _ in range(2):
        kept = flow.attach(
            desk.parts,
            row.id,
            b"%PDF-1.7",
            name="../x\u202e.pdf",
            media_type="application/pdf",
            actor=carl.actor,
            livemode=False,
            attachment_id=file,
        )
    assert (kept.name, kept.size_bytes, kept.author) == ("x.pdf", 8, carl.id)
    case = found(desk.database, row.id)
    assert acts(desk.database, case.id) == ["opened", "noted", "attached"]
    with desk.database.begin() as connection:
        assert store.read_content(connection, file) == b"%PDF-1.7"
        assert len(store.list_notes(connection, case.id)) == 1


def test_a_closed_case_is_opened_again_by_a_person(desk: Desk) -> None:
    row = waiting(desk)
    carl, dora = people(desk)
    case, digest = propose(desk, row.id, carl)
    with pytest.raises(UnexpectedState, match="can not be reopened"):
        again(desk, case.id, carl)
    confirm(desk, case.id, dora, digest)
    opened = again(desk, case.id, carl)
    assert (opened.status, opened.outcome, opened.assignee) == ("open", None, None)
    assert opened.due_at > desk.now
    assert told(desk.database, case.id)[0] == "case.opened"
    # The payout is the policy's by now: nothing is held by the case.
    _, digest = propose(desk, row.id, carl, Outcome.dismiss)
    assert confirm(desk, case.id, dora, digest).status == "closed"


def test_deadlines_pass_once_and_are_measured(desk: Desk) -> None:
    first = waiting(desk)
    urgent = waiting(desk, priority=Priority.urgent)
    stage = age_stage(desk.parts)
    assert stage.run() == 0
    assert gauge("sakk_cases_open", kind="payout") == 2
    assert gauge("sakk_cases_overdue") == 0
    desk.advance(2 * 3600)
    assert age_stage(desk.parts).run() == 1
    assert age_stage(desk.parts).run() == 0
    late = found(desk.database, urgent.id)
    assert late.overdue_at == desk.now
    assert told(desk.database, late.id) == ["case.overdue", "case.opened"]
    assert gauge("sakk_cases_overdue") == 1
    assert gauge("sakk_cases_oldest_seconds") == 2 * 3600
    with desk.database.begin() as connection:
        wanted = store.Wanted(overdue=True)
        rows, more = store.list_queue(connection, wanted, livemode=False, now=desk.now, limit=10)
        assert ([each.id for each in rows], more) == ([late.id], False)
        rows, more = store.list_queue(
            connection, store.Wanted(), livemode=False, now=desk.now, limit=1
        )
        assert ([each.subject for each in rows], more) == ([urgent.id], True)
        rows, more = store.list_queue(
            connection,
            store.Wanted(),
            livemode=False,
            now=desk.now,
            limit=1,
            starting_after=rows[0].id,
        )
        assert ([each.subject for each in rows], more) == ([first.id], False)


def test_what_is_held_without_a_case_gets_one(desk: Desk) -> None:
    """What was held before there were cases; the newest verdict says why."""
    row = desk.payout(1, status="requested", under_review=True)
    with desk.database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO screenings SELECT 'scr_old', account_id, livemode, id, network, asset,"
                " 'outgoing', destination, destination, token_amount, 'review', '[]', 1, 'r', '',"
                " created FROM payouts"
            )
        )
    assert age_stage(desk.parts).run() == 1
    assert age_stage(desk.parts).run() == 0
    case = found(desk.database, row.id)
    assert (case.kind, case.screening, case.status) == ("payout", "scr_old", "open")


def take(desk: Desk, subject: str, by: Member, **how: Any) -> Case:
    how = {"assignee": None, "was": None, **how}
    return flow.assign(desk.parts, subject, actor=by.actor, livemode=False, **how)


def write(desk: Desk, subject: str, by: Member, note_id: str | None = None) -> Any:
    return flow.note(
        desk.parts,
        subject,
        "looked at it",
        actor=by.actor,
        livemode=False,
        note_id=note_id or new_id("cnote"),
    )


def again(desk: Desk, case: str, by: Member) -> Case:
    return flow.reopen(
        desk.parts, case, actor=by.actor, livemode=False, reason="the payer wrote to us"
    )


def shown(desk: Desk, case: str) -> str:
    """The digest of what stands there now, as the case shows it."""
    with desk.database.begin() as connection:
        matter = find_matter(connection, case, livemode=False)
        return str(evidence(connection, matter, now=desk.now)["digest"])


def gauge(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(name, labels)
    assert value is not None
    return value


def run(works: list[Any]) -> None:
    threads = [threading.Thread(target=each) for each in works]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
