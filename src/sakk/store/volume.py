"""Volume: counted by the quarter of an hour, so that no page adds up a million pay-ins."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Table,
    Text,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert

from sakk.core.volume import Volume
from sakk.store.database import fetch_all
from sakk.store.schema import Timestamp, Units, metadata

volumes = Table(
    "volumes",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("livemode", Boolean, primary_key=True),
    Column("quarter", Timestamp, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("payins", BigInteger, nullable=False),
    Column("amount", Units, nullable=False),
    Index("ix_volumes_quarter", "livemode", "quarter"),
)

volume_cursor = Table(
    "volume_cursor",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("counted_until", Timestamp, nullable=False),
)


def counted_until(connection: Connection) -> datetime | None:
    """Up to when pay-ins are counted; None before the first count."""
    found: datetime | None = connection.execute(
        select(volume_cursor.c.counted_until)
    ).scalar_one_or_none()
    return found


def lock_cursor(connection: Connection) -> datetime | None:
    """The same, while nobody else counts."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('sakk volumes'))"))
    return counted_until(connection)


def recount(connection: Connection, *, since: datetime | None, now: datetime) -> int:
    """Count again what was posted since the beginning of a quarter; how many quarters there are.

    ``since`` None is from the first pay-in on. What a reorganisation took is not counted if it was
    gone when its quarter was counted last.
    """
    rows = connection.execute(
        _RECOUNT if since is not None else _COUNT_ALL, {"since": since}
    ).rowcount
    statement = insert(volume_cursor).values(one=True, counted_until=now)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["one"], set_={"counted_until": now})
    )
    return int(rows)


_INSERT = """
INSERT INTO volumes (account_id, livemode, currency, quarter, payins, amount)
SELECT account_id, livemode, currency,
    date_bin('15 minutes', posted_at, TIMESTAMPTZ '2000-01-01 00:00:00+00'), count(*), sum(amount)
FROM payins
WHERE posted_at IS NOT NULL AND status IN ('posted', 'released') AND account_id IS NOT NULL
    AND currency IS NOT NULL AND amount IS NOT NULL {since}
GROUP BY 1, 2, 3, 4
ON CONFLICT (account_id, livemode, quarter, currency)
    DO UPDATE SET payins = excluded.payins, amount = excluded.amount
"""
_COUNT_ALL = text(_INSERT.format(since=""))
_RECOUNT = text(_INSERT.format(since="AND posted_at >= :since"))


def list_volumes(
    connection: Connection, *, account_id: str | None, livemode: bool, since: datetime
) -> list[Volume]:
    """The quarters since a time, of an account, or of all added up for the operator (None)."""
    if account_id is not None:
        statement = select(volumes).where(
            volumes.c.account_id == account_id,
            volumes.c.livemode == livemode,
            volumes.c.quarter >= since,
        )
        return fetch_all(connection, statement, Volume)
    rows = connection.execute(
        select(
            volumes.c.currency,
            volumes.c.quarter,
            func.sum(volumes.c.payins).label("payins"),
            func.sum(volumes.c.amount).label("amount"),
        )
        .where(volumes.c.livemode == livemode, volumes.c.quarter >= since)
        .group_by(volumes.c.currency, volumes.c.quarter)
    )
    return [
        Volume("", livemode, row.currency, row.quarter, int(row.payins), int(row.amount))
        for row in rows
    ]
