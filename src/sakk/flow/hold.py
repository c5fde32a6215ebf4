"""Hold: finish the reservations that a request left behind, and give back what is not needed."""

from datetime import timedelta

from sakk.core.payout import HoldStatus, Payout, PayoutStatus
from sakk.flow.book import HOLDS_MAX
from sakk.flow.context import Parts
from sakk.flow.payout import hold_set, record_holds, voided
from sakk.flow.stage import REST_SECONDS, Stage
from sakk.store import payout as store
from sakk.store.database import among
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import before, claim, claimable, given_back_on_error, settle

BATCH_MAX = 1_000
# A request makes its own hold; only what is older was left behind by a crash.
HOLD_LEFT_TO_REQUEST = timedelta(seconds=5)


_without_hold = claimable(
    store.payouts,
    Payout,
    store.payouts.c.status == PayoutStatus.requested.value,
    store.payouts.c.hold == HoldStatus.none.value,
    store.payouts.c.created < before(HOLD_LEFT_TO_REQUEST),
    limit=HOLDS_MAX,
)
_to_release = claimable(
    store.payouts,
    Payout,
    store.payouts.c.hold == HoldStatus.held.value,
    among(
        store.payouts.c.status,
        [PayoutStatus.rejected.value, PayoutStatus.canceled.value, PayoutStatus.failed.value],
    ),
    limit=BATCH_MAX,
)


def hold_stage(parts: Parts) -> Stage:
    """The stage that finishes what a request began and did not live to see: the hold."""
    table = store.payouts

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _without_hold, token=token, now=parts.clock())
        if not rows:
            return 0
        with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
            outcomes = parts.books.post([hold_set(row) for row in rows])
            with parts.database.begin() as connection:
                record_holds(connection, list(zip(rows, outcomes, strict=True)), now=parts.clock())
        return len(rows)

    return Stage("payout.hold", run, due=(_without_hold,))


def release_stage(parts: Parts) -> Stage:
    """The stage that gives back the money of payouts that will not happen."""
    table = store.payouts

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _to_release, token=token, now=parts.clock())
        if not rows:
            return 0
        with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
            failpoint("payout.release.before")
            outcomes = parts.books.settle_holds(
                [(hold_set(row), row.attempt) for row in rows], step="release", void=True
            )
            failpoint("payout.release.after")
        now = parts.clock()
        released = [
            voided(row, outcome, now=now) for row, outcome in zip(rows, outcomes, strict=True)
        ]
        with parts.database.begin() as connection:
            settle(connection, table, released, token=token)
        return len(rows)

    return Stage("payout.release", run, due=(_to_release,), rest_seconds=REST_SECONDS)
