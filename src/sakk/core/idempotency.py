"""Idempotency keys: one key, one execution, one answer.

A key belongs to an account and a mode. The first request that begins to execute under it settles
the answer; the same request again gets that answer, another request under the same key is refused.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from sakk.core import ids
from sakk.core.errors import IdempotencyInProgress, IdempotencyMismatch, ParameterInvalid

KEY_LENGTH_MAX = 255
# How long one execution may take before another request may resume it. It is courtesy, not safety:
# a resumed command works under the same object id, and posting twice is posting once.
LEASE_SECONDS = 15
LEASE = timedelta(seconds=LEASE_SECONDS)
KEEP_HOURS = 25
STATUSES_NOT_STORED = frozenset({401, 403, 409, 429, 503})


class State(StrEnum):
    started = "started"
    finished = "finished"


class Decision(StrEnum):
    execute = "execute"
    resume = "resume"
    replay = "replay"


@dataclass(frozen=True, slots=True)
class Key:
    """What the caller sent as ``Idempotency-Key``, within its account and mode."""

    account_id: str
    livemode: bool
    key: str


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of a request under a key. ``seed`` makes the ids of what it creates."""

    fingerprint: bytes
    state: str
    seed: int
    lease_until: datetime | None
    request_id: str
    status: int | None
    body: bytes | None


def check_key(key: str) -> str:
    """Refuse an empty, too long or unprintable key."""
    if not 1 <= len(key) <= KEY_LENGTH_MAX or not key.isascii() or not key.isprintable():
        raise ParameterInvalid(
            f"Idempotency-Key has 1 to {KEY_LENGTH_MAX} printable ASCII characters.",
            param="Idempotency-Key",
        )
    return key


def fingerprint(method: str, path: str, canonical_body: bytes) -> bytes:
    """What makes two requests the same: method, path and the parsed body in one canonical form."""
    head = f"{method} {path}\n".encode()
    return hashlib.sha256(head + canonical_body).digest()


def decide(record: Record | None, *, locked: bool, fingerprint: bytes, now: datetime) -> Decision:
    """What to do with a request under a key, given what is stored and whether we hold its lock.

    Raises IdempotencyMismatch for another request under the same key, IdempotencyInProgress while
    the first one runs.
    """
    if record is not None and record.fingerprint != fingerprint:
        raise IdempotencyMismatch(
            "This Idempotency-Key was used before with another request. Use a new key for a new"
            " request; to repeat the first one, send the same path and parameters."
        )
    if record is None:
        if not locked:
            raise _in_progress()
        return Decision.execute
    match State(record.state):
        case State.finished:
            return Decision.replay
        case State.started:
            if not locked or (record.lease_until is not None and record.lease_until > now):
                raise _in_progress()
            return Decision.resume
        case _ as never:
            assert_never(never)


def lease_until(now: datetime, lease: timedelta = LEASE) -> datetime:
    return now + lease


def expired_before(now: datetime) -> datetime:
    """Keys older than this may be forgotten."""
    return now - timedelta(hours=KEEP_HOURS)


def is_stored(status: int) -> bool:
    """Is this answer kept and replayed? Not those that ask the caller to come again."""
    return status not in STATUSES_NOT_STORED


def object_id(seed: int, prefix: str, index: int) -> str:
    """The ``index``-th id of a kind under a seed (a UUIDv7): the same on every attempt.

    The first is the seed itself; the others keep its time and take their random bits from a hash.
    """
    if index == 0:
        return ids.encode(prefix, seed)
    random = ids.digest128("object_id", seed, prefix, index).to_bytes(16, "big")
    return ids.encode(prefix, ids.uuid7(now_ms=seed >> 80, random=random[: ids.RANDOM_BYTES]))


def _in_progress() -> IdempotencyInProgress:
    return IdempotencyInProgress(
        "A request with this Idempotency-Key is being executed. Send it again in a second to get"
        " its answer."
    )
