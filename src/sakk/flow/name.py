"""Names: who is screened, what the rules in force make of the hits, and whom a person exempted.

A decision is one transaction: the lists and the rules are held as they are until it commits, so no
import comes between what was found and what was recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from sakk.core.errors import ParameterInvalid, PermissionDenied, ResourceMissing, UnexpectedState
from sakk.core.name_screening import (
    EXEMPTION_PREFIX,
    HITS_MAX,
    MATCHER,
    PREFIX,
    REASON_LENGTH_MAX,
    SUBJECT_LENGTH_MAX,
    NameExemption,
    NameHit,
    NameQuery,
    NameScreening,
    decide_names,
    name_rules,
    query_hash,
)
from sakk.core.person import Actor, Person
from sakk.core.role import Role
from sakk.core.rule import BUILT_IN, BUILT_IN_NAME, BUILT_IN_NUMBER, Rule, load_rules, version_name
from sakk.flow.context import Parts
from sakk.flow.step_up import acting_person
from sakk.screening.name import NameIndex
from sakk.store import entity as entities
from sakk.store import name as store
from sakk.store import rule as rule_store
from sakk.store.identity import new_id
from sakk.store.label import lists_version

EXEMPTERS: Final = frozenset({Role.admin, Role.compliance})


@dataclass(frozen=True, slots=True)
class NameRequest:
    """A name to be screened. ``subject`` is what it is about: a party, a customer, a note."""

    subject: str
    query: NameQuery
    account_id: str | None
    livemode: bool


def screen_names(
    connection: Connection, index: NameIndex, requests: Sequence[NameRequest], *, now: datetime
) -> list[NameScreening]:
    """Screen each name and record the decision, in order, in the caller's transaction.

    Hits that met a rule are kept, exempted ones too, with the exemption's id. Raises `Unavailable`
    when the lists cannot be read: then nothing was decided.
    """
    numbers = rule_store.numbers_in_force(connection, lock=True)
    decided = []
    for request in requests:
        number = numbers[request.livemode]
        rules = _rules(connection, number, livemode=request.livemode)
        version, hits = index.screen(
            request.query,
            limit=HITS_MAX,
            score_min=min(rule.score_min for rule in name_rules(rules)),
            connection=connection,
        )
        exempted = store.exemptions_of(connection, request.subject, livemode=request.livemode)
        verdict, met = decide_names(_with_exemptions(hits, exempted), rules)
        decided.append(
            NameScreening(
                id=new_id(PREFIX),
                account_id=request.account_id,
                livemode=request.livemode,
                subject=request.subject,
                query=request.query,
                verdict=verdict,
                hits=met,
                lists_version=version,
                rules_version=version_name(number),
                matcher=MATCHER,
                input_hash=query_hash(
                    request.query, lists_version=version, rules_version=version_name(number)
                ),
                created=now,
            )
        )
    store.insert_name_screenings(connection, decided)
    return decided


def _rules(connection: Connection, number: int, *, livemode: bool) -> Sequence[Rule]:
    if number == BUILT_IN_NUMBER:
        return BUILT_IN[BUILT_IN_NAME]
    found = rule_store.find(connection, str(number), livemode=livemode)
    assert found is not None, f"version {number} of the rules is in force and not there"
    return load_rules(found.rules)


def _with_exemptions(
    hits: Sequence[NameHit], exempted: Sequence[NameExemption]
) -> tuple[NameHit, ...]:
    """Mark what a person exempted, as long as the entry is the one that the person saw."""
    by_entry = {(each.entity_id, each.entity_version): each.id for each in exempted}
    return tuple(
        replace(hit, exemption=by_entry.get((hit.entity_id, hit.entity_version))) for hit in hits
    )


def exempt(
    parts: Parts, *, subject: str, entity_id: str, reason: str, actor: Actor, livemode: bool
) -> NameExemption:
    """Say that a subject is not an entity of a list, as a person of compliance.

    It holds until the list changes what it says of the entity. The same again gives what stands.
    """
    _check_reason(reason)
    check_subject(subject)
    with parts.database.begin() as connection:
        by = _exempter(connection, actor, livemode=livemode)
        version = lists_version(connection, lock=True)
        found = entities.entities_at(connection, version=version, entity_ids=[entity_id])
        if not found:
            raise ResourceMissing(
                "No list has an entity {entity} now.", param="entity", entity=repr(entity_id)
            )
        for standing in store.exemptions_of(connection, subject, livemode=livemode):
            if standing.entity_id != entity_id:
                continue
            if standing.entity_version == found[0].opened_version:
                return standing
            # It was of an earlier entry: this one takes its place.
            store.end_exemption(connection, standing.id, by=by.id, reason=None, now=parts.clock())
        row = NameExemption(
            id=new_id(EXEMPTION_PREFIX),
            livemode=livemode,
            subject=subject,
            entity_id=entity_id,
            entity_version=found[0].opened_version,
            reason=reason.strip(),
            created_by=by.id,
            created=parts.clock(),
        )
        store.insert_exemption(connection, row)
    return row


def end_exemption(
    parts: Parts, identifier: str, *, reason: str | None, actor: Actor, livemode: bool
) -> NameExemption:
    """Take an exemption back, as a person of compliance; the hit counts again.

    ``reason``: why, which stands beside it. ParameterInvalid for one that can not be shown.
    """
    if reason is not None:
        _check_reason(reason)
    with parts.database.begin() as connection:
        found = store.find_exemption(connection, identifier, livemode=livemode, lock=True)
        if found is None:
            raise ResourceMissing(
                "No such exemption: {exemption}.", param="id", exemption=repr(identifier)
            )
        by = _exempter(connection, actor, livemode=livemode)
        if found.ended is not None:
            raise UnexpectedState("This exemption has ended already.")
        now = parts.clock()
        store.end_exemption(connection, identifier, by=by.id, reason=reason, now=now)
    return replace(found, ended_by=by.id, ended=now, ended_reason=reason)


def check_subject(subject: str) -> None:
    """ParameterInvalid for what can not name a subject."""
    if not subject.strip() or len(subject) > SUBJECT_LENGTH_MAX or not subject.isprintable():
        raise ParameterInvalid(
            "A subject has 1 to {length_max} printable characters.",
            param="subject",
            length_max=SUBJECT_LENGTH_MAX,
        )


def _check_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > REASON_LENGTH_MAX or not reason.isprintable():
        raise ParameterInvalid(
            "An exemption needs a reason of 1 to {length_max} printable characters.",
            param="reason",
            length_max=REASON_LENGTH_MAX,
        )


def _exempter(connection: Connection, actor: Actor, *, livemode: bool) -> Person:
    person = acting_person(connection, actor, livemode=livemode)
    if not EXEMPTERS & person.powers:
        raise PermissionDenied("Only a person of compliance may exempt a name.")
    return person
