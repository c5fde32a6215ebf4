"""Money that nobody expected at a bank: whose it is takes two people, and one proof."""

import pytest
from tests.flow.banking import lines, own_account, pay_in, reference, suspense
from tests.flow.harness import World
from tests.flow.policing import Desk, Member

from sakk.core.bank_assignment import BankAssignment, digest_of
from sakk.core.bank_statement import BankLine
from sakk.core.errors import (
    ApprovalStale,
    ParameterInvalid,
    PermissionDenied,
    SamePerson,
    StepUpRequired,
    UnexpectedState,
)
from sakk.flow import bank_assignment
from sakk.flow.step_up import StepUp


def test_what_nobody_expected_waits_for_a_person(world: World) -> None:
    own = own_account(world)
    told = reference(world)
    other = world.merchant("Other")
    pay_in(world, own, 700, "no reference")
    pay_in(world, own, 900, f"{told} {reference(world, other)}")
    assert suspense(world, own) == 1_600
    first, second = lines(world)
    assert "bank_line.unmatched" in world.event_types(operator=True)
    desk = Desk(world.database, world.account, now=world.clock())
    one, two = desk.member("fay", "finance"), desk.member("fin", "finance")
    approver = desk.member("amy", "approver")

    def propose(line: BankLine, account: str, by: Member = one) -> BankAssignment:
        return bank_assignment.propose(
            desk.parts, line.id, account_id=account, note=None, actor=by.actor, livemode=False
        )

    def confirm(line: BankLine, digest: str, by: Member, step_up: StepUp | None = None) -> None:
        bank_assignment.confirm(desk.parts, line.id, by.yes(digest, step_up), livemode=False)

    with pytest.raises(ParameterInvalid):
        propose(second, "acct_none")
    with pytest.raises(PermissionDenied):
        propose(first, other, approver)
    # One person's word moves nothing, however often it is said.
    said = propose(first, other)
    assert propose(first, other) == said
    world.run()
    assert suspense(world, own) == 1_600
    shown = digest_of(said, first)
    with pytest.raises(SamePerson):
        confirm(first, shown, one)
    with pytest.raises(ApprovalStale):
        confirm(first, digest_of(propose(first, world.account), first)[::-1], two)
    # Somebody changed whose it is meanwhile: what was shown is not confirmed.
    with pytest.raises(ApprovalStale):
        confirm(first, shown, two)
    said = propose(first, other)
    with pytest.raises(StepUpRequired):
        confirm(first, digest_of(said, first), two, StepUp())
    bank_assignment.decline(desk.parts, first.id, actor=two.actor, livemode=False)
    with pytest.raises(UnexpectedState, match="Nobody has proposed"):
        confirm(first, digest_of(said, first), two)
    said = propose(first, other)
    confirm(first, digest_of(said, first), two)
    with pytest.raises(UnexpectedState):
        propose(first, world.account)
    world.run()
    assert (suspense(world, own), world.balance("eur", account=other)) == (900, 700)
    assert world.balance("eur") == 0
    world.check()
