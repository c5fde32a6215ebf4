"""What a change of lists or rules touches: pay-ins and payouts that are to be judged again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    Table,
    Text,
    delete,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.store.database import among
from sakk.store.schema import metadata

MARK_SECONDS_MAX = 300
# The rows of the cursor: of the lists, and of the rules of each mode.
LISTS: Final = 1
RULES: Final = {False: 2, True: 3}

rescreens = Table("rescreens", metadata, Column("subject", Text, primary_key=True))

rescreen_cursor = Table(
    "rescreen_cursor",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)

# The labels that changed are many when a list is new, the transfers of late are many always: each
# is read once, whatever their number.
_CHANGED = """
WITH changed AS MATERIALIZED (
  SELECT DISTINCT family, address FROM labels
  WHERE (opened_version > :after AND opened_version <= :version)
     OR (closed_version > :after AND closed_version <= :version)
)
"""
_MARK = text(
    _CHANGED
    + """
INSERT INTO rescreens (subject)
SELECT payins.id FROM payins JOIN changed
  ON changed.address = payins.sender AND changed.family = split_part(payins.network, ':', 1)
WHERE (payins.status = 'held' OR payins.created >= :since)
  AND payins.screening IS NOT NULL
UNION ALL
SELECT payouts.id FROM payouts JOIN changed
  ON changed.address = payouts.destination
  AND changed.family = split_part(payouts.network, ':', 1)
WHERE (payouts.under_review OR payouts.created >= :since)
  AND payouts.screening IS NOT NULL
  AND payouts.status NOT IN ('rejected', 'canceled', 'failed')
ON CONFLICT DO NOTHING
RETURNING subject
"""
)

_MARK_WAITING = text(
    """
INSERT INTO rescreens (subject)
SELECT id FROM payins
WHERE livemode = :livemode AND status = 'held' AND screening IS NOT NULL
UNION ALL
SELECT id FROM payouts
WHERE livemode = :livemode AND screening IS NOT NULL
  AND status IN ('requested', 'screened', 'approved')
  -- Names are compared again before an order is written: `sakk.flow.bank_screen`.
  AND network <> 'bank'
ON CONFLICT DO NOTHING
RETURNING subject
"""
)


def lock_cursor(connection: Connection, cursor: int) -> int:
    """Up to which version of its subject everything is marked; others wait until the end."""
    connection.execute(
        upsert(rescreen_cursor).values(id=cursor, version=0).on_conflict_do_nothing()
    )
    statement = select(rescreen_cursor.c.version).where(rescreen_cursor.c.id == cursor)
    return int(connection.execute(statement.with_for_update()).scalar_one())


def read_cursors(connection: Connection) -> dict[int, int]:
    """The same of every cursor, for a look that changes nothing."""
    rows = connection.execute(select(rescreen_cursor.c.id, rescreen_cursor.c.version))
    return {row.id: int(row.version) for row in rows}


def mark(connection: Connection, *, after: int, version: int, since: datetime) -> int:
    """Mark what the lists say otherwise than before; how many.

    Held ones and those under review whatever their age, all others since a time.
    """
    # A million labels against a million transfers take longer than a request may.
    connection.execute(text(f"SET LOCAL statement_timeout = '{MARK_SECONDS_MAX}s'"))
    marked = connection.execute(
        _MARK, {"after": after, "version": version, "since": since}
    ).scalars()
    count = len(marked.all())
    _move(connection, LISTS, version)
    return count


def mark_waiting(connection: Connection, *, livemode: bool) -> int:
    """Mark all of a mode that waits: for a person, or for its transaction; how many."""
    connection.execute(text(f"SET LOCAL statement_timeout = '{MARK_SECONDS_MAX}s'"))
    return len(connection.execute(_MARK_WAITING, {"livemode": livemode}).scalars().all())


def mark_by_rules(connection: Connection, *, livemode: bool, number: int) -> int:
    """The same when other rules take effect; their cursor moves with it."""
    count = mark_waiting(connection, livemode=livemode)
    _move(connection, RULES[livemode], number)
    return count


def _move(connection: Connection, cursor: int, version: int) -> None:
    connection.execute(
        rescreen_cursor.update().where(rescreen_cursor.c.id == cursor).values(version=version)
    )


def take(connection: Connection, limit: int) -> list[str]:
    """Some that are marked, locked until the end of the transaction."""
    statement = (
        select(rescreens.c.subject)
        .order_by(rescreens.c.subject)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(connection.execute(statement).scalars())


def done(connection: Connection, subjects: Sequence[str]) -> None:
    """They are judged."""
    connection.execute(delete(rescreens).where(among(rescreens.c.subject, subjects)))


def pending(connection: Connection) -> int:
    """How many are marked and not judged yet."""
    return int(connection.execute(select(func.count()).select_from(rescreens)).scalar_one())
