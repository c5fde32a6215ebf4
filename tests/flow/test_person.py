"""Persons: the first two by the machine, every other by two admins, and keys of their own."""

import pytest
from tests.flow.policing import OPERATOR_KEY, VAULT, Desk, Member

from sakk.core.api_key import token_hash
from sakk.core.errors import (
    ApprovalStale,
    Misconfigured,
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    SakkError,
    SamePerson,
    StepUpRequired,
    UnexpectedState,
)
from sakk.core.person import Actor, Person, proposal_digest
from sakk.flow import person as flow
from sakk.flow.person import Introduction
from sakk.flow.step_up import StepUp
from sakk.flow.word import Word
from sakk.store import api_key as api_keys
from sakk.store import person as persons
from sakk.store.database import Database
from sakk.store.identity import new_id
from sakk.store.vault import Vault


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database, new_id("acct"))


def introduce(desk: Desk, by: Actor, name: str = "carl", *roles: str) -> tuple[Person, str]:
    token, hashed = flow.new_token(livemode=False)
    proposed = flow.propose(
        desk.parts,
        Introduction(name, f"{name}@example.com", list(roles or ("approver",)), hashed, token[-4:]),
        identifier=new_id("per"),
        actor=by,
        livemode=False,
    )
    return proposed, token


def word_of(member: Member, shown: Person) -> Word:
    """A member's yes to what was proposed for somebody, as it was shown."""
    return Word(member.actor, StepUp(code=member.code()), proposal_digest(shown))


def found(desk: Desk, identifier: str) -> Person:
    with desk.database.begin() as connection:
        row = persons.find(connection, identifier, livemode=False)
    assert row is not None
    return row


def test_the_machine_makes_two_admins_and_no_more(desk: Desk) -> None:
    desk.admins()
    with pytest.raises(PermissionDenied, match="one of them proposes"):
        desk.admin("carl")
    # Each mode has people of its own.
    assert all(each.id for each in desk.admins(livemode=True))


def test_an_operators_account_is_needed_first(desk: Desk) -> None:
    with pytest.raises(UnexpectedState, match="operator's account"):
        desk.admin("ann")


def test_a_person_is_made_by_two(desk: Desk) -> None:
    first, second = desk.admins()
    proposed, token = introduce(desk, first.actor)
    assert (proposed.state, proposed.roles) == ("proposed", [])
    with desk.database.begin() as connection:
        assert api_keys.find_principal(connection, token_hash(token)) is None

    def approve(by: Actor, code: str | None) -> Person:
        word = Word(by, StepUp(code=code), proposal_digest(proposed))
        return flow.approve(desk.parts, proposed.id, word, livemode=False)

    with pytest.raises(SamePerson):
        approve(first.actor, first.code())
    with pytest.raises(StepUpRequired):
        approve(second.actor, None)
    with pytest.raises(PermissionDenied, match="Only a person"):
        approve(OPERATOR_KEY, None)
    made = approve(second.actor, second.code())
    assert (made.state, made.roles, made.approved_by) == ("active", ["approver"], second.id)
    assert desk.actor_of(token).person == made.id
    with pytest.raises(UnexpectedState, match="Nothing is proposed"):
        approve(second.actor, second.code())


def test_only_admins_propose(desk: Desk) -> None:
    viewer = desk.member("carl", "viewer", "approver", "finance")
    for by in (viewer.actor, OPERATOR_KEY, Actor("key_x", "per_x")):
        with pytest.raises(PermissionDenied):
            introduce(desk, by, "dora")
        with pytest.raises(PermissionDenied):
            flow.suspend(desk.parts, viewer.id, actor=by, livemode=False)


def test_a_request_that_is_repeated_proposes_once(desk: Desk) -> None:
    first, _ = desk.admins()
    token, hashed = flow.new_token(livemode=False)
    carl = Introduction("carl", "carl@example.com", ["viewer"], hashed, token[-4:])
    identifier = new_id("per")
    for _ in range(2):
        flow.propose(desk.parts, carl, identifier=identifier, actor=first.actor, livemode=False)
    with pytest.raises(ParameterInvalid, match="There is a person"):
        introduce(desk, first.actor, "carl")


