"""Cases: work for a compliance officer, from what was found to what two people decided.

``open → assigned → in_progress → awaiting_second → closed``, with ``awaiting_answer`` while the
account was asked for information, and ``carrying_out`` before the last where the outcome moves
money. A subject has one case for life: what is found later is added to
it, and opens it again. Whatever happens to a case is an act, numbered, never changed; the digest of
a proposal holds the number of the last act, so that nobody confirms something that changed.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any, Final

from sakk.core.errors import ParameterInvalid, ParameterMissing, UnexpectedState
from sakk.core.label import Category
from sakk.core.proposal import digest_words
from sakk.core.screening import Screening, Verdict

PREFIX: Final = "case"
NOTE_PREFIX: Final = "cnote"
ACT_PREFIX: Final = "cact"
# Who acts where no person does: the stages, and whoever holds the operator's key in the sandbox.
SYSTEM: Final = "system"
NOTE_LENGTH_MAX: Final = 10_000
REASON_LENGTH_MAX: Final = 1_000


class CaseKind(StrEnum):
    """What a case is about."""

    payin = "payin"
    payout = "payout"
    refund = "refund"
    party = "party"
    address = "address"
    outflow = "outflow"
    bank_line = "bank_line"


class CaseStatus(StrEnum):
    """Where a case stands.

    ``awaiting_answer``: its account was asked (`sakk.core.information_request`). ``carrying_out``:
    two people agreed, and the money is on its way.
    """

    open = "open"
    assigned = "assigned"
    in_progress = "in_progress"
    awaiting_answer = "awaiting_answer"
    awaiting_second = "awaiting_second"
    carrying_out = "carrying_out"
    closed = "closed"


class Priority(IntEnum):
    """In rising order of urgency, as the queue is worked from its end."""

    low = 0
    normal = 1
    high = 2
    urgent = 3


class Outcome(StrEnum):
    """How a case ends. ``dismiss``: nothing is to be done, and nothing is held by it."""

    release = "release"
    return_ = "return"
    seize = "seize"
    reject = "reject"
    dismiss = "dismiss"
    # Ends nothing: a report to the authority is filed, and two people stand for it.
    file = "file"


class Place(StrEnum):
    """Where seized coins stand: where they came to, or in a vault of the treasury."""

    left = "left"
    vault = "vault"


class Act(StrEnum):
    """What happened to a case."""

    opened = "opened"
    found = "found"
    reopened = "reopened"
    assigned = "assigned"
    noted = "noted"
    attached = "attached"
    asked = "asked"
    answered = "answered"
    withdrawn = "withdrawn"
    reminded = "reminded"
    proposed = "proposed"
    declined = "declined"
    confirmed = "confirmed"
    filed = "filed"
    carried_out = "carried_out"
    failed = "failed"
    overdue = "overdue"


# The status after each act, from each status where it may happen.
WORKED: Final = (CaseStatus.open, CaseStatus.assigned, CaseStatus.in_progress)
_ENDED: Final = {
    CaseStatus.awaiting_answer: CaseStatus.in_progress,
    CaseStatus.awaiting_second: CaseStatus.awaiting_second,
}
_AFTER: Final[dict[Act, dict[CaseStatus, CaseStatus]]] = {
    Act.opened: {},
    Act.found: {each: each for each in CaseStatus if each is not CaseStatus.closed},
    Act.reopened: {CaseStatus.closed: CaseStatus.open},
    Act.assigned: {
        CaseStatus.open: CaseStatus.assigned,
        CaseStatus.assigned: CaseStatus.assigned,
        CaseStatus.in_progress: CaseStatus.in_progress,
        CaseStatus.awaiting_answer: CaseStatus.awaiting_answer,
        CaseStatus.awaiting_second: CaseStatus.awaiting_second,
    },
    # What is written down of a case stays with it, also when it is closed.
    Act.noted: {each: each for each in CaseStatus} | {CaseStatus.assigned: CaseStatus.in_progress},
    Act.attached: {each: each for each in CaseStatus}
    | {CaseStatus.assigned: CaseStatus.in_progress},
    # One question at a time. What is answered while a proposal waits changes its digest alone.
    Act.asked: dict.fromkeys(WORKED, CaseStatus.awaiting_answer),
    Act.answered: _ENDED,
    Act.withdrawn: _ENDED,
    Act.reminded: {each: each for each in _ENDED},
    # Nobody's silence keeps two people from deciding, or from telling the authority.
    Act.proposed: dict.fromkeys((*WORKED, CaseStatus.awaiting_answer), CaseStatus.awaiting_second),
    Act.declined: {CaseStatus.awaiting_second: CaseStatus.in_progress},
    Act.confirmed: {CaseStatus.awaiting_second: CaseStatus.carrying_out},
    Act.filed: {CaseStatus.awaiting_second: CaseStatus.in_progress},
    Act.carried_out: {CaseStatus.carrying_out: CaseStatus.closed},
    Act.failed: {CaseStatus.carrying_out: CaseStatus.in_progress},
    Act.overdue: {each: each for each in CaseStatus if each is not CaseStatus.closed},
}

# In hours, from low to urgent: a customer waits for a payout, a payer for less.
_HOURS: Final[dict[CaseKind, tuple[int, int, int, int]]] = {
    CaseKind.payin: (168, 72, 24, 4),
    CaseKind.payout: (72, 24, 8, 2),
    CaseKind.refund: (72, 24, 8, 2),
    CaseKind.party: (720, 240, 72, 24),
    CaseKind.address: (168, 72, 24, 4),
    CaseKind.outflow: (72, 24, 4, 1),
    CaseKind.bank_line: (168, 72, 24, 4),
}
_GRAVE: Final = frozenset({Category.sanctions, Category.terrorism, Category.child_abuse})


@dataclass(frozen=True, slots=True)
class Opening:
    """Something that a person has to look at, as whoever found it says it.

    ``subject``: the id of what it is about. ``reason``: one line, for the operator's eyes alone.
    """

    subject: str
    kind: CaseKind
    account_id: str | None
    livemode: bool
    screening_id: str | None
    reason: str
    priority: Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A row. ``acts``: how many there are, and so the number of the last.

    ``proposal``: what one person asks another to confirm. ``carrier``: what carries a confirmed
    outcome out, a recovery or a sweep. ``overdue_at``: when it was told that the deadline passed.
    """

    id: str
    account_id: str | None
    livemode: bool
    kind: str
    subject: str
    status: str
    priority: int
    reason: str
    screening: str | None
    assignee: str | None = None
    proposal: dict[str, Any] | None = None
    outcome: str | None = None
    carrier: str | None = None
    acts: int = 0
    due_at: datetime
    overdue_at: datetime | None = None
    closed_at: datetime | None = None
    created: datetime


