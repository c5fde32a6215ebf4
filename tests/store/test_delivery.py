"""The queue of deliveries: fair, leased once, recorded only by who holds the lease."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from tests.store.test_event import NOW, append, create_endpoint, happened

from sakk.core.webhook import DeliveryStatus
from sakk.store import delivery, webhook
from sakk.store.database import Database
from sakk.store.delivery import Claim, Outcome

LEASE = timedelta(seconds=30)


def claim(
    database: Database,
    *,
    now: datetime = NOW,
    token: str = "one",
    limit: int = 100,
    room_default: int = 100,
    room: dict[str, int] | None = None,
) -> list[Claim]:
    with database.begin() as connection:
        return delivery.claim(
            connection,
            now=now,
            lease_until=now + LEASE,
            token=token,
            limit=limit,
            room_default=room_default,
            room=room or {},
        )


def outcome(
    claimed: Claim, status: DeliveryStatus, *, next_attempt_at: datetime | None = None
) -> Outcome:
    answered = 200 if status is DeliveryStatus.succeeded else 500
    return Outcome(claimed, NOW, 12, answered, "body", None, status, next_attempt_at)


def test_a_claim_takes_the_head_of_every_queue_before_the_second_of_any(
    database: Database,
) -> None:
    busy = create_endpoint(database, account_id="acct_a")
    append(database, *[happened()] * 50)
    quiet = create_endpoint(database, account_id="acct_b")
    append(database, *[happened(account_id="acct_b")] * 2, now=NOW + timedelta(seconds=1))
    taken = Counter(one.endpoint_id for one in claim(database, now=NOW + LEASE, limit=6))
    assert taken == {busy.id: 4, quiet.id: 2}


def test_room_limits_an_endpoint(database: Database) -> None:
    slow = create_endpoint(database, account_id="acct_a")
    full = create_endpoint(database, account_id="acct_b")
    new = create_endpoint(database, account_id="acct_c")
    for account_id in ("acct_a", "acct_b", "acct_c"):
        append(database, *[happened(account_id=account_id)] * 10)
    taken = claim(database, room={slow.id: 3, full.id: -2}, room_default=5)
    assert Counter(one.endpoint_id for one in taken) == {slow.id: 3, new.id: 5}


def test_only_what_is_due_and_enabled_is_claimed(database: Database) -> None:
    endpoint = create_endpoint(database)
    append(database, happened(), now=NOW + timedelta(seconds=1))
    assert claim(database) == []
    with database.begin() as connection:
        (disabled,) = webhook.disable_endpoints(connection, [endpoint.id], reason="gone")
        assert webhook.disable_endpoints(connection, [endpoint.id], reason="gone") == []
    assert disabled.status == "disabled"
    assert claim(database, now=NOW + LEASE) == []
    with database.begin() as connection:
        webhook.update_endpoint(connection, endpoint.id, {"status": "enabled"})
    assert len(claim(database, now=NOW + LEASE)) == 1


def test_claims_at_once_never_share_a_row(database: Database) -> None:
    for account_id in ("acct_a", "acct_b", "acct_c"):
        create_endpoint(database, account_id=account_id)
        append(database, *[happened(account_id=account_id)] * 100)
    with ThreadPoolExecutor(6) as pool:
        rounds = pool.map(lambda number: claim(database, token=str(number), limit=20), range(30))
        taken = [one.id for found in rounds for one in found]
    taken += [one.id for one in claim(database, limit=1000, room_default=1000)]
    assert len(taken) == len(set(taken)) == 300


def test_a_lease_that_ended_is_claimed_again_and_its_holder_cannot_record(
    database: Database,
) -> None:
    create_endpoint(database)
    append(database, happened())
    (first,) = claim(database, token="one")
    assert claim(database, now=NOW + LEASE - timedelta(microseconds=1), token="two") == []
    (second,) = claim(database, now=NOW + LEASE, token="two")
    assert (first.id, first.body, first.attempt) == (second.id, second.body, 1)
    assert second.attempt == 2
    with database.begin() as connection:
        late = outcome(first, DeliveryStatus.pending, next_attempt_at=NOW)
        assert delivery.record(connection, [late], token="one") == 0
        done = outcome(second, DeliveryStatus.succeeded)
        assert delivery.record(connection, [done], token="two") == 1
        # A commit whose acknowledgement was lost is recorded a second time.
        assert delivery.record(connection, [done], token="two") == 0
        row = webhook.get_delivery(connection, first.id, account_id="acct_a")
        attempts = webhook.list_attempts(connection, first.id)
    assert row is not None
    assert (row.status, row.retry_step, row.next_attempt_at) == ("succeeded", 0, None)
    assert [(one.attempt, one.response_status) for one in attempts] == [(1, 500), (2, 200)]
    assert claim(database, now=NOW + 10 * LEASE) == []


def test_what_was_not_sent_is_given_back_as_if_never_taken(database: Database) -> None:
    create_endpoint(database)
    append(database, happened())
    (first,) = claim(database)
    with database.begin() as connection:
        delivery.release(connection, [first.id], token="other", now=NOW)
    assert claim(database) == []
    with database.begin() as connection:
        delivery.release(connection, [first.id], token="one", now=NOW)
    (again,) = claim(database)
    assert again.attempt == 1


def test_secrets_stay_out_of_reprs(database: Database) -> None:
    endpoint = create_endpoint(database)
    append(database, happened())
    (found,) = claim(database)
    assert found.secret == endpoint.secret
    assert endpoint.secret not in repr(found) + repr(endpoint)
