"""What an account does with its webhook endpoints: create, change, rotate, send again.

Each command runs in the caller's transaction and appends its event there.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Final

from sqlalchemy import Connection

from sakk.core import event as event_rules
from sakk.core import metadata as metadata_rules
from sakk.core import webhook as rules
from sakk.core import webhook_event
from sakk.core.errors import ParameterInvalid, RateLimited, ResourceMissing, UnexpectedState
from sakk.core.event import EVENT_TYPES, NewEvent
from sakk.core.webhook import DeliveryStatus, EndpointStatus
from sakk.store import event as event_store
from sakk.store import identity
from sakk.store import webhook as store
from sakk.store.webhook import WebhookAttempt, WebhookDelivery, WebhookEndpoint

PREFIX: Final = "we"
ENDPOINTS_MAX: Final = 50
DESCRIPTION_LENGTH_MAX: Final = 500
ROTATION_OVERLAP_SECONDS: Final = 86_400
TESTS_MAX: Final = 10
TESTS_SECONDS: Final = 60


def create(
    connection: Connection,
    *,
    account_id: str,
    livemode: bool,
    url: str,
    enabled_events: Sequence[str],
    description: str | None = None,
    metadata: Mapping[str, str | None] | None = None,
    allow_loopback: bool,
    now: datetime,
    request_id: str | None = None,
    identifier: str | None = None,
) -> WebhookEndpoint:
    """Open an endpoint with a fresh secret, which the caller shows once."""
    rules.check_url(url, allow_loopback=allow_loopback)
    if store.count_endpoints(connection, account_id=account_id, livemode=livemode) >= ENDPOINTS_MAX:
        raise UnexpectedState(
            "the account has {endpoints_max} webhook endpoints already; delete one first",
            endpoints_max=ENDPOINTS_MAX,
        )
    endpoint = WebhookEndpoint(
        id=identifier or identity.new_id(PREFIX),
        account_id=account_id,
        livemode=livemode,
        url=url,
        description=_check_description(description),
        metadata=metadata_rules.merge({}, metadata or {}),
        enabled_events=event_rules.check_enabled_events(enabled_events),
        status=EndpointStatus.enabled,
        disabled_reason=None,
        secret=rules.make_secret(os.urandom(rules.SECRET_BYTES)),
        previous_secret=None,
        previous_secret_until=None,
        failing_since=None,
        created=now,
    )
    # The event goes first: an endpoint is not told of its own birth.
    _append(connection, endpoint, webhook_event.WEBHOOK_ENDPOINT_CREATED, now, request_id)
    store.insert_endpoint(connection, endpoint)
    return endpoint


def retrieve(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool
) -> WebhookEndpoint:
    """One endpoint; ResourceMissing if the account has none of this id."""
    return _found(
        store.get_endpoint(connection, identifier, account_id=account_id, livemode=livemode),
        identifier,
    )


def update(
    connection: Connection,
    identifier: str,
    *,
    account_id: str,
    livemode: bool,
    url: str | None = None,
    enabled_events: Sequence[str] | None = None,
    description: str | None = None,
    metadata: Mapping[str, str | None] | None = None,
    disabled: bool | None = None,
    allow_loopback: bool,
    now: datetime,
    request_id: str | None = None,
) -> WebhookEndpoint:
    """Change what is not None. Enabling again sends what has waited since."""
    before = _locked(connection, identifier, account_id=account_id, livemode=livemode)
    changes: dict[str, Any] = {}
    if url is not None:
        changes["url"] = rules.check_url(url, allow_loopback=allow_loopback)
    if enabled_events is not None:
        changes["enabled_events"] = event_rules.check_enabled_events(enabled_events)
    if description is not None:
        changes["description"] = _check_description(description)
    if metadata is not None:
        changes["metadata"] = metadata_rules.merge(before.metadata, metadata)
    if disabled is True:
        changes |= {"status": EndpointStatus.disabled, "disabled_reason": "by_account"}
    if disabled is False:
        changes |= {
            "status": EndpointStatus.enabled,
            "disabled_reason": None,
            "failing_since": None,
        }
    changes = {name: value for name, value in changes.items() if getattr(before, name) != value}
    if not changes:
        return before
    after = replace(before, **changes)
    store.update_endpoint(connection, identifier, changes)
    if before.status != after.status == EndpointStatus.enabled:
        store.notify(connection)
    old, new = to_public(before), to_public(after)
    previous = {name: value for name, value in old.items() if new[name] != value}
    _append(
        connection,
        after,
        webhook_event.WEBHOOK_ENDPOINT_UPDATED,
        now,
        request_id,
        previous=previous,
    )
    return after


def delete(
    connection: Connection,
    identifier: str,
    *,
    account_id: str,
    livemode: bool,
    now: datetime,
    request_id: str | None = None,
) -> None:
    """Remove an endpoint; what was still due to it is abandoned."""
    endpoint = _locked(connection, identifier, account_id=account_id, livemode=livemode)
    store.delete_endpoint(connection, identifier)
    _append(connection, endpoint, webhook_event.WEBHOOK_ENDPOINT_DELETED, now, request_id)


def rotate_secret(
    connection: Connection,
    identifier: str,
    *,
    account_id: str,
    livemode: bool,
    overlap_seconds: int = ROTATION_OVERLAP_SECONDS,
    now: datetime,
    request_id: str | None = None,
) -> WebhookEndpoint:
    """Give an endpoint a new secret; both sign every delivery until the overlap ends.

    Zero seconds end the old secret at once (it has leaked). A third secret ends the first.
    """
    if not 0 <= overlap_seconds <= rules.ROTATION_OVERLAP_SECONDS_MAX:
        raise ParameterInvalid(
            "overlap_seconds must be 0 to {rotation_overlap_seconds_max}",
            param="overlap_seconds",
            rotation_overlap_seconds_max=rules.ROTATION_OVERLAP_SECONDS_MAX,
        )
    before = _locked(connection, identifier, account_id=account_id, livemode=livemode)
    changes: dict[str, Any] = {
        "secret": rules.make_secret(os.urandom(rules.SECRET_BYTES)),
        "previous_secret": before.secret if overlap_seconds else None,
        "previous_secret_until": now + timedelta(seconds=overlap_seconds)
        if overlap_seconds
        else None,
    }
    store.update_endpoint(connection, identifier, changes)
    after = replace(before, **changes)
    _append(connection, after, webhook_event.WEBHOOK_ENDPOINT_UPDATED, now, request_id)
    return after


def list_endpoints(
    connection: Connection,
    *,
    account_id: str,
    livemode: bool,
    limit: int = 10,
    starting_after: str | None = None,
    ending_before: str | None = None,
) -> tuple[list[WebhookEndpoint], bool]:
    """A page of endpoints, newest first, and whether more follow."""
    return store.page_endpoints(
        connection,
        account_id=account_id,
        livemode=livemode,
        limit=limit,
        starting_after=starting_after,
        ending_before=ending_before,
    )


def list_deliveries(
    connection: Connection,
    identifier: str,
    *,
    account_id: str,
    livemode: bool,
    status: str | None = None,
    event_id: str | None = None,
    limit: int = 10,
    starting_after: str | None = None,
    ending_before: str | None = None,
) -> tuple[list[WebhookDelivery], bool]:
    """A page of an endpoint's deliveries, newest first, and whether more follow."""
    retrieve(connection, identifier, account_id=account_id, livemode=livemode)
    if status is not None and status not in list(DeliveryStatus):
        raise ParameterInvalid(
            f"status must be one of {', '.join(DeliveryStatus)}, not {status!r}", param="status"
        )
    return store.page_deliveries(
        connection,
        account_id=account_id,
        endpoint_id=identifier,
        status=None if status is None else DeliveryStatus(status),
        event_id=event_id,
        limit=limit,
        starting_after=starting_after,
        ending_before=ending_before,
    )


