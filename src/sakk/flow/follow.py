"""Follow: what becomes of a refund after its request: its hold, its payout's end, its expiry."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Connection

from sakk.core import event
from sakk.core import refund as rules
from sakk.core.payout import HoldStatus
from sakk.core.refund import FailureReason, Refund, RefundStatus
from sakk.flow.context import Parts
from sakk.flow.payout import hold_set, voided
from sakk.flow.refund import count_refund, hold, lock_refund, refund_event, write_refund
from sakk.flow.stage import Stage, wake
from sakk.store import event as events
from sakk.store import payout as payouts
from sakk.store import refund as store
from sakk.store.database import among, fetch_values
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import before, claim, claimable, given_back_on_error, settle

BATCH_MAX = 100
# A request makes its own hold; only what is older was left behind by a crash.
HOLD_LEFT_TO_REQUEST = timedelta(seconds=5)

_NEWS = {
    RefundStatus.pending: event.REFUND_UPDATED,
    RefundStatus.succeeded: event.REFUND_SUCCEEDED,
    RefundStatus.failed: event.REFUND_FAILED,
    RefundStatus.canceled: event.REFUND_CANCELED,
}


_without_hold = claimable(
    store.refunds,
    Refund,
    among(store.refunds.c.status, [RefundStatus.requires_action.value, RefundStatus.pending.value]),
    store.refunds.c.hold == HoldStatus.none.value,
    store.refunds.c.created < before(HOLD_LEFT_TO_REQUEST),
    limit=BATCH_MAX,
)
_to_release = claimable(
    store.refunds,
    Refund,
    among(store.refunds.c.status, [RefundStatus.failed.value, RefundStatus.canceled.value]),
    store.refunds.c.hold == HoldStatus.held.value,
    store.refunds.c.payout.is_(None),
    limit=BATCH_MAX,
)


def refund_stages(parts: Parts) -> list[Stage]:
    """The stages of refunds, in their order."""
    return [
        refund_hold_stage(parts),
        refund_release_stage(parts),
        refund_expire_stage(parts),
        refund_follow_stage(parts),
    ]


def refund_hold_stage(parts: Parts) -> Stage:
    """The stage that reserves the money of refunds whose request did not live to see it."""
    table = store.refunds

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _without_hold, token=token, now=parts.clock())
        with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
            for row in rows:
                hold(parts, row)
        return len(rows)

    return Stage("refund.hold", run, due=(_without_hold,))


def refund_release_stage(parts: Parts) -> Stage:
    """The stage that gives back the money of refunds that ended before they had a payout."""
    table = store.refunds

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _to_release, token=token, now=parts.clock())
        if not rows:
            return 0
        with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
            failpoint("refund.release.before")
            outcomes = parts.books.settle_holds(
                [(hold_set(rules.carrier(row)), row.attempt) for row in rows],
                step="release",
                void=True,
            )
            failpoint("refund.release.after")
        now = parts.clock()
        released = [
            voided(row, outcome, now=now) for row, outcome in zip(rows, outcomes, strict=True)
        ]
        with parts.database.begin() as connection:
            settle(connection, table, released, token=token)
        return len(rows)

    return Stage("refund.release", run, due=(_to_release,))


def refund_expire_stage(parts: Parts) -> Stage:
    """The stage that ends refunds whose payer did not say where to in time."""

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            overdue = fetch_values(connection, store.overdue, now=now, limit=BATCH_MAX)
        ended = 0
        for identifier in overdue:
            with parts.database.begin() as connection:
                refund = lock_refund(connection, identifier)
                expires_at = refund.claim_expires_at
                if (
                    refund.status != RefundStatus.requires_action
                    or expires_at is None
                    or expires_at > now
                ):
                    continue
                expired = replace(
                    refund,
                    status=RefundStatus.failed.value,
                    failure_reason=FailureReason.claim_expired.value,
                )
                _change(connection, expired, event.REFUND_FAILED, parts)
                wake(connection, "refund.release")
                ended += 1
        return ended

    return Stage("refund.expire", run, due=(store.overdue,))


def refund_follow_stage(parts: Parts) -> Stage:
    """The stage that brings refunds in line with the payouts that carry them out."""

    def run() -> int:
        with parts.database.begin() as connection:
            moved = fetch_values(connection, store.moved, limit=BATCH_MAX)
        for identifier in moved:
            with parts.database.begin() as connection:
                _follow(connection, identifier, parts)
        return len(moved)

    return Stage("refund.follow", run, due=(store.moved,))


def _follow(connection: Connection, identifier: str, parts: Parts) -> None:
    refund = lock_refund(connection, identifier)
    assert refund.payout is not None
    payout = payouts.lock_one(connection, refund.payout)
    assert payout is not None
    if refund.status != RefundStatus.pending:
        return
    status, why = rules.outcome(payout)
    if status is RefundStatus.pending and payout.tx_hash == refund.tx_hash:
        return
    after = replace(
        refund,
        status=status.value,
        failure_reason=None if why is None else why.value,
        tx_hash=payout.tx_hash,
        succeeded_at=parts.clock() if status is RefundStatus.succeeded else None,
        canceled_at=payout.canceled_at,
    )
    _change(connection, after, _NEWS[status], parts)


def _change(connection: Connection, refund: Refund, name: str, parts: Parts) -> None:
    write_refund(connection, refund)
    now = parts.clock()
    count_refund(connection, refund, now=now)
    events.append(connection, [refund_event(refund, name)], now=now)
