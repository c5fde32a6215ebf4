"""Purchases in the mall: begun by whoever buys, read by the shop's merchant and the buyer."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sakk.api.checkout_session import read_locale
from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import (
    Identifier,
    ListParameters,
    Metadata,
    Parameters,
    ShortText,
    Strict,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import checkout_session
from sakk.core import shop as rules
from sakk.core.checkout_session import LINES_MAX, page_path
from sakk.core.errors import ResourceMissing
from sakk.core.metadata import merge
from sakk.core.shop import Purchase, PurchaseStatus
from sakk.flow import purchase as flow
from sakk.flow.shop import missing
from sakk.store import shop as store
from sakk.store.page import fetch_page

resource = Resource("shops")


class PurchaseLine(Strict):
    """So many of a product."""

    product: Identifier
    quantity: Annotated[int, Field(ge=1, le=rules.QUANTITY_MAX)] = 1


class PurchaseCreate(Parameters):
    """What is bought of one shop that people see."""

    shop: Identifier
    line_items: Annotated[list[PurchaseLine], Field(min_length=1, max_length=LINES_MAX)]
    locale: ShortText | None = None
    metadata: Metadata | None = None


class PurchaseListParameters(ListParameters):
    """Which purchases: at the account's shops, or that the account began at others'."""

    shop: Identifier | None = None
    status: PurchaseStatus | None = None
    direction: Literal["incoming", "outgoing"] = "incoming"


class PurchaseLineShape(Shape):
    """One line, at the price that it was bought at."""

    product: str
    name: str
    amount: int
    quantity: int


class PurchaseShape(Shape):
    """What somebody bought; paid when its checkout session is."""

    id: str
    object: Literal["purchase"]
    amount: int
    amount_decimal: str
    buyer: Annotated[str | None, Field(description="The account here that began it.")]
    checkout_session: str
    created: Created
    currency: str
    line_items: list[PurchaseLineShape]
    livemode: Livemode
    metadata: ObjectMetadata
    payment_intent: str
    shop: str
    short: Annotated[
        bool, Field(description="Paid late, when its stock had gone to somebody else.")
    ]
    status: PurchaseStatus
    url: Annotated[str | None, Field(description="Where it is paid; told once, to who begins it.")]


@resource.post("/v1/purchases", returns=PurchaseShape, operation="create_purchase")
def create(context: Context, body: PurchaseCreate) -> Document:
    """Begin a purchase: its stock is held for half an hour, and paid on the page at ``url``."""
    shop = store.find_shown_by_id(context.connection, body.shop, livemode=context.livemode)
    if shop is None:
        raise missing(body.shop)
    purchase, token = flow.begin(
        context.connection,
        context.catalogue,
        context.parts.secrets_vault(),
        shop,
        flow.Basket(
            wanted=[(each.product, each.quantity) for each in body.line_items],
            buyer=context.account_id,
            # A merchant's own program holds its own stock.
            visitor=None if context.account_id == shop.account_id else context.account_id,
            locale=read_locale(body.locale),
            metadata=merge({}, body.metadata or {}),
        ),
        identifier=context.object_id(rules.PURCHASE_PREFIX),
        session_id=context.object_id(checkout_session.PREFIX),
        intent_id=context.object_id("pi"),
        now=context.now,
        request_id=context.request_id,
    )
    return rules.public_purchase(purchase, url=context.settings.public_url + page_path(token))


@resource.get("/v1/purchases", returns=Page[PurchaseShape], operation="list_purchases")
def list_purchases(context: Context, query: PurchaseListParameters) -> Listing:
    """List purchases, newest first."""
    c = store.purchases.c
    filters: list[Any] = []
    if query.shop is not None:
        filters.append(c.shop == query.shop)
    if query.status is not None:
        filters.append(c.status == query.status.value)
    is_outgoing = query.direction == "outgoing"
    if is_outgoing:
        filters.append(c.buyer == context.account_id)
    rows, has_more = fetch_page(
        context.connection,
        store.purchases,
        Purchase,
        account_id=None if is_outgoing else context.account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=[rules.public_purchase(row) for row in rows], has_more=has_more)


@resource.get("/v1/purchases/{purchase}", returns=PurchaseShape, operation="retrieve_purchase")
def retrieve(context: Context, purchase: str) -> Document:
    """Retrieve a purchase at a shop of the account's, or that the account began."""
    found = store.find_purchase(
        context.connection, purchase, account_id=context.account_id, livemode=context.livemode
    )
    if found is None:
        raise ResourceMissing(
            "No such purchase: {identifier}", param="id", identifier=repr(purchase)
        )
    return rules.public_purchase(found)
