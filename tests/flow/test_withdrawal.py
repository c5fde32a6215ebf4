"""Withdrawals and recoveries before the policy: judged, approved by several people, signed."""

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.flow.conftest import MakeWorld
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import fund_treasury, units_at
from tests.flow.policing import Desk, Member
from tests.flow.test_recovery import claim, now_of, offer, settle, unlisted
from tests.flow.test_treasury import finish, name_vault

from sakk.core import recovery as recovery_rules
from sakk.core import withdrawal as rules
from sakk.core.errors import SamePerson, StepUpRequired, UnexpectedState
from sakk.core.person import Actor
from sakk.core.policy import Action, Amount, Period, Rule
from sakk.core.withdrawal import Withdrawal
from sakk.flow import recovery
from sakk.flow import withdrawal as flow
from sakk.flow.explanation import explain_recovery, explain_withdrawal
from sakk.flow.step_up import StepUp
from sakk.flow.word import Word
from sakk.signing.policy import NetworkRule, RecoveryRule, load_policy, write_policy
from sakk.store import person as persons
from sakk.store import withdrawal as store
from sakk.store.identity import new_id

SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
PUBLIC_KEY = SIGNING_KEY.public_key().public_bytes_raw().hex()


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()


def two(name: str, **fits: Any) -> Rule:
    """A rule that asks for two approvers."""
    return Rule(name=name, action=Action.approve, approvals=2, role="approver", **fits)


def desk_of(world: World) -> Desk:
    return Desk(world.database, world.account, now=world.clock())


def signing(world: World, member: Member) -> None:
    """The member's key is known to Sakk, and to the signer's own file, which asks for it."""
    with world.database.begin() as connection:
        persons.change(connection, member.id, {"public_key": PUBLIC_KEY})
    path = world.directory / "policy.toml"
    policy, _ = load_policy(path)

    def strict(rule: NetworkRule) -> NetworkRule:
        return msgspec.structs.replace(rule, withdrawal_approvals_min=1)

    def strict_too(rule: RecoveryRule) -> RecoveryRule:
        return msgspec.structs.replace(rule, approvals_min=1)

    changed = msgspec.structs.replace(
        policy,
        approvals_min=1,
        approvers=(PUBLIC_KEY,),
        networks=tuple(map(strict, policy.networks)),
        recoveries=tuple(map(strict_too, policy.recoveries)),
    )
    write_policy(path, changed)


def withdraw(world: World, whole: int, place: str, actor: Actor) -> Withdrawal:
    return flow.withdraw(
        world.parts,
        asset_name=world.asset("usdc"),
        units=whole * WHOLE_TOKEN,
        destination=place,
        actor=actor,
    )


def read(world: World, row: Withdrawal) -> Withdrawal:
    with world.database.begin() as connection:
        found = store.find(connection, row.id)
    assert found is not None
    return found


def approve(desk: Desk, row: Withdrawal, by: Member, step_up: StepUp | None = None) -> Withdrawal:
    word = Word(by.actor, step_up or StepUp(code=by.code()), rules.approvable(row).digest)
    return flow.approve(desk.parts, row.id, word, approval_id=new_id("apr"), livemode=False)


def test_a_withdrawal_takes_the_people_that_its_rule_asks_for(world: World) -> None:
    fund_treasury(world, 1_000)
    place, desk = name_vault(world), desk_of(world)
    tom, eve, fay = (
        desk.member("tom", "finance", "approver"),
        desk.member("eve", "approver"),
        desk.member("fay", "approver"),
    )
    desk.enact(two("vaults", destinations=("vault",)))
    signing(world, fay)
    row = withdraw(world, 700, place, tom.actor)
    assert (row.status, row.rule, row.approvals_needed) == ("screened", "vaults", 2)
    with world.database.begin() as connection:
        shown = explain_withdrawal(connection, row.id, livemode=False)
    assert "vault 'bank', cold" in shown["text"]
    assert "asks for 2 approvals of approver, 0 given" in shown["text"]
    # One person alone is refused: not the one who asked, not without a second factor, not twice.
    with pytest.raises(SamePerson, match="asked"):
        approve(desk, row, tom)
    with pytest.raises(StepUpRequired):
        approve(desk, row, eve, StepUp())
    assert approve(desk, row, eve).status == "screened"
    with pytest.raises(SamePerson, match="already"):
        approve(desk, row, eve)
    finish(world)
    assert units_at(world, place) == 0
    content = rules.approvable(row).content
    assert shown["message"].encode() == content
    signature = StepUp(signature=SIGNING_KEY.sign(content).hex())
    assert approve(desk, row, fay, signature).status == "approved"
    finish(world)
    assert (read(world, row).status, units_at(world, place)) == ("posted", 700 * WHOLE_TOKEN)
    assert world.event_types(about=row.id, operator=True) == [
        "withdrawal.created",
        "withdrawal.awaiting_approvals",
        "withdrawal.posted",
    ]
    world.check()