@dataclass(frozen=True, slots=True)
class Note:
    """What a person wrote down of a case; never changed afterwards."""

    id: str
    case_id: str
    livemode: bool
    author: str
    text: str
    created: datetime


@dataclass(frozen=True, slots=True)
class Settings:
    """How cases are worked in one mode.

    ``one_person``: the sandbox, where whoever holds the operator's key may propose and confirm.
    ``reporting_entity``: who reports to its authority (see `sakk.core.goaml`).
    """

    livemode: bool
    one_person: bool
    reporting_entity: dict[str, Any] | None
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a case is about, as it stands: by this it is decided what may be done with it.

    ``waits``: money stands still because of it. ``is_booked``: the ledger holds it in quarantine.
    ``is_deposit``: it stands on a deposit address, whose key is here. ``is_too_large``: no ledger
    account can hold it.
    """

    status: str
    waits: bool = False
    is_booked: bool = False
    is_deposit: bool = False
    is_too_large: bool = False
    network: str = ""
    asset: str = ""
    units: int = 0
    sender: str = ""
    receiver: str = ""
    screening: str | None = None


@dataclass(frozen=True, slots=True)
class CaseAct:
    """One act: who did what when, and what changed by it. Never changed afterwards.

    ``actor``: a person's id, ``operator`` for the operator's key without one (the sandbox alone),
    or ``system``. ``before`` and ``after`` hold the fields of the case that changed; ``detail``
    what the act itself says.
    """

    id: str
    case_id: str
    number: int
    livemode: bool
    act: str
    actor: str
    key: str | None
    before: dict[str, Any]
    after: dict[str, Any]
    detail: dict[str, Any]
    created: datetime


def after(status: str, act: Act) -> CaseStatus:
    """The status after an act; UnexpectedState where it may not happen."""
    found = _AFTER[act].get(CaseStatus(status))
    if found is None:
        raise UnexpectedState(
            "This case is {status}: it can not be {act} now.",
            status=status,
            act=act.replace("_", " "),
        )
    return found


def due_at(kind: str, priority: int, *, since: datetime) -> datetime:
    """By when a case of this kind and priority is to be decided."""
    return since + timedelta(hours=_HOURS[CaseKind(kind)][priority])


def is_overdue(case: Case, now: datetime) -> bool:
    """Has its time run out, while it still waits for a person or for its money?"""
    return case.status != CaseStatus.closed and case.due_at <= now


def priority_of(screening: Screening) -> Priority:
    """How urgent a verdict is: a sanctioned party before all, a block before a review."""
    if screening.verdict == Verdict.clear:
        return Priority.low
    if screening.verdict == Verdict.review:
        return Priority.normal
    blocking = {each.category for each in screening.reasons if each.verdict == Verdict.block}
    return Priority.urgent if blocking & _GRAVE else Priority.high


def reason_of(screening: Screening) -> str:
    """One line of why: the verdict, and the rules and categories that led to it."""
    why = dict.fromkeys(
        f"{each.rule} ({each.category})" for each in screening.reasons if each.verdict != "clear"
    )
    text = ", ".join(why) or "no reason is recorded"
    return f"{screening.verdict}: {text}"[:REASON_LENGTH_MAX]


def opening_of(screening: Screening, kind: CaseKind) -> Opening:
    """The opening that a verdict calls for."""
    return Opening(
        subject=screening.subject,
        kind=kind,
        account_id=screening.account_id,
        livemode=screening.livemode,
        screening_id=screening.id,
        reason=reason_of(screening),
        priority=priority_of(screening),
    )


def parties_of(screening: Screening) -> list[str]:
    """The addresses that its reasons name, as CAIP-10: what other cases may have in common."""
    named = (f"{screening.network}:{each.address}" for each in screening.reasons)
    return sorted(set(named))


def check_note(text: str) -> str:
    """A note as it is kept: written by a person, for people; ParameterInvalid when it is none."""
    stripped = text.strip()
    if not stripped or len(stripped) > NOTE_LENGTH_MAX:
        raise ParameterInvalid(
            "A note has 1 to {note_length_max} characters.",
            param="text",
            note_length_max=NOTE_LENGTH_MAX,
        )
    kept = "".join(each for each in stripped if each.isprintable() or each in "\n\t")
    if kept != stripped.replace("\r", ""):
        raise ParameterInvalid(
            "A note holds no control characters but line breaks and tabs.", param="text"
        )
    return kept


def changes(before: Case | None, case: Case) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields that an act changed, as they were and as they are."""
    names = ("status", "priority", "assignee", "proposal", "outcome", "carrier", "due_at")
    was = {} if before is None else {name: _plain(getattr(before, name)) for name in names}
    now = {name: _plain(getattr(case, name)) for name in names}
    changed = [name for name in names if before is None or was[name] != now[name]]
    return (
        {name: was[name] for name in changed if name in was},
        {name: now[name] for name in changed},
    )


