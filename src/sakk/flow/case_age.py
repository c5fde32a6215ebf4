"""Ageing of cases: deadlines that pass are told once, who was asked is reminded, how much waits is
measured, and what is held without a case gets one.

The last is for what was held before there were cases, and for the day that some stage forgets.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from prometheus_client import Gauge
from sqlalchemy import Connection

from sakk.core import case as rules
from sakk.core import event
from sakk.core.case import Act, CaseKind, Opening
from sakk.core.payout import PayoutPurpose
from sakk.core.screening import Verdict
from sakk.flow.case import act_of, case_event, open_cases
from sakk.flow.context import Parts
from sakk.flow.information_request import remind_overdue
from sakk.flow.stage import Stage
from sakk.store import case as store
from sakk.store import event as events
from sakk.store.screening import latest_screenings

IDLE = timedelta(seconds=10)
BATCH_MAX = 200

open_gauge = Gauge(
    "sakk_cases_open", "Cases that are not closed.", ["kind"], multiprocess_mode="mostrecent"
)
overdue_gauge = Gauge(
    "sakk_cases_overdue",
    "Cases that are not closed and past their deadline.",
    multiprocess_mode="mostrecent",
)
oldest_gauge = Gauge(
    "sakk_cases_oldest_seconds",
    "Since the oldest case that is not closed was opened.",
    multiprocess_mode="mostrecent",
)


def age_stage(parts: Parts) -> Stage:
    """The stage that looks at the clock for every case."""

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            late = _tell_overdue(connection, now=now)
        with parts.database.begin() as connection:
            found = _adopt(connection, now=now)
        with parts.database.begin() as connection:
            reminded = remind_overdue(connection, now=now)
        with parts.database.begin() as connection:
            _measure(connection, now=now)
        return late + found + reminded

    return Stage("case.age", run, idle_seconds=IDLE.total_seconds(), gives_way=True)


def _tell_overdue(connection: Connection, *, now: datetime) -> int:
    late = store.lock_overdue(connection, now=now, limit=BATCH_MAX)
    marked = [replace(each, overdue_at=now, acts=each.acts + 1) for each in late]
    store.write(connection, marked)
    store.insert_acts(
        connection,
        [
            act_of(before, after, Act.overdue, detail={}, now=now)
            for before, after in zip(late, marked, strict=True)
        ],
    )
    told = [case_event(each, event.CASE_OVERDUE, now=now) for each in marked]
    events.append(connection, told, now=now)
    return len(late)


def _adopt(connection: Connection, *, now: datetime) -> int:
    payins = store.lock_held_without_case(connection, limit=BATCH_MAX)
    payouts = store.lock_reviewed_without_case(connection, limit=BATCH_MAX)
    kinds = dict.fromkeys(payins, CaseKind.payin)
    for identifier, purpose in payouts:
        is_refund = purpose == PayoutPurpose.refund
        kinds[identifier] = CaseKind.refund if is_refund else CaseKind.payout
    openings = _openings(connection, kinds)
    open_cases(connection, openings, now=now)
    return len(openings)


def _openings(connection: Connection, kinds: dict[str, CaseKind]) -> Sequence[Opening]:
    if not kinds:
        return []
    found = latest_screenings(connection, list(kinds))
    openings = []
    for each in found.values():
        opening = rules.opening_of(each, kinds[each.subject])
        if each.verdict == Verdict.clear:
            # It waits for what an earlier list said.
            opening = replace(opening, reason="held by an earlier verdict")
        openings.append(opening)
    return openings


def _measure(connection: Connection, *, now: datetime) -> None:
    found = {each.kind: each for each in store.ageing(connection, now=now)}
    for kind in CaseKind:
        waiting = found.get(kind.value)
        open_gauge.labels(kind.value).set(0 if waiting is None else waiting.open)
    overdue_gauge.set(sum(each.overdue for each in found.values()))
    oldest = min((each.oldest for each in found.values() if each.oldest is not None), default=now)
    oldest_gauge.set((now - oldest).total_seconds())
