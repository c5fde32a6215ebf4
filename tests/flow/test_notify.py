"""Deliveries over real HTTP from a real database: signed, retried, fair, safe, never lost."""

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta

import psycopg
import pytest
import standardwebhooks
import stripe
from aiohttp.abc import AbstractResolver, ResolveResult
from tests.flow.notifying import (
    JOIN_SECONDS_MAX,
    OWNER,
    Clock,
    append,
    create,
    deliveries,
    endpoint_now,
    nothing_due,
    running,
    verified,
    wait_for_attempts,
)
from tests.receiver import Answer, Receiver

from sakk.core import webhook as rules
from sakk.flow import delivery as delivery_flow
from sakk.flow import webhook
from sakk.flow.delivery import (
    AddressRefused,
    PublicResolver,
    Released,
    Sender,
    open_checked_socket,
)
from sakk.flow.notify import Notifier
from sakk.store import delivery as delivery_store
from sakk.store import event as event_store
from sakk.store import webhook as store
from sakk.store.database import Database
from sakk.store.webhook import WebhookEndpoint


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_delivery_is_verified_by_the_official_libraries(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    endpoint = create(database, f"{receiver.url}/hooks?shop=7")
    with running(database, clock) as wake:
        (event_id,) = append(database)
        wake.set()
        (request,) = receiver.wait("/hooks", 1)
    event = verified(request, endpoint.secret)
    assert event["id"] == event_id == request.id
    assert event["object"] == "event"
    assert event["data"]["object"] == {"id": "po_1", "text": "你好 \0"}
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"] == "Sakk"
    (row,) = deliveries(database, endpoint)
    assert (row.status, row.attempt_count, row.response_status) == ("succeeded", 1, 200)
    assert (row.lease_token, row.next_attempt_at) == (None, None)
    with database.begin() as connection:
        (attempt,) = store.list_attempts(connection, row.id)
    assert (attempt.attempt, attempt.response_status, attempt.error) == (1, 200, None)


def test_the_commit_alone_starts_a_delivery(
    database: Database, database_url: str, receiver: Receiver, clock: Clock
) -> None:
    create(database, f"{receiver.url}/hooks")
    # No poll within the test: only the notification can have woken it.
    with running(database, clock, poll_seconds=3600) as wake:
        with psycopg.connect(database_url, autocommit=True) as listener:
            listener.execute("LISTEN sakk")
            for _ in range(3):
                before = len(receiver.at("/hooks"))
                append(database)
                for _ in listener.notifies(stop_after=1, timeout=20):
                    wake.set()
                receiver.wait("/hooks", before + 1)


def test_five_hundred_at_once_arrive_once_each(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    endpoint = create(database, f"{receiver.url}/hooks")
    identifiers = append(database, 500)
    with running(database, clock):
        received = receiver.wait("/hooks", 500)
    assert sorted(request.id for request in received) == identifiers
    with database.begin() as connection:
        page, _ = store.page_deliveries(
            connection, account_id="acct_a", endpoint_id=endpoint.id, status=None, limit=100
        )
        left = event_store.page(connection, **OWNER, limit=100)[0]
    assert {row.status for row in page} == {"succeeded"}
    assert {found.pending_webhooks for found in left} == {0}


def test_two_notifiers_never_send_one_delivery_twice(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    for path in "abc":
        create(database, f"{receiver.url}/{path}")
    identifiers = append(database, 100)
    with running(database, clock), running(database, clock):
        for path in "abc":
            receiver.wait(f"/{path}", 100)
    for path in "abc":
        assert sorted(request.id for request in receiver.at(f"/{path}")) == identifiers


def test_a_slow_endpoint_delays_no_other(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    receiver.answers["/slow"] = Answer(hold=True)
    slow = create(database, f"{receiver.url}/slow")
    append(database, 200)
    fast = create(database, f"{receiver.url}/fast")
    append(database, 200)
    with running(database, clock) as wake:
        # The slow one has its limit of requests open, and not one of them is answered.
        receiver.wait("/slow", delivery_flow.IN_FLIGHT_MAX)
        receiver.wait("/fast", 200)
        append(database)
        wake.set()
        receiver.wait("/fast", 201)
        assert len(receiver.at("/slow")) == delivery_flow.IN_FLIGHT_MAX
        receiver.release("/slow")
        receiver.wait("/slow", 401)
    assert {row.status for row in deliveries(database, fast)} == {"succeeded"}
    assert {row.attempt_count for row in deliveries(database, slow)} == {1}


def test_the_schedule_of_retries_to_the_last(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    receiver.answers["/hooks"] = Answer(status=500, body=b"out of \0 order \xff")
    endpoint = create(database, f"{receiver.url}/hooks")
    (event_id,) = append(database)
    for attempt, delay in enumerate(rules.RETRY_DELAYS, start=1):
        before = clock()
        with running(database, clock):
            receiver.wait("/hooks", attempt)
        (row,) = deliveries(database, endpoint)
        assert (row.status, row.retry_step, row.attempt_count) == ("pending", attempt, attempt)
        assert (row.response_status, row.error) == (500, None)
        assert row.response_excerpt == "out of \N{REPLACEMENT CHARACTER} order \ufffd"
        assert row.next_attempt_at is not None
        assert before + delay <= row.next_attempt_at <= clock() + delay
        assert nothing_due(database, row.next_attempt_at - timedelta(microseconds=1))
        clock.advance(delay)
    with running(database, clock):
        receiver.wait("/hooks", rules.ATTEMPTS_MAX)
    (row,) = deliveries(database, endpoint)
    assert (row.status, row.attempt_count) == ("abandoned", 10)
    assert {request.id for request in receiver.at("/hooks")} == {event_id}
    assert len({request.body for request in receiver.at("/hooks")}) == 1
    receiver.answers.clear()
    with database.begin() as connection:
        webhook.redeliver(connection, row.id, **OWNER, now=clock())
    with running(database, clock):
        receiver.wait("/hooks", 11)
    (row,) = deliveries(database, endpoint)
    assert (row.status, row.attempt_count) == ("succeeded", 11)


def test_a_receiver_that_was_down_for_three_days_gets_all(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        endpoint = create(database, f"http://127.0.0.1:{closed.getsockname()[1]}/hooks")
        identifiers = append(database, 3)
        attempts = 0
        for delay in rules.RETRY_DELAYS[:8]:
            with running(database, clock):
                attempts += 3
                wait_for_attempts(database, attempts)
            clock.advance(delay)
    rows = deliveries(database, endpoint)
    assert {row.status for row in rows} == {"pending"}
    assert {row.error for row in rows} == {"the connection failed (Connection refused)"}
    assert endpoint_now(database, endpoint).failing_since is not None
    with database.begin() as connection:
        webhook.update(
            connection, endpoint.id, **OWNER, url=f"{receiver.url}/hooks", allow_loopback=True,
            now=clock(),
        )  # fmt: skip
        since = clock() - timedelta(days=4)
        assert webhook.replay(connection, endpoint.id, **OWNER, since=since, now=clock()) == 3
    with running(database, clock):
        receiver.wait("/hooks", 3)
    assert sorted(request.id for request in receiver.at("/hooks")) == identifiers
    assert endpoint_now(database, endpoint).failing_since is None


def test_retry_after_is_respected(database: Database, receiver: Receiver, clock: Clock) -> None:
    receiver.answers["/hooks"] = Answer(status=503, headers={"Retry-After": "3600"})
    endpoint = create(database, f"{receiver.url}/hooks")
    append(database)
    before = clock()
    with running(database, clock):
        receiver.wait("/hooks", 1)
    (row,) = deliveries(database, endpoint)
    assert row.next_attempt_at is not None
    assert row.next_attempt_at >= before + timedelta(hours=1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_not_followed(
    database: Database, receiver: Receiver, clock: Clock, status: int
) -> None:
    receiver.answers["/hooks"] = Answer(status=status, headers={"Location": "/inside"})
    endpoint = create(database, f"{receiver.url}/hooks")
    append(database)
    with running(database, clock):
        receiver.wait("/hooks", 1)
    (row,) = deliveries(database, endpoint)
    assert (row.status, row.response_status, row.retry_step) == ("pending", status, 1)
    assert receiver.at("/inside") == []


def test_gone_disables_the_endpoint_and_tells(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    receiver.answers["/gone"] = Answer(status=410)
    endpoint = create(database, f"{receiver.url}/gone")
    with running(database, clock) as wake:
        append(database)
        other = create(database, f"{receiver.url}/other")
        wake.set()
        (request,) = receiver.wait("/other", 1)
        append(database)
        wake.set()
        receiver.wait("/other", 2)
    told = verified(request, other.secret)
    assert told["type"] == "webhook_endpoint.disabled"
    assert told["data"]["object"]["id"] == endpoint.id
    assert told["data"]["object"]["disabled_reason"] == "gone"
    assert endpoint_now(database, endpoint).status == "disabled"
    assert [row.status for row in deliveries(database, endpoint)] == ["failed"]
    assert len(receiver.at("/gone")) == 1
    with database.begin() as connection:
        operator, _ = event_store.page(connection, account_id=None, livemode=False)
    assert "webhook_endpoint.failing" in {found.type for found in operator}


def test_an_endpoint_that_fails_for_days_is_disabled(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    receiver.answers["/hooks"] = Answer(status=500)
    endpoint = create(database, f"{receiver.url}/hooks")
    append(database)
    with running(database, clock):
        receiver.wait("/hooks", 1)
    clock.advance(rules.FAILING_MAX - timedelta(hours=1))
    with running(database, clock):
        receiver.wait("/hooks", 2)
    assert endpoint_now(database, endpoint).status == "enabled"
    clock.advance(timedelta(hours=2))
    with running(database, clock):
        receiver.wait("/hooks", 3)
    found = endpoint_now(database, endpoint)
    assert (found.status, found.disabled_reason) == ("disabled", "failing")
    (row,) = deliveries(database, endpoint)
    assert row.status == "pending"  # kept for the day when it is enabled again


def test_both_secrets_sign_while_rotating_and_one_afterwards(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    endpoint = create(database, f"{receiver.url}/hooks")

    def rotate(now: datetime) -> WebhookEndpoint:
        with database.begin() as connection:
            return webhook.rotate_secret(
                connection, endpoint.id, **OWNER, overlap_seconds=3600, now=now
            )

    second = rotate(clock())
    append(database)
    with running(database, clock):
        (request,) = receiver.wait("/hooks", 1)
    assert verified(request, endpoint.secret) == verified(request, second.secret)
    third = rotate(clock() - timedelta(hours=2))  # its overlap is over
    append(database)
    with running(database, clock):
        request = receiver.wait("/hooks", 2)[1]
    verified(request, third.secret)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(second.secret).verify(request.body, request.headers)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(
            request.body, request.headers["Stripe-Signature"], second.secret
        )


def test_one_delivery_that_cannot_be_sent_stops_no_other(
    database: Database, receiver: Receiver, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    poisoned = create(database, f"{receiver.url}/poisoned")
    refused = create(database, f"{receiver.url}/refused")
    create(database, f"{receiver.url}/hooks")
    with database.begin() as connection:
        store.update_endpoint(connection, poisoned.id, {"secret": "whsec_%%%é"})
        store.update_endpoint(connection, refused.id, {"url": "https://10.0.0.1/"})
    append(database, 5)
    with running(database, clock):
        receiver.wait("/hooks", 5)
        wait_for_attempts(database, 15)
    assert {row.error for row in deliveries(database, poisoned)} == {"internal error (ValueError)"}
    assert "%%%" not in "".join(capfd.readouterr())  # the secret stays out of the log
    (error,) = {row.error for row in deliveries(database, refused)}
    assert error is not None
    assert "not a public address" in error
    assert receiver.at("/poisoned") == []


def test_an_answer_is_cut(database: Database, receiver: Receiver, clock: Clock) -> None:
    receiver.answers["/hooks"] = Answer(body=b"x" * 10_000_000)
    endpoint = create(database, f"{receiver.url}/hooks")
    append(database)
    with running(database, clock):
        receiver.wait("/hooks", 1)
    (row,) = deliveries(database, endpoint)
    assert row.status == "succeeded"
    assert row.response_excerpt == "x" * delivery_flow.EXCERPT_CHARACTERS_MAX


def test_an_endpoint_that_never_answers_times_out(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    receiver.answers["/hooks"] = Answer(hold=True)
    endpoint = create(database, f"{receiver.url}/hooks")
    append(database)
    with running(database, clock, send_seconds_max=0.2, lease_seconds=5):
        receiver.wait("/hooks", 1)
    (row,) = deliveries(database, endpoint)
    assert (row.status, row.response_status, row.retry_step) == ("pending", None, 1)
    assert row.error == "no answer within 0.2 s"


def test_a_test_is_signed_tried_once_and_says_nothing_of_health(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    receiver.answers["/hooks"] = Answer(status=410, body=b"not built yet")
    endpoint = create(database, f"{receiver.url}/hooks", enabled_events=["payout.created"])
    with database.begin() as connection:
        sent = webhook.send_test(connection, endpoint.id, **OWNER, now=clock())
    with running(database, clock):
        (request,) = receiver.wait("/hooks", 1)
    event = verified(request, endpoint.secret)
    assert (event["type"], event["id"]) == ("webhook_endpoint.test", sent.event_id)
    assert event["data"]["object"]["id"] == endpoint.id
    (row,) = deliveries(database, endpoint)
    assert (row.status, row.response_status, row.response_excerpt) == (
        *("failed", 410),
        "not built yet",
    )
    receiver.answers["/hooks"] = Answer(status=500)
    with database.begin() as connection:
        webhook.redeliver(connection, sent.id, **OWNER, now=clock())
    with running(database, clock):
        receiver.wait("/hooks", 2)
    (row,) = deliveries(database, endpoint)
    assert (row.status, row.next_attempt_at, row.attempt_count) == ("failed", None, 2)
    after = endpoint_now(database, endpoint)
    assert (after.status, after.failing_since) == ("enabled", None)


class Names(AbstractResolver):
    """A name server that answers what the test says, one answer after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = itertools.chain(answers, itertools.repeat(answers[-1]))

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in next(self.answers)
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::ffff:127.0.0.1", "::1", "10.1.2.3", "169.254.169.254", "0.0.0.0"]
)
def test_a_name_that_leads_inside_is_never_connected_to(
    database: Database, clock: Clock, address: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as inside:
        inside.setblocking(False)
        port = inside.getsockname()[1]
        endpoint = create(database, f"https://rebind.example:{port}/", allow_loopback=False)
        append(database)
        with running(database, clock, allow_loopback=False, resolver=Names([address])):
            wait_for_attempts(database, 1)
        with pytest.raises(BlockingIOError):
            inside.accept()
    (row,) = deliveries(database, endpoint)
    assert row.error == "the host does not resolve to a public address"


def test_names_resolve_to_public_addresses_alone() -> None:
    resolver = PublicResolver(
        allow_loopback=False, inner=Names(["10.0.0.1", "1.1.1.1", "::1"], ["127.0.0.1"])
    )
    found = asyncio.run(resolver.resolve("a.example"))
    assert [one["host"] for one in found] == ["1.1.1.1"]
    with pytest.raises(AddressRefused):
        asyncio.run(resolver.resolve("a.example"))


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1"])
def test_the_socket_itself_refuses_an_address_that_was_rebound(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    info = (family, socket.SOCK_STREAM, 0, "", (address, 443))
    with pytest.raises(AddressRefused):
        open_checked_socket(info, allow_loopback=False)
    public = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("1.1.1.1", 443))
    open_checked_socket(public, allow_loopback=False).close()


NOTIFIER_PROCESS = """
import sys, threading
from sakk.flow.notify import Notifier
from sakk.store.database import open_database
Notifier(open_database(sys.argv[1]), allow_loopback=True).run(threading.Event(), threading.Event())
"""


@pytest.mark.parametrize(
    ("failpoint", "sent"), [("webhook.send.before", 0), ("webhook.send.after", 1)]
)
def test_kill_9_around_a_send_loses_nothing(
    database: Database,
    database_url: str,
    receiver: Receiver,
    clock: Clock,
    failpoint: str,
    sent: int,
) -> None:
    endpoint = create(database, f"{receiver.url}/hooks")
    (event_id,) = append(database)
    killed = subprocess.run(
        [sys.executable, "-c", NOTIFIER_PROCESS, database_url],
        env=os.environ | {"SAKK_FAILPOINTS": f"{failpoint}=kill"},
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(receiver.at("/hooks")) == sent
    (row,) = deliveries(database, endpoint)
    assert row.status == "pending"
    assert row.lease_token is not None
    clock.advance(timedelta(seconds=delivery_flow.LEASE_SECONDS))
    with running(database, clock):
        received = receiver.wait("/hooks", sent + 1)
    assert {request.id for request in received} == {event_id}
    assert len({request.body for request in received}) == 1
    (row,) = deliveries(database, endpoint)
    assert (row.status, row.attempt_count, row.lease_token) == ("succeeded", 2, None)


def test_stopping_finishes_what_is_open_and_gives_back_what_waits(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    receiver.answers["/hooks"] = Answer(hold=True)
    endpoint = create(database, f"{receiver.url}/hooks")
    append(database, 30)
    stop, wake = threading.Event(), threading.Event()
    notifier = Notifier(database, allow_loopback=True, clock=clock)
    thread = threading.Thread(target=notifier.run, args=(stop, wake))
    thread.start()
    receiver.wait("/hooks", delivery_flow.IN_FLIGHT_MAX)
    stop.set()
    wake.set()
    receiver.release("/hooks")
    thread.join(JOIN_SECONDS_MAX)
    assert not thread.is_alive()
    rows = deliveries(database, endpoint)
    sent = [row for row in rows if row.attempt_count == 1]
    assert len(sent) == len(receiver.at("/hooks")) >= delivery_flow.IN_FLIGHT_MAX
    assert {row.status for row in sent} == {"succeeded"}
    waiting = [row for row in rows if row.attempt_count == 0]
    assert len(sent) + len(waiting) == 30
    assert {row.status for row in waiting} <= {"pending"}
    assert {row.lease_token for row in rows} == {None}


def test_a_sender_that_is_cut_off_gives_back_what_it_did_not_send(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    receiver.answers["/hooks"] = Answer(hold=True)
    create(database, f"{receiver.url}/hooks")
    append(database, 30)
    now = clock()
    with database.begin() as connection:
        claims = delivery_store.claim(
            connection, now=now, lease_until=now, token="x", limit=30, room_default=30, room={}
        )
    with Sender(allow_loopback=True, clock=clock, ready=threading.Event()) as sender:
        sender.submit(claims)
        receiver.wait("/hooks", delivery_flow.IN_FLIGHT_MAX)
        sender.stop(0)
    given_back = [sender.results.get_nowait() for _ in range(30 - delivery_flow.IN_FLIGHT_MAX)]
    assert all(isinstance(result, Released) for result in given_back)
    assert sender.results.empty()  # what was open has no outcome: its lease ends


def test_a_claim_whose_lease_is_nearly_over_is_not_sent(
    database: Database, receiver: Receiver, clock: Clock
) -> None:
    create(database, f"{receiver.url}/hooks")
    append(database)
    now = clock()
    with database.begin() as connection:
        claims = delivery_store.claim(
            connection, now=now, lease_until=now, token="x", limit=1, room_default=1, room={}
        )
    ready = threading.Event()
    with Sender(
        allow_loopback=True, clock=clock, ready=ready, lease_seconds=1, send_seconds_max=2
    ) as sender:
        sender.submit(claims)
        assert ready.wait(JOIN_SECONDS_MAX)
        assert isinstance(sender.results.get_nowait(), Released)
    assert receiver.at("/hooks") == []


def test_a_database_that_is_away_is_waited_for(
    database: Database, postgres_url: str, receiver: Receiver, clock: Clock
) -> None:
    endpoint = create(database, f"{receiver.url}/hooks")
    receiver.answers["/hooks"] = Answer(hold=True)
    append(database)
    name = database.engine.url.database
    with running(database, clock, poll_seconds=0.05):
        receiver.wait("/hooks", 1)
        with psycopg.connect(postgres_url, autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                (name,),
            )
            receiver.release("/hooks")
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        append(database)
        receiver.wait("/hooks", 2)
    assert {(row.status, row.attempt_count) for row in deliveries(database, endpoint)} == {
        ("succeeded", 1)
    }


def test_a_lease_shorter_than_a_send_is_refused(database: Database) -> None:
    with pytest.raises(ValueError, match="lease_seconds"):
        Notifier(database, lease_seconds=10, send_seconds_max=10)
