"""Work on cases: who takes one, what is written down, attached, proposed and confirmed.

One person proposes how a case ends and another confirms it, with a fresh code and the digest of
what they were shown. The sandbox alone lets whoever holds the operator's key do both.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import attachment as attachments
from sakk.core import case as rules
from sakk.core import event
from sakk.core.attachment import Attachment
from sakk.core.case import Act, Case, CaseStatus, Note, Outcome, Place
from sakk.core.errors import (
    ApprovalStale,
    ParameterInvalid,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.evm import parse_address
from sakk.core.person import Actor
from sakk.core.role import Role
from sakk.flow.case import act_of, case_event
from sakk.flow.case_outcome import Examined, carry_out, examine_return
from sakk.flow.case_subject import Matter, find_matter
from sakk.flow.context import Parts
from sakk.flow.information_request import resumed, withdraw_open
from sakk.flow.officer import Officer, case_officer
from sakk.flow.recovery import check_address
from sakk.flow.step_up import count_try
from sakk.flow.word import Word
from sakk.store import case as store
from sakk.store import event as events
from sakk.store import person as persons
from sakk.store import treasury


@dataclass(frozen=True, slots=True)
class Plan:
    """What somebody proposes. ``destination``: to whom coins go back, or the vault."""

    outcome: Outcome
    note: str | None = None
    destination: str | None = None
    place: Place | None = None
    attachment: str | None = None
    sha256: str | None = None


def assign(
    parts: Parts,
    identifier: str,
    *,
    actor: Actor,
    livemode: bool,
    assignee: str | None,
    was: str | None,
) -> Case:
    """Give a case to somebody (None: the one who asks), if it is still whose it ``was``.

    UnexpectedState when somebody else has taken it meanwhile.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        found = _found(connection, identifier, livemode=livemode)
        by = case_officer(connection, actor, livemode=livemode)
        to = assignee or by.name
        _check_assignee(connection, to, by, livemode=livemode)
        if found.assignee == to:
            return found
        rules.after(found.status, Act.assigned)
        if not store.take(connection, found.id, was=was, assignee=to):
            now_is = _found(connection, identifier, livemode=livemode)
            raise UnexpectedState(
                "This case is {status} and {value}'s by now: look at it again.",
                param="was",
                status=now_is.status,
                value=now_is.assignee or "nobody",
            )
        before = store.lock(connection, found.id)
        assert before is not None
        before = replace(before, assignee=was)
        status = rules.after(before.status, Act.assigned).value
        case = _write(
            connection, before, replace(before, assignee=to, status=status), Act.assigned, by, now
        )
        events.append(connection, [case_event(case, event.CASE_ASSIGNED, now=now)], now=now)
    return case


def note(
    parts: Parts, identifier: str, text: str, *, actor: Actor, livemode: bool, note_id: str
) -> Note:
    """Write something down of a case, for good; the same again under the same id."""
    kept = rules.check_note(text)
    now = parts.clock()
    with parts.database.begin() as connection:
        found = store.find_note(connection, note_id)
        if found is not None:
            return found
        case = _locked(connection, identifier, livemode=livemode)
        by = case_officer(connection, actor, livemode=livemode)
        written = Note(note_id, case.id, livemode, by.name, kept, now)
        store.insert_note(connection, written)
        after = replace(case, status=rules.after(case.status, Act.noted).value)
        _write(connection, case, after, Act.noted, by, now, {"note": note_id})
    return written


def attach(
    parts: Parts,
    identifier: str,
    content: bytes,
    *,
    name: str,
    media_type: str,
    actor: Actor,
    livemode: bool,
    attachment_id: str,
) -> Attachment:
    """Put a file to a case, for good; the same again under the same id.

    ParameterInvalid for a file of another type than the few there are, or than it says.
    """
    sha256 = attachments.check_content(content, media_type)
    now = parts.clock()
    with parts.database.begin() as connection:
        found = store.find_attachment(connection, attachment_id)
        if found is not None:
            return found
        case = _locked(connection, identifier, livemode=livemode)
        by = case_officer(connection, actor, livemode=livemode)
        return put_attachment(
            connection,
            case,
            Attachment(
                id=attachment_id,
                case_id=case.id,
                livemode=livemode,
                author=by.name,
                name=attachments.safe_name(name),
                media_type=media_type,
                size_bytes=len(content),
                sha256=sha256,
                created=now,
            ),
            content,
            by=by,
            now=now,
        )