def test_more_power_takes_two_and_a_new_key_ends_the_old(desk: Desk) -> None:
    carl = desk.member("carl", "viewer")
    assert desk._admins is not None
    first, second = desk._admins
    token, hashed = flow.new_token(livemode=False)
    flow.propose_change(
        desk.parts,
        carl.id,
        actor=first.actor,
        livemode=False,
        roles=["approver"],
        key_hash=hashed,
        key_last4=token[-4:],
    )
    # Until it is approved everything is as before.
    assert found(desk, carl.id).roles == ["viewer"]
    changed = flow.approve(
        desk.parts, carl.id, word_of(second, found(desk, carl.id)), livemode=False
    )
    assert (changed.roles, changed.totp_confirmed) == (["approver"], False)
    assert desk.actor_of(token).person == carl.id
    with desk.database.begin() as connection:
        old = api_keys.find_principal(connection, token_hash(carl.token))
    assert old is not None
    assert old.key.revoked_at is not None


def test_a_proposal_about_oneself_is_not_approved_by_oneself(desk: Desk) -> None:
    first, second = desk.admins()
    flow.propose_change(
        desk.parts,
        second.id,
        actor=first.actor,
        livemode=False,
        roles=["admin", "approver"],
        key_hash=None,
        key_last4="0000",
    )
    with pytest.raises(SamePerson):
        flow.approve(desk.parts, second.id, word_of(second, found(desk, second.id)), livemode=False)


def test_what_is_approved_is_what_was_shown(desk: Desk) -> None:
    """Who proposes proposes again a moment before: a key of their own for another person."""
    first, second = desk.admins()
    shown, _ = introduce(desk, first.actor)
    approved = flow.approve(desk.parts, shown.id, word_of(second, shown), livemode=False)
    _, hashed = flow.new_token(livemode=False)

    def propose(key_hash: str | None) -> Person:
        return flow.propose_change(
            desk.parts,
            approved.id,
            actor=first.actor,
            livemode=False,
            roles=["viewer"],
            key_hash=key_hash,
            key_last4="abcd",
        )

    shown = propose(None)
    propose(hashed)
    with pytest.raises(ApprovalStale):
        flow.approve(desk.parts, shown.id, word_of(second, shown), livemode=False)
    with desk.database.begin() as connection:
        assert api_keys.find_principal(connection, bytes.fromhex(hashed)) is None


def test_a_suspended_person_is_so_for_ever(desk: Desk) -> None:
    carl = desk.member("carl", "approver")
    assert desk._admins is not None
    first, second = desk._admins
    with pytest.raises(SamePerson):
        flow.suspend(desk.parts, first.id, actor=first.actor, livemode=False)
    for _ in range(2):
        ended = flow.suspend(desk.parts, carl.id, actor=first.actor, livemode=False)
        assert ended.state == "suspended"
    for change in (
        lambda: flow.propose_change(
            desk.parts,
            carl.id,
            actor=first.actor,
            livemode=False,
            roles=["admin"],
            key_hash=None,
            key_last4="0000",
        ),
        lambda: flow.approve(
            desk.parts, carl.id, word_of(second, found(desk, carl.id)), livemode=False
        ),
        lambda: carl.enrol(),
    ):
        with pytest.raises(SakkError):
            change()


def test_a_second_factor_is_ones_own(desk: Desk) -> None:
    first, second = desk.admins()
    with pytest.raises(PermissionDenied, match="Only the person"):
        flow.enrol(desk.parts, first.id, actor=second.actor, livemode=False, step_up=StepUp())
    with pytest.raises(ResourceMissing):
        flow.enrol(desk.parts, "per_x", actor=second.actor, livemode=False, step_up=StepUp())
    # A key that was stolen does not replace it.
    with pytest.raises(StepUpRequired):
        first.enrol()
    before = first.secret
    first.enrol(StepUp(code=first.code()))
    assert first.secret != before
    with pytest.raises(ParameterInvalid, match="wrong"):
        flow.confirm(desk.parts, first.id, actor=first.actor, livemode=False, code="000000")
    first.confirm()
    with pytest.raises(UnexpectedState):
        first.confirm()


def test_secrets_are_sealed_and_bound_to_their_person(desk: Desk) -> None:
    first, second = desk.admins()
    sealed = found(desk, first.id).totp_secret
    assert sealed is not None
    assert first.secret.encode() not in bytes(sealed)
    assert VAULT.open(bytes(sealed), first.id) == first.secret
    for vault, owner in ((VAULT, second.id), (Vault(b"\x01" * 32), first.id)):
        with pytest.raises(Misconfigured, match="does not open"):
            vault.open(bytes(sealed), owner)
