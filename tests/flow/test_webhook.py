"""The commands on webhook endpoints, by their rows and events."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sakk.core import webhook_event
from sakk.core.errors import ParameterInvalid, RateLimited, ResourceMissing, UnexpectedState
from sakk.core.event import NewEvent
from sakk.flow import webhook
from sakk.store import event as event_store
from sakk.store import webhook as store
from sakk.store.database import Database
from sakk.store.webhook import WebhookDelivery, WebhookEndpoint

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
OWNER: dict[str, Any] = {"account_id": "acct_a", "livemode": False}
STRANGERS: list[dict[str, Any]] = [
    {"account_id": "acct_b", "livemode": False},
    {"account_id": "acct_a", "livemode": True},
]


def create(database: Database, **changes: Any) -> WebhookEndpoint:
    values: dict[str, Any] = OWNER | {
        "url": "https://shop.example/hooks",
        "enabled_events": ["payout.*"],
        "allow_loopback": False,
        "now": NOW,
    }
    with database.begin() as connection:
        return webhook.create(connection, **(values | changes))


def update(database: Database, identifier: str, **changes: Any) -> WebhookEndpoint:
    with database.begin() as connection:
        return webhook.update(
            connection, identifier, **OWNER, allow_loopback=False, now=NOW, **changes
        )


def append(database: Database, type: str = "payout.created", *, now: datetime = NOW) -> str:
    with database.begin() as connection:
        new = NewEvent("acct_a", False, type, "po_1", {"id": "po_1"})
        return event_store.append(connection, [new], now=now)[0]


def deliveries(database: Database, endpoint: WebhookEndpoint) -> list[WebhookDelivery]:
    with database.begin() as connection:
        return webhook.list_deliveries(connection, endpoint.id, **OWNER, limit=100)[0]


def settle(database: Database, delivery_id: str, status: str) -> None:
    with database.begin() as connection:
        connection.execute(
            store.webhook_deliveries.update()
            .where(store.webhook_deliveries.c.id == delivery_id)
            .values(status=status, next_attempt_at=None, retry_step=9)
        )


def types(database: Database) -> list[str]:
    with database.begin() as connection:
        found, _ = event_store.page(connection, **OWNER, limit=100)
    return [one.type for one in found[::-1]]


def test_an_endpoint_from_birth_to_death(database: Database) -> None:
    endpoint = create(database, metadata={"shop": "7"}, description="Shop")
    with database.begin() as connection:
        assert webhook.retrieve(connection, endpoint.id, **OWNER) == endpoint
    public = webhook.to_public(endpoint, with_secret=True)
    assert public["secret"].startswith("whsec_")
    assert public["metadata"] == {"shop": "7"}
    assert "secret" not in webhook.to_public(endpoint)
    changed = update(database, endpoint.id, enabled_events=["*"], metadata={"shop": ""})
    assert (changed.enabled_events, changed.metadata) == (["*"], {})
    assert changed.url == endpoint.url
    (told,) = deliveries(database, endpoint)  # of the change, not of its own birth
    with database.begin() as connection:
        webhook.delete(connection, endpoint.id, **OWNER, now=NOW)
        row = store.get_delivery(connection, told.id, account_id="acct_a")
        assert row is not None
        assert (row.status, row.next_attempt_at) == ("abandoned", None)
        with pytest.raises(ResourceMissing):
            webhook.retrieve(connection, endpoint.id, **OWNER)
    assert types(database) == [
        "webhook_endpoint.created",
        "webhook_endpoint.updated",
        "webhook_endpoint.deleted",
    ]


def test_a_change_tells_what_was_before_and_never_the_secret(database: Database) -> None:
    endpoint = create(database)
    with database.begin() as connection:
        rotated = webhook.rotate_secret(connection, endpoint.id, **OWNER, now=NOW)
    update(database, endpoint.id, description="Shop")
    update(database, endpoint.id, description="Shop")  # changes nothing, says nothing
    with database.begin() as connection:
        found, _ = event_store.page(connection, **OWNER)
    assert [one.type for one in found] == [
        "webhook_endpoint.updated",
        "webhook_endpoint.updated",
        "webhook_endpoint.created",
    ]
    assert event_store.to_public(found[0])["data"]["previous_attributes"] == {"description": None}
    for secret in (endpoint.secret, rotated.secret):
        assert all(secret not in one.body for one in found)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"url": "http://shop.example/"}, "url"),
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"enabled_events": ["payin.held"]}, "enabled_events[0]"),
        ({"description": "x" * 501}, "description"),
        ({"metadata": {"k": "v" * 501}}, "metadata[k]"),
    ],
)
def test_what_is_wrong_is_named(database: Database, changes: dict[str, Any], param: str) -> None:
    with pytest.raises(ParameterInvalid) as created:
        create(database, **changes)
    endpoint = create(database)
    with pytest.raises(ParameterInvalid) as updated:
        update(database, endpoint.id, **changes)
    assert created.value.param == updated.value.param == param


def test_an_account_has_a_bounded_number_of_endpoints(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "ENDPOINTS_MAX", 2)
    create(database)
    create(database)
    with pytest.raises(UnexpectedState, match="delete one"):
        create(database)
    create(database, livemode=True)


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_finds_nothing(database: Database, stranger: dict[str, Any]) -> None:
    endpoint = create(database)
    append(database)
    (delivery,) = deliveries(database, endpoint)
    with database.begin() as connection:
        assert webhook.list_endpoints(connection, **stranger) == ([], False)
        for attempt in (
            lambda: webhook.retrieve(connection, endpoint.id, **stranger),
            lambda: webhook.update(
                connection, endpoint.id, **stranger, allow_loopback=False, now=NOW
            ),
            lambda: webhook.delete(connection, endpoint.id, **stranger, now=NOW),
            lambda: webhook.rotate_secret(connection, endpoint.id, **stranger, now=NOW),
            lambda: webhook.list_deliveries(connection, endpoint.id, **stranger),
            lambda: webhook.redeliver(connection, delivery.id, **stranger, now=NOW),
            lambda: webhook.replay(connection, endpoint.id, **stranger, since=NOW, now=NOW),
        ):
            with pytest.raises(ResourceMissing):
                attempt()


def test_rotation_keeps_the_old_secret_for_a_while_or_not(database: Database) -> None:
    endpoint = create(database)
    with database.begin() as connection:
        second = webhook.rotate_secret(
            connection, endpoint.id, **OWNER, overlap_seconds=60, now=NOW
        )
        assert second.previous_secret == endpoint.secret != second.secret
        assert second.previous_secret_until == NOW + timedelta(seconds=60)
        assert webhook.to_public(second)["previous_secret_until"] == int(NOW.timestamp()) + 60
        third = webhook.rotate_secret(connection, endpoint.id, **OWNER, overlap_seconds=0, now=NOW)
        assert (third.previous_secret, third.previous_secret_until) == (None, None)
        assert webhook.retrieve(connection, endpoint.id, **OWNER) == third
        for overlap_seconds in (-1, 7 * 86_400 + 1):
            with pytest.raises(ParameterInvalid) as raised:
                webhook.rotate_secret(
                    connection, endpoint.id, **OWNER, overlap_seconds=overlap_seconds, now=NOW
                )
            assert raised.value.param == "overlap_seconds"


def test_lists_walk_newest_first(database: Database) -> None:
    endpoints = [create(database) for _ in range(3)]
    with database.begin() as connection:
        page, more = webhook.list_endpoints(connection, **OWNER, limit=2)
        assert ([one.id for one in page], more) == ([one.id for one in endpoints[:0:-1]], True)
        page, more = webhook.list_endpoints(connection, **OWNER, starting_after=endpoints[1].id)
        assert ([one.id for one in page], more) == ([endpoints[0].id], False)
        page, more = webhook.list_endpoints(
            connection, **OWNER, ending_before=endpoints[0].id, limit=1
        )
        assert ([one.id for one in page], more) == ([endpoints[1].id], True)


def test_deliveries_are_listed_by_status_and_event(database: Database) -> None:
    endpoint = create(database)
    first, second = append(database), append(database)
    newest, oldest = deliveries(database, endpoint)
    assert (newest.event_id, oldest.event_id) == (second, first)
    settle(database, oldest.id, "failed")
    with database.begin() as connection:
        found, _ = webhook.list_deliveries(connection, endpoint.id, **OWNER, status="failed")
        assert [one.id for one in found] == [oldest.id]
        found, _ = webhook.list_deliveries(connection, endpoint.id, **OWNER, event_id=second)
        assert [one.id for one in found] == [newest.id]
        with pytest.raises(ParameterInvalid) as raised:
            webhook.list_deliveries(connection, endpoint.id, **OWNER, status="lost")
    assert raised.value.param == "status"
    public = webhook.delivery_to_public(newest, livemode=False, attempts=[])
    assert public["object"] == "webhook_delivery"
    assert public["next_attempt_at"] == int(NOW.timestamp())
    assert public["attempts"] == []


def test_redelivery_makes_one_due_with_the_whole_schedule(database: Database) -> None:
    endpoint = create(database)
    append(database)
    (delivery,) = deliveries(database, endpoint)
    settle(database, delivery.id, "succeeded")
    later = NOW + timedelta(days=1)
    with database.begin() as connection:
        webhook.redeliver(connection, delivery.id, **OWNER, now=later)
    (again,) = deliveries(database, endpoint)
    assert (again.id, again.status, again.retry_step) == (delivery.id, "pending", 0)
    assert again.next_attempt_at == later
    with database.begin() as connection, pytest.raises(ResourceMissing):
        webhook.redeliver(connection, "whd_none", **OWNER, now=later)


def test_replay_sends_what_failed_and_what_was_missed(database: Database) -> None:
    endpoint = create(database)
    old = append(database)
    kept, failed, abandoned, waiting = (
        append(database, now=NOW + timedelta(minutes=1)) for _ in range(4)
    )
    rows = {one.event_id: one.id for one in deliveries(database, endpoint)}
    for event_id, status in [(old, "failed"), (kept, "succeeded"), (failed, "failed")]:
        settle(database, rows[event_id], status)
    settle(database, rows[abandoned], "abandoned")
    update(database, endpoint.id, disabled=True)
    missed = append(database, now=NOW + timedelta(minutes=2))
    append(database, "payment_intent.created", now=NOW + timedelta(minutes=2))  # not asked for
    since, now = NOW + timedelta(minutes=1), NOW + timedelta(hours=1)

    def replay() -> int:
        with database.begin() as connection:
            return webhook.replay(connection, endpoint.id, **OWNER, since=since, now=now)

    with pytest.raises(UnexpectedState, match="disabled"):
        replay()
    update(database, endpoint.id, disabled=False)
    assert replay() == 4
    due = {one.event_id for one in deliveries(database, endpoint) if one.next_attempt_at == now}
    assert due == {failed, abandoned, waiting, missed}
    assert len(deliveries(database, endpoint)) == 6


def test_a_disabled_endpoint_keeps_what_was_due_and_redelivers_nothing(
    database: Database,
) -> None:
    endpoint = create(database)
    append(database)
    disabled = update(database, endpoint.id, disabled=True)
    assert (disabled.status, disabled.disabled_reason) == ("disabled", "by_account")
    append(database)
    (delivery,) = deliveries(database, endpoint)
    assert delivery.status == "pending"
    with database.begin() as connection, pytest.raises(UnexpectedState, match="disabled"):
        webhook.redeliver(connection, delivery.id, **OWNER, now=NOW)
    enabled = update(database, endpoint.id, disabled=False)
    assert (enabled.status, enabled.disabled_reason) == ("enabled", None)


def test_a_test_goes_to_its_endpoint_alone_and_ten_times_a_minute(database: Database) -> None:
    asked, other = create(database), create(database, enabled_events=["*"])

    def send(now: datetime = NOW, **whose: Any) -> WebhookDelivery:
        with database.begin() as connection:
            return webhook.send_test(connection, asked.id, **(OWNER | whose), now=now)

    for stranger in STRANGERS:
        with pytest.raises(ResourceMissing):
            send(**stranger)
    sent = [send(NOW + timedelta(seconds=step)) for step in range(webhook.TESTS_MAX)]
    assert {each.endpoint_id for each in sent} == {asked.id}
    with pytest.raises(RateLimited) as refused:
        send(NOW + timedelta(seconds=20))
    assert refused.value.retry_after_seconds == 40
    send(NOW + timedelta(seconds=60))
    with database.begin() as connection:
        told, _ = event_store.page(
            connection, **OWNER, types=[webhook_event.WEBHOOK_ENDPOINT_TEST], limit=100
        )
    assert len(told) == 11
    assert {each.object["object"] for each in told} == {"webhook_endpoint"}
    assert {each.pending_webhooks for each in told} == {1}
    assert deliveries(database, other) == []
    # A replay sends no test, neither one that failed nor one that was another's.
    for each in sent:
        settle(database, each.id, "abandoned")
    since = NOW + timedelta(seconds=1)
    with database.begin() as connection:
        assert webhook.replay(connection, asked.id, **OWNER, since=since, now=NOW) == 0
        assert webhook.replay(connection, other.id, **OWNER, since=since, now=NOW) == 0
    assert {row.status for row in deliveries(database, asked)} == {"abandoned", "pending"}
    update(database, asked.id, disabled=True)
    with pytest.raises(UnexpectedState):
        send()
