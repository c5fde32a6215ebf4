"""Webhook endpoints, what is due to each of them, and every try.

``webhook_deliveries`` is the queue. ``next_attempt_at`` is when a row may be claimed: the time of
its next try, or, while ``lease_token`` is set, the end of the lease of the notifier that has it.
So one index serves both, and a notifier that died is followed by simply waiting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    column,
    delete,
    func,
    insert,
    select,
    table,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from sakk.core.webhook import DeliveryStatus, EndpointStatus
from sakk.core.webhook_event import ADDRESSED
from sakk.store.database import fetch_all, fetch_one, notify_after
from sakk.store.schema import Document, Identifier, Timestamp, metadata

NOTIFY_WEBHOOK_DELIVERY: Final = "webhook_delivery"
PAGE_ROWS_MAX: Final = 100
REPLAY_EVENTS_MAX: Final = 10_000

# Its table is in `sakk.store.event`, which writes deliveries too.
_events = table("events", column("id"), column("object_id"), column("type"))

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("account_id", Identifier, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("url", Text, nullable=False),
    Column("description", Text),
    Column("metadata", Document, nullable=False),
    Column("enabled_events", ARRAY(Text), nullable=False),
    Column("status", Text, nullable=False),
    Column("disabled_reason", Text),
    Column("secret", Text, nullable=False),
    Column("previous_secret", Text),
    Column("previous_secret_until", Timestamp),
    Column("failing_since", Timestamp),
    Column("created", Timestamp, nullable=False),
    Index(None, "account_id", "livemode", "id"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("event_id", Identifier, nullable=False),
    Column("endpoint_id", Identifier, nullable=False),
    Column("account_id", Identifier, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempt_count", Integer, nullable=False, server_default=text("0")),
    Column("retry_step", SmallInteger, nullable=False, server_default=text("0")),
    Column("next_attempt_at", Timestamp),
    Column("lease_token", Text),
    Column("response_status", SmallInteger),
    Column("response_ms", Integer),
    Column("response_excerpt", Text),
    Column("error", Text),
    Column("created", Timestamp, nullable=False),
    Index(
        "ix_webhook_deliveries_due",
        "endpoint_id",
        "next_attempt_at",
        "id",
        postgresql_where=text("status = 'pending'"),
    ),
    Index(None, "event_id", "endpoint_id", unique=True),
    Index(None, "endpoint_id", "id"),
)

webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    Column("delivery_id", Identifier, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("account_id", Identifier, nullable=False),
    Column("started_at", Timestamp, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("response_status", SmallInteger),
    Column("response_excerpt", Text),
    Column("error", Text),
)


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """A row; the secrets are kept out of every repr and log line."""

    id: str
    account_id: str
    livemode: bool
    url: str
    description: str | None
    metadata: dict[str, str]
    enabled_events: list[str]
    status: str
    disabled_reason: str | None
    secret: str = field(repr=False)
    previous_secret: str | None = field(repr=False)
    previous_secret_until: datetime | None
    failing_since: datetime | None
    created: datetime


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """A row, and the type of its event."""

    id: str
    event_id: str
    endpoint_id: str
    account_id: str
    status: str
    attempt_count: int
    retry_step: int
    next_attempt_at: datetime | None
    lease_token: str | None
    response_status: int | None
    response_ms: int | None
    response_excerpt: str | None
    error: str | None
    created: datetime


@dataclass(frozen=True, slots=True)
class WebhookAttempt:
    """One try: what was answered, or why there was no answer."""

    delivery_id: str
    attempt: int
    account_id: str
    started_at: datetime
    duration_ms: int
    response_status: int | None
    response_excerpt: str | None
    error: str | None


def insert_endpoint(connection: Connection, endpoint: WebhookEndpoint) -> None:
    """Write a new endpoint."""
    connection.execute(
        insert(webhook_endpoints).values(
            {name: getattr(endpoint, name) for name in WebhookEndpoint.__slots__}
        )
    )


def get_endpoint(
    connection: Connection,
    identifier: str,
    *,
    account_id: str,
    livemode: bool,
    for_update: bool = False,
) -> WebhookEndpoint | None:
    """One endpoint of an account, locked if it is about to be changed."""
    statement = select(webhook_endpoints).where(
        webhook_endpoints.c.id == identifier,
        webhook_endpoints.c.account_id == account_id,
        webhook_endpoints.c.livemode == livemode,
    )
    if for_update:
        statement = statement.with_for_update()
    return fetch_one(connection, statement, WebhookEndpoint)


def find_visible(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> WebhookEndpoint | None:
    """One endpoint of an account, or of any for the operator (None)."""
    statement = select(webhook_endpoints).where(
        webhook_endpoints.c.id == identifier, webhook_endpoints.c.livemode == livemode
    )
    if account_id is not None:
        statement = statement.where(webhook_endpoints.c.account_id == account_id)
    return fetch_one(
        connection, statement.with_for_update() if lock else statement, WebhookEndpoint
    )


def find_delivery(connection: Connection, identifier: str) -> WebhookDelivery | None:
    """One delivery of anybody's: whose it may be shown to is the caller's to ask."""
    statement = select(webhook_deliveries).where(webhook_deliveries.c.id == identifier)
    return fetch_one(connection, statement, WebhookDelivery)


def count_endpoints(connection: Connection, *, account_id: str, livemode: bool) -> int:
    """How many endpoints an account has in a mode."""
    return connection.execute(
        select(func.count())
        .select_from(webhook_endpoints)
        .where(
            webhook_endpoints.c.account_id == account_id,
            webhook_endpoints.c.livemode == livemode,
        )
    ).scalar_one()


def page_endpoints(
    connection: Connection,
    *,
    account_id: str,
    livemode: bool,
    limit: int = 10,
    starting_after: str | None = None,
    ending_before: str | None = None,
) -> tuple[list[WebhookEndpoint], bool]:
    """A page of endpoints, newest first, and whether more follow."""
    statement = select(webhook_endpoints).where(
        webhook_endpoints.c.account_id == account_id, webhook_endpoints.c.livemode == livemode
    )
    identifier = webhook_endpoints.c.id
    return _page(
        connection, statement, identifier, WebhookEndpoint, limit, starting_after, ending_before
    )


def update_endpoint(connection: Connection, identifier: str, values: Mapping[str, Any]) -> None:
    """Change columns of an endpoint that the caller has locked."""
    connection.execute(
        update(webhook_endpoints).where(webhook_endpoints.c.id == identifier).values(**values)
    )


def delete_endpoint(connection: Connection, identifier: str) -> None:
    """Remove an endpoint; what was due to it is abandoned, its history stays."""
    connection.execute(delete(webhook_endpoints).where(webhook_endpoints.c.id == identifier))
    connection.execute(
        update(webhook_deliveries)
        .where(
            webhook_deliveries.c.endpoint_id == identifier,
            webhook_deliveries.c.status == DeliveryStatus.pending,
        )
        .values(
            status=DeliveryStatus.abandoned,
            next_attempt_at=None,
            lease_token=None,
            error="the endpoint was deleted",
        )
    )


def disable_endpoints(
    connection: Connection, identifiers: Sequence[str], *, reason: str
) -> list[WebhookEndpoint]:
    """Stop sending to endpoints; those that were enabled until now are returned."""
    return fetch_all(
        connection,
        update(webhook_endpoints)
        .where(
            webhook_endpoints.c.id.in_(identifiers),
            webhook_endpoints.c.status == EndpointStatus.enabled,
        )
        .values(status=EndpointStatus.disabled, disabled_reason=reason)
        .returning(*webhook_endpoints.c),
        WebhookEndpoint,
    )


def mark_succeeding(connection: Connection, identifiers: Sequence[str]) -> None:
    """Forget that endpoints were failing."""
    connection.execute(
        update(webhook_endpoints)
        .where(webhook_endpoints.c.id.in_(identifiers))
        .values(failing_since=None)
    )


def mark_failing(connection: Connection, identifiers: Sequence[str], *, since: datetime) -> None:
    """Note since when endpoints fail, unless that is noted already."""
    connection.execute(
        update(webhook_endpoints)
        .where(webhook_endpoints.c.id.in_(identifiers), webhook_endpoints.c.failing_since.is_(None))
        .values(failing_since=since)
    )


def get_delivery(
    connection: Connection, identifier: str, *, account_id: str, for_update: bool = False
) -> WebhookDelivery | None:
    """One delivery of an account."""
    statement = select(webhook_deliveries).where(
        webhook_deliveries.c.id == identifier, webhook_deliveries.c.account_id == account_id
    )
    if for_update:
        statement = statement.with_for_update()
    return fetch_one(connection, statement, WebhookDelivery)


def get_delivery_of(
    connection: Connection, event_id: str, *, endpoint_id: str
) -> WebhookDelivery | None:
    """An event's delivery to one endpoint."""
    statement = select(webhook_deliveries).where(
        webhook_deliveries.c.event_id == event_id, webhook_deliveries.c.endpoint_id == endpoint_id
    )
    return fetch_one(connection, statement, WebhookDelivery)


