"""Events: what happened, in Stripe's envelope."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Identifier, ListParameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, Page, Shape
from sakk.core.errors import CursorMissing, ParameterInvalid, ResourceMissing
from sakk.core.event import EVENT_TYPES
from sakk.store import event as store

resource = Resource("events")

TYPES_MAX = 20


class EventListParameters(ListParameters):
    """Which events; a type may be a whole noun, like ``payout.*``."""

    type: Identifier | None = None
    types: Annotated[list[Identifier], Field(max_length=TYPES_MAX)] | None = None
    related_object: Identifier | None = None


class EventRequest(Shape):
    """The request that caused it."""

    id: str | None
    idempotency_key: str | None


class EventData(Shape):
    """The object after the change, and what changed."""

    object: Document
    previous_attributes: dict[str, Any] | None = None


class EventShape(Shape):
    """Something that happened; the body of a webhook is this object."""

    id: str
    object: Literal["event"]
    api_version: str
    account: str | None
    created: Created
    livemode: Livemode
    pending_webhooks: int
    request: EventRequest
    type: str
    data: EventData


@resource.get("/v1/events", returns=Page[EventShape], operation="list_events")
def list_events(context: Context, query: EventListParameters) -> Listing:
    """List what happened, newest first: to an account, or all for the operator."""
    page = query.page()
    for param in ("starting_after", "ending_before"):
        cursor = getattr(page, param)
        if cursor is not None and _get(context, cursor) is None:
            raise CursorMissing(
                f"No such object in this list: {cursor!r}. Use an id that the list returned.",
                param=param,
            )
    rows, has_more = store.page(
        context.connection,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        limit=page.limit,
        starting_after=page.starting_after,
        ending_before=page.ending_before,
        types=_types(query),
        object_id=query.related_object,
        created_gte=page.created_gte,
        created_lt=page.created_lt,
    )
    return Listing(data=[store.to_public(row) for row in rows], has_more=has_more)


@resource.get("/v1/events/{event}", returns=EventShape, operation="retrieve_event")
def retrieve(context: Context, event: str) -> Document:
    """Retrieve an event."""
    found = _get(context, event)
    if found is None:
        raise ResourceMissing(f"No such event: {event!r}", param="id")
    return store.to_public(found)


def _get(context: Context, event: str) -> store.Event | None:
    return store.get(
        context.connection,
        event,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )


def _types(query: EventListParameters) -> list[str] | None:
    """The types asked for; a type that does not exist is a mistake, not an empty list."""
    if query.type is not None and query.types is not None:
        raise ParameterInvalid("Give type or types, not both.", param="types")
    wanted = {"type": query.type} if query.type is not None else {}
    wanted |= {f"types[{index}]": name for index, name in enumerate(query.types or ())}
    nouns = {name.partition(".")[0] for name in EVENT_TYPES}
    for param, name in wanted.items():
        if name not in EVENT_TYPES and name.removesuffix(".*") not in nouns:
            raise ParameterInvalid(f"There is no event type {name!r}.", param=param)
    return list(wanted.values()) or None