def redeliver(
    connection: Connection, delivery_id: str, *, account_id: str, livemode: bool, now: datetime
) -> WebhookDelivery:
    """Send one delivery again at once, whatever came of it before: same id, same bytes."""
    delivery = store.get_delivery(connection, delivery_id, account_id=account_id, for_update=True)
    if delivery is None:
        raise ResourceMissing(
            "No such webhook delivery: {delivery_id}",
            param="delivery",
            delivery_id=repr(delivery_id),
        )
    endpoint = store.get_endpoint(
        connection, delivery.endpoint_id, account_id=account_id, livemode=livemode
    )
    if endpoint is None:
        raise ResourceMissing(
            "No such webhook endpoint: {endpoint_id}",
            param="delivery",
            endpoint_id=repr(delivery.endpoint_id),
        )
    _check_enabled(endpoint)
    store.make_due(connection, delivery_id, now=now)
    return replace(
        delivery,
        status=DeliveryStatus.pending,
        next_attempt_at=now,
        retry_step=0,
        lease_token=None,
    )


def send_test(
    connection: Connection,
    identifier: str,
    *,
    account_id: str,
    livemode: bool,
    now: datetime,
    request_id: str | None = None,
) -> WebhookDelivery:
    """Send an event that tells of nothing to an endpoint, whatever events it asked for.

    Its type is its own and its object is the endpoint, so no program takes it for money. It is
    signed and sent as every delivery, but tried once, and what comes of it says nothing about
    whether the endpoint works. RateLimited after ``TESTS_MAX`` in ``TESTS_SECONDS``.
    """
    endpoint = _locked(connection, identifier, account_id=account_id, livemode=livemode)
    _check_enabled(endpoint)
    type = webhook_event.WEBHOOK_ENDPOINT_TEST
    last = event_store.times_of(connection, endpoint.id, type=type, limit=TESTS_MAX)
    if len(last) == TESTS_MAX:
        wait = TESTS_SECONDS - (now - last[-1]).total_seconds()
        if wait > 0:
            raise RateLimited(
                "An endpoint takes {tests_max} tests a minute: wait a moment.",
                retry_after_seconds=ceil(wait),
                tests_max=TESTS_MAX,
            )
    event_id = _append(connection, endpoint, type, now, request_id)
    delivery = store.get_delivery_of(connection, event_id, endpoint_id=endpoint.id)
    assert delivery is not None
    return delivery