def page_deliveries(
    connection: Connection,
    *,
    account_id: str,
    endpoint_id: str,
    status: DeliveryStatus | None = None,
    event_id: str | None = None,
    limit: int = 10,
    starting_after: str | None = None,
    ending_before: str | None = None,
) -> tuple[list[WebhookDelivery], bool]:
    """A page of an endpoint's deliveries, newest first, and whether more follow."""
    statement = select(webhook_deliveries).where(
        webhook_deliveries.c.account_id == account_id,
        webhook_deliveries.c.endpoint_id == endpoint_id,
    )
    if status is not None:
        statement = statement.where(webhook_deliveries.c.status == status)
    if event_id is not None:
        statement = statement.where(webhook_deliveries.c.event_id == event_id)
    identifier = webhook_deliveries.c.id
    return _page(
        connection, statement, identifier, WebhookDelivery, limit, starting_after, ending_before
    )


def list_attempts(connection: Connection, delivery_id: str) -> list[WebhookAttempt]:
    """Every try of a delivery, oldest first."""
    return fetch_all(
        connection,
        select(webhook_attempts)
        .where(webhook_attempts.c.delivery_id == delivery_id)
        .order_by(webhook_attempts.c.attempt),
        WebhookAttempt,
    )


def make_due(connection: Connection, identifier: str, *, now: datetime) -> None:
    """Send a delivery again at once, with the whole schedule of retries before it."""
    connection.execute(
        update(webhook_deliveries)
        .where(webhook_deliveries.c.id == identifier)
        .values(**_due_again(now))
    )
    notify(connection)


