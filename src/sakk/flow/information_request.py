"""Requests for information: an officer asks on a case, its account answers, and is reminded.

Each step is a row that is added, an act of the case, and an event to each side, in one transaction
under the case's lock: of an answer and a withdrawal at once there is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import attachment as attachments
from sakk.core import case as cases
from sakk.core import information_event as event
from sakk.core import information_request as rules
from sakk.core.attachment import Attachment
from sakk.core.case import Act, Case, CaseStatus
from sakk.core.errors import ResourceMissing, UnexpectedState
from sakk.core.event import NewEvent
from sakk.core.evm import checksum_address
from sakk.core.idempotency import object_id
from sakk.core.information_request import (
    Asked,
    InformationEnd,
    InformationRequest,
    InformationStatus,
)
from sakk.core.money import format_decimal
from sakk.core.payin import PayIn
from sakk.core.payout import Payout, PayoutPurpose, shown_destination
from sakk.core.person import OPERATOR, Actor
from sakk.flow.case import act_of, case_event
from sakk.flow.case_subject import Matter, find_matter
from sakk.flow.context import Parts
from sakk.flow.officer import Officer, case_officer
from sakk.store import case as case_store
from sakk.store import event as events
from sakk.store import information_request as store
from sakk.store import label as lists
from sakk.store import refund as refunds
from sakk.store.network import find_asset

REMIND_MAX = 200


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file of an answer, as it came."""

    name: str
    media_type: str
    content: bytes


