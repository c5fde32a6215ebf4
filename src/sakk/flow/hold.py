"""Hold: finish the reservations that a request left behind, and give back what is not needed."""

from datetime import timedelta
from typing import Any

from sakk.core.payout import HoldStatus, Payout, PayoutStatus
from sakk.flow.context import Parts
from sakk.flow.payout import hold, hold_set
from sakk.flow.stage import Stage
from sakk.ledger.types import CreateTransferStatus
from sakk.store import payout as store
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, given_back_on_error, retry_delay, settle

BATCH_MAX = 200
# A request makes its own hold; only what is older was left behind by a crash.
HOLD_LEFT_TO_REQUEST = timedelta(seconds=5)


def hold_stage(parts: Parts) -> Stage:
    """The stage that finishes what a request began and did not live to see: the hold."""
    table = store.payouts

    def run() -> int:
        token = new_id("lease")
        now = parts.clock()
        with parts.database.begin() as connection:
            rows = claim(
                connection,
                table,
                Payout,
                table.c.status == PayoutStatus.requested.value,
                table.c.hold == HoldStatus.none.value,
                table.c.created < now - HOLD_LEFT_TO_REQUEST,
                token=token,
                now=now,
                limit=BATCH_MAX,
            )
        with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
            for row in rows:
                hold(parts, row)
        return len(rows)

    return Stage("payout.hold", run)


def release_stage(parts: Parts) -> Stage:
    """The stage that gives back the money of payouts that will not happen."""
    table = store.payouts

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(
                connection,
                table,
                Payout,
                table.c.hold == HoldStatus.held.value,
                table.c.status.in_(
                    [
                        PayoutStatus.rejected.value,
                        PayoutStatus.canceled.value,
                        PayoutStatus.failed.value,
                    ]
                ),
                token=token,
                now=parts.clock(),
                limit=BATCH_MAX,
            )
        with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
            for row in rows:
                _release(parts, row, token=token)
        return len(rows)

    return Stage("payout.release", run)


def _release(parts: Parts, row: Payout, *, token: str) -> None:
    """Void one hold; a void that was journalled before is booked already."""
    failpoint("payout.release.before")
    outcome = parts.books.settle_hold(hold_set(row), step="release", attempt=row.attempt, void=True)
    failpoint("payout.release.after")
    done = outcome.booked or (
        outcome.refusal is CreateTransferStatus.pending_transfer_already_voided
    )
    change: dict[str, Any] = {"id": row.id, "hold": HoldStatus.voided.value}
    if not done:
        change = {
            "id": row.id,
            "hold": row.hold,
            "attempt": row.attempt + 1,
            "failures": row.failures + 1,
            "retry_at": parts.clock() + retry_delay(row.failures),
        }
    with parts.database.begin() as connection:
        settle(connection, store.payouts, [change], token=token)
