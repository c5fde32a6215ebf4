"""A freeze ends by two people: one proposes, another confirms, and neither alone."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.flow.harness import World
from tests.flow.policing import OPERATOR_KEY, Desk, Member
from typer.testing import CliRunner

from sakk.cli.app import make_app
from sakk.core.errors import (
    ApprovalStale,
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    SamePerson,
    StepUpFailed,
    StepUpRequired,
    UnexpectedState,
)
from sakk.core.freeze import Freeze, FreezeOrigin, Lift, message_of
from sakk.core.person import Actor, proposal_digest
from sakk.flow import freeze as flow
from sakk.flow import person
from sakk.flow.step_up import StepUp
from sakk.flow.word import Word
from sakk.signing.approver import create_approver
from sakk.signing.policy import load_policy, write_policy
from sakk.store import freeze as store
from sakk.store import person as persons
from sakk.store.database import Database
from sakk.store.identity import new_id

WHY = "looked at: a drill"


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database, new_id("acct"))


@pytest.fixture
def frozen(desk: Desk) -> Freeze:
    with desk.database.begin() as connection:
        return flow.freeze(
            connection,
            flow.FreezeOrder(reason="theft"),
            identifier=new_id("frz"),
            origin=FreezeOrigin.api,
            now=desk.now,
        )


def propose(desk: Desk, row: Freeze, by: Member | Actor, **more: Any) -> Lift:
    actor = by.actor if isinstance(by, Member) else by
    reason = more.pop("reason", WHY)
    return flow.propose_lift(
        desk.parts,
        row.id,
        reason=reason,
        lift_id=new_id("frl"),
        actor=actor,
        livemode=False,
        **more,
    )[0]


def confirm(desk: Desk, row: Freeze, by: Member | Actor, lift: Lift, **word: Any) -> Lift:
    told = {"digest": lift.digest} | word
    said = by.yes(**told) if isinstance(by, Member) else Word(by, **told)
    return flow.confirm_lift(desk.parts, row.id, said, livemode=False)[0]


def in_force(desk: Desk) -> list[str]:
    with desk.database.begin() as connection:
        return [each.id for each in store.list_in_force(connection)]


def test_one_proposes_and_another_confirms(desk: Desk, frozen: Freeze) -> None:
    ann, ben = desk.admins()
    lift = propose(desk, frozen, ann)
    assert propose(desk, frozen, ann) == lift
    with pytest.raises(UnexpectedState):
        propose(desk, frozen, ben)
    with pytest.raises(SamePerson):
        confirm(desk, frozen, ann, lift)
    with pytest.raises(ApprovalStale):
        confirm(desk, frozen, ben, lift, digest="0" * 64)
    with pytest.raises(StepUpRequired):
        confirm(desk, frozen, ben, lift, step_up=StepUp())
    with pytest.raises(StepUpFailed):
        confirm(desk, frozen, ben, lift, step_up=StepUp(code="000000"))
    assert in_force(desk) == [frozen.id]
    done = confirm(desk, frozen, ben, lift)
    assert (done.status, done.proposed_by, done.decided_by) == ("confirmed", ann.id, ben.id)
    assert in_force(desk) == []
    with pytest.raises(ResourceMissing, match="No freeze in force"):
        confirm(desk, frozen, ben, lift)


def test_nobody_alone_and_nobody_without_a_name(desk: Desk, frozen: Freeze) -> None:
    ann = desk.member("amy", "admin")
    for actor in (OPERATOR_KEY, desk.member("vera", "viewer")):
        with pytest.raises(PermissionDenied):
            propose(desk, frozen, actor)
    with pytest.raises(ResourceMissing, match="Nobody proposed"):
        flow.reject_lift(desk.parts, frozen.id, actor=ann.actor, livemode=False)
    with pytest.raises(ParameterInvalid):
        propose(desk, frozen, ann, reason=" ")
    teo = desk.member("teo", "finance")
    lift = propose(desk, frozen, ann)
    with pytest.raises(PermissionDenied):
        confirm(desk, frozen, teo, lift)
    with pytest.raises(PermissionDenied):
        confirm(desk, frozen, OPERATOR_KEY, lift)
    flow.reject_lift(desk.parts, frozen.id, actor=teo.actor, livemode=False)
    again = propose(desk, frozen, teo)
    assert again.id != lift.id
    assert in_force(desk) == [frozen.id]


def test_a_restores_freeze_ends_with_the_restore_alone(desk: Desk) -> None:
    ann, _ = desk.admins()
    row = Freeze(
        id=new_id("frz"),
        reason="stale",
        origin=FreezeOrigin.restore.value,
        holds_rebroadcasts=True,
        created=desk.now,
    )
    with desk.database.begin() as connection:
        assert store.insert(connection, row)
    with pytest.raises(ResourceMissing):
        propose(desk, row, ann)


def test_what_both_signed_is_kept_for_the_signer(desk: Desk, frozen: Freeze) -> None:
    ann, ben = desk.admins()
    message, signed = message_of(frozen, WHY), []
    for each, seed in ((ann, 1), (ben, 2)):
        key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        signed.append(key.sign(message).hex())
        person.set_public_key(
            desk.parts,
            each.id,
            actor=each.actor,
            livemode=False,
            public_key=key.public_key().public_bytes_raw().hex(),
            step_up=StepUp(code=each.code()),
        )
    lift = propose(desk, frozen, ann)
    with pytest.raises(StepUpFailed):
        propose(desk, frozen, ann, signature=signed[1])
    propose(desk, frozen, ann, signature=signed[0])
    confirm(desk, frozen, ben, lift, step_up=StepUp(signature=signed[1]))
    with desk.database.begin() as connection:
        [kept] = store.signed_lifts(connection, [frozen.id])
    assert [each["signature"] for each in kept.approvals] == signed


def test_an_approvers_key_is_replaced_by_two_people(desk: Desk) -> None:
    ann, ben = desk.admins()
    first, second = "ab" * 32, "cd" * 32

    def name(key: str) -> Any:
        return person.set_public_key(
            desk.parts,
            ann.id,
            actor=ann.actor,
            livemode=False,
            public_key=key,
            step_up=StepUp(code=ann.code()),
        )

    assert name(first).public_key == name(first).public_key == first
    proposed = name(second)
    assert (proposed.public_key, proposed.proposal["public_key"]) == (first, second)

    def approve(by: Member) -> Any:
        word = Word(by.actor, StepUp(code=by.code()), proposal_digest(proposed))
        return person.approve(desk.parts, ann.id, word, livemode=False)

    with pytest.raises(SamePerson):
        approve(ann)
    assert approve(ben).public_key == second


def test_the_signers_half_ends_by_what_both_signed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker carries it over; where the policy file does not say so, the signer stays."""
    desk = Desk(world.database, world.account, now=world.clock())
    monkeypatch.setenv("SAKK_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", world.database.url)
    people = desk.admins()
    keys = [tmp_path / f"{number}.pem" for number in range(2)]
    public = [create_approver(each, None) for each in keys]
    for each, key in zip(people, public, strict=True):
        with world.database.begin() as connection:
            persons.change(connection, each.id, {"public_key": key})

    def signed(row: Freeze, key: Path) -> str:
        words = ["unfreeze", WHY, "--freeze", row.id, "--sign", str(key), "--json"]
        done = CliRunner().invoke(make_app("unfreeze"), words)
        assert done.exit_code == 0, done.output
        return str(json.loads(done.stdout)["signature"])

    for allowed in (False, True):
        with world.database.begin() as connection:
            row = flow.freeze(
                connection,
                flow.FreezeOrder(reason="theft", network=world.chain.network),
                identifier=new_id("frz"),
                origin=FreezeOrigin.api,
                now=world.clock(),
            )
        world.run_only("freeze.agree")
        policy, _ = load_policy(world.directory / "policy.toml")
        changed = msgspec.structs.replace(
            policy, approvers=tuple(public), lift_approvals=2 if allowed else 0
        )
        write_policy(world.directory / "policy.toml", changed)
        first, second = (signed(row, key) for key in keys)
        lift = propose(desk, row, people[0], signature=first)
        confirm(desk, row, people[1], lift, step_up=StepUp(signature=second))
        assert row.id not in in_force(desk)
        world.run_only("freeze.agree")
        frozen = [each.freeze for each in world.parts.signer_client().status().freezes]
        # What the signer kept ends by the same signatures once its policy lets them.
        assert (frozen == []) is allowed
