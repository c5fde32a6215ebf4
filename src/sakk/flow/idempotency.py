"""One key, one execution, one answer: how a command runs under an ``Idempotency-Key``.

A command of the database alone runs in one transaction with its key's row, so that either both are
there or neither. A command that acts outside the database runs in two steps: its key's row, with
the seed of the ids it will create, is committed first, so that a request repeated after a crash
works on the same objects. Where what is to be done can be written down in one go, before the one
act outside, and what came of it after, the key's row is claimed and finished in the transactions
that do so: `Steps`, which costs two commits and not four.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from psycopg import errors as postgres_errors
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from sakk.core import ids
from sakk.core.errors import SakkError, Unavailable
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
from sakk.store.lease_length import lease_length

CONFLICTS_MAX = 3

Intent = TypeVar("Intent")
Outcome = TypeVar("Outcome")
Result = TypeVar("Result")
Shown = TypeVar("Shown")


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
    # ``Content-Disposition``, of what is saved and never shown.
    disposition: str | None = None
    # A body too large for memory, and its length if it is known: it is read while it is sent.
    stream: Iterator[bytes] | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a command works with. ``connection`` is None in two steps."""

    seed: int
    resumed: bool = False
    connection: Connection | None = None


@dataclass(frozen=True, slots=True)
class Steps(Generic[Intent, Outcome, Result]):
    """A command with one act outside the database.

    ``intend`` writes down what is to be done; ``act`` is called when that is committed, in no
    transaction, and bears being called again; ``record`` writes what came of it. An error that
    ``record`` returns, and does not raise, is an answer: what was written stays.
    """

    intend: Callable[[Connection], Intent]
    act: Callable[[Intent], Outcome]
    record: Callable[[Connection, Outcome], Result | SakkError]

    def showing(self, show: Callable[[Result], Shown]) -> "Steps[Intent, Outcome, Shown]":
        """The same steps with another face of their result."""

        def record(connection: Connection, outcome: Outcome) -> Shown | SakkError:
            result = self.record(connection, outcome)
            return result if isinstance(result, SakkError) else show(result)

        return Steps(self.intend, self.act, record)

    def run(self, database: Database) -> Result:
        """Take the steps without a key; an error that is the answer is raised."""
        with database.begin() as connection:
            intent = self.intend(connection)
        outcome = self.act(intent)
        with database.begin() as connection:
            result = self.record(connection, outcome)
        if isinstance(result, SakkError):
            raise result
        return result


Work = Callable[[Attempt], Answer]
Failed = Callable[[Exception], Answer]
# Reads what the steps need, in no transaction; they answer.
Planned = Callable[[Attempt], Steps[Any, Any, Answer]]


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
        if _finish(connection, request, answer):
            return answer
        record = store.find(connection, key)
    return _settled(record, request)


def run_in_steps(database: Database, request: Keyed, plan: Planned, failed: Failed) -> Answer:
    """Run a command of `Steps`: the key is claimed with the intent, and finished with the outcome.

    What ``run_in_two_steps`` says of ids, repetition and errors holds here too.
    """
    key = request.key
    if key is None:
        try:
            return plan(Attempt(seed=new_seed())).run(database)
        except Exception as error:
            return failed(error)
    for _ in range(CONFLICTS_MAX):
        try:
            return _in_steps(database, request, plan, failed)
        except _Overtaken:
            continue
    raise Unavailable(
        "Other requests kept using this Idempotency-Key. Send the request again, under the same"
        " one."
    )


def _in_steps(database: Database, request: Keyed, plan: Planned, failed: Failed) -> Answer:
    """One try; ``_Overtaken`` where another request began under the key after it was looked at."""
    key = request.key
    assert key is not None
    with database.read() as connection:
        record = store.find(connection, key)
    if record is not None:
        decision = decide(record, locked=True, fingerprint=request.fingerprint, now=request.now)
        if decision is Decision.replay:
            return _settled(record, request)
    attempt = Attempt(new_seed() if record is None else record.seed, resumed=record is not None)
    try:
        steps = plan(attempt)
        with database.begin() as connection:
            if not _claim(connection, request, attempt.seed):
                raise _Overtaken
            intent = steps.intend(connection)
    except _Overtaken:
        raise
    except Exception as error:
        return _refused(database, request, attempt.seed, failed(error))
    failpoint("idempotency.claimed")
    try:
        outcome = steps.act(intent)
        failpoint("idempotency.executed")
        with database.begin() as connection:
            result = steps.record(connection, outcome)
            answer = failed(result) if isinstance(result, SakkError) else result
            if _finish(connection, request, answer):
                return answer
    except Exception as error:
        with database.begin() as connection:
            answer = failed(error)
            if _finish(connection, request, answer):
                return answer
    return _found(database, request)


def _claim(connection: Connection, request: Keyed, seed: int) -> bool:
    """Begin or go on under the key with this seed; False where another request did."""
    assert request.key is not None
    started = _record(request, seed=seed, answer=None)
    claimed = store.claim(connection, request.key, started, now=request.now)
    return claimed is not None and claimed[0] == seed


def _finish(connection: Connection, request: Keyed, answer: Answer) -> bool:
    """Keep the answer, or end the lease of one that is not kept; False if there is one already."""
    assert request.key is not None
    if not is_stored(answer.status):
        store.release(connection, request.key, now=request.now)
        return True
    return store.finish(connection, request.key, status=answer.status, body=_kept(answer))


def _refused(database: Database, request: Keyed, seed: int, answer: Answer) -> Answer:
    """The answer of a command that wrote nothing, kept where answers of its kind are."""
    if not is_stored(answer.status):
        return answer
    with database.begin() as connection:
        if _claim(connection, request, seed) and _finish(connection, request, answer):
            return answer
    return _found(database, request)


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
