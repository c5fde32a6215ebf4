"""What the tests of deliveries share: a notifier that runs, its endpoints, and what it sent."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import standardwebhooks
import stripe
from sqlalchemy import func, select
from tests.receiver import Received

from sakk.client.webhook import verify
from sakk.core.event import NewEvent
from sakk.flow import webhook
from sakk.flow.notify import Notifier
from sakk.store import delivery as delivery_store
from sakk.store import event as event_store
from sakk.store import webhook as store
from sakk.store.database import Database
from sakk.store.webhook import WebhookDelivery, WebhookEndpoint

JOIN_SECONDS_MAX = 60.0
OWNER: dict[str, Any] = {"account_id": "acct_a", "livemode": False}


class Clock:
    """The world's time until a test moves it."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def advance(self, delta: timedelta) -> None:
        self.offset += delta


@contextmanager
def running(database: Database, clock: Clock, **options: Any) -> Iterator[threading.Event]:
    """A notifier in a thread; on leaving, it has recorded all that it sent."""
    stop, wake = threading.Event(), threading.Event()
    defaults: dict[str, Any] = {"allow_loopback": True, "jitter_permille": lambda: 0}
    notifier = Notifier(database, clock=clock, **(defaults | options))
    thread = threading.Thread(target=notifier.run, args=(stop, wake), name="notifier")
    thread.start()
    try:
        yield wake
    finally:
        stop.set()
        wake.set()
        thread.join(JOIN_SECONDS_MAX)
        assert not thread.is_alive()


def create(database: Database, url: str, **changes: Any) -> WebhookEndpoint:
    values: dict[str, Any] = OWNER | {
        "url": url,
        "enabled_events": ["payout.*", "webhook_endpoint.disabled"],
        "allow_loopback": True,
        "now": datetime.now(UTC),
    }
    with database.begin() as connection:
        return webhook.create(connection, **(values | changes))


def append(
    database: Database, count: int = 1, *, account_id: str = "acct_a", now: datetime | None = None
) -> list[str]:
    new = NewEvent(account_id, False, "payout.created", "po_1", {"id": "po_1", "text": "你好 \0"})
    with database.begin() as connection:
        return event_store.append(connection, [new] * count, now=now or datetime.now(UTC))


def deliveries(database: Database, endpoint: WebhookEndpoint) -> list[WebhookDelivery]:
    with database.begin() as connection:
        return store.page_deliveries(
            connection, account_id=endpoint.account_id, endpoint_id=endpoint.id, limit=100
        )[0]


def wait_for_attempts(database: Database, count: int) -> None:
    """Wait until so many tries are recorded: for those that reach no receiver."""
    deadline = time.monotonic() + JOIN_SECONDS_MAX
    while True:
        with database.begin() as connection:
            statement = select(func.count()).select_from(store.webhook_attempts)
            if connection.execute(statement).scalar_one() >= count:
                return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def nothing_due(database: Database, now: datetime) -> bool:
    with database.begin() as connection:
        return not delivery_store.claim(
            connection, now=now, lease_until=now, token="x", limit=9, room_default=9, room={}
        )


def endpoint_now(database: Database, endpoint: WebhookEndpoint) -> WebhookEndpoint:
    with database.begin() as connection:
        found = store.get_endpoint(
            connection, endpoint.id, account_id=endpoint.account_id, livemode=False
        )
    assert found is not None
    return found


def verified(request: Received, secret: str) -> dict[str, Any]:
    """What three verifiers, two of them others', agree that the delivery says."""
    body = request.body.decode()
    mine = verify(request.headers, request.body, secret)
    assert standardwebhooks.Webhook(secret).verify(body, request.headers) == mine
    theirs = stripe.Webhook.construct_event(body, request.headers["Stripe-Signature"], secret)
    assert theirs.id == mine["id"]
    assert theirs.type == mine["type"]
    return mine
