"""Words: a person's yes or no to what waits for people, checked where it can not be got around.

Whoever asked for something never approves it, nobody approves twice, and what is approved is what
was shown: payouts, withdrawals and recoveries alike.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import event
from sakk.core.approval import (
    Approvable,
    Approval,
    Method,
    Verdict,
    acting_role,
    content_digest,
    public_approval,
)
from sakk.core.approval_batch import Membership, membership
from sakk.core.errors import ApprovalStale, ParameterMissing, PermissionDenied, SamePerson
from sakk.core.event import NewEvent
from sakk.core.person import Actor, Person
from sakk.core.role import Role
from sakk.flow.context import Parts
from sakk.flow.step_up import StepUp, acting_person, check, count_try
from sakk.signing.protocol import Approval as SigningApproval
from sakk.store import approval as store


@dataclass(frozen=True, slots=True)
class Word:
    """What somebody says of what waits: as whom, with what proof, and of which content.

    ``digest``: of the content that was shown; a person sends it, or signs the content itself.
    """

    actor: Actor
    step_up: StepUp = field(default_factory=StepUp)
    digest: str | None = None
    comment: str | None = None


@contextmanager
def weighing(parts: Parts, word: Word, *, livemode: bool) -> Iterator[tuple[Connection, datetime]]:
    """The transaction in which a word is weighed, and its time; RateLimited.

    A try with a code is counted before, for good, whatever comes of the word.
    """
    count_try(parts, word.actor, word.step_up, livemode=livemode)
    now = parts.clock()
    with parts.database.begin() as connection:
        yield connection, now


def approval_of(
    parts: Parts,
    connection: Connection,
    subject: Approvable,
    word: Word,
    given: Sequence[Approval],
    approval_id: str,
    *,
    now: datetime,
) -> Approval:
    """The approval, after everything that may speak against it; what is approved is locked.

    Raises what ``approve`` does.
    """
    actor = word.actor
    person = _person(connection, actor, livemode=subject.livemode)
    role = acting_role(subject.approver_role, None if person is None else person.powers)
    if role is None:
        raise PermissionDenied(
            "Only a person with the role {approver_role} may approve this {noun}:"
            " the rule {rule} of the policy says so.",
            approver_role=subject.approver_role,
            noun=subject.noun,
            rule=repr(subject.rule),
        )
    if asked(subject.asked_by, actor):
        raise SamePerson(
            "You asked for this {noun}: another person has to approve it.", noun=subject.noun
        )
    if any(each.actor == actor.name and each.digest == subject.digest for each in given):
        raise SamePerson(
            "You have decided on this {noun} already: another person is needed.", noun=subject.noun
        )
    signs = word.step_up.signature is not None
    if word.digest is None and person is not None and not signs:
        raise ParameterMissing(
            "Missing required parameter: digest. Send the digest of the explanation that you"
            " approve, so that nothing else is approved.",
            param="digest",
        )
    if word.digest is not None and word.digest != subject.digest:
        raise ApprovalStale(
            "This is not the {noun} that you were shown: look at its explanation again.",
            param="digest",
            noun=subject.noun,
        )
    method, signature = (
        (Method.key, None)
        if person is None
        else check(parts, connection, person, word.step_up, message=subject.content, now=now)
    )
    public_key = None if person is None or signature is None else person.public_key
    return Approval(
        id=approval_id,
        account_id=subject.account_id,
        livemode=subject.livemode,
        subject=subject.id,
        verdict=Verdict.approve.value,
        actor=actor.name,
        key=actor.key,
        role=role,
        method=method.value,
        digest=subject.digest,
        public_key=None if public_key is None else bytes.fromhex(public_key),
        signature=signature,
        comment=word.comment,
        created=now,
    )


def refusal_of(
    connection: Connection, subject: Approvable, word: Word, approval_id: str, *, now: datetime
) -> Approval:
    """One no, of who might have approved it or of an admin; PermissionDenied for others."""
    person = _person(connection, word.actor, livemode=subject.livemode)
    role = acting_role(subject.approver_role, None if person is None else person.powers)
    if role is None and (person is None or Role.admin not in person.powers):
        raise PermissionDenied(
            "Only a person with the role {approver_role} may do it.",
            approver_role=subject.approver_role,
        )
    return Approval(
        id=approval_id,
        account_id=subject.account_id,
        livemode=subject.livemode,
        subject=subject.id,
        verdict=Verdict.reject.value,
        actor=word.actor.name,
        key=word.actor.key,
        role=role or Role.admin.value,
        method=Method.key.value,
        digest=subject.digest,
        public_key=None,
        signature=None,
        comment=word.comment,
        created=now,
    )


def asked(asker: Actor, actor: Actor) -> bool:
    """Is it the same person, or without persons the same key?"""
    if actor.person is not None:
        return asker.person == actor.person
    return asker.key == actor.key


def signatures(
    connection: Connection, contents: Mapping[str, bytes]
) -> dict[str, tuple[SigningApproval, ...]]:
    """What approvers signed of these contents, by their ids, for the signer, which checks it for
    itself; what they signed of another content of before is none of it."""
    digests = {subject: content_digest(content) for subject, content in contents.items()}
    found: dict[str, tuple[SigningApproval, ...]] = {}
    for each in store.of_subjects(connection, list(contents)):
        if each.verdict != Verdict.approve or each.digest != digests[each.subject]:
            continue
        if each.public_key and each.signature:
            signed = SigningApproval(
                bytes(each.public_key), bytes(each.signature), _membership(each)
            )
            found[each.subject] = (*found.get(each.subject, ()), signed)
    return found


def _membership(approval: Approval) -> Membership | None:
    """Where its payout stands in the batch that was signed for, if it was a batch."""
    if approval.batch is None or approval.batch_path is None:
        return None
    assert approval.batch_size is not None
    assert approval.batch_place is not None
    path = bytes(approval.batch_path)
    return membership(approval.batch, approval.batch_size, approval.batch_place, path)


def check_compliance(connection: Connection, actor: Actor, *, livemode: bool) -> None:
    """Under review is the decision of compliance, or of the operator's key without a person."""
    person = _person(connection, actor, livemode=livemode)
    if person is not None and Role.compliance not in person.powers:
        raise PermissionDenied(
            "This payout is under review: a person with the role compliance decides first."
        )


def told_of(approval: Approval) -> NewEvent:
    return NewEvent(
        account_id=approval.account_id,
        livemode=approval.livemode,
        type=event.APPROVAL_CREATED,
        object_id=approval.id,
        object=public_approval(approval),
    )


def _person(connection: Connection, actor: Actor, *, livemode: bool) -> Person | None:
    """The person who acts, as they stand now; None for the operator's key without one."""
    return None if actor.person is None else acting_person(connection, actor, livemode=livemode)
