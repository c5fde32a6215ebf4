"""Messages to other institutions are sent: leased, sent as often as it takes, given up in time."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from sakk.core.errors import SealedElsewhere
from sakk.core.travel_rule import TravelRule
from sakk.core.trp import Confirmation, Resolution
from sakk.flow.context import Parts
from sakk.flow.regime import in_force
from sakk.flow.stage import Stage
from sakk.flow.travel_exchange import (
    STAGE,
    Asked,
    MessageKind,
    MessageStatus,
    Told,
    TravelRail,
)
from sakk.flow.travel_inquiry import agreement
from sakk.flow.travel_need import opened
from sakk.flow.travel_rule import answered, unanswered
from sakk.store import travel_rule as store
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, given_back_on_error, retry_delay, settle
from sakk.store.travel_rule import TravelMessage

BATCH_MAX: Final = 16
THREADS_MAX: Final = 8

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Due:
    """A message, and what its sending takes: read before any call, in one transaction.

    ``sealed``: why it can not be read on this machine; it waits, and the others go.
    """

    message: TravelMessage
    asked: Asked | None = None
    resolution: Resolution | None = None
    sealed: str | None = None


_due = claimable(
    store.travel_messages,
    TravelMessage,
    store.travel_messages.c.status == MessageStatus.queued.value,
    limit=BATCH_MAX,
)


def travel_send_stage(parts: Parts, rail: TravelRail) -> Stage:
    """The stage that tells other institutions what is queued for them."""
    table = store.travel_messages

    def run() -> int:
        now = parts.clock()
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _due, token=token, now=now)
            due = [_prepared(connection, parts, row) for row in rows]
        if not rows:
            return 0
        with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
            failpoint("travel_rule.send.before")
            with ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="travel") as threads:
                told = list(threads.map(lambda each: _send(rail, each), due))
            failpoint("travel_rule.send.after")
            _record(parts, due, told, token=token)
        return len(rows)

    return Stage(STAGE, run)


def _prepared(connection: Connection, parts: Parts, message: TravelMessage) -> Due:
    """What an inquiry says is opened from its record; a confirmation says it itself."""
    if message.kind == MessageKind.confirmation:
        return Due(message)
    record = store.find(connection, store.travel_rules.c.id == message.record)
    assert record is not None
    try:
        return _unsealed(connection, parts, message, record)
    except SealedElsewhere as error:
        return Due(message, sealed=error.message)


def _unsealed(
    connection: Connection, parts: Parts, message: TravelMessage, record: TravelRule
) -> Due:
    vault = parts.secrets_vault()
    if message.kind == MessageKind.resolution:
        if message.detail["rejected"] is not None:
            return Due(message, resolution=Resolution(rejected=message.detail["rejected"]))
        return Due(message, resolution=agreement(vault, record, parts.public_url))
    payload, _ = opened(vault, record)
    callback = f"{parts.public_url}/trp/resolutions/{vault.token(record.id)}"
    return Due(
        message,
        Asked(
            _asset(connection, record, message.detail["asset"]),
            message.detail["amount"],
            callback,
            payload,
        ),
    )


def _asset(connection: Connection, record: TravelRule, asset: str) -> dict[str, str]:
    """A token by its Digital Token Identifier where that is known, else by CAIP-19."""
    found = in_force(connection, livemode=record.livemode)
    dti = None if found is None else found[0].dti.get(asset)
    return {"caip19": asset} if dti is None else {"dti": dti}


def _send(rail: TravelRail, due: Due) -> Told:
    message = due.message
    if due.sealed is not None:
        return Told(taken=False, error=due.sealed)
    match MessageKind(message.kind):
        case MessageKind.inquiry:
            assert due.asked is not None
            return rail.inquire(message.url, message.request_identifier, due.asked)
        case MessageKind.resolution:
            assert due.resolution is not None
            return rail.resolve(message.url, message.request_identifier, due.resolution)
        case MessageKind.confirmation:
            return rail.confirm(
                message.url, message.request_identifier, Confirmation(**message.detail)
            )


def _record(parts: Parts, due: Sequence[Due], told: Sequence[Told], *, token: str) -> None:
    """What came of each message, in a transaction of its own, and what follows for its record."""
    for each, what in zip(due, told, strict=True):
        now = parts.clock()
        message = each.message
        row = _after(message, what, now=now)
        with parts.database.begin() as connection:
            if message.kind == MessageKind.inquiry:
                _follow(connection, message, what, row, now=now)
            settle(connection, store.travel_messages, [row], token=token)
        if not what.taken:
            log.warning(
                "travel_rule.not_taken",
                record=message.record,
                kind=message.kind,
                error=what.error,
                given_up=row["status"] == MessageStatus.failed.value,
            )


def _after(message: TravelMessage, told: Told, *, now: datetime) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": message.id,
        "status": MessageStatus.sent.value,
        "answer": told.error,
        "sent_at": now,
        "failures": 0,
        "retry_at": None,
    }
    if told.taken:
        return row
    retry_at = now + retry_delay(message.failures)
    over = told.refused or retry_at >= message.give_up_at
    return row | {
        "status": (MessageStatus.failed if over else MessageStatus.queued).value,
        "sent_at": None,
        "failures": message.failures + 1,
        "retry_at": None if over else retry_at,
    }


def _follow(
    connection: Connection,
    message: TravelMessage,
    told: Told,
    row: dict[str, Any],
    *,
    now: datetime,
) -> None:
    if told.taken:
        answered(
            connection,
            message.record,
            told.resolution or Resolution(),
            livemode=message.livemode,
            now=now,
        )
    elif row["status"] == MessageStatus.failed.value:
        why = f"The other institution could not be asked: {told.error}."
        unanswered(connection, message.record, why, livemode=message.livemode, now=now)