def _plain(value: Any) -> Any:
    return int(value.timestamp()) if isinstance(value, datetime) else value


def outcomes_of(kind: str, subject: Subject) -> tuple[Outcome, ...]:
    """How a case may end, as its subject stands now.

    What waits is never dismissed: money that nobody looks after would stand still for ever.
    """
    match CaseKind(kind):
        case CaseKind.payin if subject.waits:
            ends = [] if subject.is_too_large else [Outcome.release]
            ends += [Outcome.return_] if subject.is_deposit else []
            return (*ends, Outcome.seize) if subject.is_booked else tuple(ends)
        case CaseKind.payin if subject.status == "seized":
            # Coins that a vault did not get yet may be tried again, or left.
            return (Outcome.seize, Outcome.dismiss)
        case CaseKind.payout | CaseKind.refund if subject.waits:
            return (Outcome.release, Outcome.reject)
        case CaseKind.party:
            return (Outcome.release, Outcome.reject, Outcome.dismiss)
        case (
            CaseKind.payin
            | CaseKind.payout
            | CaseKind.refund
            | CaseKind.address
            | CaseKind.outflow
            | CaseKind.bank_line
        ):
            # Money at a bank stands in suspense: it is assigned, or sent back there, afterwards.
            return (Outcome.dismiss,)


