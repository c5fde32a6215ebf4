"""The rules of cases: what follows what, deadlines, priorities, and what a digest holds."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sakk.core import case as rules
from sakk.core.case import (
    Act,
    Case,
    CaseAct,
    CaseKind,
    CaseStatus,
    Note,
    Outcome,
    Place,
    Priority,
    Settings,
    Subject,
)
from sakk.core.errors import ParameterInvalid, ParameterMissing, SakkError, UnexpectedState
from sakk.core.screening import Reason, Screening, Side, Verdict

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
S = CaseStatus


def case(**changes: Any) -> Case:
    known: dict[str, Any] = {
        "id": "case_1",
        "account_id": "acct_1",
        "livemode": False,
        "kind": "payin",
        "subject": "pin_1",
        "status": "open",
        "priority": 1,
        "reason": "review: direct_mixer (mixer)",
        "screening": "scr_1",
        "acts": 1,
        "due_at": NOW + timedelta(hours=72),
        "created": NOW,
    }
    return Case(**(known | changes))


def reason(verdict: Verdict, category: str) -> Reason:
    return Reason(
        verdict=verdict,
        rule=f"direct_{category}",
        side=Side.sender,
        address="0xaa",
        category=category,
        list="ofac",
        version=1,
        confidence=100,
        entity=None,
        path=("0xaa",),
    )


def screening(verdict: Verdict, *reasons: Reason) -> Screening:
    return Screening(
        id="scr_1",
        account_id="acct_1",
        livemode=False,
        subject="pin_1",
        network="eip155:1",
        asset="eip155:1/erc20:0x00",
        direction="incoming",
        sender="0xaa",
        receiver="0xbb",
        token_units=1,
        verdict=verdict.value,
        reasons=reasons,
        lists_version=1,
        rules_version="default-1",
        input_hash="",
        created=NOW,
    )


ALL = list(CaseStatus)
LIVE = [each for each in CaseStatus if each is not S.closed]


@pytest.mark.parametrize(
    ("act", "statuses"),
    [
        (Act.opened, {}),
        (Act.found, {each: each for each in LIVE}),
        (Act.reopened, {S.closed: S.open}),
        (
            Act.assigned,
            {
                S.open: S.assigned,
                S.assigned: S.assigned,
                S.in_progress: S.in_progress,
                S.awaiting_answer: S.awaiting_answer,
                S.awaiting_second: S.awaiting_second,
            },
        ),
        (Act.noted, {each: each for each in ALL} | {S.assigned: S.in_progress}),
        (Act.attached, {each: each for each in ALL} | {S.assigned: S.in_progress}),
        (
            Act.proposed,
            {
                S.open: S.awaiting_second,
                S.assigned: S.awaiting_second,
                S.in_progress: S.awaiting_second,
                S.awaiting_answer: S.awaiting_second,
            },
        ),
        (Act.asked, dict.fromkeys((S.open, S.assigned, S.in_progress), S.awaiting_answer)),
        (
            Act.answered,
            {S.awaiting_answer: S.in_progress, S.awaiting_second: S.awaiting_second},
        ),
        (
            Act.withdrawn,
            {S.awaiting_answer: S.in_progress, S.awaiting_second: S.awaiting_second},
        ),
        (Act.reminded, {each: each for each in (S.awaiting_answer, S.awaiting_second)}),
        (Act.declined, {S.awaiting_second: S.in_progress}),
        (Act.confirmed, {S.awaiting_second: S.carrying_out}),
        (Act.filed, {S.awaiting_second: S.in_progress}),
        (Act.carried_out, {S.carrying_out: S.closed}),
        (Act.failed, {S.carrying_out: S.in_progress}),
        (Act.overdue, {each: each for each in LIVE}),
    ],
)
def test_what_follows_an_act(act: Act, statuses: dict[CaseStatus, CaseStatus]) -> None:
    for status in CaseStatus:
        if status in statuses:
            assert rules.after(status.value, act) is statuses[status]
        else:
            with pytest.raises(UnexpectedState, match=f"This case is {status}"):
                rules.after(status.value, act)


@pytest.mark.parametrize("kind", list(CaseKind))
def test_the_more_urgent_the_sooner(kind: CaseKind) -> None:
    times = [rules.due_at(kind, each, since=NOW) for each in Priority]
    assert times == sorted(times, reverse=True)
    assert len(set(times)) == len(Priority)
    assert times[-1] > NOW


def test_a_deadline_passes_once_the_time_is_there_and_never_for_a_closed_one() -> None:
    late = case(due_at=NOW)
    assert rules.is_overdue(late, NOW)
    assert not rules.is_overdue(late, NOW - timedelta(seconds=1))
    assert not rules.is_overdue(replace(late, status="closed"), NOW)


@pytest.mark.parametrize(
    ("judged", "priority", "text"),
    [
        (screening(Verdict.clear), Priority.low, "clear: no reason is recorded"),
        (
            screening(Verdict.review, reason(Verdict.review, "mixer")),
            Priority.normal,
            "review: direct_mixer (mixer)",
        ),
        (
            screening(
                Verdict.block,
                reason(Verdict.block, "theft"),
                reason(Verdict.block, "theft"),
                reason(Verdict.clear, "known_good"),
            ),
            Priority.high,
            "block: direct_theft (theft)",
        ),
        (
            screening(Verdict.block, reason(Verdict.block, "sanctions")),
            Priority.urgent,
            "block: direct_sanctions (sanctions)",
        ),
        # A review for terrorism beside a block for theft is no block for terrorism.
        (
            screening(
                Verdict.block, reason(Verdict.block, "theft"), reason(Verdict.review, "terrorism")
            ),
            Priority.high,
            "block: direct_theft (theft), direct_terrorism (terrorism)",
        ),
    ],
)
def test_what_a_verdict_calls_for(judged: Screening, priority: Priority, text: str) -> None:
    opening = rules.opening_of(judged, CaseKind.payin)
    assert (opening.priority, opening.reason) == (priority, text)
    assert (opening.subject, opening.screening_id, opening.kind) == ("pin_1", "scr_1", "payin")


def test_a_reason_is_one_line_of_a_bounded_length() -> None:
    many = [reason(Verdict.block, f"c{number}") for number in range(200)]
    assert len(rules.reason_of(screening(Verdict.block, *many))) == rules.REASON_LENGTH_MAX


def test_the_parties_are_named_with_their_network() -> None:
    judged = screening(Verdict.block, reason(Verdict.block, "theft"), reason(Verdict.block, "scam"))
    assert rules.parties_of(judged) == ["eip155:1:0xaa"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("  called the payer \n", "called the payer"),
        ("one\r\ntwo\tthree", "one\ntwo\tthree"),
        ("شكرا 谢谢", "شكرا 谢谢"),
        ("", None),
        ("   ", None),
        ("a\x00b", None),
        ("a\x1b[31mb", None),
        ("x" * (rules.NOTE_LENGTH_MAX + 1), None),
    ],
)
def test_a_note_is_text(text: str, kept: str | None) -> None:
    if kept is None:
        with pytest.raises(ParameterInvalid) as error:
            rules.check_note(text)
        assert error.value.param == "text"
    else:
        assert rules.check_note(text) == kept


def test_an_act_says_what_it_changed() -> None:
    before = case()
    assert rules.changes(before, before) == ({}, {})
    taken = replace(before, status="assigned", assignee="per_1", due_at=NOW)
    assert rules.changes(before, taken) == (
        {
            "status": "open",
            "assignee": None,
            "due_at": int((NOW + timedelta(hours=72)).timestamp()),
        },
        {"status": "assigned", "assignee": "per_1", "due_at": int(NOW.timestamp())},
    )
    was, became = rules.changes(None, before)
    assert (was, became["status"], became["priority"]) == ({}, "open", 1)


def test_the_digest_changes_with_everything_that_is_confirmed() -> None:
    about = Subject(status="held", waits=True, is_booked=True, asset="a", units=5)
    proposed = case(proposal={"outcome": "release"}, acts=3)
    digest = rules.digest_of(proposed, about)
    assert digest == rules.digest_of(proposed, about)
    others = [
        rules.digest_of(replace(proposed, acts=4), about),
        rules.digest_of(replace(proposed, id="case_2"), about),
        rules.digest_of(replace(proposed, proposal={"outcome": "seize"}), about),
        rules.digest_of(proposed, replace(about, status="orphaned")),
        rules.digest_of(proposed, replace(about, units=6)),
        rules.digest_of(proposed, replace(about, screening="scr_2")),
    ]
    assert len({digest, *others}) == 1 + len(others)


HELD = Subject(status="held", waits=True, is_booked=True, is_deposit=True)


@pytest.mark.parametrize(
    ("kind", "subject", "outcomes"),
    [
        ("payin", HELD, "release return seize"),
        ("payin", replace(HELD, is_deposit=False), "release seize"),
        ("payin", replace(HELD, is_booked=False), "release return"),
        ("payin", replace(HELD, is_booked=False, is_too_large=True), "return"),
        ("payin", Subject(status="posted"), "dismiss"),
        ("payin", Subject(status="seized", is_deposit=True), "seize dismiss"),
        ("payout", Subject(status="under_review", waits=True), "release reject"),
        ("refund", Subject(status="under_review", waits=True), "release reject"),
        ("payout", Subject(status="canceled"), "dismiss"),
        ("refund", Subject(status="posted"), "dismiss"),
        ("party", Subject(status="known"), "release reject dismiss"),
        ("address", Subject(status="known"), "dismiss"),
        ("outflow", Subject(status="known"), "dismiss"),
        ("bank_line", Subject(status="known"), "dismiss"),
    ],
)
def test_how_a_case_may_end(kind: str, subject: Subject, outcomes: str) -> None:
    assert [each.value for each in rules.outcomes_of(kind, subject)] == outcomes.split()


def propose(outcome: Outcome, subject: Subject = HELD, **given: Any) -> dict[str, Any]:
    return rules.proposal_of(case(), subject, outcome, by="per_1", note=None, now=NOW, **given)


@pytest.mark.parametrize(
    ("outcome", "given", "error", "param"),
    [
        (Outcome.dismiss, {}, UnexpectedState, None),
        (Outcome.return_, {}, ParameterMissing, "destination"),
        (Outcome.release, {"destination": "0xaa"}, ParameterInvalid, "destination"),
        (Outcome.seize, {}, ParameterMissing, "place"),
        (Outcome.seize, {"place": Place.vault}, ParameterMissing, "destination"),
        (
            Outcome.seize,
            {"place": Place.left, "destination": "0xaa"},
            ParameterInvalid,
            "destination",
        ),
        (Outcome.release, {"place": Place.left}, ParameterInvalid, "place"),
        (
            Outcome.seize,
            {
                "place": Place.vault,
                "destination": "0xaa",
                "subject": replace(HELD, is_deposit=False),
            },
            ParameterInvalid,
            "place",
        ),
    ],
)
def test_what_may_not_be_proposed(
    outcome: Outcome, given: dict[str, Any], error: type[SakkError], param: str | None
) -> None:
    with pytest.raises(error) as raised:
        propose(outcome, **given)
    assert raised.value.param == param


def test_what_a_proposal_says() -> None:
    said = propose(Outcome.seize, place=Place.vault, destination="0xaa")
    assert (said["outcome"], said["place"], said["destination"]) == ("seize", "vault", "0xaa")
    assert (said["by"], said["note"], said["at"]) == ("per_1", None, int(NOW.timestamp()))
    noted = rules.proposal_of(case(), HELD, Outcome.release, by="per_1", note=" why ", now=NOW)
    assert noted["note"] == "why"
    # A report may be filed whatever the subject's state is.
    filed = propose(Outcome.file, Subject(status="posted"), attachment="catt_1", sha256="00")
    assert (filed["attachment"], filed["sha256"]) == ("catt_1", "00")


def test_what_a_confirmation_makes_of_a_case() -> None:
    waiting = case(status="awaiting_second", proposal={"outcome": "seize"})
    done = rules.confirmed(waiting, by="per_2", digest="d")
    assert (done.status, done.outcome) == ("carrying_out", "seize")
    assert done.proposal == {"outcome": "seize", "confirmed_by": "per_2", "digest": "d"}
    filed = rules.confirmed(replace(waiting, proposal={"outcome": "file"}), by="p", digest="d")
    assert (filed.status, filed.outcome, filed.proposal) == ("in_progress", None, None)


def test_what_is_opened_again_is_nobodys() -> None:
    closed = case(
        status="closed", assignee="per_1", outcome="release", proposal={}, closed_at=NOW, priority=2
    )
    again = rules.reopened(closed, now=NOW)
    assert (again.status, again.assignee, again.outcome, again.proposal) == (
        "open",
        None,
        None,
        None,
    )
    assert (again.priority, again.due_at) == (2, NOW + timedelta(hours=24))
    assert rules.reopened(closed, priority=3, now=NOW).due_at == NOW + timedelta(hours=4)


def test_how_a_case_and_an_act_are_shown() -> None:
    shown = rules.public(case(due_at=NOW), now=NOW)
    assert (shown["object"], shown["priority"], shown["overdue"]) == ("case", "normal", True)
    assert (shown["closed_at"], shown["created"]) == (None, int(NOW.timestamp()))
    closed = rules.public(case(status="closed", closed_at=NOW, due_at=NOW), now=NOW)
    assert (closed["closed_at"], closed["overdue"]) == (int(NOW.timestamp()), False)
    nothing = rules.public_settings(None, livemode=True)
    assert (nothing["one_person"], nothing["changed_by"]) == (False, None)
    said = rules.public_settings(Settings(False, True, {}, "per_1", NOW), livemode=False)
    assert (said["one_person"], said["changed_at"]) == (True, int(NOW.timestamp()))
    note = rules.public_note(Note("cnote_1", "case_1", False, "per_1", "seen", NOW))
    assert (note["object"], note["author"], note["text"]) == ("case_note", "per_1", "seen")
    act = CaseAct("cact_1", "case_1", 1, False, "noted", "per_1", "key_1", {}, {}, {"n": 1}, NOW)
    told = rules.public_act(act)
    assert (told["object"], told["by"], told["number"], told["detail"]) == (
        "case_act",
        "per_1",
        1,
        {"n": 1},
    )
