"""Approvals: a person's yes or no to a payout that waits, checked where it can not be got around.

Whoever asked for a payout never approves it, nobody approves twice, and what is approved is what
was shown. A payout under review is decided by its case first; the policy comes after that.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import event
from sakk.core import payout as payout_rules
from sakk.core.approval import (
    Approval,
    is_enough,
)
from sakk.core.case import Outcome
from sakk.core.errors import (
    ResourceMissing,
    SamePerson,
    UnexpectedState,
)
from sakk.core.payout import Payout, PayoutStatus
from sakk.core.person import Actor
from sakk.flow.case_alone import decide_alone
from sakk.flow.context import Parts
from sakk.flow.payout import payout_event
from sakk.flow.stage import wake
from sakk.flow.word import Word, approval_of, asked, refusal_of, told_of, weighing
from sakk.store import approval as store
from sakk.store import event as events
from sakk.store import payout as payouts
from sakk.store import settlement as settlements
from sakk.store.database import update_records

REJECTED = "The payout was not approved."


def approve(
    parts: Parts, identifier: str, word: Word, *, approval_id: str, livemode: bool
) -> Payout:
    """One more approval of a payout; with enough of them it may be signed.

    A payout under review is let go by its case first, and is the policy's next. Raises
    ResourceMissing, UnexpectedState, ApprovalStale, SamePerson, PermissionDenied, StepUpRequired,
    StepUpFailed, RateLimited.
    """
    with weighing(parts, word, livemode=livemode) as (connection, now):
        payout = _locked(connection, identifier, livemode=livemode)
        given = store.of_subjects(connection, [payout.id])
        if any(each.id == approval_id for each in given):
            return payout
        if payout.under_review and payout.status == PayoutStatus.requested:
            return _by_its_case(parts, connection, payout, word.actor, Outcome.release)
        if not payout_rules.is_awaiting_approvals(payout):
            raise UnexpectedState(
                "This payout is {status} and waits for nobody's approval.", status=payout.status
            )
        _check_terms(connection, payout, word.actor)
        subject = payout_rules.approvable(payout)
        approval = approval_of(parts, connection, subject, word, given, approval_id, now=now)
        store.insert(connection, [approval])
        return _follow(connection, payout, [*given, approval], now=now)


def reject(
    parts: Parts, identifier: str, word: Word, *, approval_id: str, livemode: bool
) -> Payout:
    """One no is enough: the payout ends, and its money is available again.

    ``word.comment`` is what the merchant reads. To stop a payout no second factor is asked for.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        payout = _locked(connection, identifier, livemode=livemode)
        given = store.of_subjects(connection, [payout.id])
        if any(each.id == approval_id for each in given):
            return payout
        if payout.under_review and payout.status == PayoutStatus.requested:
            return _by_its_case(parts, connection, payout, word.actor, Outcome.reject)
        if not payout_rules.is_awaiting_approvals(payout):
            raise UnexpectedState(
                "This payout is {status}: nothing is to be decided.", status=payout.status
            )
        subject = payout_rules.approvable(payout)
        approval = refusal_of(connection, subject, word, approval_id, now=now)
        said = (approval.actor, approval.digest)
        if all((each.actor, each.digest) != said for each in given):
            store.insert(connection, [approval])
        rejected = replace(
            payout,
            status=PayoutStatus.rejected.value,
            failure_code="rejected",
            failure_message=word.comment or REJECTED,
        )
        write_status(connection, [rejected])
        told = [told_of(approval), payout_event(rejected, event.PAYOUT_REJECTED)]
        events.append(connection, told, now=now)
        wake(connection, "payout.release", "refund.follow")
    return rejected


def _follow(
    connection: Connection, payout: Payout, given: Sequence[Approval], *, now: datetime
) -> Payout:
    """Approve the payout when there are enough; otherwise it goes on waiting."""
    told = [told_of(given[-1])]
    if is_enough(payout_rules.approvable(payout), given):
        payout = replace(payout, status=PayoutStatus.approved.value)
        write_status(connection, [payout])
        told.append(payout_event(payout, event.PAYOUT_APPROVED))
        wake(connection, "payout.build", "bank.order", "refund.follow")
    events.append(connection, told, now=now)
    return payout


def _check_terms(connection: Connection, payout: Payout, actor: Actor) -> None:
    """SamePerson where the actor wrote where a settlement is paid to, which nobody asked for."""
    paid = settlements.paid_by(connection, payout.id)
    if paid is not None and asked(Actor(paid.initiator or "", paid.initiator_person), actor):
        raise SamePerson(
            "You wrote the terms of this settlement: another person has to approve its payout."
        )


def is_of(payout: Payout, actor: Actor) -> bool:
    """Did this actor ask for the payout, with whichever key?"""
    return asked(payout_rules.approvable(payout).asked_by, actor)


def _by_its_case(
    parts: Parts, connection: Connection, payout: Payout, actor: Actor, outcome: Outcome
) -> Payout:
    """Under review is decided by two people, by the case; in the sandbox at once."""
    decide_alone(parts, connection, payout.id, outcome, actor=actor, livemode=payout.livemode)
    return _locked(connection, payout.id, livemode=payout.livemode)


def _locked(connection: Connection, identifier: str, *, livemode: bool) -> Payout:
    payout = payouts.find(connection, identifier, account_id=None, livemode=livemode, lock=True)
    if payout is None:
        raise ResourceMissing(
            "No such payout: {identifier}.", param="id", identifier=repr(identifier)
        )
    return payout


def write_status(connection: Connection, rows: Sequence[Payout]) -> None:
    fields = ("id", "status", "failure_code", "failure_message")
    update_records(
        connection,
        payouts.payouts,
        [{name: getattr(row, name) for name in fields} for row in rows],
    )
