"""Orders: what closes open positions at venues, and why there. The operator's alone."""

from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy import Connection

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import ListParameters, Parameters
from sakk.api.person import Code
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import order as rules
from sakk.core.errors import ResourceMissing
from sakk.core.order import OrderStatus
from sakk.core.router import Side, Why
from sakk.flow import order as flow
from sakk.flow.step_up import StepUp
from sakk.store import order as store

resource = Resource("orders")

Price = Annotated[str, Field(description="Of the quote for one whole base, an exact decimal.")]


class OrderListParameters(ListParameters):
    """Which orders."""

    status: OrderStatus | None = None


class OrderApprove(Parameters):
    """A fresh code of the person who says yes."""

    code: Code | None = None


class OrderCancel(Parameters):
    """Nothing is told besides."""


class ChildOrderShape(Shape):
    """One venue's part of an order, filled at once or not at all."""

    id: str
    fee_units: int
    filled_units: int
    price: Price
    quote_units: int
    status: Literal["intended", "done"]
    units: int
    venue: str
    waits_for: Annotated[str | None, Field(description="Why it is not known yet how it ended.")]


class RoutedShape(Shape):
    """How much of an order a venue was given, no worse than a price."""

    price: Price
    units: int
    venue: str


class VenueShape(Shape):
    """What was decided of a venue, and by what it was judged."""

    fee_ppm: int
    latency_ms: int
    minimum: int
    price: Annotated[str | None, Field(description="Its worst, or the best of one left out.")]
    units: int
    venue: str
    why: Why


class RouteShape(Shape):
    """What the router decided. `reasons`: of every venue in words, why it has a part, or none."""

    children: list[RoutedShape]
    left: int
    reasons: list[str]
    venues: list[VenueShape]


class OrderShape(Shape):
    """Buy or sell `units` of `base` for `quote`, no worse than `limit`, fee and all.

    Units are of each currency's smallest part. `approvals`: the people who said yes.
    """

    id: str
    object: Literal["order"]
    approvals: list[str]
    base: str
    children: list[ChildOrderShape]
    created: Created
    ended_at: int | None
    expires_at: Annotated[int | None, Field(description="Until then people may say yes to it.")]
    fee_units: int
    filled_units: int
    limit: Price
    livemode: Livemode
    metadata: ObjectMetadata
    quote: str
    quote_units: int
    reason: str
    route: RouteShape | None
    side: Side
    status: OrderStatus
    units: int
    usd_cents: int


@resource.get("/v1/orders", returns=Page[OrderShape], operation="list_orders", operator_only=True)
def list_orders(context: Context, query: OrderListParameters) -> Listing:
    """List the orders, newest first."""
    rows, has_more = store.list_orders(
        context.connection, query.page(), livemode=context.livemode, status=query.status
    )
    children = store.list_children(context.connection, *(row.id for row in rows))
    return Listing(
        data=[
            rules.public(row, [each for each in children if each.order_id == row.id])
            for row in rows
        ],
        has_more=has_more,
    )


@resource.get(
    "/v1/orders/{order}", returns=OrderShape, operation="retrieve_order", operator_only=True
)
def retrieve(context: Context, order: str) -> Document:
    """Retrieve an order with its children, and why it was split so."""
    return _shown(context.connection, order, livemode=context.livemode)


@resource.post(
    "/v1/orders/{order}/approve",
    returns=OrderShape,
    operation="approve_order",
    operator_only=True,
    two_steps=True,
)
def approve(context: Context, order: str, body: OrderApprove) -> Document:
    """Say yes to an order that waits for people; the second person's yes sends it."""
    flow.approve(
        context.parts,
        order,
        actor=context.actor,
        livemode=context.livemode,
        step_up=StepUp(code=body.code),
    )
    return _after(context, order)


@resource.post(
    "/v1/orders/{order}/cancel",
    returns=OrderShape,
    operation="cancel_order",
    operator_only=True,
    two_steps=True,
)
def cancel(context: Context, order: str, body: OrderCancel) -> Document:
    """Call off an order that waits for people."""
    flow.cancel(context.parts, order, actor=context.actor, livemode=context.livemode)
    return _after(context, order)


def _after(context: Context, identifier: str) -> Document:
    with context.database.begin() as connection:
        return _shown(connection, identifier, livemode=context.livemode)


def _shown(connection: Connection, identifier: str, *, livemode: bool) -> Document:
    found = store.find(connection, identifier, livemode=livemode)
    if found is None:
        raise ResourceMissing(
            "No such order: {identifier}.", param="id", identifier=repr(identifier)
        )
    return rules.public(found, store.list_children(connection, found.id))
