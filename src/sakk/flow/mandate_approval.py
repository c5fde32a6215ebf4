"""A person's yes or no to a spend that waits, which an API key alone can not say.

Who approves is one of the house's people, with a fresh code, or whoever holds one of the account's
owner keys, by a signature over the very spend. The agent's own key and an API key without a person
approve nothing. One no, of anybody who acts for the account, is enough.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import eip712, event
from sakk.core import mandate_spend as rules
from sakk.core.approval import Approvable, Approval, Method, Verdict
from sakk.core.errors import (
    ApprovalStale,
    ParameterInvalid,
    PermissionDenied,
    SamePerson,
    UnexpectedState,
)
from sakk.core.event import NewEvent
from sakk.core.mandate import Mandate
from sakk.core.mandate_spend import MandateSpend, SpendStatus
from sakk.core.person import OPERATOR, Actor
from sakk.flow import mandate
from sakk.flow.context import Parts
from sakk.flow.mandate_spend import locked
from sakk.flow.word import Word, approval_of, refusal_of, told_of, weighing
from sakk.store import approval as approvals
from sakk.store import event as events
from sakk.store import mandate_spend as store
from sakk.store import owner_key as owner_keys

NOUN = "spend"


@dataclass(frozen=True, slots=True)
class Place:
    """Which spend, of which mandate, account and mode."""

    mandate: str
    spend: str
    account_id: str
    livemode: bool


def approve(
    parts: Parts, place: Place, word: Word, *, owner_signature: str | None, approval_id: str
) -> MandateSpend:
    """Let the agent carry out a spend that waits, once, when it comes back in time.

    Raises PermissionDenied for a key without a person and without an owner's signature,
    StepUpRequired and StepUpFailed, ParameterInvalid, UnexpectedState.
    """
    with weighing(parts, word, livemode=place.livemode) as (connection, now):
        found, known, given = _waiting(connection, place)
        if any(each.id == approval_id for each in given):
            return known
        _require_waiting(known, now=now)
        if owner_signature is not None:
            approval = _by_owner(connection, known, word, owner_signature, approval_id, now=now)
        elif word.actor.person is None:
            raise PermissionDenied(
                "A person approves a spend: use an API key that belongs to one, with a code, or"
                " send owner_signature, an owner key's signature over approval_typed_data."
            )
        else:
            subject = _approvable(found, known)
            approval = approval_of(parts, connection, subject, word, given, approval_id, now=now)
        approvals.insert(connection, [approval])
        values: dict[str, Any] = {
            "status": SpendStatus.approved.value,
            "approved_by": approval.actor,
            # The agent has as long again to come back.
            "approve_by": min(now + rules.WORD_TIME, found.expires_at),
        }
        return _written(connection, known, values, approval, event.MANDATE_SPEND_APPROVED, now=now)


def reject(parts: Parts, place: Place, word: Word, *, approval_id: str) -> MandateSpend:
    """Refuse a spend that waits, or that was approved and not carried out yet."""
    now = parts.clock()
    with parts.database.begin() as connection:
        found, known, given = _waiting(connection, place)
        if any(each.id == approval_id for each in given):
            return known
        if known.status != SpendStatus.approved:
            _require_waiting(known, now=now)
        refusal = refusal_of(connection, _approvable(found, known), word, approval_id, now=now)
        if all(each.actor != refusal.actor for each in given):
            approvals.insert(connection, [refusal])
        values = {"status": SpendStatus.rejected.value}
        return _written(connection, known, values, refusal, event.MANDATE_SPEND_REJECTED, now=now)


def _waiting(connection: Connection, place: Place) -> tuple[Mandate, MandateSpend, list[Approval]]:
    """The spend, locked, with its mandate and what was said of it."""
    found = mandate.find(
        connection, place.mandate, account_id=place.account_id, livemode=place.livemode
    )
    known = locked(connection, found, place.spend)
    return found, known, approvals.of_subjects(connection, [known.id])


def _require_waiting(known: MandateSpend, *, now: datetime) -> None:
    if known.status != SpendStatus.waiting or known.approve_by is None:
        raise UnexpectedState(
            f"This spend is {known.status}: nothing waits for a word.", param="spend"
        )
    if known.approve_by <= now:
        raise UnexpectedState(
            "The time for a word on this spend is over: the agent has to ask again.",
            param="spend",
        )


def _approvable(found: Mandate, known: MandateSpend) -> Approvable:
    return Approvable(
        id=known.id,
        account_id=known.account_id,
        livemode=known.livemode,
        noun=NOUN,
        content=rules.approval_content(known),
        rule=None,
        approvals_needed=1,
        approver_role=OPERATOR,
        asked_by=Actor(found.id),
    )


def _by_owner(
    connection: Connection,
    known: MandateSpend,
    word: Word,
    signature: str,
    approval_id: str,
    *,
    now: datetime,
) -> Approval:
    """An approval by the signature of one of the account's owner keys over this spend."""
    digest = rules.approval_digest(known)
    if word.digest is not None and word.digest != digest:
        raise ApprovalStale(
            "This is not the spend that you were shown: look at it again.", param="digest"
        )
    try:
        signed_by = eip712.signer(rules.approval_typed_data(known), signature)
    except ValueError as error:
        raise ParameterInvalid(
            f"This is no signature ({error}). Sign approval_typed_data of the spend with"
            " eth_signTypedData_v4.",
            param="owner_signature",
        ) from None
    key = owner_keys.find_address(
        connection, signed_by, account_id=known.account_id, livemode=known.livemode, lock=True
    )
    if key is None:
        raise ParameterInvalid(
            "This is not the signature of one of the account's owner keys over this spend.",
            param="owner_signature",
        )
    if any(each.actor == key.id for each in approvals.of_subjects(connection, [known.id])):
        raise SamePerson("This owner key has decided on this spend already.")
    return Approval(
        id=approval_id,
        account_id=known.account_id,
        livemode=known.livemode,
        subject=known.id,
        verdict=Verdict.approve.value,
        actor=key.id,
        key=word.actor.key,
        role="owner",
        method=Method.owner.value,
        digest=digest,
        public_key=None,
        signature=eip712.signature_bytes(signature),
        comment=word.comment,
        created=now,
    )


def _written(
    connection: Connection,
    known: MandateSpend,
    values: dict[str, Any],
    approval: Approval,
    name: str,
    *,
    now: datetime,
) -> MandateSpend:
    store.change(connection, known.id, values, status=known.status)
    after = replace(known, **values)
    told = NewEvent(
        account_id=after.account_id,
        livemode=after.livemode,
        type=name,
        object_id=after.id,
        object=rules.public_spend(after),
    )
    events.append(connection, [told, told_of(approval)], now=now)
    return after