def proposal_of(
    case: Case,
    subject: Subject,
    outcome: Outcome,
    *,
    by: str,
    note: str | None,
    now: datetime,
    destination: str | None = None,
    place: Place | None = None,
    attachment: str | None = None,
    sha256: str | None = None,
) -> dict[str, Any]:
    """What one person asks another to confirm; UnexpectedState, ParameterMissing, …Invalid.

    ``destination``: to whom held coins go back, or the vault. ``attachment``: the report to file.
    """
    possible = outcomes_of(case.kind, subject)
    if outcome is not Outcome.file and outcome not in possible:
        names = ", ".join(possible) or "nothing"
        raise UnexpectedState(
            "This {kind} is {status}: what can be proposed is {names}.",
            kind=case.kind,
            status=subject.status,
            names=names,
        )
    needs = outcome is Outcome.return_ or place is Place.vault
    if needs and destination is None:
        raise ParameterMissing(
            "Missing required parameter: destination, the address that the coins go to.",
            param="destination",
        )
    if destination is not None and not needs:
        raise ParameterInvalid(
            "Only what is returned, or seized into a vault, has a destination.",
            param="destination",
        )
    if outcome is Outcome.seize and place is None:
        raise ParameterMissing(
            "Missing required parameter: place. Say left, where the coins stand, or vault.",
            param="place",
        )
    if place is not None and outcome is not Outcome.seize:
        raise ParameterInvalid("Only what is seized has a place.", param="place")
    if place is Place.vault and not subject.is_deposit:
        raise ParameterInvalid(
            "These coins do not stand on a deposit address: they are left where they are.",
            param="place",
        )
    return {
        "outcome": outcome.value,
        "by": by,
        "at": int(now.timestamp()),
        "note": None if note is None else check_note(note),
        "destination": destination,
        "place": None if place is None else place.value,
        "attachment": attachment,
        "sha256": sha256,
    }


def reopened(case: Case, *, priority: int | None = None, now: datetime) -> Case:
    """A closed case as it is opened again: nobody's, with a new deadline."""
    urgency = case.priority if priority is None else priority
    return replace(
        case,
        status=after(case.status, Act.reopened).value,
        priority=urgency,
        due_at=due_at(case.kind, urgency, since=now),
        assignee=None,
        proposal=None,
        outcome=None,
        overdue_at=None,
        closed_at=None,
    )


def digest_of(case: Case, subject: Subject) -> str:
    """SHA-256 of what is confirmed: the proposal, what it is about, and all that came before.

    A later act, another verdict, or a subject that moved on gives another digest.
    """
    assert case.proposal is not None
    words = [
        "sakk case v1",
        case.id,
        str(case.acts),
        case.kind,
        case.subject,
        *(str(getattr(subject, name)) for name in Subject.__slots__),
        *(f"{name}={value}" for name, value in sorted(case.proposal.items())),
    ]
    return digest_words(words)


def confirmed(case: Case, *, by: str, digest: str) -> Case:
    """The case as a second person leaves it; a filed report gives it back to its officer."""
    assert case.proposal is not None
    if case.proposal["outcome"] == Outcome.file:
        return replace(case, status=after(case.status, Act.filed).value, proposal=None)
    return replace(
        case,
        status=after(case.status, Act.confirmed).value,
        outcome=case.proposal["outcome"],
        proposal={**case.proposal, "confirmed_by": by, "digest": digest},
    )


def public(case: Case, *, now: datetime) -> dict[str, Any]:
    """The API's object ``case``; the operator alone sees it."""
    return {
        "id": case.id,
        "object": "case",
        "account": case.account_id,
        "kind": case.kind,
        "subject": case.subject,
        "status": case.status,
        "priority": Priority(case.priority).name,
        "reason": case.reason,
        "screening": case.screening,
        "assignee": case.assignee,
        "proposal": case.proposal,
        "outcome": case.outcome,
        "carrier": case.carrier,
        "acts": case.acts,
        "due_at": int(case.due_at.timestamp()),
        "overdue": is_overdue(case, now),
        "closed_at": None if case.closed_at is None else int(case.closed_at.timestamp()),
        "metadata": {},
        "created": int(case.created.timestamp()),
        "livemode": case.livemode,
    }


def public_settings(settings: Settings | None, *, livemode: bool) -> dict[str, Any]:
    """How cases are worked in a mode, also where nobody has said anything."""
    return {
        "object": "case_settings",
        "one_person": settings is not None and settings.one_person,
        "reporting_entity": None if settings is None else settings.reporting_entity,
        "changed_by": None if settings is None else settings.changed_by,
        "changed_at": None if settings is None else int(settings.changed_at.timestamp()),
        "livemode": livemode,
    }


def public_note(note: Note) -> dict[str, Any]:
    """One note of a case."""
    return {
        "id": note.id,
        "object": "case_note",
        "case": note.case_id,
        "author": note.author,
        "text": note.text,
        "metadata": {},
        "created": int(note.created.timestamp()),
        "livemode": note.livemode,
    }


def public_act(act: CaseAct) -> dict[str, Any]:
    """One line of a case's history."""
    return {
        "id": act.id,
        "object": "case_act",
        "case": act.case_id,
        "number": act.number,
        "act": act.act,
        "by": act.actor,
        "key": act.key,
        "before": act.before,
        "after": act.after,
        "detail": act.detail,
        "created": int(act.created.timestamp()),
        "livemode": act.livemode,
    }
