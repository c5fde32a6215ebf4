"""Approvals of whole batches: one person, one word, every payout that waits for such a person.

What is approved is one message over the payouts that were shown, line by line and with their sums
(`sakk.core.approval_batch`). If one was canceled, judged otherwise or approved meanwhile, it is
another message, and nothing is approved. Who signs it signs once: each payout's approval keeps the
signature with its path, by which the signer sees for itself that the payout was among them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from sqlalchemy import Connection, Select, func, select

from sakk.core import event
from sakk.core.approval import (
    Approval,
    Method,
    Verdict,
    acting_role,
    content_digest,
    standing,
)
from sakk.core.approval_batch import Membership, batch_message, leaf, path_of, root_of, tree
from sakk.core.errors import (
    ApprovalStale,
    ParameterMissing,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.event import NewEvent
from sakk.core.explanation import BatchLine, batch_words, grouped, line_words
from sakk.core.payout import Payout, PayoutStatus, approved_content
from sakk.core.person import Actor, Person
from sakk.flow.approval import is_of, write_status
from sakk.flow.context import Parts
from sakk.flow.explanation import batch_lines
from sakk.flow.payout import payout_event
from sakk.flow.stage import wake
from sakk.flow.step_up import acting_person, check
from sakk.flow.word import Word, told_of, weighing
from sakk.store import approval as store
from sakk.store import event as events
from sakk.store import payout as payouts
from sakk.store import payout_batch as batches
from sakk.store.database import fetch_all

EVENTS_AT_ONCE: Final = 5_000


@dataclass(frozen=True)
class Approvable:
    """What somebody may approve of a batch now: the payouts, and what was said of them before."""

    batch: str
    rows: list[Payout]
    roles: dict[str, str]
    given: dict[str, list[Approval]]
    waiting: int

    @cached_property
    def levels(self) -> list[list[bytes]]:
        return tree([leaf(approved_content(row)) for row in self.rows])

    @property
    def digest(self) -> str:
        """Of what is approved, in hexadecimal."""
        return content_digest(self.message)

    @property
    def message(self) -> bytes:
        """What is approved, and signed by who has a key; nothing where nothing is approved."""
        if not self.rows:
            return b""
        return batch_message(self.batch, len(self.rows), root_of(self.levels))

    def member(self, place: int) -> Membership:
        """Where a payout stands in what is approved."""
        return Membership(self.batch, len(self.rows), place, path_of(self.levels, place))


def look(
    connection: Connection, identifier: str, *, actor: Actor, livemode: bool
) -> tuple[Approvable, list[BatchLine]]:
    """What the actor may approve of a batch, and what is known of each payout; ResourceMissing."""
    person = _person(connection, actor, livemode=livemode)
    found = _approvable(connection, identifier, actor, person, livemode=livemode)
    return found, batch_lines(connection, found.rows)


def explain_batch(
    connection: Connection, identifier: str, *, actor: Actor, livemode: bool
) -> dict[str, Any]:
    """What the actor may approve of a batch, in words, line by line and in sums; ResourceMissing.

    A line's ``message`` is what is approved of its payout, and a leaf of what is approved of all.
    """
    found, lines = look(connection, identifier, actor=actor, livemode=livemode)
    return {
        "object": "batch_explanation",
        "payout_batch": identifier,
        "text": batch_words(identifier, lines),
        "count": len(found.rows),
        "waiting": found.waiting,
        "totals": _totals(found.rows),
        "lines": [
            {
                "payout": each.payout.id,
                "line": each.payout.line,
                "text": line_words(each),
                "message": approved_content(each.payout).decode(),
            }
            for each in lines
        ],
        "digest": found.digest,
        "message": found.message.decode(),
        "livemode": livemode,
    }


def approve_batch(
    parts: Parts,
    identifier: str,
    word: Word,
    *,
    approval_id: Callable[[int], str],
    livemode: bool,
) -> dict[str, Any]:
    """One approval of every payout that was shown; how many may be signed now.

    Raises what `sakk.flow.approval.approve` does; all or none are approved.
    """
    with weighing(parts, word, livemode=livemode) as (connection, now):
        # Payouts before the person, in the order in which one payout's approval locks them.
        lock_waiting(connection, identifier)
        person = _person(connection, word.actor, livemode=livemode)
        found = _approvable(connection, identifier, word.actor, person, livemode=livemode)
        if any(each.id == approval_id(0) for said in found.given.values() for each in said):
            return _result(identifier, [], [], livemode=livemode)
        if not found.rows:
            raise UnexpectedState("No payout of this batch waits for your approval.")
        signs = person is not None and word.step_up.signature is not None
        if word.digest is not None or not signs:
            _check_digest(word.digest, found.digest)
        said = _said(parts, connection, found, person, word, now=now)
        made = [
            replace(
                said,
                id=approval_id(place),
                subject=row.id,
                role=found.roles[row.id],
                digest=content_digest(approved_content(row)),
                **_signed_as(found, place, said),
            )
            for place, row in enumerate(found.rows)
        ]
        store.insert(connection, made)
        approved = [
            replace(row, status=PayoutStatus.approved.value)
            for row, each in zip(found.rows, made, strict=True)
            if _is_enough(row, [*found.given.get(row.id, ()), each])
        ]
        write_status(connection, approved)
        told = [told_of(each) for each in made]
        told += [payout_event(row, event.PAYOUT_APPROVED) for row in approved]
        _append(connection, told, now=now)
        wake(connection, "payout.build", "bank.order", "refund.follow")
    return _result(identifier, made, approved, livemode=livemode)


def _approvable(
    connection: Connection,
    identifier: str,
    actor: Actor,
    person: Person | None,
    *,
    livemode: bool,
) -> Approvable:
    """The payouts of a batch that wait and that this actor may approve, in their order."""
    batch = batches.find(connection, identifier, account_id=None, livemode=livemode)
    if batch is None:
        raise ResourceMissing(
            "No such payout batch: {identifier}.", param="id", identifier=repr(identifier)
        )
    rows = fetch_all(connection, _waiting(identifier), Payout)
    given: dict[str, list[Approval]] = {}
    for each in store.of_subjects(connection, [row.id for row in rows]):
        given.setdefault(each.subject, []).append(each)
    roles: dict[str, str] = {}
    for row in rows:
        role = acting_role(row.approver_role, None if person is None else person.powers)
        of_this = content_digest(approved_content(row))
        said = any(
            each.actor == actor.name and each.digest == of_this for each in given.get(row.id, ())
        )
        if role is not None and not said and not is_of(row, actor):
            roles[row.id] = role
    mine = [row for row in rows if row.id in roles]
    return Approvable(identifier, mine, roles, given, len(rows))


def lock_waiting(connection: Connection, identifier: str) -> None:
    """Nobody else decides on what waits of a batch until this transaction ends."""
    connection.execute(_waiting(identifier).with_for_update())


def count_waiting(connection: Connection, identifier: str) -> int:
    """How many payouts of a batch wait for people, whoever they are."""
    waiting = _waiting(identifier).order_by(None).subquery()
    return int(connection.execute(select(func.count()).select_from(waiting)).scalar_one())


def _waiting(identifier: str) -> Select[Any]:
    table = payouts.payouts
    return (
        select(table)
        .where(
            table.c.batch == identifier,
            table.c.status == PayoutStatus.screened.value,
            table.c.decided_at.is_not(None),
        )
        .order_by(table.c.id)
    )


def _person(connection: Connection, actor: Actor, *, livemode: bool) -> Person | None:
    return None if actor.person is None else acting_person(connection, actor, livemode=livemode)


def _check_digest(sent: str | None, digest: str) -> None:
    if sent is None:
        raise ParameterMissing(
            "Missing required parameter: digest. Send the digest of the batch's explanation.",
            param="digest",
        )
    if sent != digest:
        raise ApprovalStale(
            "These are not the payouts that you were shown: look at the explanation again.",
            param="digest",
        )


def _said(
    parts: Parts,
    connection: Connection,
    found: Approvable,
    person: Person | None,
    word: Word,
    *,
    now: datetime,
) -> Approval:
    """What was said of the first of them, with the person's proof; of the others it is the same."""
    method, signature, public_key = Method.key, None, None
    if person is not None:
        method, signature = check(
            parts, connection, person, word.step_up, message=found.message, now=now
        )
        public_key = None if signature is None else person.public_key
    first = found.rows[0]
    return Approval(
        id="",
        account_id=first.account_id,
        livemode=first.livemode,
        subject=first.id,
        verdict=Verdict.approve.value,
        actor=word.actor.name,
        key=word.actor.key,
        role=found.roles[first.id],
        method=method.value,
        digest="",
        public_key=None if public_key is None else bytes.fromhex(public_key),
        signature=signature,
        comment=word.comment,
        created=now,
        batch=found.batch,
    )


