"""The queue of webhook deliveries: leased, sent outside any transaction, then recorded.

See ``store/webhook.py`` for the tables and for what ``next_attempt_at`` means under a lease.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text, update

from sakk.core.webhook import DeliveryStatus
from sakk.store.webhook import webhook_deliveries


@dataclass(frozen=True, slots=True)
class Claim:
    """A leased delivery and all that is needed to send it."""

    id: str
    event_id: str
    event_type: str
    endpoint_id: str
    account_id: str
    attempt: int
    retry_step: int
    body: str
    url: str
    secret: str = field(repr=False)
    previous_secret: str | None = field(repr=False)
    previous_secret_until: datetime | None
    failing_since: datetime | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a try came to, to be recorded while the lease's token still matches."""

    claim: Claim
    started_at: datetime
    duration_ms: int
    response_status: int | None
    response_excerpt: str | None
    error: str | None
    status: DeliveryStatus
    next_attempt_at: datetime | None


def claim(
    connection: Connection,
    *,
    now: datetime,
    lease_until: datetime,
    token: str,
    limit: int,
    room_default: int,
    room: Mapping[str, int],
) -> list[Claim]:
    """Lease due deliveries, fairly: first in every endpoint's queue before any second.

    No endpoint gets more than ``room`` says (``room_default`` where it says nothing). The scan
    steps from endpoint to endpoint by the index, so a backlog costs no more than one row.
    """
    rows: Any = connection.execute(
        _CLAIM,
        {
            "now": now,
            "lease_until": lease_until,
            "token": token,
            "limit": limit,
            "room_default": room_default,
            "room_endpoints": list(room),
            "room_counts": [max(count, 0) for count in room.values()],
        },
    ).mappings()
    return [Claim(**row) for row in rows]


_CLAIM: Final = text(
    """
    WITH RECURSIVE waiting AS (
        (
            SELECT endpoint_id FROM webhook_deliveries
            WHERE status = 'pending' ORDER BY endpoint_id LIMIT 1
        )
        UNION ALL
        SELECT (
            SELECT following.endpoint_id FROM webhook_deliveries AS following
            WHERE following.status = 'pending' AND following.endpoint_id > waiting.endpoint_id
            ORDER BY following.endpoint_id LIMIT 1
        )
        FROM waiting WHERE waiting.endpoint_id IS NOT NULL
    ), candidate AS (
        SELECT due.id, due.next_attempt_at,
            row_number() OVER (
                PARTITION BY endpoint.id ORDER BY due.next_attempt_at, due.id
            ) AS position
        FROM waiting
        JOIN webhook_endpoints AS endpoint
            ON endpoint.id = waiting.endpoint_id AND endpoint.status = 'enabled'
        LEFT JOIN unnest(CAST(:room_endpoints AS text[]), CAST(:room_counts AS integer[]))
            AS room(endpoint_id, count) ON room.endpoint_id = endpoint.id
        CROSS JOIN LATERAL (
            SELECT delivery.id, delivery.next_attempt_at
            FROM webhook_deliveries AS delivery
            WHERE delivery.endpoint_id = endpoint.id AND delivery.status = 'pending'
                AND delivery.next_attempt_at <= :now
            ORDER BY delivery.next_attempt_at, delivery.id
            LIMIT coalesce(room.count, :room_default)
            FOR UPDATE SKIP LOCKED
        ) AS due
    ), chosen AS (
        SELECT id FROM candidate ORDER BY position, next_attempt_at LIMIT :limit
    )
    UPDATE webhook_deliveries AS delivery
    SET lease_token = :token, next_attempt_at = :lease_until, attempt_count = attempt_count + 1
    FROM chosen, webhook_endpoints AS endpoint, events AS event
    WHERE delivery.id = chosen.id AND endpoint.id = delivery.endpoint_id
        AND event.id = delivery.event_id
    RETURNING delivery.id, delivery.event_id, event.type AS event_type, delivery.endpoint_id,
        delivery.account_id, delivery.attempt_count AS attempt, delivery.retry_step,
        event.body::text AS body, endpoint.url, endpoint.secret, endpoint.previous_secret,
        endpoint.previous_secret_until, endpoint.failing_since
    """
)


def record(connection: Connection, outcomes: Sequence[Outcome], *, token: str) -> int:
    """Write what tries came to, in one statement; how many rows were still leased under ``token``.

    The try itself is always logged: it happened, whoever holds the row now.
    """
    if not outcomes:
        return 0
    return connection.execute(
        _RECORD,
        {
            "ids": [outcome.claim.id for outcome in outcomes],
            "attempts": [outcome.claim.attempt for outcome in outcomes],
            "accounts": [outcome.claim.account_id for outcome in outcomes],
            "steps": [outcome.claim.retry_step for outcome in outcomes],
            "statuses": [outcome.status.value for outcome in outcomes],
            "next_attempts": [outcome.next_attempt_at for outcome in outcomes],
            "starts": [outcome.started_at for outcome in outcomes],
            "durations": [outcome.duration_ms for outcome in outcomes],
            "responses": [outcome.response_status for outcome in outcomes],
            "excerpts": [outcome.response_excerpt for outcome in outcomes],
            "errors": [outcome.error for outcome in outcomes],
            "token": token,
        },
    ).rowcount


_RECORD: Final = text(
    """
    WITH outcome AS (
        SELECT * FROM unnest(
            CAST(:ids AS text[]), CAST(:attempts AS integer[]), CAST(:accounts AS text[]),
            CAST(:steps AS integer[]), CAST(:statuses AS text[]),
            CAST(:next_attempts AS timestamptz[]), CAST(:starts AS timestamptz[]),
            CAST(:durations AS integer[]), CAST(:responses AS integer[]),
            CAST(:excerpts AS text[]), CAST(:errors AS text[])
        ) AS row(
            id, attempt, account_id, step, status, next_attempt_at, started_at, duration_ms,
            response_status, response_excerpt, error
        )
    ), logged AS (
        INSERT INTO webhook_attempts
            (delivery_id, attempt, account_id, started_at, duration_ms, response_status,
             response_excerpt, error)
        SELECT id, attempt, account_id, started_at, duration_ms, response_status,
            response_excerpt, error
        FROM outcome
        ON CONFLICT DO NOTHING
    )
    UPDATE webhook_deliveries AS delivery
    SET status = outcome.status, next_attempt_at = outcome.next_attempt_at, lease_token = NULL,
        retry_step = outcome.step + CASE WHEN outcome.status = 'succeeded' THEN 0 ELSE 1 END,
        response_status = outcome.response_status, response_ms = outcome.duration_ms,
        response_excerpt = outcome.response_excerpt, error = outcome.error
    FROM outcome
    WHERE delivery.id = outcome.id AND delivery.lease_token = :token
    """
)


def release(
    connection: Connection, identifiers: Sequence[str], *, token: str, now: datetime
) -> None:
    """Give back leased deliveries that were never tried."""
    connection.execute(
        update(webhook_deliveries)
        .where(webhook_deliveries.c.id.in_(identifiers), webhook_deliveries.c.lease_token == token)
        .values(
            lease_token=None,
            next_attempt_at=now,
            attempt_count=webhook_deliveries.c.attempt_count - 1,
        )
    )
