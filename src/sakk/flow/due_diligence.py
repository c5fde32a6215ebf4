"""Due diligence: what people of the operator decide on a party, and say of its likenesses.

A person decides with a fresh code, on exactly what was shown. A party of high risk, or one that was
suspended, takes two persons; a no takes one.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from sakk.core import event
from sakk.core import party as rules
from sakk.core.errors import (
    ApprovalStale,
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    SamePerson,
    UnexpectedState,
)
from sakk.core.name_screening import EXEMPTION_PREFIX, REASON_LENGTH_MAX, NameExemption
from sakk.core.party import Hit, HitState, Party, PartyRole, PartyStatus, Rating
from sakk.core.person import Person
from sakk.core.profile import ivms101_of, load_details
from sakk.core.role import Role
from sakk.core.travel_rule import person_of
from sakk.flow.context import Parts
from sakk.flow.party import Whose, check_complete, digest_of, locked, record, tell, write
from sakk.flow.step_up import StepUp, acting_person, check, count_try
from sakk.flow.travel_rule import describe_account, described_account
from sakk.store import name as names
from sakk.store import party as store
from sakk.store.identity import new_id

DECIDERS: Final = frozenset({Role.admin, Role.compliance})
NOTE_LENGTH_MAX: Final = 1_000


def rate(parts: Parts, whose: Whose, identifier: str, *, rating: str, note: str) -> Party:
    """A person says how much risk there is; the next review follows from it."""
    now = parts.clock()
    with parts.database.begin() as connection:
        party = locked(connection, whose, identifier)
        by = _decider(connection, whose)
        documents = store.documents_of(connection, party.id)
        is_approved = party.status == PartyStatus.approved
        review_at = rules.next_review(rating, documents, now=party.decided_at or now)
        changed = replace(
            party,
            rating=Rating(rating).value,
            approval=None,
            review_at=review_at if is_approved else party.review_at,
        )
        write(connection, changed)
        detail = {"rating": rating, "before": party.rating, "note": _checked_note(note)}
        record(connection, changed, "rated", by.id, detail, now=now)
    return changed


def approve(
    parts: Parts, whose: Whose, identifier: str, *, digest: str, note: str, step_up: StepUp
) -> Party:
    """A person's yes to a party as it was shown; the second of two where `needs_second` says so.

    Raises UnexpectedState where something is missing or nobody decided on a likeness, ApprovalStale
    where it changed since, SamePerson for a second yes of the same person.
    """
    count_try(parts, whose.actor, step_up, livemode=whose.livemode)
    now = parts.clock()
    with parts.database.begin() as connection:
        party = locked(connection, whose, identifier)
        by = _decider(connection, whose)
        status = rules.after(party.status, "approve")
        _check_screened(party)
        check_complete(connection, party, now=now)
        if digest != digest_of(connection, party):
            raise ApprovalStale(
                "This party is not what you saw: retrieve it again and approve its new digest.",
                param="digest",
            )
        check(parts, connection, by, step_up, message=None, now=now)
        detail = {"digest": digest, "note": _checked_note(note)}
        first = party.approval
        is_first = first is None or first["digest"] != digest
        if rules.needs_second(party) and is_first:
            changed = replace(party, approval={"by": by.id, "digest": digest})
            write(connection, changed)
            record(connection, changed, "approved_once", by.id, detail, now=now)
            return changed
        if first is not None and first["by"] == by.id:
            raise SamePerson("You said yes to this party already: another person does now.")
        changed = replace(
            party,
            status=status.value,
            approval=None,
            reason=None,
            decided_at=now,
            decided_by=by.id,
            review_at=rules.next_review(
                party.rating, store.documents_of(connection, party.id), now=now
            ),
            review_told=None,
        )
        write(connection, changed)
        record(connection, changed, "approved", by.id, detail, now=now)
        tell(connection, changed, event.PARTY_APPROVED, whose, now=now)
        _describe_account(parts, connection, changed, now=now)
    return changed


def refuse(parts: Parts, whose: Whose, identifier: str, *, act: str, reason: str) -> Party:
    """A person rejects what was submitted, or suspends what was approved; one no is enough."""
    now = parts.clock()
    with parts.database.begin() as connection:
        party = locked(connection, whose, identifier)
        by = _decider(connection, whose)
        changed = replace(
            party,
            status=rules.after(party.status, act).value,
            reason=_checked_note(reason),
            approval=None,
            decided_at=now,
            decided_by=by.id,
        )
        write(connection, changed)
        name = event.PARTY_REJECTED if act == "reject" else event.PARTY_SUSPENDED
        record(connection, changed, f"{changed.status}", by.id, {"reason": reason}, now=now)
        tell(connection, changed, name, whose, now=now)
    return changed


def decide_hit(
    parts: Parts,
    whose: Whose,
    identifier: str,
    hit_id: str,
    *,
    state: HitState,
    note: str,
    step_up: StepUp,
) -> Hit:
    """A person says what a likeness is. A true match suspends an approved party at once.

    What was said stays: who changes their mind says so in a case.
    """
    count_try(parts, whose.actor, step_up, livemode=whose.livemode)
    now = parts.clock()
    with parts.database.begin() as connection:
        party = locked(connection, whose, identifier)
        by = _decider(connection, whose)
        hit = store.find_hit(connection, hit_id, party_id=party.id)
        if hit is None:
            raise ResourceMissing("No such hit: {hit}.", param="hit", hit=repr(hit_id))
        if hit.state != HitState.open:
            raise UnexpectedState(
                "This hit is {state} already, by {by}.", state=hit.state, by=hit.decided_by
            )
        said = _checked_note(note)
        check(parts, connection, by, step_up, message=None, now=now)
        store.decide_hit(connection, hit.id, state=state, note=said, by=by.id, now=now)
        if state is HitState.false_positive:
            _exempt(connection, hit, reason=said, by=by, now=now)
        changed = replace(party, open_hits=party.open_hits - 1, approval=None)
        if state is HitState.true_match and party.status == PartyStatus.approved:
            changed = replace(
                changed,
                status=PartyStatus.suspended.value,
                reason=f"{hit.name} is {hit.matched} of {hit.list_name}",
                decided_at=now,
                decided_by=by.id,
            )
            tell(connection, changed, event.PARTY_SUSPENDED, whose, now=now)
        write(connection, changed)
        detail = {"hit": hit.id, "state": state.value, "note": said}
        record(connection, changed, "hit_decided", by.id, detail, now=now)
    return replace(hit, state=state.value, note=said, decided_by=by.id, decided_at=now)


def _describe_account(parts: Parts, connection: Connection, party: Party, *, now: datetime) -> None:
    """Who an account was found to be is who sends its payouts, where nobody said so before."""
    if party.role != PartyRole.account:
        return
    vault, account, livemode = parts.secrets_vault(), party.account_id, party.livemode
    if described_account(connection, vault, account_id=account, livemode=livemode) is None:
        given = {"person": ivms101_of(load_details(party.kind, party.details))}
        try:
            person_of(given, today=now.date(), param="originator")
        except ParameterInvalid:
            # The standard's lines are shorter than some addresses: the account says it itself then.
            return
        describe_account(connection, vault, given, account_id=account, livemode=livemode, now=now)


def _exempt(connection: Connection, hit: Hit, *, reason: str, by: Person, now: datetime) -> None:
    """Names of this party are not compared with the entry again, as long as it stays as it is."""
    standing = names.exemptions_of(connection, hit.party_id, livemode=hit.livemode)
    if any(
        (each.entity_id, each.entity_version) == (hit.entity_id, hit.entry_version)
        for each in standing
    ):
        return
    row = NameExemption(
        id=new_id(EXEMPTION_PREFIX),
        livemode=hit.livemode,
        subject=hit.party_id,
        entity_id=hit.entity_id,
        entity_version=hit.entry_version,
        reason=reason[:REASON_LENGTH_MAX],
        created_by=by.id,
        created=now,
    )
    names.insert_exemption(connection, row)


def _decider(connection: Connection, whose: Whose) -> Person:
    person = acting_person(connection, whose.actor, livemode=whose.livemode)
    if not DECIDERS & person.powers:
        raise PermissionDenied(
            "This takes a person with one of the roles {roles}.", roles=", ".join(sorted(DECIDERS))
        )
    return person


def _check_screened(party: Party) -> None:
    if party.screened_revision != party.revision:
        raise UnexpectedState("Its names are being compared with the lists: try again shortly.")
    if party.open_hits:
        raise UnexpectedState(
            "{number} likenesses with entries of lists are open: decide on each first.",
            number=party.open_hits,
        )


def _checked_note(text: str) -> str:
    said = text.strip()
    if not 1 <= len(said) <= NOTE_LENGTH_MAX:
        raise ParameterInvalid(
            "Say why, in 1 to {length_max} characters.", param="note", length_max=NOTE_LENGTH_MAX
        )
    return said