def _signed_as(found: Approvable, place: int, said: Approval) -> dict[str, Any]:
    """By what the signer finds one payout in what was signed; nothing where a code was given."""
    if said.signature is None:
        return {}
    member = found.member(place)
    return {
        "batch_size": member.size,
        "batch_place": member.place,
        "batch_path": member.joined(),
    }


def _is_enough(row: Payout, given: Sequence[Approval]) -> bool:
    digest = content_digest(approved_content(row))
    return len(standing(given, digest=digest, role=row.approver_role)) >= row.approvals_needed


def _append(connection: Connection, told: Sequence[NewEvent], *, now: datetime) -> None:
    for place in range(0, len(told), EVENTS_AT_ONCE):
        events.append(connection, told[place : place + EVENTS_AT_ONCE], now=now)


def _totals(rows: Sequence[Payout]) -> list[dict[str, Any]]:
    sums: dict[tuple[str, int], list[int]] = {}
    for row in rows:
        sums.setdefault((row.currency, row.decimals), []).append(row.amount)
    return [
        {
            "currency": currency,
            "count": len(amounts),
            "amount": sum(amounts),
            "shown": grouped(sum(amounts), decimals),
        }
        for (currency, decimals), amounts in sorted(sums.items())
    ]


def _result(
    identifier: str, made: Sequence[Approval], approved: Sequence[Payout], *, livemode: bool
) -> dict[str, Any]:
    return {
        "object": "batch_approval",
        "payout_batch": identifier,
        "approvals": len(made),
        "approved": len(approved),
        "livemode": livemode,
    }
