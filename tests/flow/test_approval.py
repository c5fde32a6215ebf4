"""Approvals: maker and checker on the server, the second factor, and what was really shown."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.flow.policing import OPERATOR_KEY, Desk, Member

from sakk.core.approval import content_digest
from sakk.core.errors import (
    ApprovalStale,
    ParameterMissing,
    PermissionDenied,
    RateLimited,
    SakkError,
    SamePerson,
    StepUpFailed,
    StepUpRequired,
    UnexpectedState,
)
from sakk.core.payout import Payout, approved_content
from sakk.core.person import FAILURES_MAX, LOCKED_FOR, Actor
from sakk.core.policy import Action, Rule, seed_rules
from sakk.flow import approval, person
from sakk.flow.payout import reviewed
from sakk.flow.step_up import StepUp
from sakk.flow.word import Word, signatures
from sakk.signing.protocol import Approval as SigningApproval
from sakk.store import approval as approvals
from sakk.store import payout as payouts
from sakk.store.database import Database
from sakk.store.identity import new_id

TWO = Rule(name="two", action=Action.approve, approvals=2, role="approver")


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database, new_id("acct"))


def waiting(desk: Desk, *rules: Rule, **changes: Any) -> Payout:
    """A payout that waits for two approvers, or what other rules say."""
    desk.enact(*(rules or (TWO,)))
    row = desk.payout(20_000, **changes)
    desk.decide()
    return desk.read(row)


def given(desk: Desk, row: Payout) -> list[str]:
    with desk.database.begin() as connection:
        return [each.actor for each in approvals.of_subjects(connection, [row.id])]


def test_two_people_let_a_payout_go(desk: Desk) -> None:
    row = waiting(desk)
    one, two = desk.member("carl", "approver"), desk.member("dora", "approver")
    assert desk.approve(row, one).status == "screened"
    assert desk.approve(row, two).status == "approved"
    assert given(desk, row) == [one.id, two.id]
    assert desk.told(row) == ["payout.awaiting_approvals", "payout.approved"]
    with pytest.raises(UnexpectedState, match="waits for nobody"):
        desk.approve(row, desk.member("emil", "approver"))


def test_nobody_is_two_people(desk: Desk) -> None:
    row = waiting(desk)
    one = desk.member("carl", "approver")
    desk.approve(row, one)
    second_key = Member(desk, one.id, one.secret, Actor("key_2", one.id), one.token)
    for again in (one, second_key):
        with pytest.raises(SamePerson, match="decided on this payout already"):
            desk.approve(row, again)
    assert desk.read(row).status == "screened"


def test_who_asked_for_it_does_not_approve_it(desk: Desk) -> None:
    maker = desk.member("carl", "approver", "finance")
    row = waiting(desk, initiator="key_1", initiator_person=maker.id)
    other_key = Member(desk, maker.id, maker.secret, Actor("key_other", maker.id), "")
    for same in (maker, other_key):
        with pytest.raises(SamePerson, match="You asked for this payout"):
            desk.approve(row, same)
    assert given(desk, row) == []


@pytest.mark.parametrize("roles", [["viewer"], ["finance"], ["compliance"], ["admin"]])
def test_only_the_role_of_the_rule_approves(desk: Desk, roles: list[str]) -> None:
    row = waiting(desk)
    with pytest.raises(PermissionDenied, match="role approver"):
        desk.approve(row, desk.member("carl", *roles))


def test_the_operators_key_approves_only_what_asks_for_it(desk: Desk) -> None:
    row = waiting(desk)
    with pytest.raises(PermissionDenied):
        desk.approve(row, OPERATOR_KEY)
    desk.enact(*seed_rules())
    desk.decide()
    assert desk.approve(row, OPERATOR_KEY).status == "approved"
    own = waiting(desk, *seed_rules(), initiator=OPERATOR_KEY.key)
    with pytest.raises(SamePerson):
        desk.approve(own, OPERATOR_KEY)
    assert desk.approve(own, desk.member("carl", "approver")).status == "approved"


def test_roles_are_those_of_this_moment(desk: Desk) -> None:
    row, one = waiting(desk), desk.member("carl", "approver")
    assert desk._admins is not None
    person.suspend(desk.parts, one.id, actor=desk._admins[0].actor, livemode=False)
    with pytest.raises(PermissionDenied):
        desk.approve(row, one)


def test_other_content_is_not_approved(desk: Desk) -> None:
    row, one = waiting(desk), desk.member("carl", "approver")
    with desk.database.begin() as connection:
        connection.exec_driver_sql("UPDATE payouts SET token_amount = token_amount + 1")
    with pytest.raises(ApprovalStale):
        desk.approve(row, one)
    with pytest.raises(ParameterMissing, match="digest"):
        desk.approve(row, one, digest=None)
    assert given(desk, row) == []


def test_an_approval_of_other_content_counts_for_nothing(desk: Desk) -> None:
    row = waiting(desk)
    one, two = desk.member("carl", "approver"), desk.member("dora", "approver")
    desk.approve(row, one)
    with desk.database.begin() as connection:
        connection.exec_driver_sql("UPDATE payouts SET destination = '0x" + "11" * 20 + "'")
    assert desk.approve(desk.read(row), two).status == "screened"


def test_who_approved_other_content_is_asked_again(desk: Desk) -> None:
    """A refund that goes elsewhere now: what was signed of its first address is of another payment,
    which the signer refuses for good."""
    row = waiting(desk)
    one, two = desk.member("carl", "approver"), desk.member("dora", "approver")
    key = Ed25519PrivateKey.generate()
    person.set_public_key(
        desk.parts,
        one.id,
        actor=one.actor,
        livemode=False,
        public_key=key.public_key().public_bytes_raw().hex(),
        step_up=StepUp(code=one.code()),
    )
    for _ in range(2):
        signed = StepUp(signature=key.sign(approved_content(row)).hex())
        assert desk.approve(row, one, step_up=signed).status == "screened"
        with desk.database.begin() as connection:
            connection.exec_driver_sql("UPDATE payouts SET destination = '0x" + "11" * 20 + "'")
        row = desk.read(row)
    with pytest.raises(SamePerson):
        desk.approve(row, one)
    assert desk.approve(row, two).status == "approved"
    with desk.database.begin() as connection:
        found = signatures(connection, {row.id: approved_content(row)})
    assert [each.signature for each in found[row.id]] == [key.sign(approved_content(row))]


def test_an_approval_stands_when_screening_looked_again(desk: Desk) -> None:
    """It was found doubtful after it was approved, and its case let it go: it is what was approved,
    by the only one who may."""
    one = desk.member("carl", "approver")
    row = waiting(desk, Rule(name="one", action=Action.approve, approvals=1, role="approver"))
    assert desk.approve(row, one).status == "approved"
    with desk.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE payouts SET status = 'requested', under_review = true, decided_at = NULL"
        )
        doubtful = payouts.lock_one(connection, row.id)
        assert doubtful is not None
        reviewed(connection, doubtful, approve=True, now=desk.now)
    desk.decide()
    assert desk.read(row).status == "approved"


def test_a_code_is_needed_and_is_right_once(desk: Desk) -> None:
    row, one = waiting(desk), desk.member("carl", "approver")
    with pytest.raises(StepUpRequired):
        desk.approve(row, one, step_up=StepUp())
    with pytest.raises(StepUpFailed):
        desk.approve(row, one, step_up=StepUp(code="000000"))
    code = one.code()
    desk.approve(row, one, step_up=StepUp(code=code))
    other = desk.payout(20_000)
    desk.decide()
    with pytest.raises(StepUpFailed):
        desk.approve(desk.read(other), one, step_up=StepUp(code=code))


def test_a_person_without_a_second_factor_approves_nothing(desk: Desk) -> None:
    row, one = waiting(desk), desk.member("carl", "approver")
    one.enrol(StepUp(code=one.code()))
    with pytest.raises(StepUpRequired, match="second factor first"):
        desk.approve(row, one)
    one.confirm()
    assert desk.approve(row, one).status == "screened"


def test_guesses_are_counted_though_they_come_at_once(desk: Desk) -> None:
    row, one = waiting(desk), desk.member("carl", "approver")

    def guess(number: int) -> type[SakkError]:
        try:
            desk.approve(row, one, step_up=StepUp(code=f"{number:06d}"))
        except SakkError as error:
            return type(error)
        raise AssertionError("a guess was right")

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(guess, range(20)))
    assert answers.count(StepUpFailed) == FAILURES_MAX
    assert answers.count(RateLimited) == 20 - FAILURES_MAX
    with pytest.raises(RateLimited):
        desk.approve(row, one)
    desk.advance(int(LOCKED_FOR.total_seconds()))
    assert desk.approve(row, one).status == "screened"


def test_one_code_in_parallel_is_one_approval(desk: Desk) -> None:
    row, one = waiting(desk), desk.member("carl", "approver")
    word = StepUp(code=one.code())

    def say(_: int) -> bool:
        try:
            desk.approve(row, one, step_up=word)
        except SakkError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(say, range(4))).count(True) == 1
    assert given(desk, row) == [one.id]


def test_two_at_once_are_two_approvals_and_one_payout(desk: Desk) -> None:
    row = waiting(desk)
    people = [desk.member(name, "approver") for name in ("carl", "dora", "emil")]
    # The clock stands still from here: every device has a code that was not used.
    words = [StepUp(code=each.code()) for each in people[:2]]
    words.append(StepUp(code=people[2].code()))

    def say(place: int) -> str:
        try:
            return desk.approve(row, people[place], step_up=words[place]).status
        except SakkError as error:
            return error.code

    with ThreadPoolExecutor(3) as pool:
        said = sorted(pool.map(say, range(3)))
    assert said.count("approved") == 1
    assert desk.told(row).count("payout.approved") == 1
    assert desk.read(row).status == "approved"


def test_a_repeated_request_is_the_same_approval(desk: Desk) -> None:
    row, one = waiting(desk), desk.member("carl", "approver")
    digest = content_digest(approved_content(row))
    word = Word(one.actor, StepUp(code=one.code()), digest)
    for _ in range(2):
        said = approval.approve(desk.parts, row.id, word, approval_id="apr_1", livemode=False)
        assert said.status == "screened"
    assert given(desk, row) == [one.id]


def test_one_no_ends_it(desk: Desk) -> None:
    row = waiting(desk)
    one, two = desk.member("carl", "approver"), desk.member("dora", "approver")
    desk.approve(row, one)
    # Who said yes may still say no; no code is asked for to stop something.
    rejected = desk.reject(row, one, comment="not expected")
    assert (rejected.status, rejected.failure_code) == ("rejected", "rejected")
    assert rejected.failure_message == "not expected"
    for decide in (desk.approve, desk.reject):
        with pytest.raises(UnexpectedState):
            decide(row, two)
    with pytest.raises(UnexpectedState):
        desk.reject(desk.payout(1), two)


def test_a_viewer_rejects_nothing(desk: Desk) -> None:
    with pytest.raises(PermissionDenied):
        desk.reject(waiting(desk), desk.member("carl", "viewer"))
    assert desk.reject(waiting(desk), desk.member("dora", "admin")).status == "rejected"


def test_under_review_is_decided_by_its_case(desk: Desk) -> None:
    """No word on the payout itself counts, whoever says it: two people decide by the case."""
    row = desk.payout(1, status="requested", under_review=True)
    approver, officer = desk.member("carl", "approver"), desk.member("dora", "compliance")
    for decide in (desk.approve, desk.reject):
        for by in (approver, officer, OPERATOR_KEY):
            with pytest.raises(UnexpectedState, match="by its case"):
                decide(row, by)
    assert desk.read(row).status == "requested"
    assert given(desk, row) == []


def test_a_signature_is_an_approval_that_the_signer_can_check(desk: Desk) -> None:
    row, one = waiting(desk), desk.member("carl", "approver")
    key = Ed25519PrivateKey.generate()
    content = approved_content(row)
    signed = StepUp(signature=key.sign(content).hex())
    with pytest.raises(StepUpRequired, match="no public key"):
        desk.approve(row, one, step_up=signed)
    public = key.public_key().public_bytes_raw()
    person.set_public_key(
        desk.parts,
        one.id,
        actor=one.actor,
        livemode=False,
        public_key=public.hex(),
        step_up=StepUp(code=one.code()),
    )
    for wrong in ("00" * 64, key.sign(content + b"0").hex(), "zz" * 64, "00"):
        with pytest.raises(StepUpFailed):
            desk.approve(row, one, step_up=StepUp(signature=wrong), digest=None)
    desk.approve(row, one, step_up=signed, digest=None)
    with desk.database.begin() as connection:
        found = signatures(connection, {row.id: content})
    assert found == {row.id: (SigningApproval(public, key.sign(content)),)}


def test_approvals_stand_when_another_version_takes_effect(desk: Desk) -> None:
    row = waiting(desk)
    one = desk.member("carl", "approver")
    desk.approve(row, one)
    desk.enact(Rule(name="one", action=Action.approve, approvals=1, role="approver"))
    desk.decide()
    assert (desk.read(row).status, desk.read(row).rule) == ("approved", "one")
