"""Leases: a stage that acts outside the database takes its rows by a token and commits first.

A row whose lease ran out is free again; the outcome is recorded only where the token still matches,
so a worker that was away too long changes nothing.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Integer,
    Interval,
    Table,
    Text,
    bindparam,
    func,
    literal,
    select,
    update,
)

from sakk.store.database import Database, Due, fetch, update_records
from sakk.store.lease_length import lease_length
from sakk.store.schema import Timestamp

RETRY_FIRST = timedelta(milliseconds=500)
RETRY_MAX = timedelta(minutes=5)
CLAIM_MAX = 100

T = TypeVar("T")


def lease_columns() -> list[Column[Any]]:
    """The columns that every leased row has."""
    return [
        Column("attempt", Integer, nullable=False, server_default="0"),
        Column("failures", Integer, nullable=False, server_default="0"),
        Column("retry_at", Timestamp),
        Column("lease_token", Text),
        Column("lease_until", Timestamp),
    ]


def is_free(table: Table, now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """No other worker has it."""
    return table.c.lease_until.is_(None) | (table.c.lease_until < now)


def is_due(table: Table) -> ColumnElement[bool]:
    """Not waiting for a retry."""
    return table.c.retry_at.is_(None) | (table.c.retry_at <= NOW)


# For the conditions of a claim: the moment that it is made at, and a while before it.
NOW = bindparam("now", type_=Timestamp)


def before(length: timedelta) -> ColumnElement[datetime]:
    """The moment so long before a claim, for its conditions."""
    return NOW - literal(length, Interval())


def claimable(
    table: Table,
    kind: type[T],
    *conditions: ColumnElement[bool],
    limit: int = CLAIM_MAX,
    early: bool = False,
    longest_due: bool = False,
) -> Due[T]:
    """Which rows a stage leases, for ``claim``; compiled once, so the conditions never change.

    ``early``: rows that wait for a retry too, those first that were not looked at for longest, so
    that a batch that learns nothing does not keep the rest waiting. ``longest_due``: those first
    that are due for longest, where rows are asked after again and again: however many are open,
    each has its turn.
    """
    timely = [] if early else [is_due(table)]
    order: list[ColumnElement[Any]] = [table.c.id]
    if early:
        order = [table.c.lease_until.asc().nulls_first(), table.c.id]
    elif longest_due:
        order = [func.coalesce(table.c.retry_at, table.c.created), table.c.id]
    wanted = select(table.c.id).where(*conditions, is_free(table, NOW), *timely)
    due = (
        wanted.order_by(*order)
        .limit(limit)
        .with_for_update(skip_locked=True)
        # Asked once: a plan that asks for every row of the table would lease beyond the limit.
        .cte("due")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    taken = (
        update(table)
        .where(table.c.id.in_(select(due.c.id)))
        .values(
            lease_token=bindparam("token", type_=Text),
            lease_until=bindparam("until", type_=Timestamp),
        )
        .returning(table)
    )
    return Due(taken, kind, wanted)


_of_thread = threading.local()


def claimed() -> int:
    """How many rows this thread has leased so far."""
    return getattr(_of_thread, "rows", 0)


def claim(
    connection: Connection, due: Due[T], *, token: str, now: datetime, **given: Any
) -> list[T]:
    """Lease due rows, oldest first, leaving alone what another worker has locked.

    ``given``: what else the conditions of ``claimable`` have as parameters.
    """
    rows = fetch(connection, due, now=now, until=now + lease_length(), token=token, **given)
    _of_thread.rows = claimed() + len(rows)
    return sorted(rows, key=lambda row: str(row.id))  # type: ignore[attr-defined]


def settle(
    connection: Connection,
    table: Table,
    rows: Sequence[dict[str, Any]],
    *,
    token: str,
    guards: Sequence[str] = (),
) -> int:
    """Record outcomes and give the leases back, where the token still matches.

    ``guards``: keys of the rows that must still stand as they say, such as a status.
    """
    return update_records(
        connection,
        table,
        [
            {
                **row,
                "lease_token": token,
                "lease_until": None,
                "retry_at": row.get("retry_at"),
                "failures": row.get("failures", 0),
            }
            for row in rows
        ],
        "lease_token",
        *guards,
    )


@contextmanager
def given_back_on_error(
    database: Database, table: Table, ids: Sequence[str], *, token: str
) -> Iterator[None]:
    """Leases whose call raised end at once: whatever it did is repeated under the same ids."""
    try:
        yield
    except Exception:
        with database.begin() as connection:
            give_back(connection, table, ids, token=token)
        raise


def give_back(
    connection: Connection,
    table: Table,
    ids: Sequence[str],
    *,
    token: str,
    until: datetime | None = None,
) -> None:
    """End leases without an outcome: nothing was learned.

    ``until``, now: rows that were never looked at come before this one at the next early claim.
    """
    if ids:
        connection.execute(
            update(table)
            .where(table.c.id.in_(list(ids)), table.c.lease_token == token)
            .values(lease_until=until)
        )


def retry_delay(failures: int) -> timedelta:
    """Half a second, doubled with every failure up to five minutes."""
    doubled: timedelta = RETRY_FIRST * (2 ** min(failures, 12))
    return min(doubled, RETRY_MAX)
