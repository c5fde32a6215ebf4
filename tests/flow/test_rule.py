"""Versions of the screening rules: by two people of compliance, and what waits is judged again."""

from typing import Any

import pytest
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import BENEFICIARY, credit, payout_now
from tests.flow.policing import OPERATOR_KEY, Desk, Member
from tests.screening.conftest import enact

from sakk.core.errors import (
    ApprovalStale,
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    SamePerson,
    StepUpRequired,
    UnexpectedState,
)
from sakk.core.label import Category
from sakk.core.person import Actor
from sakk.core.rule import Direct, Rule, RulesVersion, rules_document
from sakk.core.screening import Verdict
from sakk.flow import rule as flow
from sakk.flow.step_up import StepUp
from sakk.store.database import Database
from sakk.store.identity import new_id
from sakk.store.rule import numbers_in_force
from sakk.store.screening import latest_screening

NO_EXCHANGE = Direct(name="no exchange", verdict=Verdict.review, categories=(Category.exchange,))


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database, new_id("acct"))


def propose(desk: Desk, by: Actor, *rules: Rule, **options: Any) -> RulesVersion:
    given: dict[str, Any] = {"identifier": new_id("rul"), "note": "why", "livemode": False}
    return flow.propose(desk.parts, rules_document(rules), actor=by, **(given | options))


def approve(
    desk: Desk, version: RulesVersion, by: Member, *, digest: str | None = None
) -> RulesVersion:
    return flow.approve(desk.parts, version.id, by.yes(digest or version.digest), livemode=False)


def number(desk: Desk) -> int:
    with desk.database.begin() as connection:
        return numbers_in_force(connection)[False]


def test_a_version_takes_effect_by_two_people_of_compliance(desk: Desk) -> None:
    maker, checker = desk.member("mia", "compliance"), desk.member("cleo", "compliance")
    version = propose(desk, maker.actor, NO_EXCHANGE)
    assert (version.number, version.base, version.state) == (1, 0, "proposed")
    assert propose(desk, maker.actor, NO_EXCHANGE, identifier=version.id) == version
    assert number(desk) == 0
    with pytest.raises(SamePerson):
        approve(desk, version, maker)
    with pytest.raises(ApprovalStale):
        approve(desk, version, checker, digest="0" * 64)
    with pytest.raises(StepUpRequired):
        flow.approve(desk.parts, version.id, checker.yes(version.digest, StepUp()), livemode=False)
    now = approve(desk, version, checker)
    assert (now.state, now.decided_by, number(desk)) == ("in_force", checker.id, 1)
    assert approve(desk, version, checker) == now
    with pytest.raises(UnexpectedState, match="is in_force: it never changes"):
        approve(desk, version, maker)
    with desk.database.begin() as connection:
        assert flow.find_version(connection, "in_force", livemode=False) == now
        assert flow.find_version(connection, "1", livemode=False) == now
        assert flow.find_version(connection, "in_force", livemode=True) is None
        with pytest.raises(ResourceMissing):
            flow.find_version(connection, "1", livemode=True)
        assert flow.shown(connection, "0", livemode=False)["state"] == "retired"
        assert flow.shown(connection, "in_force", livemode=True)["state"] == "in_force"
        assert flow.shown(connection, "in_force", livemode=False)["id"] == version.id


def test_a_version_that_is_outdated_or_rejected_never_judges(desk: Desk) -> None:
    maker, checker = desk.member("mia", "compliance"), desk.member("cleo", "compliance")
    first, second, third = (propose(desk, maker.actor, NO_EXCHANGE) for _ in range(3))
    rejected = flow.reject(desk.parts, second.id, actor=maker.actor, livemode=False)
    assert rejected.state == "rejected"
    with pytest.raises(UnexpectedState, match="is rejected"):
        approve(desk, second, checker)
    approve(desk, first, checker)
    with pytest.raises(UnexpectedState, match="another took effect since"):
        approve(desk, third, checker)
    assert number(desk) == 1


def test_who_may_not(desk: Desk) -> None:
    treasurer = desk.member("tom", "finance")
    with pytest.raises(PermissionDenied, match="admin, compliance"):
        propose(desk, treasurer.actor, NO_EXCHANGE)
    with pytest.raises(PermissionDenied, match="Only a person"):
        propose(desk, OPERATOR_KEY, NO_EXCHANGE)
    with pytest.raises(ParameterInvalid) as refused:
        flow.propose(
            desk.parts,
            [{"kind": "direct", "name": "a", "verdict": "block", "categories": []}],
            identifier=new_id("rul"),
            actor=treasurer.actor,
            note=None,
            livemode=False,
        )
    assert refused.value.param == "rules[0][categories]"


def test_what_waits_is_judged_again_by_other_rules(world: World) -> None:
    world.import_list(BENEFICIARY, kind="labels", category="exchange")
    credit(world, 100)
    row = world.payout(30 * WHOLE_TOKEN, address=BENEFICIARY)
    world.run()
    assert payout_now(world, row).status == "approved"  # the treasury has nothing yet
    enact(world.database, NO_EXCHANGE)
    world.run()
    stopped = payout_now(world, row)
    assert (stopped.status, stopped.under_review) == ("requested", True)
    enact(world.database)
    world.run()
    with world.database.begin() as connection:
        found = latest_screening(connection, row.id)
    assert found is not None
    assert (found.verdict, found.rules_version) == ("clear", "2")
    # Whoever waits for a person waits on: only the operator is told that nothing is found now.
    assert payout_now(world, row).under_review
    told = [each for each in world.events(operator=True) if each.type == "screening.updated"]
    assert [each.object["verdict"] for each in told] == ["review", "clear"]
    assert world.run_only("screening.rescreen") == [0]
    world.check()