def replay(
    connection: Connection,
    identifier: str,
    *,
    account_id: str,
    livemode: bool,
    since: datetime,
    now: datetime,
) -> int:
    """Send again all that an endpoint did not take since a time; how many deliveries are due.

    Includes the events of a time when it was disabled (the oldest ``REPLAY_EVENTS_MAX``; ask
    again for more).
    """
    endpoint = _locked(connection, identifier, account_id=account_id, livemode=livemode)
    _check_enabled(endpoint)
    return store.replay(
        connection,
        endpoint,
        types=[name for name in EVENT_TYPES if event_rules.wants(endpoint.enabled_events, name)],
        since=since,
        new_ids=event_store.consecutive_ids("whd", store.REPLAY_EVENTS_MAX, now=now),
        now=now,
    )


def to_public(endpoint: WebhookEndpoint, *, with_secret: bool = False) -> dict[str, Any]:
    """The endpoint as the API shows it; the secret only at its creation and rotation."""
    public: dict[str, Any] = {
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "api_version": event_rules.API_VERSION,
        "application": None,
        "created": int(endpoint.created.timestamp()),
        "description": endpoint.description,
        "disabled_reason": endpoint.disabled_reason,
        "enabled_events": endpoint.enabled_events,
        "livemode": endpoint.livemode,
        "metadata": endpoint.metadata,
        "previous_secret_until": _seconds(endpoint.previous_secret_until),
        "status": str(endpoint.status),
        "url": endpoint.url,
    }
    if with_secret:
        public["secret"] = endpoint.secret
    return public


def delivery_to_public(
    delivery: WebhookDelivery,
    *,
    livemode: bool,
    attempts: Sequence[WebhookAttempt] | None = None,
) -> dict[str, Any]:
    """A delivery as the API shows it, with its tries if they are given."""
    public: dict[str, Any] = {
        "id": delivery.id,
        "object": "webhook_delivery",
        "created": int(delivery.created.timestamp()),
        "livemode": livemode,
        "metadata": {},
        "event": delivery.event_id,
        "webhook_endpoint": delivery.endpoint_id,
        "status": str(delivery.status),
        "attempt_count": delivery.attempt_count,
        # Under a lease the column is the lease's end, which is nobody's next attempt.
        "next_attempt_at": None if delivery.lease_token else _seconds(delivery.next_attempt_at),
        "response_status": delivery.response_status,
        "response_milliseconds": delivery.response_ms,
        "response_excerpt": delivery.response_excerpt,
        "error": delivery.error,
    }
    if attempts is not None:
        public["attempts"] = [
            {
                "attempt": attempt.attempt,
                "started_at": _seconds(attempt.started_at),
                "milliseconds": attempt.duration_ms,
                "response_status": attempt.response_status,
                "response_excerpt": attempt.response_excerpt,
                "error": attempt.error,
            }
            for attempt in attempts
        ]
    return public


def _append(
    connection: Connection,
    endpoint: WebhookEndpoint,
    type: str,
    now: datetime,
    request_id: str | None,
    *,
    previous: dict[str, Any] | None = None,
) -> str:
    [event_id] = event_store.append(
        connection,
        [
            NewEvent(
                account_id=endpoint.account_id,
                livemode=endpoint.livemode,
                type=type,
                object_id=endpoint.id,
                object=to_public(endpoint),
                previous_attributes=previous,
                request_id=request_id,
            )
        ],
        now=now,
    )
    return event_id


def _locked(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool
) -> WebhookEndpoint:
    return _found(
        store.get_endpoint(
            connection, identifier, account_id=account_id, livemode=livemode, for_update=True
        ),
        identifier,
    )


def _found(endpoint: WebhookEndpoint | None, identifier: str) -> WebhookEndpoint:
    if endpoint is None:
        raise ResourceMissing(
            "No such webhook endpoint: {identifier}",
            param="webhook_endpoint",
            identifier=repr(identifier),
        )
    return endpoint


def _check_enabled(endpoint: WebhookEndpoint) -> None:
    if endpoint.status != EndpointStatus.enabled:
        raise UnexpectedState(
            "webhook endpoint {id} is disabled; enable it (disabled=false) first", id=endpoint.id
        )


def _check_description(description: str | None) -> str | None:
    if description is not None and len(description) > DESCRIPTION_LENGTH_MAX:
        raise ParameterInvalid(
            "description has at most {description_length_max} characters",
            param="description",
            description_length_max=DESCRIPTION_LENGTH_MAX,
        )
    return description or None


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
