"""Questions on cases: asked, answered once, reminded of, and gone when people have decided."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.flow.policing import Desk, Member
from tests.flow.test_case import acts, found, told
from tests.flow.test_case_work import confirm, desk, people, propose, waiting

from sakk.core.errors import ParameterInvalid, PermissionDenied, ResourceMissing, UnexpectedState
from sakk.core.information_request import Asked
from sakk.core.payout import Payout
from sakk.core.person import Actor
from sakk.flow import case_work
from sakk.flow import information_request as flow
from sakk.flow.case_age import age_stage
from sakk.store import case as cases
from sakk.store import information_request as store
from sakk.store.event import page
from sakk.store.identity import new_id

__all__ = ["desk"]
MERCHANT = Actor("key_of_the_shop")
INVOICE = flow.SentFile("../invoice.pdf", "application/pdf", b"%PDF-1.7 paid")


def ask(desk: Desk, row: Payout, by: Member, *, identifier: str | None = None) -> Asked:
    return flow.ask(
        desk.parts,
        row.id,
        "What is it paid for?",
        due_at=None,
        actor=by.actor,
        livemode=False,
        request_id=identifier or new_id("irq"),
    )


def answer(desk: Desk, asked: Asked, words: str = "For coffee.", seed: int = 1 << 90) -> Asked:
    return flow.answer(
        desk.parts,
        asked.request.id,
        words,
        [INVOICE],
        account_id=desk.account,
        livemode=False,
        actor=MERCHANT,
        seed=seed,
    )


def heard(desk: Desk) -> list[str]:
    """What the account was told, oldest first."""
    with desk.database.begin() as connection:
        rows, _ = page(connection, account_id=desk.account, livemode=False, limit=100)
    return [each.type for each in reversed(rows) if each.type.startswith("information")]


def test_an_account_is_asked_and_answers(desk: Desk) -> None:
    row = waiting(desk)
    carl, _ = people(desk)
    asked = ask(desk, row, carl, identifier=(known := new_id("irq")))
    assert ask(desk, row, carl, identifier=known) == asked
    about = asked.request.about
    assert (about["object"], about["id"], about["amount_decimal"]) == ("payout", row.id, "1.000000")
    assert found(desk.database, row.id).status == "awaiting_answer"
    with pytest.raises(UnexpectedState):
        ask(desk, row, carl)
    with pytest.raises(ResourceMissing):
        flow.answer(
            desk.parts, known, "x", account_id="acct_2", livemode=False, actor=MERCHANT, seed=1
        )
    answered = answer(desk, asked)
    # Whoever did not get the answer sends it again; another one is refused.
    assert answer(desk, asked, seed=1 << 91) == answered
    with pytest.raises(UnexpectedState):
        answer(desk, asked, "For tea.")
    case = found(desk.database, row.id)
    assert (case.status, case.acts) == ("in_progress", 3)
    assert acts(desk.database, case.id) == ["opened", "asked", "answered"]
    with desk.database.begin() as connection:
        [kept] = cases.list_attachments(connection, case.id)
        assert cases.read_content(connection, kept.id) == INVOICE.content
        last = cases.list_acts(connection, case.id)[-1]
    assert (kept.name, kept.author, kept.case_id) == ("invoice.pdf", MERCHANT.key, case.id)
    assert (last.actor, last.detail["files"]) == (MERCHANT.key, [kept.id])
    assert heard(desk) == ["information_request.created", "information_request.answered"]
    assert told(desk.database, case.id) == ["case.answered", "case.opened"]
    # Asked once more, it is another request.
    assert ask(desk, row, carl).request.id != known


def test_an_answer_that_comes_while_it_is_decided_is_looked_at(desk: Desk) -> None:
    row = waiting(desk)
    carl, dora = people(desk)
    asked = ask(desk, row, carl)
    case, digest = propose(desk, row.id, carl)
    answer(desk, asked)
    assert found(desk.database, row.id).status == "awaiting_second"
    with pytest.raises(Exception, match="look at the case again"):
        confirm(desk, case.id, dora, digest)


def test_what_is_decided_needs_no_answer(desk: Desk) -> None:
    row = waiting(desk)
    carl, dora = people(desk)
    asked = ask(desk, row, carl)
    propose(desk, row.id, carl)
    case_work.decline(desk.parts, row.id, actor=dora.actor, livemode=False, reason="too early")
    # The question still stands, so the case goes on waiting for it.
    assert found(desk.database, row.id).status == "awaiting_answer"
    case, digest = propose(desk, row.id, carl)
    assert confirm(desk, case.id, dora, digest).status == "closed"
    assert acts(desk.database, case.id)[-4:] == [
        "proposed",
        "withdrawn",
        "confirmed",
        "carried_out",
    ]
    with pytest.raises(UnexpectedState, match="withdrawn"):
        answer(desk, asked)
    assert heard(desk)[-1] == "information_request.withdrawn"


def test_who_writes_down_a_letter_is_named_to_the_case_alone(desk: Desk) -> None:
    row = waiting(desk)
    carl, _ = people(desk)
    asked = ask(desk, row, carl)
    written = flow.answer(
        desk.parts,
        asked.request.id,
        "For coffee.",
        account_id=None,
        livemode=False,
        actor=carl.actor,
        seed=1,
        by_operator=True,
    )
    assert written.end is not None
    assert written.end.by == "operator"
    with desk.database.begin() as connection:
        last = cases.list_acts(connection, asked.request.case_id)[-1]
    assert (last.act, last.actor) == ("answered", carl.actor.name)


def test_of_an_answer_and_a_withdrawal_at_once_there_is_one(desk: Desk) -> None:
    row = waiting(desk)
    carl, _ = people(desk)
    asked = ask(desk, row, carl)
    failed: list[Exception] = []

    def attempt(act: str) -> None:
        try:
            if act == "answer":
                answer(desk, asked)
            else:
                flow.withdraw(desk.parts, asked.request.id, actor=carl.actor, livemode=False)
        except UnexpectedState as error:
            failed.append(error)

    threads = [threading.Thread(target=attempt, args=(each,)) for each in ("answer", "withdraw")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(failed) == 1
    assert len(acts(desk.database, found(desk.database, row.id).id)) == 3
    with pytest.raises(DBAPIError, match="never changed"), desk.database.begin() as connection:
        connection.execute(text("UPDATE information_ends SET text = 'x'"))


def test_who_is_late_is_reminded_and_the_officer_told_once(desk: Desk) -> None:
    row = waiting(desk)
    carl, _ = people(desk)
    asked = ask(desk, row, carl)
    stage = age_stage(desk.parts)
    begun = desk.now
    for days in (6, 7, 7.5, 8, 9, 10, 20):
        desk.now = begun + timedelta(days=days)
        stage.run()
    reminded = [each for each in heard(desk) if each.endswith("reminded")]
    assert len(reminded) == 3
    case = found(desk.database, row.id)
    assert acts(desk.database, case.id).count("reminded") == 3
    assert told(desk.database, case.id).count("case.unanswered") == 1
    assert case.status == "awaiting_answer"
    with desk.database.begin() as connection:
        late = store.find(connection, asked.request.id, account_id=desk.account, livemode=False)
        assert store.count_open(connection, account_id=desk.account, livemode=False, limit=9) == 1
    assert late is not None
    assert (late.reminders, late.is_overdue(desk.now)) == (3, True)


def test_only_compliance_asks_and_nobody_tips_off(desk: Desk) -> None:
    row = waiting(desk)
    with pytest.raises(PermissionDenied):
        ask(desk, row, desk.member("eve", "finance"))
    carl, _ = people(desk)
    with pytest.raises(ParameterInvalid, match="sanctions"):
        flow.ask(
            desk.parts,
            row.id,
            "Do sanctions apply to the receiver?",
            due_at=None,
            actor=carl.actor,
            livemode=False,
            request_id=new_id("irq"),
        )
    assert found(desk.database, row.id).status == "open"
