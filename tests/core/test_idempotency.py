"""The rules of idempotency keys."""

from datetime import UTC, datetime, timedelta

import pytest

from sakk.core import ids
from sakk.core.errors import IdempotencyInProgress, IdempotencyMismatch, ParameterInvalid
from sakk.core.idempotency import (
    KEY_LENGTH_MAX,
    LEASE_SECONDS,
    Decision,
    Record,
    State,
    check_key,
    decide,
    expired_before,
    fingerprint,
    is_stored,
    lease_until,
    object_id,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SEED = ids.uuid7(now_ms=1_795_000_000_000, random=bytes(range(10)))
SAME = fingerprint("POST", "/v1/customers", b"{}")
OTHER = fingerprint("POST", "/v1/customers", b'{"name":"x"}')


def record(state: State, *, lease: datetime | None = None) -> Record:
    finished = state is State.finished
    return Record(
        fingerprint=SAME,
        state=state,
        seed=SEED,
        lease_until=lease,
        request_id="req_1",
        status=200 if finished else None,
        body=b"{}" if finished else None,
    )


LATER = NOW + timedelta(seconds=1)
EARLIER = NOW - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("stored", "locked", "decision"),
    [
        (None, True, Decision.execute),
        (record(State.finished), True, Decision.replay),
        (record(State.finished), False, Decision.replay),
        (record(State.started, lease=EARLIER), True, Decision.resume),
        (record(State.started, lease=NOW), True, Decision.resume),
        (record(State.started), True, Decision.resume),
    ],
)
def test_decide(stored: Record | None, locked: bool, decision: Decision) -> None:
    assert decide(stored, locked=locked, fingerprint=SAME, now=NOW) is decision


@pytest.mark.parametrize(
    ("stored", "locked"),
    [
        (None, False),
        (record(State.started, lease=LATER), True),
        (record(State.started, lease=LATER), False),
        (record(State.started, lease=EARLIER), False),
    ],
)
def test_a_request_steps_aside_while_the_first_one_runs(
    stored: Record | None, locked: bool
) -> None:
    with pytest.raises(IdempotencyInProgress):
        decide(stored, locked=locked, fingerprint=SAME, now=NOW)


@pytest.mark.parametrize("state", list(State))
def test_another_request_under_the_same_key_is_refused(state: State) -> None:
    with pytest.raises(IdempotencyMismatch):
        decide(record(state, lease=EARLIER), locked=True, fingerprint=OTHER, now=NOW)


def test_a_fingerprint_is_of_method_path_and_body() -> None:
    prints = {
        fingerprint(method, path, body)
        for method in ("POST", "DELETE")
        for path in ("/v1/a", "/v1/b")
        for body in (b"{}", b"[]")
    }
    assert len(prints) == 8


@pytest.mark.parametrize(
    ("status", "stored"),
    [(200, True), (400, True), (404, True), (500, True)]
    + [(status, False) for status in (401, 403, 409, 429, 503)],
)
def test_what_is_stored(status: int, stored: bool) -> None:
    assert is_stored(status) is stored


def test_ids_come_from_the_seed_and_sort_by_its_time() -> None:
    first = object_id(SEED, "po", 0)
    assert first == ids.encode("po", SEED)
    made = [object_id(SEED, "po", index) for index in range(100)]
    assert made == [object_id(SEED, "po", index) for index in range(100)]
    assert len(set(made)) == 100
    assert {ids.decode(each)[1] >> 80 for each in made} == {SEED >> 80}
    assert object_id(SEED, "po", 1).partition("_")[2] != object_id(SEED, "txn", 1).partition("_")[2]


@pytest.mark.parametrize("key", ["", "x" * (KEY_LENGTH_MAX + 1), "é", "a\nb", "\x00"])
def test_keys_that_are_refused(key: str) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        check_key(key)
    assert caught.value.param == "Idempotency-Key"


def test_keys_that_are_taken() -> None:
    assert check_key("x" * KEY_LENGTH_MAX) == "x" * KEY_LENGTH_MAX


def test_times() -> None:
    assert lease_until(NOW) - NOW == timedelta(seconds=LEASE_SECONDS)
    assert NOW - expired_before(NOW) >= timedelta(hours=24)
