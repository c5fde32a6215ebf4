"""One key, one execution, one answer: how a command runs under an ``Idempotency-Key``.

A command of the database alone runs in one transaction with its key's row, so that either both are
there or neither. A command that acts outside the database runs in two steps: its key's row, with
the seed of the ids it will create, is committed first, so that a request repeated after a crash
works on the same objects.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from psycopg import errors as postgres_errors
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from sakk.core import ids
from sakk.core.errors import Unavailable
from sakk.core.idempotency import (
    Decision,
    Key,
    Record,
    State,
    decide,
    is_stored,
    lease_until,
)
from sakk.store import idempotency as store
from sakk.store.database import Database
from sakk.store.failpoint import failpoint
from sakk.store.lease import lease_length

CONFLICTS_MAX = 3


@dataclass(frozen=True, slots=True)
class Keyed:
    """A request as idempotency sees it; ``key`` None when the caller sent none."""

    key: Key | None
    fingerprint: bytes
    request_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. ``stored_body`` differs from it when it shows a secret once.

    ``replay_of`` is the id of the request that was executed, in an answer that is a replay.
    """

    status: int
    body: bytes
    stored_body: bytes | None = None
    replay_of: str | None = None
    retry_after_seconds: int | None = None
    # What is not JSON is never stored.
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a command works with. ``connection`` is None in two steps."""

    seed: int
    resumed: bool = False
    connection: Connection | None = None


Work = Callable[[Attempt], Answer]
Failed = Callable[[Exception], Answer]


class _Overtaken(Exception):
    """Another request stored its answer under the same key first."""


def run_in_one_transaction(
    database: Database, request: Keyed, work: Work, failed: Failed
) -> Answer:
    """Run a command whose every effect is in the database; ``failed`` words an error.

    Raises IdempotencyMismatch and IdempotencyInProgress. A deadlock or a serialization failure
    undoes everything, so it is tried again here, a few times.
    """
    seed = new_seed()
    for _ in range(CONFLICTS_MAX):
        try:
            return _in_one_transaction(database, request, work, failed, seed)
        except OperationalError as error:
            if not is_conflict(error):
                raise
    raise Unavailable(
        "Other requests kept changing the same objects. Send the request again, under the same"
        " Idempotency-Key."
    )


def run_in_two_steps(database: Database, request: Keyed, work: Work, failed: Failed) -> Answer:
    """Run a command with effects outside the database; it opens its own transactions.

    Its ids come from the seed, which is committed with the key before it begins. It must bear
    being run again, or by two requests at once after a pause longer than the lease: everything it
    does stands under those ids. Raises IdempotencyMismatch and IdempotencyInProgress.
    """
    key = request.key
    if key is None:
        return _guarded(work, Attempt(seed=new_seed()), failed)
    record = None
    with database.begin() as connection:
        started = _record(request, seed=new_seed(), answer=None)
        claimed = store.claim(connection, key, started, now=request.now)
        if claimed is None:
            record = store.find(connection, key)
    if claimed is None:
        return _settled(record, request)
    failpoint("idempotency.claimed")
    seed, resumed = claimed
    answer = _guarded(work, Attempt(seed=seed, resumed=resumed), failed)
    failpoint("idempotency.executed")
    with database.begin() as connection:
        if not is_stored(answer.status):
            store.release(connection, key, now=request.now)
            return answer
        if store.finish(connection, key, status=answer.status, body=_kept(answer)):
            return answer
        record = store.find(connection, key)
    return _settled(record, request)


def new_seed() -> int:
    """A fresh UUIDv7 as an integer."""
    return ids.uuid7(now_ms=time.time_ns() // 1_000_000, random=os.urandom(ids.RANDOM_BYTES))


def is_conflict(error: OperationalError) -> bool:
    """Did the database undo the transaction because of another one?"""
    return isinstance(
        error.orig, postgres_errors.SerializationFailure | postgres_errors.DeadlockDetected
    )


def _in_one_transaction(
    database: Database, request: Keyed, work: Work, failed: Failed, seed: int
) -> Answer:
    executing = False
    try:
        with database.begin() as connection:
            if request.key is not None:
                locked, record = store.look(connection, request.key)
                decision = decide(
                    record, locked=locked, fingerprint=request.fingerprint, now=request.now
                )
                if decision is not Decision.execute:
                    return _settled(record, request)
            executing = True
            answer = work(Attempt(seed=seed, connection=connection))
            if request.key is not None and not store.insert_finished(
                connection,
                request.key,
                _record(request, seed=seed, answer=answer),
                now=request.now,
            ):
                raise _Overtaken
            failpoint("command.commit.before")
        failpoint("command.commit.after")
        return answer
    except _Overtaken:
        return _found(database, request)
    except Exception as error:
        if not executing or (isinstance(error, OperationalError) and is_conflict(error)):
            raise
        answer = failed(error)
    if request.key is None or not is_stored(answer.status):
        return answer
    # The command was rolled back; what it answered is kept by a transaction of its own.
    with database.begin() as connection:
        kept = store.insert_finished(
            connection, request.key, _record(request, seed=seed, answer=answer), now=request.now
        )
    return answer if kept else _found(database, request)


def _found(database: Database, request: Keyed) -> Answer:
    assert request.key is not None
    with database.begin() as connection:
        record = store.find(connection, request.key)
    return _settled(record, request)


def _settled(record: Record | None, request: Keyed) -> Answer:
    """The stored answer; raises when there is none yet or it is another request's."""
    decision = decide(record, locked=False, fingerprint=request.fingerprint, now=request.now)
    assert decision is Decision.replay
    assert record is not None
    assert record.status is not None
    assert record.body is not None
    return Answer(status=record.status, body=record.body, replay_of=record.request_id)


def _record(request: Keyed, *, seed: int, answer: Answer | None) -> Record:
    return Record(
        fingerprint=request.fingerprint,
        state=State.started if answer is None else State.finished,
        seed=seed,
        lease_until=lease_until(request.now, lease_length() / 2) if answer is None else None,
        request_id=request.request_id,
        status=None if answer is None else answer.status,
        body=None if answer is None else _kept(answer),
    )


def _kept(answer: Answer) -> bytes:
    return answer.body if answer.stored_body is None else answer.stored_body


def _guarded(work: Work, attempt: Attempt, failed: Failed) -> Answer:
    try:
        return work(attempt)
    except Exception as error:
        return failed(error)
