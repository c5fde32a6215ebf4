"""What was charged on a channel, read out of the ledger's projection."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from sakk.core.chart import TransferCode
from sakk.store.database import run

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# A commit has the entries, and names the reservation, whose user data is the request's.
_COMMITTED = """
SELECT e.timestamp_ns, t.amount, t.user_data, t.pending_id, h.user_data AS request
FROM ledger_entries e
JOIN ledger_transfers t ON t.shard = e.shard AND t.timestamp_ns = e.timestamp_ns
JOIN ledger_transfers h ON h.id = t.pending_id AND (h.flags & 2) <> 0
WHERE e.account_id = %(account)s AND e.timestamp_ns > %(after)s AND e.amount < 0
    AND t.code = %(code)s
ORDER BY e.timestamp_ns
LIMIT %(limit)s
"""
_LAST = "SELECT max(timestamp_ns) AS last FROM ledger_entries WHERE account_id = %(account)s"


@dataclass(frozen=True, slots=True)
class Committed:
    """One commit: the ledger's time, what was charged, and the 128 bits of three fields."""

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
    rows = run(
        connection,
        _COMMITTED,
        {
            "account": UUID(int=account),
            "after": after_ns,
            "code": int(TransferCode.channel_charge),
            "limit": limit,
        },
    )
    return [
        Committed(
            row.timestamp_ns,
            int(row.amount),
            row.user_data.int,
            row.pending_id.int,
            row.request.int,
        )
        for row in rows
    ]


def last_used(connection: Connection, account: int) -> datetime | None:
    """When money last went into a ledger account or out of it."""
    [row] = run(connection, _LAST, {"account": UUID(int=account)})
    return None if row.last is None else _EPOCH + timedelta(microseconds=row.last // 1_000)
