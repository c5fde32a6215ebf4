"""What was charged on a channel, read out of the ledger's projection."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from sakk.core.charge import POST, read_events, reservation_of
from sakk.store.database import run

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Charges of one row of the journal are one line, of which each has a part.
_LINES = """
SELECT t.timestamp_ns, t.charges
FROM ledger_entries e
JOIN ledger_transfers t ON t.shard = e.shard AND t.timestamp_ns = e.timestamp_ns
WHERE e.account_id = %(account)s AND e.timestamp_ns > %(after)s AND e.amount < 0
    AND t.charges IS NOT NULL
ORDER BY e.timestamp_ns
LIMIT %(limit)s
"""
_LINES_MAX: Final = 64
_LAST = "SELECT max(timestamp_ns) AS last FROM ledger_entries WHERE account_id = %(account)s"


@dataclass(frozen=True, slots=True)
class Committed:
    """One commit: the ledger's time, what was charged, and the 128 bits of four fields."""

    id: int
    timestamp_ns: int
    amount: int
    user_data: int
    pending_id: int
    request: int


def committed(
    connection: Connection, account: int, *, after_ns: int, limit: int
) -> list[Committed]:
    """What was charged on a ledger account after a time of the ledger's, in its order.

    What the projection shows up to a time is all that there was up to it.
    """
    found: list[Committed] = []
    at = after_ns
    while len(found) < limit:
        rows = run(
            connection,
            _LINES,
            {"account": UUID(int=account), "after": at, "limit": _LINES_MAX},
        ).all()
        for row in rows:
            found += [
                Committed(
                    each.id,
                    each.timestamp_ns,
                    each.amount,
                    each.user_data,
                    reservation_of(each.id),
                    each.request,
                )
                for each in read_events(row.charges)
                # A line that was read in part before begins before the time after which to go on.
                if each.flags & POST and each.timestamp_ns > after_ns
            ]
            at = row.timestamp_ns
        if len(rows) < _LINES_MAX:
            break
    return found[:limit]


def last_used(connection: Connection, account: int) -> datetime | None:
    """When money last went into a ledger account or out of it."""
    [row] = run(connection, _LAST, {"account": UUID(int=account)})
    return None if row.last is None else _EPOCH + timedelta(microseconds=row.last // 1_000)
