"""The mall's shops: made and changed by merchants, approved or refused by the operator."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import (
    CurrencyCode,
    ListParameters,
    LongText,
    Metadata,
    Parameters,
    ShortText,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import shop as rules
from sakk.core.errors import ResourceMissing
from sakk.core.metadata import merge
from sakk.core.shop import Category, Review, Shop
from sakk.flow import shop as flow
from sakk.store import shop as store
from sakk.store.page import fetch_page

resource = Resource("shops")
Name = Annotated[str, StringConstraints(min_length=1, max_length=rules.NAME_MAX)]
Handle = Annotated[str, StringConstraints(min_length=1, max_length=60)]


class ShopCreate(Parameters):
    """A shop, its place in the mall's address, and the currency of its prices."""

    name: Name
    handle: Handle
    currency: CurrencyCode
    category: Category = Category.other
    description: LongText | None = None
    indexed: bool = False
    open: bool = True
    metadata: Metadata | None = None


class ShopUpdate(Parameters):
    """What changes. Another name, handle, category or description waits for the operator."""

    name: Name | None = None
    handle: Handle | None = None
    category: Category | None = None
    description: LongText | None = None
    indexed: bool | None = None
    open: bool | None = None
    metadata: Metadata | None = None


class ShopApprove(Parameters):
    """What was looked at."""

    digest: Annotated[
        ShortText, Field(description="The shop's: of its name, description, handle and category.")
    ]


class ShopRefuse(Parameters):
    """Why it is not shown; its merchant reads it."""

    note: LongText
    digest: Annotated[
        ShortText | None, Field(description="The shop's, so that other words are not refused.")
    ] = None


class ShopListParameters(ListParameters):
    """Which shops."""

    review: Review | None = None


class ShopShape(Shape):
    """A shop, as its merchant and the operator see it."""

    id: str
    object: Literal["shop"]
    account: str
    category: Category
    created: Created
    currency: str
    description: str | None
    digest: Annotated[str, Field(description="Of what the operator approves: SHA-256.")]
    handle: str
    indexed: Annotated[bool, Field(description="Search engines may list its page.")]
    livemode: Livemode
    metadata: ObjectMetadata
    name: str
    open: bool
    review: Review
    review_note: str | None
    url: str


@resource.post("/v1/shops", returns=ShopShape, operation="create_shop")
def create(context: Context, body: ShopCreate) -> Document:
    """Make a shop; people see it when the operator has approved it and it is open."""
    made = flow.create(
        context.connection,
        Shop(
            id=context.object_id(rules.PREFIX),
            account_id=context.account_id,
            livemode=context.livemode,
            handle=body.handle,
            name=body.name,
            description=body.description,
            category=body.category.value,
            currency=body.currency.lower(),
            decimals=0,
            is_open=body.open,
            is_indexed=body.indexed,
            review=Review.pending.value,
            review_note=None,
            reviewed_by=None,
            metadata=merge({}, body.metadata or {}),
            created=context.now,
        ),
        public_url=context.settings.public_url,
    )
    return _shown(context, made)


@resource.get("/v1/shops", returns=Page[ShopShape], operation="list_shops")
def list_shops(context: Context, query: ShopListParameters) -> Listing:
    """List the account's shops, newest first; the operator's key: of all."""
    filters = [] if query.review is None else [store.shops.c.review == query.review.value]
    rows, has_more = fetch_page(
        context.connection,
        store.shops,
        Shop,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=[_shown(context, row) for row in rows], has_more=has_more)


@resource.get("/v1/shops/{shop}", returns=ShopShape, operation="retrieve_shop")
def retrieve(context: Context, shop: str) -> Document:
    """Retrieve a shop of the account."""
    found = store.find(
        context.connection,
        shop,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing("No such shop: {identifier}", param="id", identifier=repr(shop))
    return _shown(context, found)


@resource.post("/v1/shops/{shop}", returns=ShopShape, operation="update_shop")
def update(context: Context, shop: str, body: ShopUpdate) -> Document:
    """Open a shop or close it, or change what stands on it."""
    changes: dict[str, Any] = {
        _COLUMNS[name]: value
        for name, value in body.given(*_COLUMNS).items()
        # A text may be taken away; the others are there or not said.
        if value is not None or name == "description"
    }
    if body.category is not None:
        changes["category"] = body.category.value
    if body.metadata is not None:
        before = retrieve(context, shop)["metadata"]
        changes["metadata"] = merge(before, body.metadata)
    return _shown(
        context,
        flow.change(
            context.connection,
            shop,
            changes,
            account_id=context.account_id,
            livemode=context.livemode,
            public_url=context.settings.public_url,
            now=context.now,
        ),
    )


@resource.post(
    "/v1/shops/{shop}/approve", returns=ShopShape, operation="approve_shop", operator_only=True
)
def approve(context: Context, shop: str, body: ShopApprove) -> Document:
    """Let people see a shop as it was looked at; the operator's key.

    Whose words have changed since then is refused: `approval_stale`.
    """
    return _judged(context, shop, Review.approved, None, body.digest)


@resource.post(
    "/v1/shops/{shop}/refuse", returns=ShopShape, operation="refuse_shop", operator_only=True
)
def refuse(context: Context, shop: str, body: ShopRefuse) -> Document:
    """Show a shop to nobody, or no longer, and tell its merchant why; the operator's key."""
    return _judged(context, shop, Review.refused, body.note, body.digest)


def _judged(
    context: Context, shop: str, said: Review, note: str | None, digest: str | None
) -> Document:
    return _shown(
        context,
        flow.review(
            context.connection,
            shop,
            said,
            note,
            by=None if context.actor is None else context.actor.person or context.actor.key,
            livemode=context.livemode,
            public_url=context.settings.public_url,
            now=context.now,
            digest=digest,
        ),
    )


_COLUMNS = {
    "name": "name",
    "handle": "handle",
    "description": "description",
    "indexed": "is_indexed",
    "open": "is_open",
}


def _shown(context: Context, shop: Shop) -> Document:
    return rules.public(shop, public_url=context.settings.public_url)
