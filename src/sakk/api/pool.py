"""The pool: idle balance, parked and taken back at once."""

from typing import Literal

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Amount, CurrencyCode, ListParameters, Parameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import pool as rules
from sakk.core.errors import ResourceMissing
from sakk.flow import pool as flow
from sakk.store import pool as store
from sakk.store.page import fetch_page

resource = Resource("pool")


class PoolMovementCreate(Parameters):
    """How much, and which way."""

    direction: Literal["park", "unpark"]
    amount: Amount
    currency: CurrencyCode


class ParkedShape(Shape):
    """What is parked in one currency."""

    amount: int
    amount_decimal: str
    currency: str


class PoolShape(Shape):
    """What the account has parked. It bears no interest, and is taken back at once."""

    object: Literal["pool"]
    livemode: Livemode
    parked: list[ParkedShape]


class PoolMovementShape(Shape):
    """Money into the pool (`park`) or out of it (`unpark`)."""

    id: str
    object: Literal["pool_movement"]
    account: str
    amount: int
    amount_decimal: str
    currency: str
    direction: rules.Direction
    mandate: str | None
    reference: str | None
    status: Literal["requested", "posted", "rejected"]
    failure_code: str | None
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


@resource.get("/v1/pool", returns=PoolShape, operation="retrieve_pool", asks_outside=True)
def retrieve(context: Context) -> Document:
    """What the account has parked."""
    return flow.read(context.parts, account_id=context.account_id, livemode=context.livemode)


@resource.post(
    "/v1/pool_movements",
    returns=PoolMovementShape,
    operation="create_pool_movement",
    two_steps=True,
)
def create(context: Context, body: PoolMovementCreate) -> Document:
    """Park idle balance, or take it back."""
    movement = flow.move(
        context.parts,
        flow.PoolRequest(rules.Direction(body.direction), body.amount, body.currency.lower()),
        identifier=context.object_id(rules.PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        request_id=context.request_id,
    )
    return rules.public_movement(movement)


@resource.get(
    "/v1/pool_movements", returns=Page[PoolMovementShape], operation="list_pool_movements"
)
def list_movements(context: Context, query: ListParameters) -> Listing:
    """List what was parked and taken back, newest first."""
    rows, has_more = fetch_page(
        context.connection,
        store.pool_movements,
        rules.PoolMovement,
        account_id=context.account_id,
        livemode=context.livemode,
        page=query.page(),
    )
    return Listing(data=[rules.public_movement(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/pool_movements/{pool_movement}",
    returns=PoolMovementShape,
    operation="retrieve_pool_movement",
)
def find(context: Context, pool_movement: str) -> Document:
    """Retrieve what was parked or taken back."""
    found = store.find(
        context.connection,
        pool_movement,
        account_id=context.account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing(f"No such pool movement: {pool_movement!r}", param="id")
    return rules.public_movement(found)