def put_attachment(
    connection: Connection,
    case: Case,
    row: Attachment,
    content: bytes,
    *,
    by: Officer,
    now: datetime,
) -> Attachment:
    """Keep a file that was checked, with its act; the case is locked."""
    attachments.check_count(len(store.list_attachments(connection, case.id)))
    store.insert_attachment(connection, row, content)
    after = replace(case, status=rules.after(case.status, Act.attached).value)
    detail = {"attachment": row.id, "sha256": row.sha256, "name": row.name}
    _write(connection, case, after, Act.attached, by, now, detail)
    return row


def propose(
    parts: Parts, identifier: str, plan: Plan, *, actor: Actor, livemode: bool
) -> tuple[Case, str]:
    """Say how a case is to end; another person confirms it. Gives the case, and the digest.

    The same again by the same person changes nothing.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        matter = find_matter(connection, identifier, livemode=livemode, lock=True)
        by = case_officer(connection, actor, livemode=livemode)
        case = propose_locked(connection, matter, plan, by=by, now=now)
        return case, rules.digest_of(case, matter.subject)


def propose_locked(
    connection: Connection, matter: Matter, plan: Plan, *, by: Officer, now: datetime
) -> Case:
    """Write a proposal of a locked case; what stands already as it is proposed stays."""
    case = matter.case
    destination = _destination(connection, matter, plan)
    proposal = rules.proposal_of(
        case,
        matter.subject,
        plan.outcome,
        by=by.name,
        note=plan.note,
        now=now,
        destination=destination,
        place=plan.place,
        attachment=plan.attachment,
        sha256=plan.sha256,
    )
    if case.proposal is not None and {**case.proposal, "at": proposal["at"]} == proposal:
        return case
    status = rules.after(case.status, Act.proposed).value
    after = replace(case, status=status, proposal=proposal)
    written = _write(connection, case, after, Act.proposed, by, now, {"proposal": proposal})
    events.append(connection, [case_event(written, event.CASE_PROPOSED, now=now)], now=now)
    return written


def decline(
    parts: Parts, identifier: str, *, actor: Actor, livemode: bool, reason: str | None
) -> Case:
    """Take a proposal back, or refuse another's: the case is worked on further."""
    why = None if reason is None else rules.check_note(reason)
    now = parts.clock()
    with parts.database.begin() as connection:
        case = _locked(connection, identifier, livemode=livemode)
        by = case_officer(connection, actor, livemode=livemode)
        status = resumed(connection, case, rules.after(case.status, Act.declined))
        after = replace(case, status=status, proposal=None)
        return _write(connection, case, after, Act.declined, by, now, {"reason": why})


def confirm(parts: Parts, identifier: str, word: Word, *, livemode: bool) -> Case:
    """Another person confirms what was proposed; it is carried out at once, or begins to be.

    What changed since it was shown is looked at again. Raises SamePerson, ApprovalStale,
    PermissionDenied, StepUpRequired, StepUpFailed, RateLimited, UnexpectedState.
    """
    count_try(parts, word.actor, word.step_up, livemode=livemode)
    examined = _examined(parts, identifier, livemode=livemode)
    now = parts.clock()
    with parts.database.begin() as connection:
        matter = find_matter(connection, identifier, livemode=livemode, lock=True)
        by = case_officer(connection, word.actor, livemode=livemode)
        if _is_confirmed(matter.case, by, word.digest):
            return matter.case
        digest = _check_second(matter, by, word.digest)
        by.prove(parts, connection, word, now=now)
        return confirm_locked(connection, matter, examined, by=by, digest=digest, now=now)


def confirm_locked(
    connection: Connection,
    matter: Matter,
    examined: Examined | None,
    *,
    by: Officer,
    digest: str,
    now: datetime,
) -> Case:
    """Write a confirmation, after everything that may speak against it, and carry it out."""
    _check_second(matter, by, digest)
    case = matter.case
    assert case.proposal is not None
    detail = {"proposal": case.proposal, "digest": digest}
    if case.proposal["outcome"] == Outcome.file:
        filed = rules.confirmed(case, by=by.name, digest=digest)
        status = resumed(connection, case, CaseStatus(filed.status))
        after = replace(filed, status=status)
        return _write(connection, case, after, Act.filed, by, now, detail)
    # Nobody waits for an answer to what is decided.
    case = withdraw_open(connection, case, by=by, now=now)
    after = rules.confirmed(case, by=by.name, digest=digest)
    written = _write(connection, case, after, Act.confirmed, by, now, detail)
    return carry_out(connection, replace(matter, case=written), examined, now=now)


