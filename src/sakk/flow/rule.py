"""Screening rules: a change is proposed by one person and put in force by another.

A version never changes. What waits is judged again by a version that takes effect, as it is after a
change of the lists.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from sakk.core import event
from sakk.core import rule as rules
from sakk.core.errors import (
    ApprovalStale,
    ResourceMissing,
    SamePerson,
    UnexpectedState,
)
from sakk.core.event import NewEvent
from sakk.core.person import Actor
from sakk.core.proposal import SecondPerson
from sakk.core.role import Role
from sakk.core.rule import (
    BUILT_IN_NUMBER,
    RulesState,
    RulesVersion,
    public_built_in,
    public_version,
    rules_digest,
    rules_document,
)
from sakk.flow.context import Parts
from sakk.flow.stage import wake
from sakk.flow.step_up import check, person_with
from sakk.flow.word import Word, weighing
from sakk.store import event as events
from sakk.store import rule as store

RULERS: Final = frozenset({Role.admin, Role.compliance})
IN_FORCE: Final = "in_force"


def propose(
    parts: Parts,
    document: object,
    *,
    identifier: str,
    actor: Actor,
    note: str | None,
    livemode: bool,
) -> RulesVersion:
    """Write a version that takes effect when another person approves it.

    Raises ParameterInvalid for a rule that can not be, PermissionDenied for a key without a person
    of compliance.
    """
    written = rules.read_rules(document)
    now = parts.clock()
    with parts.database.begin() as connection:
        # Two proposals at once have two numbers.
        base = store.lock_change(connection, livemode=livemode)
        by = person_with(connection, actor, RULERS, livemode=livemode)
        found = store.find(connection, identifier, livemode=livemode)
        if found is not None:
            return found
        version = RulesVersion(
            id=identifier,
            livemode=livemode,
            number=store.next_number(connection, livemode=livemode),
            state=RulesState.proposed.value,
            rules=rules_document(written),
            digest=rules_digest(written),
            note=note,
            base=base,
            proposed_by=by.id,
            decided_by=None,
            created=now,
            in_force_from=None,
            in_force_to=None,
            closed_at=None,
        )
        store.insert(connection, version)
        _tell(connection, version, event.SCREENING_RULES_PROPOSED, now=now)
    return version


def approve(parts: Parts, identifier: str, word: Word, *, livemode: bool) -> RulesVersion:
    """Another person puts a proposed version in force, with a fresh code.

    The very next decision is by it. The word's digest is of the rules that were read. Raises
    SamePerson, ApprovalStale, UnexpectedState when another version took effect meanwhile.
    """
    with weighing(parts, word, livemode=livemode) as (connection, now):
        in_force = store.lock_change(connection, livemode=livemode)
        version = _proposed(connection, identifier, livemode=livemode)
        if version.decided_by == word.actor.person and version.state == RulesState.in_force:
            return version
        _require_proposed(version)
        by = person_with(connection, word.actor, RULERS, livemode=livemode)
        SecondPerson(by.id, True, word.digest).check(
            proposed_by=version.proposed_by,
            shown=version.digest,
            stale=ApprovalStale(
                "These are not the rules that you read: look at the version again.", param="digest"
            ),
            same=SamePerson("You proposed these rules: another person has to approve them."),
        )
        if in_force != version.base:
            raise UnexpectedState(
                "Version {number} was written against version {base}, and another took effect"
                " since. Propose it again.",
                number=version.number,
                base=version.base or "none",
            )
        check(parts, connection, by, word.step_up, message=None, now=now)
        store.put_in_force(connection, version, by=by.id, now=now)
        version = replace(
            version, state=RulesState.in_force.value, decided_by=by.id, in_force_from=now
        )
        _tell(connection, version, event.SCREENING_RULES_IN_FORCE, now=now)
        wake(connection, "screening.rescreen")
    return version


def reject(parts: Parts, identifier: str, *, actor: Actor, livemode: bool) -> RulesVersion:
    """One no ends a proposed version; who proposed it may take it back so."""
    now = parts.clock()
    with parts.database.begin() as connection:
        version = _proposed(connection, identifier, livemode=livemode)
        _require_proposed(version)
        by = person_with(connection, actor, RULERS, livemode=livemode)
        store.reject(connection, version.id, by=by.id, now=now)
        version = replace(version, state=RulesState.rejected.value, decided_by=by.id, closed_at=now)
        _tell(connection, version, event.SCREENING_RULES_REJECTED, now=now)
    return version


def find_version(connection: Connection, identifier: str, *, livemode: bool) -> RulesVersion | None:
    """A version by id or number; for ``in_force`` that one, None where the house's own judges.

    ResourceMissing for one that is not there.
    """
    if identifier == IN_FORCE:
        number = store.numbers_in_force(connection)[livemode]
        if number == BUILT_IN_NUMBER:
            return None
        identifier = str(number)
    return _found(store.find(connection, identifier, livemode=livemode), identifier)


def shown(connection: Connection, identifier: str, *, livemode: bool) -> dict[str, Any]:
    """A version as it is shown, what came with the house too: by ``in_force``, or ``0``."""
    found = None
    if identifier != str(BUILT_IN_NUMBER):
        found = find_version(connection, identifier, livemode=livemode)
    if found is not None:
        return public_version(found)
    judges = store.numbers_in_force(connection)[livemode] == BUILT_IN_NUMBER
    return public_built_in(livemode=livemode, judges=judges)


def _proposed(connection: Connection, identifier: str, *, livemode: bool) -> RulesVersion:
    found = store.find(connection, identifier, livemode=livemode, lock=True)
    return _found(found, identifier)


def _found(version: RulesVersion | None, identifier: str) -> RulesVersion:
    if version is None:
        raise ResourceMissing(
            "No such version of the rules: {version}", param="rules", version=repr(identifier)
        )
    return version


def _require_proposed(version: RulesVersion) -> None:
    if version.state != RulesState.proposed:
        raise UnexpectedState(
            "Version {number} is {state}: it never changes.",
            number=version.number,
            state=version.state,
        )


def _tell(connection: Connection, version: RulesVersion, name: str, *, now: datetime) -> None:
    told = NewEvent(
        account_id=None,
        livemode=version.livemode,
        type=name,
        object_id=version.id,
        object=public_version(version),
    )
    events.append(connection, [told], now=now)
