"""Idempotency over the wire: one key, one execution, one answer."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
import stripe
from sqlalchemy import text

from sakk.store.identity import new_id
from tests.api.server import PROBE_LOCK
from tests.api.world import Api, create_world, serving

PATHS = ["/v1/probes", "/v1/probes/outside", "/v1/probes/steps"]
AROUND = PATHS[1:]


def keyed(api: Api, path: str, body: dict[str, Any], key: str, **options: Any) -> httpx2.Response:
    return api.call("POST", path, json=body, headers={"Idempotency-Key": key}, **options)


def runs(api: Api, object_id: str | None = None) -> int:
    with api.database.begin() as connection:
        if object_id is None:
            return int(connection.execute(text("SELECT count(*) FROM probe_runs")).scalar_one())
        statement = text("SELECT count(*) FROM probe_runs WHERE id = :id")
        return int(connection.execute(statement, {"id": object_id}).scalar_one())


def rows(api: Api, object_id: str) -> int:
    with api.database.begin() as connection:
        statement = text("SELECT count(*) FROM probes WHERE id = :id")
        return int(connection.execute(statement, {"id": object_id}).scalar_one())


@pytest.mark.parametrize("path", PATHS)
def test_the_same_request_again_is_answered_from_the_first(api: Api, path: str) -> None:
    key = new_id("key")
    first = keyed(api, path, {"amount": 5, "metadata": {"a": "b"}}, key)
    again = keyed(api, path, {"metadata": {"a": "b"}, "amount": 5}, key)
    assert first.status_code == again.status_code == 200
    assert first.content == again.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["original-request"] == first.headers["request-id"]
    assert again.headers["request-id"] != first.headers["request-id"]
    assert runs(api, first.json()["id"]) == rows(api, first.json()["id"]) == 1


@pytest.mark.parametrize("path", PATHS)
def test_another_request_under_the_same_key_is_refused(api: Api, path: str) -> None:
    key = new_id("key")
    keyed(api, path, {"amount": 5}, key)
    other_path = next(each for each in PATHS if each != path)
    for answer in (
        keyed(api, path, {"amount": 6}, key),
        keyed(api, other_path, {"amount": 5}, key),
    ):
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "idempotency_error"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("mode", "status"), [("refuse", 400), ("crash", 500)])
def test_a_failure_is_kept_like_a_success(api: Api, path: str, mode: str, status: int) -> None:
    key = new_id("key")
    before = runs(api)
    first = keyed(api, path, {"mode": mode}, key)
    again = keyed(api, path, {"mode": mode}, key)
    assert first.status_code == again.status_code == status
    assert first.content == again.content
    assert again.headers["idempotent-replayed"] == "true"
    assert runs(api) == before + 1
    if status == 500:
        assert again.headers["stripe-should-retry"] == "false"


@pytest.mark.parametrize("path", PATHS)
def test_what_was_not_executed_leaves_the_key_free(api: Api, path: str) -> None:
    key = new_id("key")
    assert keyed(api, path, {"amount": "x"}, key).status_code == 400
    assert keyed(api, path, {"amount": 1}, key).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_that_asks_to_come_again_leaves_the_key_free(api: Api, path: str) -> None:
    key = new_id("key")
    first = keyed(api, path, {"mode": "unavailable"}, key)
    again = keyed(api, path, {"mode": "unavailable"}, key)
    assert first.status_code == again.status_code == 503
    assert "idempotent-replayed" not in again.headers


@pytest.mark.parametrize(
    ("mode", "status", "ran", "left"),
    [
        # Refused before anything is claimed, or with the claim: nothing is left.
        ("refuse_plan", 400, 0, []),
        ("refuse_intent", 400, 0, []),
        # An answer that is an error: what was recorded stays.
        ("refuse_record", 400, 1, ["", "-done"]),
        # A fault while it is recorded: the intent stays, for a stage to go on from.
        ("crash_record", 500, 1, [""]),
    ],
)
def test_steps_that_end_in_an_error_are_kept_once(
    api: Api, mode: str, status: int, ran: int, left: list[str]
) -> None:
    key = new_id("key")
    with api.database.begin() as connection:
        before = set(connection.execute(text("SELECT id FROM probes")).scalars())
    counted = runs(api)
    first = keyed(api, "/v1/probes/steps", {"mode": mode}, key)
    again = keyed(api, "/v1/probes/steps", {"mode": mode}, key)
    assert first.status_code == again.status_code == status
    assert first.content == again.content
    assert again.headers["idempotent-replayed"] == "true"
    assert runs(api) == counted + ran
    with api.database.begin() as connection:
        after = set(connection.execute(text("SELECT id FROM probes")).scalars()) - before
    assert sorted(each[30:] for each in after) == left


def test_a_failed_command_leaves_no_row(api: Api) -> None:
    with api.database.begin() as connection:
        before = connection.execute(text("SELECT count(*) FROM probes")).scalar_one()
    keyed(api, "/v1/probes", {"mode": "crash"}, new_id("key"))
    with api.database.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM probes")).scalar_one() == before


@pytest.mark.parametrize("path", PATHS)
def test_the_same_key_while_the_first_request_runs(api: Api, path: str) -> None:
    key = new_id("key")
    with ThreadPoolExecutor(1) as pool, api.database.begin() as holder:
        holder.execute(text(f"SELECT pg_advisory_lock({PROBE_LOCK})"))
        first = pool.submit(keyed, api, path, {"mode": "wait"}, key)
        _await_waiter(api)
        during = keyed(api, path, {"mode": "wait"}, key)
        holder.execute(text(f"SELECT pg_advisory_unlock({PROBE_LOCK})"))
        done = first.result()
    assert during.status_code == 409
    assert during.json()["error"]["type"] == "idempotency_error"
    assert during.headers["stripe-should-retry"] == "true"
    assert done.status_code == 200
    after = keyed(api, path, {"mode": "wait"}, key)
    assert after.content == done.content


def _await_waiter(api: Api) -> None:
    """Until a probe waits for the lock that the test holds."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    event = threading.Event()
    for _ in range(600):
        with api.database.begin() as connection:
            if connection.execute(waiting).scalar_one():
                return
        event.wait(0.02)
    raise TimeoutError("no probe waits")


