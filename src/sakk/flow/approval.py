"""Approvals: a person's yes or no to a payout that waits, checked where it can not be got around.

Whoever asked for a payout never approves it, nobody approves twice, and what is approved is what
was shown. A payout under review is decided by its case first; the policy comes after that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import event
from sakk.core import payout as payout_rules
from sakk.core.approval import (
    Approval,
    Method,
    Verdict,
    acting_role,
    content_digest,
    public_approval,
    standing,
)
from sakk.core.case import Outcome
from sakk.core.errors import (
    ApprovalStale,
    ParameterMissing,
    PermissionDenied,
    ResourceMissing,
    SamePerson,
    UnexpectedState,
)
from sakk.core.event import NewEvent
from sakk.core.payout import Payout, PayoutStatus
from sakk.core.person import Actor, Person, Role
from sakk.flow.case_alone import decide_alone
from sakk.flow.context import Parts
from sakk.flow.payout import payout_event
from sakk.flow.stage import wake
from sakk.flow.step_up import StepUp, acting_person, check, count_try
from sakk.signing.protocol import Approval as SigningApproval
from sakk.store import approval as store
from sakk.store import event as events
from sakk.store import payout as payouts
from sakk.store.database import update_records

REJECTED = "The payout was not approved."


@dataclass(frozen=True, slots=True)
class Word:
    """What somebody says of a payout: as whom, with what proof, and of which content.

    ``digest``: of the content that was shown; a person sends it, or signs the content itself.
    """

    actor: Actor
    step_up: StepUp = field(default_factory=StepUp)
    digest: str | None = None
    comment: str | None = None


def approve(
    parts: Parts, identifier: str, word: Word, *, approval_id: str, livemode: bool
) -> Payout:
    """One more approval of a payout; with enough of them it may be signed.

    A payout under review is let go by its case first, and is the policy's next. Raises
    ResourceMissing, UnexpectedState, ApprovalStale, SamePerson, PermissionDenied, StepUpRequired,
    StepUpFailed, RateLimited.
    """
    count_try(parts, word.actor, word.step_up, livemode=livemode)
    now = parts.clock()
    with parts.database.begin() as connection:
        payout = _locked(connection, identifier, livemode=livemode)
        given = store.of_payouts(connection, [payout.id])
        if any(each.id == approval_id for each in given):
            return payout
        if payout.under_review and payout.status == PayoutStatus.requested:
            return _by_its_case(parts, connection, payout, word.actor, Outcome.release)
        if not payout_rules.is_awaiting_approvals(payout):
            raise UnexpectedState(
                f"This payout is {payout.status} and waits for nobody's approval."
            )
        approval = _approval(
            parts, connection, payout, word, given, approval_id=approval_id, now=now
        )
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
        given = store.of_payouts(connection, [payout.id])
        if any(each.id == approval_id for each in given):
            return payout
        if payout.under_review and payout.status == PayoutStatus.requested:
            return _by_its_case(parts, connection, payout, word.actor, Outcome.reject)
        if not payout_rules.is_awaiting_approvals(payout):
            raise UnexpectedState(f"This payout is {payout.status}: nothing is to be decided.")
        person = _person(connection, word.actor, livemode=livemode)
        role = acting_role(payout.approver_role, None if person is None else person.roles)
        if role is None and (person is None or Role.admin not in person.roles):
            raise PermissionDenied(f"Only a person with the role {payout.approver_role} may do it.")
        approval = Approval(
            id=approval_id,
            account_id=payout.account_id,
            livemode=livemode,
            payout=payout.id,
            verdict=Verdict.reject.value,
            actor=word.actor.name,
            key=word.actor.key,
            role=role or Role.admin.value,
            method=Method.key.value,
            digest=content_digest(payout_rules.approved_content(payout)),
            public_key=None,
            signature=None,
            comment=word.comment,
            created=now,
        )
        if all(each.actor != approval.actor for each in given):
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


def signatures(
    connection: Connection, payouts_of: Sequence[str]
) -> dict[str, tuple[SigningApproval, ...]]:
    """What approvers signed of these payouts, for the signer, which checks it for itself."""
    found: dict[str, tuple[SigningApproval, ...]] = {}
    for each in store.of_payouts(connection, payouts_of):
        if each.verdict == Verdict.approve and each.public_key and each.signature:
            signed = SigningApproval(bytes(each.public_key), bytes(each.signature))
            found[each.payout] = (*found.get(each.payout, ()), signed)
    return found


def _approval(
    parts: Parts,
    connection: Connection,
    payout: Payout,
    word: Word,
    given: Sequence[Approval],
    *,
    approval_id: str,
    now: datetime,
) -> Approval:
    """The approval, after everything that may speak against it; the payout is locked."""
    actor = word.actor
    person = _person(connection, actor, livemode=payout.livemode)
    role = acting_role(payout.approver_role, None if person is None else person.roles)
    if role is None:
        raise PermissionDenied(
            f"Only a person with the role {payout.approver_role} may approve this payout:"
            f" the rule {payout.rule!r} of the policy says so."
        )
    if is_of(payout, actor):
        raise SamePerson("You asked for this payout: another person has to approve it.")
    if any(each.actor == actor.name for each in given):
        raise SamePerson("You have decided on this payout already: another person is needed.")
    content = payout_rules.approved_content(payout)
    digest = content_digest(content)
    signs = word.step_up.signature is not None
    if word.digest is None and person is not None and not signs:
        raise ParameterMissing(
            "Missing required parameter: digest. Send the digest of the explanation that you"
            " approve, so that nothing else is approved.",
            param="digest",
        )
    if word.digest is not None and word.digest != digest:
        raise ApprovalStale(
            "This is not the payout that you were shown: look at its explanation again.",
            param="digest",
        )
    method, signature = (
        (Method.key, None)
        if person is None
        else check(parts, connection, person, word.step_up, message=content, now=now)
    )
    public_key = None if person is None or signature is None else person.public_key
    return Approval(
        id=approval_id,
        account_id=payout.account_id,
        livemode=payout.livemode,
        payout=payout.id,
        verdict=Verdict.approve.value,
        actor=actor.name,
        key=actor.key,
        role=role,
        method=method.value,
        digest=digest,
        public_key=None if public_key is None else bytes.fromhex(public_key),
        signature=signature,
        comment=word.comment,
        created=now,
    )


def _follow(
    connection: Connection, payout: Payout, given: Sequence[Approval], *, now: datetime
) -> Payout:
    """Approve the payout when there are enough; otherwise it goes on waiting."""
    told = [told_of(given[-1])]
    digest = content_digest(payout_rules.approved_content(payout))
    enough = standing(given, digest=digest, role=payout.approver_role)
    if len(enough) >= payout.approvals_needed:
        payout = replace(payout, status=PayoutStatus.approved.value)
        write_status(connection, [payout])
        told.append(payout_event(payout, event.PAYOUT_APPROVED))
        wake(connection, "payout.build", "refund.follow")
    events.append(connection, told, now=now)
    return payout


def is_of(payout: Payout, actor: Actor) -> bool:
    """Did this actor ask for the payout, with whichever key?"""
    if actor.person is not None:
        return payout.initiator_person == actor.person
    return payout.initiator == actor.key


def _person(connection: Connection, actor: Actor, *, livemode: bool) -> Person | None:
    """The person who acts, as they stand now; None for the operator's key without one."""
    return None if actor.person is None else acting_person(connection, actor, livemode=livemode)


def _by_its_case(
    parts: Parts, connection: Connection, payout: Payout, actor: Actor, outcome: Outcome
) -> Payout:
    """Under review is decided by two people, by the case; in the sandbox at once."""
    decide_alone(parts, connection, payout.id, outcome, actor=actor, livemode=payout.livemode)
    return _locked(connection, payout.id, livemode=payout.livemode)


def _locked(connection: Connection, identifier: str, *, livemode: bool) -> Payout:
    payout = payouts.find(connection, identifier, account_id=None, livemode=livemode, lock=True)
    if payout is None:
        raise ResourceMissing(f"No such payout: {identifier!r}.", param="id")
    return payout


def write_status(connection: Connection, rows: Sequence[Payout]) -> None:
    fields = ("id", "status", "failure_code", "failure_message")
    update_records(
        connection,
        payouts.payouts,
        [{name: getattr(row, name) for name in fields} for row in rows],
    )


def told_of(approval: Approval) -> NewEvent:
    return NewEvent(
        account_id=approval.account_id,
        livemode=approval.livemode,
        type=event.APPROVAL_CREATED,
        object_id=approval.id,
        object=public_approval(approval),
    )
