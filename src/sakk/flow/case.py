"""Cases: opened in the transaction of whoever finds something, worked on by people.

A subject's own row is locked before its case, and a case before a person, by everybody.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import case as rules
from sakk.core import event
from sakk.core.case import Act, Case, CaseAct, CaseStatus, Opening
from sakk.core.event import NewEvent
from sakk.store import case as store
from sakk.store import event as events
from sakk.store.event import consecutive_ids
from sakk.store.screening import list_by_ids

OPENINGS_MAX = 10_000


def open_cases(
    connection: Connection, openings: Sequence[Opening], *, now: datetime
) -> dict[str, str]:
    """Open a case for each subject, or add to the one it has; the cases' ids by their subjects.

    In the transaction of whoever found it, which has locked the subjects' rows. A closed case is
    opened again; nothing that awaits a second person is confirmed past a new finding, since its
    digest changes.
    """
    if not openings:
        return {}
    if len(openings) > OPENINGS_MAX:
        raise ValueError(f"at most {OPENINGS_MAX} openings at once, not {len(openings)}")
    first: dict[str, Opening] = {}
    for each in openings:
        first.setdefault(each.subject, each)
    identifiers = consecutive_ids(rules.PREFIX, len(first), now=now)
    fresh = {
        each.subject: _new(each, identifier, now=now)
        for identifier, each in zip(identifiers, first.values(), strict=True)
    }
    store.insert_new(connection, list(fresh.values()))
    found = {row.subject: row for row in store.lock_of_subjects(connection, list(first))}
    told: list[NewEvent] = []
    acts: list[CaseAct] = []
    for each in openings:
        case = found[each.subject]
        changed, what = _with_finding(case, each, now=now)
        acts.append(act_of(case, changed, what, detail=_detail(each), now=now))
        found[each.subject] = changed
        if what is not Act.found:
            told.append(case_event(changed, event.CASE_OPENED, now=now))
    store.write(connection, list(found.values()))
    store.insert_acts(connection, acts)
    _link(connection, openings, found, now=now)
    events.append(connection, told, now=now)
    return {subject: row.id for subject, row in found.items()}


def _new(each: Opening, identifier: str, *, now: datetime) -> Case:
    return Case(
        id=identifier,
        account_id=each.account_id,
        livemode=each.livemode,
        kind=each.kind.value,
        subject=each.subject,
        status=CaseStatus.open.value,
        priority=each.priority.value,
        reason=each.reason,
        screening=each.screening_id,
        due_at=rules.due_at(each.kind, each.priority, since=now),
        created=now,
    )


def _with_finding(case: Case, each: Opening, *, now: datetime) -> tuple[Case, Act]:
    """A case as a finding leaves it: of the higher priority, and open."""
    if not case.acts:
        return replace(case, acts=1), Act.opened
    raised = max(case.priority, each.priority)
    changed = replace(
        case,
        acts=case.acts + 1,
        reason=each.reason,
        screening=each.screening_id or case.screening,
    )
    if case.status == CaseStatus.closed:
        reopened = rules.reopened(changed, priority=each.priority.value, now=now)
        return reopened, Act.reopened
    sooner = min(case.due_at, rules.due_at(case.kind, each.priority, since=now))
    return replace(changed, priority=raised, due_at=sooner), Act.found


def _detail(each: Opening) -> dict[str, Any]:
    return {
        "reason": each.reason,
        "screening": each.screening_id,
        "priority": each.priority.name,
    }


def _link(
    connection: Connection,
    openings: Sequence[Opening],
    found: dict[str, Case],
    *,
    now: datetime,
) -> None:
    wanted = [each.screening_id for each in openings if each.screening_id is not None]
    pairs = [(row.id, subject) for subject, row in found.items()]
    for screening in list_by_ids(connection, wanted):
        if screening.subject in found:
            case = found[screening.subject]
            pairs += [(case.id, party) for party in rules.parties_of(screening)]
    store.add_subjects(connection, pairs, now=now)


def act_of(
    before: Case | None,
    case: Case,
    act: Act,
    *,
    detail: dict[str, Any],
    now: datetime,
    actor: str = rules.SYSTEM,
    key: str | None = None,
) -> CaseAct:
    """The act that made ``case`` of ``before``; its number is the case's count."""
    was, became = rules.changes(None if act is Act.opened else before, case)
    return CaseAct(
        id=consecutive_ids(rules.ACT_PREFIX, 1, now=now)[0],
        case_id=case.id,
        number=case.acts,
        livemode=case.livemode,
        act=act.value,
        actor=actor,
        key=key,
        before=was,
        after=became,
        detail=detail,
        created=now,
    )


def case_event(case: Case, name: str, *, now: datetime) -> NewEvent:
    """An event about a case: the operator's alone, and about no account's list."""
    return NewEvent(
        account_id=None,
        livemode=case.livemode,
        type=name,
        object_id=case.id,
        object=rules.public(case, now=now),
    )