def _check_second(matter: Matter, by: Officer, digest: str | None) -> str:
    """Is this another person, who saw what stands there now? Its digest."""
    case = matter.case
    rules.after(case.status, Act.confirmed)
    assert case.proposal is not None
    shown = rules.digest_of(case, matter.subject)
    by.second(digest).check(
        proposed_by=case.proposal["by"],
        shown=shown,
        stale=ApprovalStale(
            "This is not what you were shown: look at the case again.", param="digest"
        ),
    )
    outcome = Outcome(case.proposal["outcome"])
    if outcome is not Outcome.file and outcome not in rules.outcomes_of(case.kind, matter.subject):
        raise UnexpectedState("What was proposed can not be done any more.")
    return shown


def reopen(parts: Parts, identifier: str, *, actor: Actor, livemode: bool, reason: str) -> Case:
    """Open a closed case again, for what a person found: it is nobody's until taken."""
    why = rules.check_note(reason)
    now = parts.clock()
    with parts.database.begin() as connection:
        case = _locked(connection, identifier, livemode=livemode)
        by = case_officer(connection, actor, livemode=livemode)
        after = rules.reopened(case, now=now)
        written = _write(connection, case, after, Act.reopened, by, now, {"reason": why})
        events.append(connection, [case_event(written, event.CASE_OPENED, now=now)], now=now)
    return written


def _examined(parts: Parts, identifier: str, *, livemode: bool) -> Examined | None:
    """What is asked outside before anything is locked: what stands on the address to return."""
    with parts.database.begin() as connection:
        matter = find_matter(connection, identifier, livemode=livemode)
    if matter.case.status != CaseStatus.awaiting_second or matter.payin is None:
        return None
    assert matter.case.proposal is not None
    if matter.case.proposal["outcome"] != Outcome.return_:
        return None
    return examine_return(parts, matter.payin)


def _is_confirmed(case: Case, by: Officer, digest: str | None) -> bool:
    """Was this very thing confirmed by this person, whose answer was lost?"""
    proposal = case.proposal or {}
    return (proposal.get("confirmed_by"), proposal.get("digest")) == (by.name, digest)


def _check_assignee(connection: Connection, assignee: str, by: Officer, *, livemode: bool) -> None:
    if assignee == by.name:
        return
    person = persons.find(connection, assignee, livemode=livemode)
    if person is None or Role.compliance not in person.powers:
        raise ParameterInvalid(
            "The assignee is a person with the role compliance.", param="assignee"
        )


def _destination(connection: Connection, matter: Matter, plan: Plan) -> str | None:
    """Where coins are to go, as far as it can be checked before it is screened."""
    if plan.destination is None or matter.payin is None:
        return plan.destination
    network = matter.payin.network
    if plan.place is not Place.vault:
        return check_address(
            connection, network=network, asset=matter.payin.asset, address=plan.destination
        )
    try:
        vault = parse_address(plan.destination)
    except ValueError as error:
        raise ParameterInvalid("{error}.", param="destination", error=error) from None
    if treasury.find_vault(connection, network, vault) is None:
        raise ParameterInvalid(
            "{destination} is no vault on {network}: `sakk treasury vault` names one.",
            param="destination",
            destination=plan.destination,
            network=network,
        )
    return vault


def _found(connection: Connection, identifier: str, *, livemode: bool) -> Case:
    found = store.find(connection, identifier, livemode=livemode)
    if found is None:
        raise ResourceMissing(
            "No such case: {identifier}.", param="id", identifier=repr(identifier)
        )
    return found


def _locked(connection: Connection, identifier: str, *, livemode: bool) -> Case:
    locked = store.lock(connection, _found(connection, identifier, livemode=livemode).id)
    assert locked is not None
    return locked


def _write(
    connection: Connection,
    before: Case,
    after: Case,
    act: Act,
    by: Officer,
    now: datetime,
    detail: dict[str, Any] | None = None,
) -> Case:
    """Write what a person did, with its act; the case with its count."""
    counted = replace(after, acts=before.acts + 1)
    store.write(connection, [counted])
    store.insert_acts(
        connection,
        [act_of(before, counted, act, detail=detail or {}, now=now, actor=by.name, key=by.key)],
    )
    return counted