def ask(
    parts: Parts,
    identifier: str,
    question: str,
    *,
    due_at: datetime | None,
    actor: Actor,
    livemode: bool,
    request_id: str,
) -> Asked:
    """Ask a case's account; the case waits for the answer. The same again under the same id.

    UnexpectedState where something is asked already, or the case is about no account;
    ParameterInvalid for a question that would tell why it is asked.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        made = store.find(connection, request_id, account_id=None, livemode=livemode)
        if made is not None:
            return made
        matter = find_matter(connection, identifier, livemode=livemode, lock=True)
        by = case_officer(connection, actor, livemode=livemode)
        named = [each.name for each in lists.list_lists(connection)]
        kept = rules.check_question(question, lists=named)
        due = rules.check_due(due_at, now=now)
        case = matter.case
        status = cases.after(case.status, Act.asked).value
        if case.account_id is None:
            raise UnexpectedState("This case is about no account: there is nobody to ask.")
        row = InformationRequest(
            id=request_id,
            case_id=case.id,
            account_id=case.account_id,
            livemode=livemode,
            about=facts_of(connection, matter),
            question=kept,
            asked_by=by.name,
            due_at=due,
            created=now,
        )
        store.insert_request(connection, row)
        detail = {"information_request": row.id, "due_at": int(due.timestamp())}
        _write(connection, case, status, Act.asked, detail, now=now, actor=by.name, key=by.key)
        asked = Asked(row)
        tell(connection, asked, event.INFORMATION_REQUEST_CREATED, now=now)
    return asked


def withdraw(parts: Parts, identifier: str, *, actor: Actor, livemode: bool) -> Asked:
    """Say that no answer is needed any more; the same again changes nothing."""
    now = parts.clock()
    with parts.database.begin() as connection:
        asked, case = _locked(connection, identifier, account_id=None, livemode=livemode)
        by = case_officer(connection, actor, livemode=livemode)
        if asked.status is InformationStatus.withdrawn:
            return asked
        rules.check_open(asked)
        _withdraw(connection, case, asked, by=by, now=now)
        found = store.find(connection, identifier, account_id=None, livemode=livemode)
    assert found is not None
    return found


def withdraw_open(connection: Connection, case: Case, *, by: Officer, now: datetime) -> Case:
    """The locked case as it is without an open question: nobody waits for an answer any more."""
    asked = store.find_open(connection, case.id)
    return case if asked is None else _withdraw(connection, case, asked, by=by, now=now)


def resumed(connection: Connection, case: Case, status: CaseStatus) -> str:
    """How a locked case stands that goes on: it still waits where its account was asked."""
    waits = store.find_open(connection, case.id) is not None
    return (CaseStatus.awaiting_answer if waits else status).value


def answer(
    parts: Parts,
    identifier: str,
    text: str,
    files: Sequence[SentFile] = (),
    *,
    account_id: str | None,
    livemode: bool,
    actor: Actor,
    seed: int,
    by_operator: bool = False,
) -> Asked:
    """Answer with text and files, once; they are the case's from then on.

    ``account_id`` None: for whosever it is, as the operator does who writes down what came by
    letter. ``seed``: of the request, from which the files' ids follow. ``by_operator``: the case
    alone names them, and the account does not learn who works on it. The same answer again changes
    nothing; another one raises UnexpectedState.
    """
    kept = rules.check_text(text, param="text")
    rules.check_files([len(each.content) for each in files])
    hashes = [attachments.check_content(each.content, each.media_type) for each in files]
    now = parts.clock()
    by = actor.person or actor.key
    with parts.database.begin() as connection:
        asked, case = _locked(connection, identifier, account_id=account_id, livemode=livemode)
        if asked.end is not None and rules.is_same_answer(asked.end, kept, hashes):
            return asked
        rules.check_open(asked)
        rows = [
            Attachment(
                id=object_id(seed, attachments.PREFIX, index),
                case_id=case.id,
                livemode=livemode,
                author=by,
                name=attachments.safe_name(each.name),
                media_type=each.media_type,
                size_bytes=len(each.content),
                sha256=sha256,
                created=now,
            )
            for index, (each, sha256) in enumerate(zip(files, hashes, strict=True))
        ]
        for row, each in zip(rows, files, strict=True):
            case_store.insert_attachment(connection, row, each.content)
        end = InformationEnd(
            request_id=asked.request.id,
            livemode=livemode,
            status=InformationStatus.answered.value,
            by=OPERATOR if by_operator else by,
            text=kept,
            files=[_file(row) for row in rows],
            created=now,
        )
        store.insert_end(connection, end)
        status = cases.after(case.status, Act.answered).value
        detail = {"information_request": asked.request.id, "files": [each.id for each in rows]}
        after = _write(
            connection, case, status, Act.answered, detail, now=now, actor=by, key=actor.key
        )
        answered = replace(asked, end=end)
        tell(connection, answered, event.INFORMATION_REQUEST_ANSWERED, now=now)
        events.append(connection, [case_event(after, event.CASE_ANSWERED, now=now)], now=now)
    return answered


def remind_overdue(connection: Connection, *, now: datetime) -> int:
    """Remind of what is overdue, a few times a day apart; the officer is told the first time."""
    reminded = 0
    for each in store.list_due(connection, now=now, limit=REMIND_MAX):
        case = case_store.lock(connection, each.request.case_id)
        assert case is not None
        fresh = store.with_ends(connection, [each.request])[0]
        if not rules.reminder_due(fresh, now=now):
            continue
        told = store.remind(connection, fresh, now=now)
        if told is None:
            continue
        status = cases.after(case.status, Act.reminded).value
        detail = {"information_request": each.request.id, "number": told.reminders}
        after = _write(connection, case, status, Act.reminded, detail, now=now)
        tell(connection, told, event.INFORMATION_REQUEST_REMINDED, now=now)
        if told.reminders == 1:
            known = [case_event(after, event.CASE_UNANSWERED, now=now)]
            events.append(connection, known, now=now)
        reminded += 1
    return reminded


def tell(connection: Connection, asked: Asked, name: str, *, now: datetime) -> None:
    """Tell the account that is asked."""
    told = NewEvent(
        account_id=asked.request.account_id,
        livemode=asked.request.livemode,
        type=name,
        object_id=asked.request.id,
        object=rules.public(asked, now=now),
    )
    events.append(connection, [told], now=now)


def facts_of(connection: Connection, matter: Matter) -> dict[str, Any]:
    """What a case is about, as its account knows it anyway; empty where it is no payment."""
    if matter.payin is not None:
        return _of_payin(connection, matter.payin)
    if matter.payout is not None:
        return _of_payout(connection, matter.payout)
    return {}


def _of_payin(connection: Connection, payin: PayIn) -> dict[str, Any]:
    asset = find_asset(connection, payin.asset)
    return {
        "object": "payin",
        "id": payin.id,
        "payment_intent": payin.payment_intent,
        "amount_decimal": None
        if asset is None
        else format_decimal(payin.token_amount, asset.decimals),
        "currency": None if asset is None else asset.symbol,
        "network": payin.network,
        "address": checksum_address(payin.address),
        "tx_hash": payin.tx_hash,
        "created": int(payin.created.timestamp()),
    }


def _of_payout(connection: Connection, payout: Payout) -> dict[str, Any]:
    refund = None
    if payout.purpose == PayoutPurpose.refund:
        refund = refunds.find_by_payout(connection, payout.id)
    return {
        "object": "payout" if refund is None else "refund",
        "id": payout.id if refund is None else refund.id,
        "payment_intent": None if refund is None else refund.payment_intent,
        "amount_decimal": format_decimal(payout.amount, payout.decimals),
        "currency": payout.currency.upper(),
        "network": payout.network,
        "address": shown_destination(payout),
        "tx_hash": payout.tx_hash,
        "created": int(payout.created.timestamp()),
    }


def _file(row: Attachment) -> dict[str, Any]:
    return {
        "attachment": row.id,
        "name": row.name,
        "media_type": row.media_type,
        "size_bytes": row.size_bytes,
        "sha256": row.sha256,
    }


def _withdraw(
    connection: Connection, case: Case, asked: Asked, *, by: Officer, now: datetime
) -> Case:
    end = InformationEnd(
        request_id=asked.request.id,
        livemode=case.livemode,
        status=InformationStatus.withdrawn.value,
        by=by.name,
        text=None,
        files=[],
        created=now,
    )
    store.insert_end(connection, end)
    status = cases.after(case.status, Act.withdrawn).value
    detail = {"information_request": asked.request.id}
    after = _write(
        connection, case, status, Act.withdrawn, detail, now=now, actor=by.name, key=by.key
    )
    tell(connection, replace(asked, end=end), event.INFORMATION_REQUEST_WITHDRAWN, now=now)
    return after


def _locked(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> tuple[Asked, Case]:
    """A request under its case's lock, as it stands then; ResourceMissing."""
    found = store.find(connection, identifier, account_id=account_id, livemode=livemode)
    if found is None:
        raise ResourceMissing("There is no such request for information.", param="id")
    case = case_store.lock(connection, found.request.case_id)
    assert case is not None
    return store.with_ends(connection, [found.request])[0], case


def _write(
    connection: Connection,
    case: Case,
    status: str,
    act: Act,
    detail: dict[str, Any],
    *,
    now: datetime,
    actor: str = cases.SYSTEM,
    key: str | None = None,
) -> Case:
    after = replace(case, status=status, acts=case.acts + 1)
    case_store.write(connection, [after])
    row = act_of(case, after, act, detail=detail, now=now, actor=actor, key=key)
    case_store.insert_acts(connection, [row])
    return after