def replay(
    connection: Connection,
    endpoint: WebhookEndpoint,
    *,
    types: Sequence[str],
    since: datetime,
    new_ids: Sequence[str],
    now: datetime,
) -> int:
    """Send again what an endpoint did not take since a time; how many deliveries became due.

    That is what failed, was abandoned or waits for a retry, and the events of ``types`` for
    which no delivery was ever made, because the endpoint was disabled then: as many as there
    are ``new_ids``. A test is never sent again so.
    """
    revived = connection.execute(
        update(webhook_deliveries)
        .where(
            webhook_deliveries.c.endpoint_id == endpoint.id,
            webhook_deliveries.c.created >= since,
            webhook_deliveries.c.status.in_(
                [DeliveryStatus.failed, DeliveryStatus.abandoned, DeliveryStatus.pending]
            ),
            # A leased row is on its way; to send it twice would help nobody.
            webhook_deliveries.c.lease_token.is_(None),
            webhook_deliveries.c.event_id.not_in(
                select(_events.c.id).where(
                    _events.c.object_id == endpoint.id, _events.c.type.in_(ADDRESSED)
                )
            ),
        )
        .values(**_due_again(now))
    ).rowcount
    missed = connection.execute(
        _INSERT_MISSED,
        {
            "ids": list(new_ids),
            "endpoint_id": endpoint.id,
            "account_id": endpoint.account_id,
            "livemode": endpoint.livemode,
            "types": list(types),
            "since": since,
            "now": now,
        },
    ).rowcount
    notify(connection)
    return int(revived) + int(missed)


def notify(connection: Connection) -> None:
    """Wake the notifier once this transaction is committed."""
    notify_after(connection, NOTIFY_WEBHOOK_DELIVERY)


_INSERT_MISSED: Final = text(
    """
    INSERT INTO webhook_deliveries
        (id, event_id, endpoint_id, account_id, status, next_attempt_at, created)
    SELECT new.id, missed.id, :endpoint_id, :account_id, 'pending', :now, :now
    FROM (
        SELECT events.id, row_number() OVER (ORDER BY events.id) AS position
        FROM events
        WHERE account_id = :account_id AND livemode = :livemode AND audience = 'merchant'
            AND type = ANY(:types) AND created >= :since
            AND NOT EXISTS (
                SELECT FROM webhook_deliveries
                WHERE event_id = events.id AND endpoint_id = :endpoint_id
            )
        ORDER BY events.id
        LIMIT cardinality(CAST(:ids AS text[]))
    ) AS missed
    JOIN unnest(CAST(:ids AS text[])) WITH ORDINALITY AS new(id, position) USING (position)
    ON CONFLICT (event_id, endpoint_id) DO NOTHING
    """
)


def _due_again(now: datetime) -> dict[str, Any]:
    return {
        "status": DeliveryStatus.pending,
        "next_attempt_at": now,
        "retry_step": 0,
        "lease_token": None,
    }


def _page(
    connection: Connection,
    statement: Any,
    identifier: ColumnElement[str],
    kind: type[Any],
    limit: int,
    starting_after: str | None,
    ending_before: str | None,
) -> tuple[list[Any], bool]:
    if not 1 <= limit <= PAGE_ROWS_MAX:
        raise ValueError(f"limit must be 1 to {PAGE_ROWS_MAX}")
    if starting_after is not None:
        statement = statement.where(identifier < starting_after)
    if ending_before is not None:
        statement = statement.where(identifier > ending_before).order_by(identifier)
    else:
        statement = statement.order_by(identifier.desc())
    rows = fetch_all(connection, statement.limit(limit + 1), kind)
    found = rows[:limit]
    return (found[::-1] if ending_before is not None else found), len(rows) > limit
