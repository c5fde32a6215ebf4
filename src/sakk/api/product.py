"""Products: what the mall's shops sell."""

import base64
import binascii
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import (
    Amount,
    Identifier,
    ListParameters,
    LongText,
    Metadata,
    Parameters,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import branding
from sakk.core import shop as rules
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.metadata import merge
from sakk.core.shop import Product
from sakk.flow import shop as flow
from sakk.store import shop as store
from sakk.store.page import fetch_page

resource = Resource("shops")
PICTURE_TEXT_MAX = branding.LOGO_BYTES_MAX * 3 // 2
Name = Annotated[str, StringConstraints(min_length=1, max_length=rules.NAME_MAX)]
TaxText = Annotated[str, StringConstraints(min_length=1, max_length=rules.TAX_TEXT_MAX)]
Picture = Annotated[str, StringConstraints(max_length=PICTURE_TEXT_MAX)]
Stock = Annotated[int, Field(ge=0, le=rules.STOCK_MAX)]


class ProductCreate(Parameters):
    """What is sold, for how much of the shop's currency. ``picture``: a PNG in base64, 64 kB."""

    shop: Identifier
    name: Name
    price: Amount
    description: LongText | None = None
    tax_text: TaxText | None = None
    stock: Stock | None = None
    picture: Picture | None = None
    active: bool = True
    metadata: Metadata | None = None


class ProductUpdate(Parameters):
    """What changes; null takes the text, the picture or the limit of the stock away."""

    name: Name | None = None
    price: Amount | None = None
    description: LongText | None = None
    tax_text: TaxText | None = None
    stock: Stock | None = None
    picture: Picture | None = None
    active: bool | None = None
    metadata: Metadata | None = None


class ProductListParameters(ListParameters):
    """Which products."""

    shop: Identifier | None = None
    active: bool | None = None


class ProductShape(Shape):
    """What a shop sells; ``stock`` null: any number."""

    id: str
    object: Literal["product"]
    active: bool
    created: Created
    currency: str
    description: str | None
    livemode: Livemode
    metadata: ObjectMetadata
    name: str
    picture_url: str | None
    price: int
    price_decimal: str
    shop: str
    stock: Annotated[
        int | None, Field(description="What is there besides what open purchases hold.")
    ]
    tax_text: Annotated[str | None, Field(description="What buyers read of taxes.")]


@resource.post("/v1/products", returns=ProductShape, operation="create_product")
def create(context: Context, body: ProductCreate) -> Document:
    """Put something into a shop of the account."""
    made = flow.add_product(
        context.connection,
        Product(
            id=context.object_id(rules.PRODUCT_PREFIX),
            account_id=context.account_id,
            livemode=context.livemode,
            shop=body.shop,
            name=body.name,
            description=body.description,
            tax_text=body.tax_text,
            price=body.price,
            currency="",
            decimals=0,
            stock=body.stock,
            picture=None,
            picture_hash=None,
            active=body.active,
            metadata=merge({}, body.metadata or {}),
            created=context.now,
        ),
        None if body.picture is None else _decoded(body.picture),
        public_url=context.settings.public_url,
    )
    return _shown(context, made)


@resource.get("/v1/products", returns=Page[ProductShape], operation="list_products")
def list_products(context: Context, query: ProductListParameters) -> Listing:
    """List the products of the account's shops, newest first; the operator's key: of all."""
    c = store.products.c
    filters: list[Any] = []
    if query.shop is not None:
        filters.append(c.shop == query.shop)
    if query.active is not None:
        filters.append(c.active.is_(query.active))
    rows, has_more = fetch_page(
        context.connection,
        store.products,
        Product,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=[_shown(context, row) for row in rows], has_more=has_more)


@resource.get("/v1/products/{product}", returns=ProductShape, operation="retrieve_product")
def retrieve(context: Context, product: str) -> Document:
    """Retrieve a product."""
    return _shown(context, _found(context, product))


@resource.post("/v1/products/{product}", returns=ProductShape, operation="update_product")
def update(context: Context, product: str, body: ProductUpdate) -> Document:
    """Change a product, its stock, or take it off the shelf (``active``)."""
    changes: dict[str, Any] = body.given("description", "tax_text", "stock")
    changes |= {
        name: value
        for name, value in body.given("name", "price", "active").items()
        if value is not None
    }
    if "picture" in body.model_fields_set:
        changes["picture"] = None if body.picture is None else _decoded(body.picture)
    if body.metadata is not None:
        changes["metadata"] = merge(_found(context, product).metadata, body.metadata)
    return _shown(
        context,
        flow.change_product(
            context.connection,
            product,
            changes,
            account_id=context.account_id,
            livemode=context.livemode,
            public_url=context.settings.public_url,
            now=context.now,
        ),
    )


def _found(context: Context, product: str) -> Product:
    found = store.find_product(
        context.connection,
        product,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing("No such product: {identifier}", param="id", identifier=repr(product))
    return found


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ParameterInvalid("The picture is a PNG in base64.", param="picture") from None


def _shown(context: Context, product: Product) -> Document:
    return rules.public_product(product, public_url=context.settings.public_url)
