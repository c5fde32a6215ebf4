"""Webhook endpoints: who is told, and what was delivered."""

from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import (
    Identifier,
    ListParameters,
    LongText,
    Metadata,
    Parameters,
    Timestamp,
    moment,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core.errors import ResourceMissing
from sakk.core.event import ENABLED_EVENTS_MAX
from sakk.core.webhook import ROTATION_OVERLAP_SECONDS_MAX, DeliveryStatus
from sakk.flow import webhook as flow
from sakk.store import webhook as store
from sakk.store.page import fetch_page

resource = Resource("webhook_endpoints")

URL_LENGTH_MAX = 2_000
Url = Annotated[str, Field(min_length=1, max_length=URL_LENGTH_MAX)]
EnabledEvents = Annotated[list[Identifier], Field(min_length=1, max_length=ENABLED_EVENTS_MAX)]


class EndpointCreate(Parameters):
    """An endpoint; ``enabled_events`` may be ``["*"]``."""

    url: Url
    enabled_events: EnabledEvents
    description: LongText | None = None
    metadata: Metadata | None = None


class EndpointUpdate(Parameters):
    """What changes of an endpoint."""

    url: Url | None = None
    enabled_events: EnabledEvents | None = None
    description: LongText | None = None
    metadata: Metadata | None = None
    disabled: bool | None = None


class SecretRotation(Parameters):
    """How long the old secret signs beside the new one."""

    overlap_seconds: Annotated[int, Field(ge=0, le=ROTATION_OVERLAP_SECONDS_MAX)] = (
        flow.ROTATION_OVERLAP_SECONDS
    )


class DeliveryReplay(Parameters):
    """From when on."""

    since: Timestamp


class DeliveryListParameters(ListParameters):
    """Which deliveries."""

    status: DeliveryStatus | None = None
    event: Identifier | None = None


class EndpointShape(Shape):
    """Who is told. ``secret`` stands in the answer to creation and rotation only."""

    id: str
    object: Literal["webhook_endpoint"]
    api_version: str
    application: None
    created: Created
    description: str | None
    disabled_reason: str | None
    enabled_events: list[str]
    livemode: Livemode
    metadata: ObjectMetadata
    previous_secret_until: int | None
    secret: str | None = None
    status: Literal["enabled", "disabled"]
    url: str


class DeletedEndpoint(Shape):
    """What is left of a deleted endpoint."""

    id: str
    object: Literal["webhook_endpoint"]
    deleted: Literal[True]


class DeliveryAttempt(Shape):
    """One try."""

    attempt: int
    started_at: int
    milliseconds: int
    response_status: int | None
    response_excerpt: str | None
    error: str | None


class DeliveryShape(Shape):
    """An event on its way to one endpoint."""

    id: str
    object: Literal["webhook_delivery"]
    created: Created
    livemode: Livemode
    metadata: ObjectMetadata
    event: str
    webhook_endpoint: str
    status: str
    attempt_count: int
    next_attempt_at: int | None
    response_status: int | None
    response_milliseconds: int | None
    response_excerpt: str | None
    error: str | None
    attempts: list[DeliveryAttempt] | None = None


class ReplayShape(Shape):
    """How many deliveries are due again."""

    object: Literal["webhook_replay"]
    webhook_endpoint: str
    deliveries: int


@resource.post("/v1/webhook_endpoints", returns=EndpointShape, operation="create_webhook_endpoint")
def create(context: Context, body: EndpointCreate) -> Document:
    """Open an endpoint; the answer holds its secret."""
    endpoint = flow.create(
        context.connection,
        account_id=context.account_id,
        livemode=context.livemode,
        url=body.url,
        enabled_events=body.enabled_events,
        description=body.description,
        metadata=body.metadata,
        allow_loopback=context.settings.webhook_allow_loopback,
        now=context.now,
        request_id=context.request_id,
    )
    return flow.to_public(endpoint, with_secret=True)


@resource.get(
    "/v1/webhook_endpoints", returns=Page[EndpointShape], operation="list_webhook_endpoints"
)
def list_endpoints(context: Context, query: ListParameters) -> Listing:
    """List the account's endpoints, newest first."""
    rows, has_more = fetch_page(
        context.connection,
        store.webhook_endpoints,
        store.WebhookEndpoint,
        account_id=context.account_id,
        livemode=context.livemode,
        page=query.page(),
    )
    return Listing(data=[flow.to_public(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/webhook_endpoints/{webhook_endpoint}",
    returns=EndpointShape,
    operation="retrieve_webhook_endpoint",
)
def retrieve(context: Context, webhook_endpoint: str) -> Document:
    """Retrieve an endpoint, without its secret."""
    return flow.to_public(
        flow.retrieve(
            context.connection,
            webhook_endpoint,
            account_id=context.account_id,
            livemode=context.livemode,
        )
    )


@resource.post(
    "/v1/webhook_endpoints/{webhook_endpoint}",
    returns=EndpointShape,
    operation="update_webhook_endpoint",
)
def update(context: Context, webhook_endpoint: str, body: EndpointUpdate) -> Document:
    """Change an endpoint. Enabling it again sends what has waited."""
    changed = flow.update(
        context.connection,
        webhook_endpoint,
        account_id=context.account_id,
        livemode=context.livemode,
        url=body.url,
        enabled_events=body.enabled_events,
        description=body.description,
        metadata=body.metadata,
        disabled=body.disabled,
        allow_loopback=context.settings.webhook_allow_loopback,
        now=context.now,
        request_id=context.request_id,
    )
    return flow.to_public(changed)


@resource.delete(
    "/v1/webhook_endpoints/{webhook_endpoint}",
    returns=DeletedEndpoint,
    operation="delete_webhook_endpoint",
)
def delete(context: Context, webhook_endpoint: str) -> Document:
    """Delete an endpoint; what was still due to it is abandoned."""
    flow.delete(
        context.connection,
        webhook_endpoint,
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
        request_id=context.request_id,
    )
    return {"id": webhook_endpoint, "object": "webhook_endpoint", "deleted": True}


@resource.post(
    "/v1/webhook_endpoints/{webhook_endpoint}/rotate_secret",
    returns=EndpointShape,
    operation="rotate_webhook_secret",
)
def rotate_secret(context: Context, webhook_endpoint: str, body: SecretRotation) -> Document:
    """Give an endpoint a new secret; both sign until the overlap ends."""
    rotated = flow.rotate_secret(
        context.connection,
        webhook_endpoint,
        account_id=context.account_id,
        livemode=context.livemode,
        overlap_seconds=body.overlap_seconds,
        now=context.now,
        request_id=context.request_id,
    )
    return flow.to_public(rotated, with_secret=True)


@resource.get(
    "/v1/webhook_endpoints/{webhook_endpoint}/deliveries",
    returns=Page[DeliveryShape],
    operation="list_webhook_deliveries",
)
def list_deliveries(
    context: Context, webhook_endpoint: str, query: DeliveryListParameters
) -> Listing:
    """List what was sent to an endpoint, newest first."""
    flow.retrieve(
        context.connection,
        webhook_endpoint,
        account_id=context.account_id,
        livemode=context.livemode,
    )
    columns = store.webhook_deliveries.c
    filters = [columns.endpoint_id == webhook_endpoint]
    if query.status is not None:
        filters.append(columns.status == query.status.value)
    if query.event is not None:
        filters.append(columns.event_id == query.event)
    rows, has_more = fetch_page(
        context.connection,
        store.webhook_deliveries,
        store.WebhookDelivery,
        account_id=context.account_id,
        livemode=None,
        page=query.page(),
        filters=filters,
    )
    return Listing(
        data=[flow.delivery_to_public(row, livemode=context.livemode) for row in rows],
        has_more=has_more,
    )


@resource.get(
    "/v1/webhook_deliveries/{webhook_delivery}",
    returns=DeliveryShape,
    operation="retrieve_webhook_delivery",
)
def retrieve_delivery(context: Context, webhook_delivery: str) -> Document:
    """Retrieve a delivery with all its tries."""
    delivery = store.get_delivery(
        context.connection, webhook_delivery, account_id=context.account_id
    )
    endpoint = delivery and store.get_endpoint(
        context.connection,
        delivery.endpoint_id,
        account_id=context.account_id,
        livemode=context.livemode,
    )
    if delivery is None or endpoint is None:
        raise ResourceMissing(f"No such webhook_delivery: {webhook_delivery!r}", param="id")
    return flow.delivery_to_public(
        delivery,
        livemode=context.livemode,
        attempts=store.list_attempts(context.connection, delivery.id),
    )


@resource.post(
    "/v1/webhook_deliveries/{webhook_delivery}/redeliver",
    returns=DeliveryShape,
    operation="redeliver_webhook",
)
def redeliver(context: Context, webhook_delivery: str) -> Document:
    """Send a delivery again at once: same id, same bytes."""
    delivery = flow.redeliver(
        context.connection,
        webhook_delivery,
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
    )
    return flow.delivery_to_public(delivery, livemode=context.livemode)


@resource.post(
    "/v1/webhook_endpoints/{webhook_endpoint}/test",
    returns=DeliveryShape,
    operation="test_webhook_endpoint",
)
def send_test(context: Context, webhook_endpoint: str) -> Document:
    """Send a test to an endpoint, once: a `webhook_endpoint.test`, which tells of nothing.

    It is signed as every delivery, whatever events the endpoint asked for. What came of it stands
    in the delivery a moment later. An endpoint takes ten tests a minute.
    """
    delivery = flow.send_test(
        context.connection,
        webhook_endpoint,
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
        request_id=context.request_id,
    )
    return flow.delivery_to_public(delivery, livemode=context.livemode)


@resource.post(
    "/v1/webhook_endpoints/{webhook_endpoint}/replay",
    returns=ReplayShape,
    operation="replay_webhooks",
)
def replay(context: Context, webhook_endpoint: str, body: DeliveryReplay) -> Document:
    """Send again all that an endpoint did not take since a time."""
    since = moment(body.since)
    assert since is not None
    due = flow.replay(
        context.connection,
        webhook_endpoint,
        account_id=context.account_id,
        livemode=context.livemode,
        since=since,
        now=context.now,
    )
    return {"object": "webhook_replay", "webhook_endpoint": webhook_endpoint, "deliveries": due}