def test_the_signer_asks_for_its_own_approvals_whatever_the_policy_here_says(world: World) -> None:
    fund_treasury(world, 1_000)
    place, desk = name_vault(world), desk_of(world)
    tom = desk.member("tom", "finance")
    signing(world, tom)
    desk.enact(Rule(name="all", action=Action.allow))
    row = withdraw(world, 1, place, tom.actor)
    assert row.status == "approved"
    finish(world)
    found = read(world, row)
    assert (found.status, found.failure_code) == ("rejected", "signer_approvals_required")
    assert units_at(world, place) == 0
    world.check()


def test_a_period_counts_what_was_withdrawn_and_a_no_ends_one(world: World) -> None:
    fund_treasury(world, 1_000)
    place, desk = name_vault(world), desk_of(world)
    tom, eve = desk.member("tom", "finance"), desk.member("eve", "approver")
    a_day = Period(seconds=86_400, per="all", up_to="100", unit="whole")
    desk.enact(
        Rule(name="a day", action=Action.allow, purposes=("withdrawal",), period=a_day),
        Rule(name="much", action=Action.block, amount=Amount(above="500", unit="whole")),
        Rule(name="more", action=Action.approve, approvals=1, role="approver"),
    )
    first = withdraw(world, 60, place, tom.actor)
    second = withdraw(world, 60, place, tom.actor)
    third = withdraw(world, 501, place, tom.actor)
    assert [each.status for each in (first, second, third)] == ["approved", "screened", "rejected"]
    assert third.failure_code == "policy_blocked"
    word = Word(eve.actor, comment="not today")
    ended = flow.reject(desk.parts, second.id, word, approval_id=new_id("apr"), livemode=False)
    assert (ended.status, ended.failure_code) == ("rejected", "rejected")
    with pytest.raises(UnexpectedState):
        approve(desk, second, eve)
    # A version that took effect since is asked first.
    fourth = withdraw(world, 60, place, tom.actor)
    desk.enact(Rule(name="all", action=Action.allow))
    assert approve(desk, fourth, eve).status == "approved"
    finish(world)
    assert units_at(world, place) == 120 * WHOLE_TOKEN
    world.check()


def test_a_recovery_takes_the_people_that_its_rule_asks_for(world: World) -> None:
    fund_treasury(world)
    contract, desk = unlisted(world), desk_of(world)
    eve, fay = desk.member("eve", "approver"), desk.member("fay", "approver")
    desk.enact(two("back", purposes=("recovery",)))
    signing(world, fay)
    intent = world.intent(2_500)
    world.pay(intent, contract, 7 * WHOLE_TOKEN)
    world.finalize()
    row = offer(world, intent.address, world.payin(intent).asset)
    claim(world, row)
    world.run()
    row = now_of(world, row)
    assert (row.status, row.rule, row.sweep) == ("pending", "back", None)
    with world.database.begin() as connection:
        shown = explain_recovery(connection, row.id, livemode=False)
    assert "which the payer gave under the claim link" in shown["text"]
    subject = recovery_rules.approvable(row)

    def say(by: Member, step_up: StepUp) -> None:
        word = Word(by.actor, step_up, subject.digest)
        recovery.approve(desk.parts, row.id, word, approval_id=new_id("apr"), livemode=False)

    say(eve, StepUp(code=eve.code()))
    with pytest.raises(SamePerson):
        say(eve, StepUp(code=eve.code()))
    settle(world)
    assert now_of(world, row).sweep is None
    say(fay, StepUp(signature=SIGNING_KEY.sign(subject.content).hex()))
    settle(world)
    assert now_of(world, row).status == "succeeded"
    world.check()
