"""Rescreen: a change of lists or rules is held against what waits, and lists against the past.

Each transfer whose other side got or lost a label is judged again, and when other rules take effect
all that waits is; the verdict is one more record, and the operator is told where it differs from
the last. Nothing that was decided is undone by it:
a held pay-in stays held, money that was credited or sent is a person's work. A payout that no
transaction carries yet is screened again before it gets one.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from prometheus_client import Gauge
from sqlalchemy import Connection, select

from sakk.core import event
from sakk.core.case import CaseKind, Opening, opening_of
from sakk.core.event import NewEvent
from sakk.core.label import LabelList, public_list
from sakk.core.payin import PayIn, PayInStatus
from sakk.core.payout import Payout, PayoutPurpose, is_unsigned
from sakk.core.screening import (
    IssuerAnswer,
    Screening,
    Verdict,
    counterparty,
    facts_from_document,
    is_same_finding,
    request_of,
    to_public,
)
from sakk.flow.case import open_cases
from sakk.flow.context import Parts
from sakk.flow.payin import screening_request as payin_request
from sakk.flow.payout import screening_request as payout_request
from sakk.flow.stage import Stage, wake
from sakk.store import address
from sakk.store import event as events
from sakk.store import payin as payins
from sakk.store import payout as payouts
from sakk.store import rescreen as store
from sakk.store.country import is_changed
from sakk.store.database import among, fetch_all, update_records
from sakk.store.label import list_lists, lists_version, lock_lists, note_stale
from sakk.store.rule import numbers_in_force
from sakk.store.screening import insert_screenings, latest_screenings

log = structlog.get_logger(__name__)

BATCH_MAX = 500
# How long ago a transfer may be that a new label is held against.
LATE_DAYS = 90

waiting = Gauge(
    "sakk_rescreen_pending",
    "Transfers that a change of the lists touches and that are not judged again yet.",
    multiprocess_mode="mostrecent",
)
list_age_seconds = Gauge(
    "sakk_list_age_seconds",
    "Since a list was last imported.",
    ["list", "kind"],
    multiprocess_mode="mostrecent",
)


def rescreen_stage(parts: Parts) -> Stage:
    """The stage that judges again whatever a change of the lists touches."""
    engine = parts.screening_engine()

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            marked = _mark(connection, now=now)
        with parts.database.begin() as connection:
            subjects = store.take(connection, BATCH_MAX)
            if not subjects:
                return marked
            incoming = _incoming(connection, subjects)
            outgoing = _outgoing(connection, subjects)
            treasury = address.list_payers(connection)
            requests = [payin_request(row) for row in incoming] + [
                payout_request(row, treasury[0].address if treasury else row.destination)
                for row in outgoing
            ]
            before = latest_screenings(connection, subjects)
            # What is not sent is asked about before it is; for what was, the last answer stands.
            said = _issuers_said(before)
            verdicts = engine.screen(
                requests, connection=connection, at=now, issuer=said, asked=False
            )
            insert_screenings(connection, verdicts)
            _note(connection, incoming, outgoing, {each.subject: each for each in verdicts})
            changed = _changed(before, verdicts)
            events.append(connection, _news(before, changed), now=now)
            open_cases(connection, _findings(changed, outgoing), now=now)
            store.done(connection, subjects)
            waiting.set(store.pending(connection))
            wake(connection, "payout.screen")
        return marked + len(subjects)

    return Stage("screening.rescreen", run, gives_way=True)


def _issuers_said(before: dict[str, Screening]) -> dict[tuple[str, str], IssuerAnswer]:
    """What issuers said of the other sides when these were screened last."""
    found = {}
    for each in before.values():
        answer = facts_from_document(each.inputs or {}).issuer
        if answer is not None:
            found[each.asset, counterparty(request_of(each))] = answer
    return found


def _mark(connection: Connection, *, now: datetime) -> int:
    """Mark what the newest lists and rules touch; the cursors move in the same transaction."""
    _look_at_ages(connection, now=now)
    cursors = store.read_cursors(connection)
    marked = 0
    version = lists_version(connection)
    if cursors.get(store.LISTS, 0) != version:
        after = store.lock_cursor(connection, store.LISTS)
        # The database may have been set back: then all that the lists say is new.
        after = after if after <= version else 0
        marked += store.mark(
            connection, after=after, version=version, since=now - timedelta(days=LATE_DAYS)
        )
        if is_changed(connection, after=after, version=version):
            # A country says nothing of an address: all that waits is looked at.
            marked += sum(store.mark_waiting(connection, livemode=each) for each in (False, True))
    for livemode, number in numbers_in_force(connection).items():
        cursor = store.RULES[livemode]
        if cursors.get(cursor, 0) != number and store.lock_cursor(connection, cursor) != number:
            marked += store.mark_by_rules(connection, livemode=livemode, number=number)
    return marked


def _look_at_ages(connection: Connection, *, now: datetime) -> None:
    """How old each list is; the operator is told once of a sanctions list that grew stale."""
    stale = []
    for each in list_lists(connection):
        if each.retired_at is None:
            list_age_seconds.labels(each.name, each.kind).set(each.age_seconds(now))
        if each.is_stale(now) and each.stale_told_at is None:
            stale.append(each)
    if stale:
        # One process at a time tells; the others find it told.
        lock_lists(connection)
        stale = [each for each in list_lists(connection) if each.is_stale(now)]
        stale = [each for each in stale if each.stale_told_at is None]
        note_stale(connection, [each.name for each in stale], now=now)
        told = [_stale(each, mode, now) for each in stale for mode in (False, True)]
        events.append(connection, told, now=now)


def _stale(row: LabelList, livemode: bool, now: datetime) -> NewEvent:
    """Lists have no mode: whoever listens in either is told."""
    log.warning(event.LIST_STALE, list=row.name, age_seconds=row.age_seconds(now))
    return NewEvent(
        account_id=None,
        livemode=livemode,
        type=event.LIST_STALE,
        object_id=row.id,
        object=public_list(row, now=now),
    )


def _incoming(connection: Connection, subjects: Sequence[str]) -> list[PayIn]:
    table = payins.payins
    statement = select(table).where(among(table.c.id, subjects)).order_by(table.c.id)
    return fetch_all(connection, statement.with_for_update(), PayIn)


def _outgoing(connection: Connection, subjects: Sequence[str]) -> list[Payout]:
    table = payouts.payouts
    statement = select(table).where(among(table.c.id, subjects)).order_by(table.c.id)
    return fetch_all(connection, statement.with_for_update(), Payout)


def _note(
    connection: Connection,
    incoming: Sequence[PayIn],
    outgoing: Sequence[Payout],
    verdicts: dict[str, Screening],
) -> None:
    """Rows that still wait for a person name the newest verdict; others keep what decided them."""
    update_records(
        connection,
        payins.payins,
        [
            {"id": row.id, "screening": verdicts[row.id].id}
            for row in incoming
            if row.status == PayInStatus.held
        ],
    )
    update_records(
        connection,
        payouts.payouts,
        [{"id": row.id, "screening": verdicts[row.id].id} for row in outgoing if row.under_review],
    )
    update_records(
        connection,
        payouts.payouts,
        [
            # Whatever it waits for, it is judged before that.
            {"id": row.id, "screening_stale": True, "retry_at": None}
            for row in outgoing
            if is_unsigned(row)
        ],
    )


def _changed(before: dict[str, Screening], verdicts: Sequence[Screening]) -> list[Screening]:
    """Verdicts that are others than before, or for other reasons."""
    return [
        each
        for each in verdicts
        if (last := before.get(each.subject)) is None or not is_same_finding(last, each)
    ]


def _findings(changed: Sequence[Screening], outgoing: Sequence[Payout]) -> list[Opening]:
    """What a person has to look at; what is not sent yet is screened again first, and held then."""
    sent = {row.id: row for row in outgoing}
    openings = []
    for each in changed:
        payout = sent.get(each.subject)
        if each.verdict == Verdict.clear or (payout is not None and is_unsigned(payout)):
            continue
        kind = CaseKind.payin
        if payout is not None:
            is_refund = payout.purpose == PayoutPurpose.refund
            kind = CaseKind.refund if is_refund else CaseKind.payout
        openings.append(opening_of(each, kind))
    return openings


def _news(before: dict[str, Screening], changed: Sequence[Screening]) -> list[NewEvent]:
    """What the operator is told of verdicts that changed."""
    told = []
    for screening in changed:
        last = before.get(screening.subject)
        told.append(
            NewEvent(
                account_id=screening.account_id,
                livemode=screening.livemode,
                type=event.SCREENING_UPDATED,
                object_id=screening.id,
                object=to_public(screening),
                previous_attributes=None if last is None else {"verdict": last.verdict},
            )
        )
    return told
