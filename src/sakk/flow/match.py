"""Match: understand each transfer that was seen: whose it is, and what it pays.

Matching is by address alone, never by sender: an exchange pays from wherever it likes.
"""

from sakk.core.payin import PayInStatus
from sakk.flow.context import Parts
from sakk.flow.payin import match_rows
from sakk.flow.stage import Stage
from sakk.store import payin as store
from sakk.store.database import fetch

BATCH_MAX = 100

_unmatched = store.in_status(
    PayInStatus.seen,
    store.payins.c.matched_at.is_(None),
    ~store.payins.c.orphaned,
    limit=BATCH_MAX,
)


def match_stage(parts: Parts) -> Stage:
    """The stage that gives every seen transfer its account, intent and role."""

    def run() -> int:
        with parts.database.begin() as connection:
            rows = fetch(connection, _unmatched)
            if rows:
                match_rows(connection, rows, now=parts.clock())
            return len(rows)

    return Stage("payin.match", run, due=(_unmatched,))
