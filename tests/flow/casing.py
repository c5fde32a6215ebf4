"""Deciding cases as in the sandbox: one key proposes and confirms."""

from tests.flow.harness import World
from tests.flow.policing import OPERATOR_KEY

from sakk.core.case import Case, Outcome, Place
from sakk.flow import case_work as flow
from sakk.flow.word import Word
from sakk.store import case as store


def decide(
    world: World,
    subject: str,
    outcome: Outcome,
    *,
    destination: str | None = None,
    place: Place | None = None,
) -> Case:
    """Propose how the case of a subject ends, and confirm it."""
    plan = flow.Plan(outcome, destination=destination, place=place)
    case, digest = flow.propose(world.parts, subject, plan, actor=OPERATOR_KEY, livemode=False)
    return flow.confirm(world.parts, case.id, Word(OPERATOR_KEY, digest=digest), livemode=False)


def case_now(world: World, subject: str) -> Case:
    """The case of a subject as it stands."""
    with world.database.begin() as connection:
        found = store.find(connection, subject, livemode=False)
    assert found is not None
    return found


def acts(world: World, subject: str) -> list[str]:
    """What happened to the case of a subject, in order."""
    with world.database.begin() as connection:
        return [each.act for each in store.list_acts(connection, case_now(world, subject).id)]
