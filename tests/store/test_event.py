"""Events and their deliveries are written together, seen by those who may, in order."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from sakk.core.event import API_VERSION, NewEvent
from sakk.core.webhook import DeliveryStatus
from sakk.store import event, identity
from sakk.store import webhook as webhook_store
from sakk.store.database import CHANNEL, Database
from sakk.store.webhook import WebhookEndpoint

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def create_endpoint(
    database: Database,
    *,
    account_id: str = "acct_a",
    livemode: bool = False,
    enabled_events: tuple[str, ...] = ("*",),
    status: str = "enabled",
) -> WebhookEndpoint:
    endpoint = WebhookEndpoint(
        id=identity.new_id("we"),
        account_id=account_id,
        livemode=livemode,
        url="https://shop.example/",
        description=None,
        metadata={},
        enabled_events=list(enabled_events),
        status=status,
        disabled_reason=None,
        secret="whsec_AAAA",
        previous_secret=None,
        previous_secret_until=None,
        failing_since=None,
        created=NOW,
    )
    with database.begin() as connection:
        webhook_store.insert_endpoint(connection, endpoint)
    return endpoint


def happened(
    type: str = "payment_intent.succeeded",
    *,
    account_id: str | None = "acct_a",
    livemode: bool = False,
    object_id: str = "pi_1",
    **object: Any,
) -> NewEvent:
    return NewEvent(account_id, livemode, type, object_id, {"id": object_id, **object})


def append(database: Database, *events: NewEvent, now: datetime = NOW) -> list[str]:
    with database.begin() as connection:
        return event.append(connection, events, now=now)


def deliveries_of(database: Database, endpoint: WebhookEndpoint) -> set[str]:
    with database.begin() as connection:
        found, more = webhook_store.page_deliveries(
            connection, account_id=endpoint.account_id, endpoint_id=endpoint.id, limit=100
        )
    assert not more
    assert {delivery.status for delivery in found} <= {DeliveryStatus.pending}
    return {delivery.event_id for delivery in found}


def test_the_envelope_is_stripes(database: Database) -> None:
    create_endpoint(database)
    create_endpoint(database, enabled_events=("payment_intent.succeeded",))
    create_endpoint(database, enabled_events=("payout.*",))
    new = NewEvent("acct_a", False, "payment_intent.succeeded", "pi_1", {"id": "pi_1"},
                   {"status": "processing"}, "req_1")  # fmt: skip
    (identifier,) = append(database, new)
    with database.begin() as connection:
        found = event.get(connection, identifier, account_id="acct_a", livemode=False)
    assert found is not None
    assert event.to_public(found) == {
        "id": identifier,
        "object": "event",
        "api_version": API_VERSION,
        "account": "acct_a",
        "created": int(NOW.timestamp()),
        "livemode": False,
        "pending_webhooks": 2,
        "request": {"id": "req_1", "idempotency_key": None},
        "type": "payment_intent.succeeded",
        "data": {"object": {"id": "pi_1"}, "previous_attributes": {"status": "processing"}},
    }
    assert found.object == {"id": "pi_1"}


def test_a_delivery_for_every_enabled_endpoint_that_wants_it(database: Database) -> None:
    everything = create_endpoint(database)
    payouts = create_endpoint(database, enabled_events=("payout.*",))
    disabled = create_endpoint(database, status="disabled")
    live = create_endpoint(database, livemode=True)
    other = create_endpoint(database, account_id="acct_b")
    intent, payout, held, foreign = append(
        database,
        happened(),
        happened("payout.created", object_id="po_1"),
        happened("payin.held", object_id="pin_1"),
        happened(account_id="acct_b"),
    )
    assert deliveries_of(database, everything) == {intent, payout}
    assert deliveries_of(database, payouts) == {payout}
    assert deliveries_of(database, disabled) == set()
    assert deliveries_of(database, live) == set()
    assert deliveries_of(database, other) == {foreign}
    assert held not in deliveries_of(database, everything)


def test_a_batch_costs_three_statements_whatever_its_size(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_endpoint(database)
    statements: list[str] = []
    execute = psycopg.Cursor.execute

    def noted(cursor: psycopg.Cursor[Any], statement: Any, *rest: Any, **named: Any) -> Any:
        statements.append(statement)
        return execute(cursor, statement, *rest, **named)

    monkeypatch.setattr(psycopg.Cursor, "execute", noted)
    identifiers = append(database, *[happened(number=number) for number in range(500)])
    monkeypatch.undo()
    assert len([each for each in statements if "pg_notify" not in each]) == 3
    assert len(set(identifiers)) == 500
    with database.begin() as connection:
        page, more = event.page(connection, account_id="acct_a", livemode=False, limit=100)
    assert [found.id for found in page] == identifiers[::-1][:100]
    assert [found.object["number"] for found in page] == list(range(499, 399, -1))
    assert more


def test_nothing_to_append_is_no_statement(database: Database) -> None:
    assert append(database) == []
    with pytest.raises(ValueError, match="at most"):
        append(database, *[happened()] * (event.BATCH_EVENTS_MAX + 1))


def test_a_rollback_leaves_neither_event_nor_delivery(database: Database) -> None:
    endpoint = create_endpoint(database)

    def append_and_fail() -> None:
        with database.begin() as connection:
            event.append(connection, [happened()], now=NOW)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        append_and_fail()
    assert deliveries_of(database, endpoint) == set()
    with database.begin() as connection:
        assert event.page(connection, account_id=None, livemode=False) == ([], False)


def test_the_commit_wakes_the_notifier_once_and_only_for_a_delivery(
    database: Database, database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        append(database, happened())  # nobody wants it
        create_endpoint(database)
        append(database, *[happened()] * 50)
        append(database, happened())
        heard = list(listener.notifies(stop_after=2, timeout=60))
    assert [notification.payload for notification in heard] == ["webhook_delivery"] * 2


def test_the_operators_events_never_reach_a_merchant(database: Database) -> None:
    seen, held, house = append(
        database,
        happened("payin.under_review", object_id="pin_1"),
        happened("payin.held", object_id="pin_1"),
        happened("network.lagging", account_id=None, object_id="eip155:1"),
    )
    with database.begin() as connection:
        merchant, _ = event.page(connection, account_id="acct_a", livemode=False)
        operator, _ = event.page(connection, account_id=None, livemode=False)
        assert [found.id for found in merchant] == [seen]
        assert [found.id for found in operator] == [house, held, seen]
        assert event.get(connection, held, account_id="acct_a", livemode=False) is None
        assert event.get(connection, held, account_id=None, livemode=False) is not None
        assert event.get(connection, seen, account_id="acct_b", livemode=False) is None
        assert event.get(connection, seen, account_id="acct_a", livemode=True) is None


def test_pages_walk_both_ways_and_filter(database: Database) -> None:
    identifiers = [
        append(database, happened(kind, object_id=object_id), now=NOW + timedelta(hours=hour))[0]
        for hour, (kind, object_id) in enumerate(
            [
                ("payment_intent.created", "pi_1"),
                ("payout.created", "po_1"),
                ("payment_intent.succeeded", "pi_1"),
                ("payout.posted", "po_1"),
            ]
        )
    ]

    def page(**filters: Any) -> tuple[list[int], bool]:
        with database.begin() as connection:
            found, more = event.page(connection, account_id="acct_a", livemode=False, **filters)
        return [identifiers.index(one.id) for one in found], more

    assert page() == ([3, 2, 1, 0], False)
    assert page(limit=2) == ([3, 2], True)
    assert page(limit=2, starting_after=identifiers[2]) == ([1, 0], False)
    assert page(limit=2, ending_before=identifiers[0]) == ([2, 1], True)
    assert page(limit=2, ending_before=identifiers[2]) == ([3], False)
    assert page(types=["payout.*"]) == ([3, 1], False)
    assert page(types=["payout.posted", "payment_intent.*"]) == ([3, 2, 0], False)
    assert page(object_id="pi_1") == ([2, 0], False)
    assert page(created_gte=NOW + timedelta(hours=1), created_lt=NOW + timedelta(hours=3)) == (
        [2, 1],
        False,
    )
    assert page(created_gt=NOW + timedelta(hours=1), created_lte=NOW + timedelta(hours=3)) == (
        [3, 2],
        False,
    )
    with pytest.raises(ValueError, match="limit"):
        page(limit=0)


def test_a_payload_that_jsonb_would_refuse_does_not_fail_the_payment(database: Database) -> None:
    name = "NUL \0, a lone surrogate \ud800, and 你好"
    (identifier,) = append(database, happened(name=name, amount=2**256 - 1))
    with database.begin() as connection:
        found = event.get(connection, identifier, account_id="acct_a", livemode=False)
    assert found is not None
    assert found.object == {"id": "pi_1", "name": name, "amount": 2**256 - 1}
    assert json.loads(found.body.encode("ascii"))["id"] == identifier
    with pytest.raises(ValueError, match="JSON compliant"):
        append(database, happened(rate=float("nan")))


def test_events_of_one_instant_are_listed_as_they_happened(database: Database) -> None:
    with database.begin() as connection:
        written = [event.append(connection, [happened()] * 3, now=NOW) for _ in range(20)]
        page, _ = event.page(connection, account_id="acct_a", livemode=False, limit=100)
    assert [found.id for found in page[::-1]] == [one for batch in written for one in batch]
