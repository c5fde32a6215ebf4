"""Decide: the policy says which screened payouts may be signed, and which wait for people.

A batch is judged in one pass: the rows, the version in force and the sums are a query each,
whatever the number of payouts. What waits is judged again when another version takes effect.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, and_, or_, select

from sakk.core import event
from sakk.core.approval import content_digest, standing
from sakk.core.event import NewEvent
from sakk.core.payout import (
    HoldStatus,
    Payout,
    PayoutStatus,
    approved_content,
    decided,
    is_awaiting_approvals,
)
from sakk.core.policy import Action, Decision, VersionState
from sakk.core.travel_rule import SETTLED
from sakk.flow.context import Parts
from sakk.flow.payout import awaited_by, payout_event
from sakk.flow.policy import judge
from sakk.flow.stage import PAYOUT_LANE, REST_SECONDS, Stage, wake
from sakk.store import approval as approvals
from sakk.store import event as events
from sakk.store import payout as store
from sakk.store import policy as policies
from sakk.store.database import among, due, fetch, update_records

BATCH_MAX = 500
_table = store.payouts
_versions = policies.policies
_due = due(
    select(_table)
    .join(
        _versions,
        and_(
            _versions.c.livemode == _table.c.livemode,
            _versions.c.state == VersionState.active.value,
        ),
        isouter=True,
    )
    .where(
        _table.c.status == PayoutStatus.screened.value,
        _table.c.hold == HoldStatus.held.value,
        # Who stands behind it is known, where that is asked.
        among(_table.c.travel_rule, SETTLED),
        or_(
            _table.c.decided_at.is_(None),
            _table.c.policy_version.is_distinct_from(_versions.c.id),
        ),
    ),
    Payout,
    _table.c.id,
    limit=BATCH_MAX,
    lock=_table,
)


def decide_stage(parts: Parts) -> Stage:
    """The stage that judges screened payouts by the policy."""

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            rows = fetch(connection, _due)
            for livemode in sorted({row.livemode for row in rows}):
                of_mode = [row for row in rows if row.livemode is livemode]
                _decide(connection, of_mode, livemode=livemode, now=now)
            return len(rows)

    return Stage("payout.decide", run, due=(_due,), lane=PAYOUT_LANE, rest_seconds=REST_SECONDS)


def _decide(
    connection: Connection, rows: Sequence[Payout], *, livemode: bool, now: datetime
) -> None:
    policies.lock_judging(connection, livemode=livemode)
    # Read under the lock: a version that took effect meanwhile is the one that judges.
    version = policies.find_active(connection, livemode=livemode)
    decisions = judge(connection, version, rows, livemode=livemode, now=now)
    enough = _approved_before(connection, rows, decisions)
    after = [
        decided(
            row,
            decision,
            version=None if version is None else version.id,
            was_approved=row.id in enough,
            now=now,
        )
        for row, decision in zip(rows, decisions, strict=True)
    ]
    fields = (
        "id",
        "status",
        "policy_version",
        "rule",
        "approvals_needed",
        "approver_role",
        "decided_at",
        "failure_code",
        "failure_message",
    )
    update_records(
        connection, _table, [{name: getattr(row, name) for name in fields} for row in after]
    )
    happened = [
        each for before, row in zip(rows, after, strict=True) for each in _news(before, row)
    ]
    events.append(connection, happened, now=now)
    wake(connection, "payout.build", "bank.order", *awaited_by(after))


def _approved_before(
    connection: Connection, rows: Sequence[Payout], decisions: Sequence[Decision]
) -> set[str]:
    """Those that were judged before, by another version or until screening stopped them, and that
    have the approvals that are asked for now."""
    waited = {row.id for row in rows if row.decided_at is not None or row.rule is not None}
    given = approvals.of_subjects(connection, sorted(waited))
    return {
        row.id
        for row, decision in zip(rows, decisions, strict=True)
        if row.id in waited
        and decision.action is Action.approve
        and len(
            standing(
                [each for each in given if each.subject == row.id],
                digest=content_digest(approved_content(row)),
                role=decision.role,
            )
        )
        >= decision.approvals
    }


def _news(before: Payout, row: Payout) -> list[NewEvent]:
    match PayoutStatus(row.status):
        case PayoutStatus.approved:
            return [payout_event(row, event.PAYOUT_APPROVED)]
        case PayoutStatus.rejected:
            return [payout_event(row, event.PAYOUT_REJECTED)]
        case _:
            # Told once, not again by every version.
            if is_awaiting_approvals(before):
                return []
            return [payout_event(row, event.PAYOUT_AWAITING_APPROVALS)]