@pytest.mark.parametrize("path", PATHS)
def test_fifty_at_once_make_one_object(api: Api, path: str) -> None:
    key = new_id("key")
    before = runs(api)
    barrier = threading.Barrier(50)

    def send(_: int) -> httpx2.Response:
        barrier.wait()
        while True:
            answer = keyed(api, path, {"amount": 7}, key)
            if answer.status_code != 409:
                return answer

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(send, range(50)))
    assert Counter(answer.status_code for answer in answers) == {200: 50}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert runs(api) - before == 1
    assert rows(api, answers[0].json()["id"]) == 1


def test_keys_belong_to_an_account_and_a_mode(api: Api) -> None:
    key = new_id("key")
    alice, bob, live = (
        api.call(
            "POST",
            "/v1/probes",
            json={"amount": amount},
            key=secret,
            headers={"Idempotency-Key": key},
        )
        for amount, secret in enumerate(
            (api.world.alice.key, api.world.bob.key, api.world.live_key), start=1
        )
    )
    assert [each.status_code for each in (alice, bob, live)] == [200, 200, 200]
    assert len({each.json()["id"] for each in (alice, bob, live)}) == 3


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_keys_that_are_refused(api: Api, key: str) -> None:
    answer = keyed(api, "/v1/probes", {}, key)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "Idempotency-Key"


def test_the_stripe_client_replays(api: Api) -> None:
    client, key = api.stripe(), new_id("key")
    first = client.v1.customers.create({"name": "Ada"}, {"idempotency_key": key})
    again = client.v1.customers.create({"name": "Ada"}, {"idempotency_key": key})
    assert first.id == again.id
    assert again.last_response is not None
    assert again.last_response.headers["idempotent-replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        client.v1.customers.create({"name": "Eve"}, {"idempotency_key": key})


@pytest.mark.parametrize("path", AROUND)
@pytest.mark.parametrize(
    ("failpoint", "runs_before"), [("idempotency.claimed", 0), ("idempotency.executed", 1)]
)
def test_a_request_repeated_after_a_crash_works_on_the_same_object(
    database_url: str, database: Any, path: str, failpoint: str, runs_before: int
) -> None:
    world = create_world(database)
    key = new_id("key")
    with serving(database_url, SAKK_FAILPOINTS=f"{failpoint}=kill") as (url, _):
        dying = Api(url=url, world=world, database=database)
        with pytest.raises(httpx2.TransportError):
            keyed(dying, path, {"amount": 1}, key)
    assert runs(dying) == runs_before
    with serving(database_url) as (url, _):
        api = Api(url=url, world=world, database=database)
        assert keyed(api, path, {"amount": 1}, key).status_code == 409
        with database.begin() as connection:
            connection.execute(text("UPDATE idempotency_keys SET lease_until = created"))
        done = keyed(api, path, {"amount": 1}, key)
        assert done.status_code == 200
        assert keyed(api, path, {"amount": 1}, key).content == done.content
    with database.begin() as connection:
        seeds = connection.execute(
            text("SELECT count(*), min(id) FROM probes WHERE id NOT LIKE '%-done'")
        ).one()
    assert tuple(seeds) == (1, done.json()["id"])
    assert runs(api) == runs_before + 1
