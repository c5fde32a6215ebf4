"""The log of requests: what was answered stands there, and nothing that was in it."""

import time

import pytest
from sqlalchemy import text

from sakk.api.context import Caller
from sakk.api.request_log import WAITING_MAX, Noted, RequestLog, dropped_total
from sakk.core.api_key import ApiKey
from sakk.core.request_log import KEEP, LoggedRequest
from sakk.store.database import Database
from sakk.store.identity import now
from sakk.store.request_log import count_about, find, forget
from tests.api.world import Api

PATIENCE_SECONDS = 20.0


def _logged(api: Api, identifier: str) -> LoggedRequest:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with api.database.begin() as connection:
            found = find(connection, identifier, account_id=None, livemode=False)
        if found is not None:
            return found
        assert time.monotonic() < deadline, "the request was never logged"
        time.sleep(0.05)


def test_answers_are_logged_with_their_errors_and_without_what_was_sent(api: Api) -> None:
    made = api.call("POST", "/v1/customers", data={"email": "secret@example.com"})
    refused = api.call("POST", "/v1/payment_intents", data={"amount": "1", "currency": "nope"})
    unknown = api.call("GET", "/v1/customers?email=secret@example.com", key="sk_test_nobody")
    rows = [_logged(api, each.headers["request-id"]) for each in (made, refused)]
    assert [(row.method, row.path, row.status) for row in rows] == [
        ("POST", "/v1/customers", 200),
        ("POST", "/v1/payment_intents", 400),
    ]
    assert [row.error_code for row in rows] == [None, refused.json()["error"]["code"]]
    assert [row.param for row in rows] == [None, "currency"]
    assert {row.account_id for row in rows} == {api.world.alice.account}
    assert rows[0].key.startswith("key_")
    with api.database.begin() as connection:
        nobodys = unknown.headers["request-id"]
        assert find(connection, nobodys, account_id=None, livemode=False) is None
        of_bob = api.world.bob.account
        assert find(connection, rows[0].id, account_id=of_bob, livemode=False) is None
        kept = connection.execute(text("SELECT string_agg(r::text, ' ') FROM request_log r"))
        assert "secret@example.com" not in kept.scalar_one()


def _noted(identifier: str) -> Noted:
    key = ApiKey(
        id="key_1",
        account_id="acct_1",
        livemode=False,
        kind="secret",
        name=None,
        token_hash=b"",
        prefix="sk_test_",
        last4="abcd",
        scopes=[],
        allowed_addresses=[],
        expires_at=None,
        revoked_at=None,
        created=now(),
    )
    caller = Caller(key, "acct_1", "merchant")
    return Noted(identifier, caller, "GET", "/v1/balance", 200, b"", 0.0015, now())


def test_what_does_not_fit_is_dropped_and_never_waited_for(database: Database) -> None:
    class Stopped(RequestLog):
        def _write(self) -> None:
            """Nothing is ever written while it runs."""

    log = Stopped(database)
    before = dropped_total._value.get()
    for index in range(WAITING_MAX + 3):
        log.note(_noted(f"req_{index:06}"))
    assert dropped_total._value.get() - before == 3
    log.close()


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"error": "no"}', b'{"error": {"code": 5}}', b"\xff"]
)
def test_an_answer_that_is_no_error_of_ours_stops_nobody(database: Database, body: bytes) -> None:
    log = RequestLog(database)
    log.note(_noted("req_bad")._replace(status=500, body=body))
    log.note(_noted("req_good"))
    log.close()
    with database.begin() as connection:
        rows = [
            find(connection, each, account_id=None, livemode=False)
            for each in ("req_bad", "req_good")
        ]
    assert [row is not None and (row.status, row.error_code) for row in rows] == [
        (500, None),
        (200, None),
    ]


def test_a_batch_that_can_not_be_written_is_dropped_and_the_next_is_not(database: Database) -> None:
    log = RequestLog(database)
    before = dropped_total._value.get()
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE request_log RENAME TO elsewhere"))
    log.note(_noted("req_lost"))
    log._flush()
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO request_log"))
    log.note(_noted("req_kept"))
    log.close()
    with database.begin() as connection:
        assert find(connection, "req_kept", account_id=None, livemode=False) is not None
    assert dropped_total._value.get() - before == 1


def test_what_waits_is_written_at_the_end_and_the_oldest_are_forgotten(database: Database) -> None:
    log = RequestLog(database)
    for index in range(5):
        log.note(_noted(f"req_{index}"))
    log.note(_noted("req_4"))  # the same once more is no second row
    log.close()
    log.note(_noted("req_5"))  # nobody writes any more
    with database.begin() as connection:
        connection.execute(text("UPDATE request_log SET created = '2020-01-01' WHERE id < 'req_1'"))

        def left() -> list[str]:
            return list(
                connection.execute(text("SELECT id FROM request_log ORDER BY id")).scalars()
            )

        before = now() - KEEP
        assert left() == [f"req_{index}" for index in range(5)]
        assert forget(connection, before=before, excess=0, limit=10) == 1
        assert forget(connection, before=before, excess=2, limit=10) == 2
        assert forget(connection, before=before, excess=2, limit=1) == 1
        assert left() == ["req_4"]
        assert forget(connection, before=before, excess=0, limit=10) == 0
        assert count_about(connection) >= 0
