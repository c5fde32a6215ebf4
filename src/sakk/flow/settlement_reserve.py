"""What settlements take from a balance and give back: what is owed, and reserves.

The ledger moves as much as an account gives and says how much that was, once for each id.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from sakk.core import settlement as rules
from sakk.core.posting import Posting
from sakk.core.settlement import Settlement, SettlementStatus
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.stage import Stage
from sakk.ledger.types import TransferFlags
from sakk.store import settlement as store
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import NOW, claim, claimable, given_back_on_error, settle

BATCH_MAX = 100
# A reserve that its account does not hold is looked at again so much later.
RESERVE_AGAIN_AFTER = timedelta(hours=1)

log = structlog.get_logger(__name__)

_to_release = claimable(
    store.settlements,
    Settlement,
    ~store.settlements.c.released,
    store.settlements.c.release_at <= NOW,
    store.settlements.c.status != SettlementStatus.closed.value,
    limit=BATCH_MAX,
)


def taken(parts: Parts, rows: Sequence[Settlement]) -> list[Settlement]:
    """What the ledger says was moved; safe to repeat, since it decides once for each id.

    Step by step for all of them: what is owed comes before what is reserved.
    """
    recovered = _moved(
        parts, "recover", [(row, rules.recovery_posting(row) if row.owed else None) for row in rows]
    )
    reserved = _moved(parts, "reserve", [(row, _reserve(row, row.reserved)) for row in rows])
    fixed = _moved(parts, "fixed", [(row, _reserve(row, row.reserved_fixed)) for row in rows])
    return [
        replace(
            row,
            recovered=recovered[row.id],
            reserved=reserved[row.id],
            reserved_fixed=fixed[row.id] if row.reserved_fixed > 0 else -fixed[row.id],
        )
        for row in rows
    ]


def _reserve(row: Settlement, units: int) -> Posting | None:
    return rules.reserve_posting(row, units) if units else None


def _moved(
    parts: Parts, step: str, wanted: Sequence[tuple[Settlement, Posting | None]]
) -> dict[str, int]:
    """Move as much of each as its account gives, and say how much that was, by settlement."""
    sets = [
        PostingSet(row.id, step, row.attempt, [posting], TransferFlags.balancing_debit)
        for row, posting in wanted
        if posting is not None
    ]
    booked = [
        each for each, outcome in zip(sets, parts.books.post(sets), strict=True) if outcome.booked
    ]
    units = parts.books.amounts_moved([each.transfer_id(0) for each in booked])
    found = dict.fromkeys((row.id for row, _ in wanted), 0)
    return found | {each.row_id: moved for each, moved in zip(booked, units, strict=True)}


def release_stage(parts: Parts) -> Stage:
    """The stage that gives rolling reserves back when their days are over."""
    table = store.settlements

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _to_release, token=token, now=parts.clock())
        if not rows:
            return 0
        with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
            failpoint("settlement.release.before")
            moved = _moved(
                parts,
                "release",
                [(row, _reserve(row, row.returned - row.reserved)) for row in rows],
            )
            failpoint("settlement.release.after")
        now = parts.clock()
        with parts.database.begin() as connection:
            changes = [_released(row, moved[row.id], now=now) for row in rows]
            settle(connection, table, changes, token=token)
        return len(rows)

    return Stage("settlement.release", run, due=(_to_release,))


def _released(row: Settlement, moved: int, *, now: datetime) -> dict[str, Any]:
    """How much of a reserve is back; what the account did not hold is asked for again later.

    The attempt rises with what is known to have moved, so that no unit comes back twice.
    """
    returned = row.returned + moved
    is_whole = returned == row.reserved
    if not is_whole:
        log.error("settlement.reserve_short", settlement=row.id, returned=returned, of=row.reserved)
    return {
        "id": row.id,
        "returned": returned,
        "released": is_whole,
        "attempt": row.attempt + 1,
        "retry_at": None if is_whole else now + RESERVE_AGAIN_AFTER,
    }
