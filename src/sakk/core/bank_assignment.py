"""Assignments: whose a line in suspense is, as one person proposes and another confirms.

A row a line. It never moves money itself: what is confirmed is booked by the line's own id.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core.bank_statement import BankLine, Outcome, waits_for_person
from sakk.core.errors import ApprovalStale, UnexpectedState
from sakk.core.proposal import SecondPerson, digest_words

NOTE_LENGTH_MAX: Final = 500


class AssignmentStatus(StrEnum):
    awaiting = "awaiting"
    confirmed = "confirmed"
    declined = "declined"


@dataclass(frozen=True, slots=True, kw_only=True)
class BankAssignment:
    """Whose the money of ``line`` is said to be; ``decided_by`` who confirmed or declined it."""

    line: str
    livemode: bool
    account_id: str
    note: str | None
    status: str
    proposed_by: str
    created: datetime
    decided_by: str | None = None
    decided_at: datetime | None = None


def check_line(line: BankLine, *, is_case_open: bool) -> None:
    """UnexpectedState for a line whose money is not there to be given to anybody.

    ``is_case_open``: of a line that screening held.
    """
    if not waits_for_person(line):
        raise UnexpectedState("Only money that came in and stands in suspense is assigned.")
    if line.outcome == Outcome.held and is_case_open:
        raise UnexpectedState("Its case is open: two people close it first.")


def digest_of(assignment: BankAssignment, line: BankLine) -> str:
    """SHA-256 of what is confirmed: whose the money of which line is, and who says so."""
    words = [
        "sakk bank assignment v1",
        line.id,
        f"{line.units} {line.currency}",
        str(line.outcome),
        assignment.account_id,
        assignment.proposed_by,
        assignment.created.isoformat(),
        str(assignment.note),
    ]
    return digest_words(words)


def confirmed(
    assignment: BankAssignment, line: BankLine, second: SecondPerson, *, now: datetime
) -> BankAssignment:
    """The assignment as a second person leaves it; SamePerson, ApprovalStale."""
    second.check(
        proposed_by=assignment.proposed_by,
        shown=digest_of(assignment, line),
        stale=ApprovalStale(
            "This is not what you were shown: look at the line again.", param="digest"
        ),
    )
    return replace(
        assignment, status=AssignmentStatus.confirmed.value, decided_by=second.name, decided_at=now
    )


def public(assignment: BankAssignment, line: BankLine) -> dict[str, Any]:
    """What a line's object says of it; the operator's alone."""
    waits = assignment.status == AssignmentStatus.awaiting
    decided = assignment.decided_at
    return {
        "account": assignment.account_id,
        "at": int(assignment.created.timestamp()),
        "by": assignment.proposed_by,
        "decided_at": None if decided is None else int(decided.timestamp()),
        "decided_by": assignment.decided_by,
        "digest": digest_of(assignment, line) if waits else None,
        "note": assignment.note,
        "status": assignment.status,
    }
