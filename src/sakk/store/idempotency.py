"""Idempotency keys: at most two statements on the way of a request that goes well."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    SmallInteger,
    Table,
    Text,
    delete,
    select,
    update,
)

from sakk.core import ids
from sakk.core.idempotency import Key, Record, State
from sakk.store.database import drive
from sakk.store.schema import Bytes, Timestamp, Units, metadata

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("livemode", Boolean, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", Bytes, nullable=False),
    Column("state", Text, nullable=False),
    Column("seed", Units, nullable=False),
    Column("lease_until", Timestamp),
    Column("request_id", Text, nullable=False),
    Column("status", SmallInteger),
    Column("body", Bytes),
    Column("created", Timestamp, nullable=False),
    Index("ix_idempotency_keys_created", "created"),
)

PURGE_ROWS_MAX = 10_000

_LOOK = (
    "SELECT pg_try_advisory_xact_lock(%(lock)s), k.fingerprint, k.state, k.seed,"
    " k.lease_until, k.request_id, k.status, k.body"
    " FROM (SELECT 1) AS one LEFT JOIN idempotency_keys AS k"
    " ON k.account_id = %(account_id)s AND k.livemode = %(livemode)s AND k.key = %(key)s"
)
_INSERT_FINISHED = (
    "INSERT INTO idempotency_keys (account_id, livemode, key, fingerprint, state, seed, request_id,"
    " status, body, created) VALUES (%(account_id)s, %(livemode)s, %(key)s, %(fingerprint)s,"
    " 'finished', %(seed)s, %(request_id)s, %(status)s, %(body)s, %(now)s)"
    " ON CONFLICT (account_id, livemode, key) DO NOTHING"
)
# A started row whose lease is over is taken over; a row that stays as it is returns nothing.
_CLAIM = (
    "INSERT INTO idempotency_keys AS k (account_id, livemode, key, fingerprint, state, seed,"
    " lease_until, request_id, created) VALUES (%(account_id)s, %(livemode)s, %(key)s,"
    " %(fingerprint)s, 'started', %(seed)s, %(lease_until)s, %(request_id)s, %(now)s)"
    " ON CONFLICT (account_id, livemode, key) DO UPDATE SET lease_until = excluded.lease_until"
    " WHERE k.state = 'started' AND k.fingerprint = excluded.fingerprint"
    " AND k.lease_until <= %(now)s"
    " RETURNING k.seed, k.request_id <> %(request_id)s"
)
_FIND = (
    "SELECT fingerprint, state, seed, lease_until, request_id, status, body"
    " FROM idempotency_keys"
    " WHERE account_id = %(account_id)s AND livemode = %(livemode)s AND key = %(key)s"
)
_FINISH = (
    "UPDATE idempotency_keys"
    " SET state = 'finished', status = %(status)s, body = %(body)s, lease_until = NULL"
    " WHERE account_id = %(account_id)s AND livemode = %(livemode)s AND key = %(key)s"
    " AND state = 'started'"
)


def look(connection: Connection, key: Key) -> tuple[bool, Record | None]:
    """Take the key's lock until the transaction ends, and read what is stored under it.

    The lock makes a concurrent request step aside; the primary key is what makes it safe.
    """
    lock = ids.digest128("idempotency", key.account_id, int(key.livemode), key.key) >> 65
    row = drive(connection, _LOOK, {"lock": lock, **_columns(key)}).fetchone()
    assert row is not None
    locked, *stored = row
    return locked, None if stored[0] is None else _record(*stored)


def find(connection: Connection, key: Key) -> Record | None:
    """What is stored under a key, without its lock."""
    row = drive(connection, _FIND, _columns(key)).fetchone()
    return None if row is None else _record(*row)


def insert_finished(connection: Connection, key: Key, record: Record, *, now: datetime) -> bool:
    """Store an answer; False when another request stored its own first."""
    inserted = drive(
        connection,
        _INSERT_FINISHED,
        {
            **_columns(key),
            "fingerprint": record.fingerprint,
            "seed": record.seed,
            "request_id": record.request_id,
            "status": record.status,
            "body": record.body,
            "now": now,
        },
    )
    return inserted.rowcount == 1


def claim(
    connection: Connection, key: Key, record: Record, *, now: datetime
) -> tuple[int, bool] | None:
    """Begin or resume under a key: the seed of its ids and whether it was begun before.

    None when the key is finished, leased by another request, or stands for another request.
    """
    row = drive(
        connection,
        _CLAIM,
        {
            **_columns(key),
            "fingerprint": record.fingerprint,
            "seed": record.seed,
            "lease_until": record.lease_until,
            "request_id": record.request_id,
            "now": now,
        },
    ).fetchone()
    return None if row is None else (int(row[0]), row[1])


def finish(connection: Connection, key: Key, *, status: int, body: bytes) -> bool:
    """Store the answer of a request that was begun; False when it has one already."""
    finished = drive(connection, _FINISH, {**_columns(key), "status": status, "body": body})
    return finished.rowcount == 1


def release(connection: Connection, key: Key, *, now: datetime) -> None:
    """End a lease early, so that a repeated request resumes at once."""
    connection.execute(
        update(idempotency_keys)
        .where(*_this(key), idempotency_keys.c.state == State.started.value)
        .values(lease_until=now)
    )


def purge(connection: Connection, *, before: datetime) -> int:
    """Forget answers made before a time, a bounded number at once; returns how many."""
    old = (
        select(idempotency_keys.c.account_id, idempotency_keys.c.livemode, idempotency_keys.c.key)
        .where(idempotency_keys.c.created < before)
        .limit(PURGE_ROWS_MAX)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    return connection.execute(
        delete(idempotency_keys).where(
            idempotency_keys.c.account_id == old.c.account_id,
            idempotency_keys.c.livemode == old.c.livemode,
            idempotency_keys.c.key == old.c.key,
        )
    ).rowcount


def _columns(key: Key) -> dict[str, Any]:
    return {"account_id": key.account_id, "livemode": key.livemode, "key": key.key}


def _this(key: Key) -> tuple[ColumnElement[bool], ...]:
    return tuple(idempotency_keys.c[name] == value for name, value in _columns(key).items())


def _record(
    fingerprint: bytes,
    state: State,
    seed: Decimal,
    lease_until: datetime | None,
    request_id: str,
    status: int | None,
    body: bytes | None,
) -> Record:
    return Record(
        fingerprint=bytes(fingerprint),
        state=state,
        seed=int(seed),
        lease_until=lease_until,
        request_id=request_id,
        status=status,
        body=None if body is None else bytes(body),
    )
