"""Policies: judging payouts by the version in force, and changing it by two people.

A period's sum is computed from the rows under a lock, and what is let through is added to it before
the next payout is judged, so payouts at the same moment can not pass a limit together. A version
never changes: a change is a new one, proposed by one person and put in force by another.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache

import msgspec
from sqlalchemy import Connection

from sakk.core import event
from sakk.core import policy as rules
from sakk.core.errors import (
    ApprovalStale,
    ResourceMissing,
    SamePerson,
    UnexpectedState,
)
from sakk.core.event import NewEvent
from sakk.core.payout import Payout, facts_of
from sakk.core.person import Actor
from sakk.core.policy import (
    Action,
    Decision,
    Facts,
    PolicyVersion,
    Rule,
    VersionState,
    load_rules,
    public_version,
    rules_digest,
    rules_document,
)
from sakk.core.proposal import SecondPerson
from sakk.core.role import Role
from sakk.flow.context import Parts
from sakk.flow.stage import wake
from sakk.flow.step_up import check, person_with
from sakk.flow.word import Word, weighing
from sakk.store import event as events
from sakk.store import person as persons
from sakk.store import policy as store

VERSIONS_REMEMBERED_MAX = 32
PROPOSERS = frozenset({Role.admin, Role.finance})
APPROVERS = frozenset({Role.admin, Role.approver})


def propose(
    parts: Parts,
    document: object,
    *,
    identifier: str,
    actor: Actor,
    note: str | None,
    livemode: bool,
) -> PolicyVersion:
    """Write a version that takes effect when another person approves it.

    Raises ParameterInvalid for a rule that can not be, PermissionDenied for a key without a person
    who may propose.
    """
    written = rules.read_rules(document, livemode=livemode)
    now = parts.clock()
    with parts.database.begin() as connection:
        # Two proposals at once have two numbers.
        store.lock_judging(connection, livemode=livemode)
        by = person_with(connection, actor, PROPOSERS, livemode=livemode)
        found = store.find(connection, identifier, livemode=livemode)
        if found is not None:
            return found
        active = store.find_active(connection, livemode=livemode)
        version = PolicyVersion(
            id=identifier,
            livemode=livemode,
            number=store.next_number(connection, livemode=livemode),
            state=VersionState.proposed.value,
            rules=rules_document(written),
            digest=rules_digest(written),
            note=note,
            base=None if active is None else active.number,
            proposed_by=by.id,
            decided_by=None,
            created=now,
            activated_at=None,
            closed_at=None,
        )
        store.insert(connection, version)
        _tell(connection, version, event.POLICY_PROPOSED, now=now)
    return version


def approve(parts: Parts, identifier: str, word: Word, *, livemode: bool) -> PolicyVersion:
    """Another person puts a proposed version in force, with a fresh code.

    What waits for approvals is judged by it at once. The word's digest is of the rules that were
    read. Raises SamePerson, ApprovalStale, UnexpectedState when another version took effect
    meanwhile.
    """
    with weighing(parts, word, livemode=livemode) as (connection, now):
        store.lock_judging(connection, livemode=livemode)
        version = _proposed(connection, identifier, livemode=livemode)
        if version.decided_by == word.actor.person and version.state == VersionState.active:
            return version
        _require_proposed(version)
        by = person_with(connection, word.actor, APPROVERS, livemode=livemode)
        SecondPerson(by.id, True, word.digest).check(
            proposed_by=version.proposed_by,
            shown=version.digest,
            stale=ApprovalStale(
                "These are not the rules that you read: look at the version again.", param="digest"
            ),
            same=SamePerson("You proposed this version: another person has to approve it."),
        )
        active = store.find_active(connection, livemode=livemode)
        if (None if active is None else active.number) != version.base:
            raise UnexpectedState(
                "Version {number} was written against version {base}, and another took effect"
                " since. Propose it again.",
                number=version.number,
                base=version.base or "none",
            )
        check(parts, connection, by, word.step_up, message=None, now=now)
        if active is not None:
            store.close(connection, active.id, VersionState.superseded, by=None, now=now)
        store.activate(connection, version.id, by=by.id, now=now)
        version = replace(
            version, state=VersionState.active.value, decided_by=by.id, activated_at=now
        )
        _tell(connection, version, event.POLICY_ACTIVATED, now=now)
        wake(connection, "payout.decide")
    return version


def reject(parts: Parts, identifier: str, *, actor: Actor, livemode: bool) -> PolicyVersion:
    """One no ends a proposed version; who proposed it may take it back so."""
    now = parts.clock()
    with parts.database.begin() as connection:
        version = _proposed(connection, identifier, livemode=livemode)
        _require_proposed(version)
        by = person_with(connection, actor, PROPOSERS | APPROVERS, livemode=livemode)
        store.close(connection, version.id, VersionState.rejected, by=by.id, now=now)
        version = replace(
            version, state=VersionState.rejected.value, decided_by=by.id, closed_at=now
        )
        _tell(connection, version, event.POLICY_REJECTED, now=now)
    return version


def find_version(
    connection: Connection, identifier: str | None, *, livemode: bool
) -> PolicyVersion | None:
    """A version by id or number; the one in force for ``active`` or None. ResourceMissing."""
    if identifier in (None, VersionState.active.value):
        return store.find_active(connection, livemode=livemode)
    assert identifier is not None
    return _found(store.find(connection, identifier, livemode=livemode), identifier)


def _proposed(connection: Connection, identifier: str, *, livemode: bool) -> PolicyVersion:
    found = store.find(connection, identifier, livemode=livemode, lock=True)
    return _found(found, identifier)


def _found(version: PolicyVersion | None, identifier: str) -> PolicyVersion:
    if version is None:
        raise ResourceMissing(
            "No such version of the policy: {version}", param="policy", version=repr(identifier)
        )
    return version


def _require_proposed(version: PolicyVersion) -> None:
    if version.state != VersionState.proposed:
        raise UnexpectedState(
            "Version {number} is {state}: it never changes.",
            number=version.number,
            state=version.state,
        )


def _tell(connection: Connection, version: PolicyVersion, name: str, *, now: datetime) -> None:
    told = NewEvent(
        account_id=None,
        livemode=version.livemode,
        type=name,
        object_id=version.id,
        object=public_version(version),
    )
    events.append(connection, [told], now=now)


def judge(
    connection: Connection,
    version: PolicyVersion | None,
    payouts: Sequence[Payout],
    *,
    livemode: bool,
    now: datetime,
) -> list[Decision]:
    """What a version says of payouts of one mode, each with those before it in the sums.

    The caller holds `sakk.store.policy.lock_judging` when it acts on the decisions.
    """
    judged_by = rules_of(version)
    roles = roles_of(connection, judged_by, payouts, livemode=livemode)
    facts = [facts_of(each, roles.get(each.initiator_person or "", ())) for each in payouts]
    sums = store.period_sums(
        connection,
        [key for each in facts for key in rules.period_keys(judged_by, each)],
        livemode=livemode,
        now=now,
        apart=[each.id for each in payouts],
    )
    decisions = []
    default = rules.role_default(livemode=livemode)
    for each in facts:
        decision = rules.evaluate(judged_by, each, sums, role_default=default)
        decisions.append(decision)
        if decision.action is not Action.block:
            for key in rules.counted_keys(judged_by, each):
                if key in sums:
                    sums[key] += each.amount
    return decisions


def judge_one(
    connection: Connection,
    facts_by: Callable[[Sequence[str]], Facts],
    *,
    subject: str,
    person: str | None,
    livemode: bool,
    now: datetime,
) -> tuple[PolicyVersion | None, Decision]:
    """What the version in force says of one withdrawal or recovery, whose sums are locked for it.

    ``facts_by``: its facts, given the roles of the ``person`` who asked for it.
    """
    store.lock_judging(connection, livemode=livemode)
    version = store.find_active(connection, livemode=livemode)
    judged_by = rules_of(version)
    found = persons.list_persons(connection, livemode=livemode, ids=[person] if person else [])
    facts = facts_by([role for each in found for role in each.roles])
    sums = store.period_sums(
        connection, rules.period_keys(judged_by, facts), livemode=livemode, now=now, apart=[subject]
    )
    default = rules.role_default(livemode=livemode)
    return version, rules.evaluate(judged_by, facts, sums, role_default=default)


def rules_of(version: PolicyVersion | None) -> tuple[Rule, ...]:
    """A version's rules, read once a process; none without a version."""
    return () if version is None else _read(msgspec.json.encode(version.rules))


@lru_cache(maxsize=VERSIONS_REMEMBERED_MAX)
def _read(document: bytes) -> tuple[Rule, ...]:
    return load_rules(msgspec.json.decode(document))


def roles_of(
    connection: Connection, judged_by: Sequence[Rule], payouts: Sequence[Payout], *, livemode: bool
) -> dict[str, list[str]]:
    """The roles of the persons who asked, where a rule asks for roles."""
    asked = {each.initiator_person for each in payouts if each.initiator_person is not None}
    if not asked or not any(
        entry.startswith(rules.ROLE_ENTRY) for rule in judged_by for entry in rule.initiators
    ):
        return {}
    found = persons.list_persons(connection, livemode=livemode, ids=sorted(asked))
    return {each.id: each.roles for each in found}
