"""The mall: shops of merchants, what they sell, and purchases that become checkout sessions.

A shop is seen when the operator has approved it, its merchant has opened it and may pay and be
paid. What people read of it is approved: to change its name, its words or its address is to ask
again. Stock is taken when a purchase begins and given back when its session ends unpaid.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sakk.core import money
from sakk.core.checkout_session import LINES_MAX, Line
from sakk.core.errors import ParameterInvalid, UnexpectedState

PREFIX: Final = "shop"
PRODUCT_PREFIX: Final = "prod"
PURCHASE_PREFIX: Final = "pur"
SHOPS_MAX: Final = 20
PRODUCTS_MAX: Final = 500
# Of one shop, that hold stock and are not paid.
OPEN_PURCHASES_MAX: Final = 500
# Of these, what people without an account here hold: whoever has addresses without end, as by
# version 6, closes a shop to nobody who has one.
ANONYMOUS_MAX: Final = OPEN_PURCHASES_MAX // 2
# What one buyer, or one network of addresses, may begin at a shop and leave unpaid in this time: by
# six, each for half an hour, its last pieces would be held around the clock. Where so many are
# left that one visitor can not take them nobody is kept from them: behind one address of a carrier
# there are thousands.
UNPAID_MAX: Final = 5
UNPAID_OF_PLENTY_MAX: Final = 50
SCARCE_BELOW: Final = 20
UNPAID_WITHIN: Final = timedelta(hours=3)
QUANTITY_MAX: Final = 100
STOCK_MAX: Final = 1_000_000_000
NAME_MAX: Final = 80
TEXT_MAX: Final = 1_000
TAX_TEXT_MAX: Final = 120
# How long a purchase holds what it is of.
PURCHASE_LIFE: Final = timedelta(minutes=30)
_HANDLE: Final = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?!-)){1,38}[a-z0-9]")


class Review(StrEnum):
    """What the operator says of a shop."""

    pending = "pending"
    approved = "approved"
    refused = "refused"


class Category(StrEnum):
    """What a shop sells, by which the mall is searched."""

    food = "food"
    clothing = "clothing"
    home = "home"
    electronics = "electronics"
    books = "books"
    beauty = "beauty"
    services = "services"
    art = "art"
    other = "other"


class PurchaseStatus(StrEnum):
    """``reserved``: its stock is held while it is paid; then ``paid``, or ``returned``."""

    reserved = "reserved"
    paid = "paid"
    returned = "returned"


# What may be written on a shop only with the operator's approval.
REVIEWED: Final = ("name", "description", "handle", "category")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """One shop. ``handle`` is its place in the mall's address; prices are in ``currency``.

    ``is_indexed``: search engines may list it.
    """

    id: str
    account_id: str
    livemode: bool
    handle: str
    name: str
    description: str | None
    category: str
    currency: str
    decimals: int
    is_open: bool
    is_indexed: bool
    review: str
    review_note: str | None
    reviewed_by: str | None
    metadata: dict[str, str]
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """What a shop sells. ``price`` of one, in the shop's currency; ``stock`` None: any number."""

    id: str
    account_id: str
    livemode: bool
    shop: str
    name: str
    description: str | None
    tax_text: str | None
    price: int
    currency: str
    decimals: int
    stock: int | None
    picture: bytes | None
    picture_hash: str | None
    active: bool
    metadata: dict[str, str]
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """What somebody buys. ``lines``: product, name, amount of one and quantity.

    ``buyer``: the account here that asked, if one did. ``visitor``: by what unpaid ones are
    counted, nobody's name and no address. ``is_short``: it was paid when its stock had gone to
    somebody else.
    """

    id: str
    account_id: str
    livemode: bool
    shop: str
    buyer: str | None
    checkout_session: str
    payment_intent: str
    lines: list[dict[str, Any]]
    amount: int
    currency: str
    decimals: int
    status: str
    is_short: bool
    metadata: dict[str, str]
    created: datetime
    visitor: str | None = None


def read_handle(text: str) -> str:
    """``Tea-House`` as ``tea-house``; ParameterInvalid for what can not stand in an address."""
    handle = text.strip().lower()
    if not _HANDLE.fullmatch(handle):
        raise ParameterInvalid(
            "A handle has 3 to 40 letters a to z, digits and single hyphens between them.",
            param="handle",
        )
    return handle


def page_path(handle: str) -> str:
    """Where a shop is, below the server's public address."""
    return f"/mall/{handle}"


def picture_path(digest: str) -> str:
    """Where a product's picture is, below the server's public address."""
    return f"/mall/pictures/{digest}.png"


def after_change(shop: Shop, changed: Shop) -> Shop:
    """A shop whose words have changed waits for the operator again. The changed shop."""
    same = all(getattr(shop, name) == getattr(changed, name) for name in REVIEWED)
    if same:
        return changed
    return _reviewed(changed, Review.pending, None, None)


def judged(shop: Shop, review: Review, note: str | None, by: str | None) -> Shop:
    """What the operator says of a shop, and why."""
    return _reviewed(shop, review, note, by)


def digest_of(shop: Shop) -> str:
    """SHA-256 of the words that the operator judges."""
    words = json.dumps([getattr(shop, name) for name in REVIEWED])
    return hashlib.sha256(words.encode()).hexdigest()


def is_shown(shop: Shop) -> bool:
    """May people see it, as far as the shop itself goes?"""
    return shop.is_open and shop.review == Review.approved


def read_cart(
    products: Mapping[str, Product], wanted: Sequence[tuple[str, int]]
) -> list[tuple[Product, int]]:
    """What of a shop is bought, each product once; ``products`` are the shop's, as they stand.

    ParameterInvalid names the line; UnexpectedState for what is sold out.
    """
    if not wanted or len(wanted) > LINES_MAX:
        raise ParameterInvalid(
            "A purchase has 1 to {most} lines.", param="line_items", most=LINES_MAX
        )
    cart: list[tuple[Product, int]] = []
    seen: set[str] = set()
    for number, (identifier, quantity) in enumerate(wanted):
        at = f"line_items[{number}]"
        product = products.get(identifier)
        if product is None or not product.active or identifier in seen:
            raise ParameterInvalid(
                "The shop does not sell this, or it is named twice.", param=f"{at}[product]"
            )
        if not 1 <= quantity <= QUANTITY_MAX:
            raise ParameterInvalid(
                "1 to {most} of a product are bought at once.",
                param=f"{at}[quantity]",
                most=QUANTITY_MAX,
            )
        if product.stock is not None and product.stock < quantity:
            raise UnexpectedState("Of one of these fewer are left. Look again.")
        seen.add(identifier)
        cart.append((product, quantity))
    return cart


def unpaid_max(cart: Sequence[tuple[Product, int]]) -> int:
    """How many purchases like this one visitor may begin and leave unpaid: few where, by many of
    them, a product would have hardly any pieces left."""
    is_scarce = any(
        product.stock is not None and product.stock - quantity * UNPAID_OF_PLENTY_MAX < SCARCE_BELOW
        for product, quantity in cart
    )
    return UNPAID_MAX if is_scarce else UNPAID_OF_PLENTY_MAX


def lines_of(cart: Sequence[tuple[Product, int]]) -> list[Line]:
    """A cart as the lines of a checkout session."""
    return [Line(product.name, product.price, quantity) for product, quantity in cart]


def documents_of(cart: Sequence[tuple[Product, int]]) -> list[dict[str, Any]]:
    """A cart as it is kept with its purchase."""
    return [
        {
            "product": product.id,
            "name": product.name,
            "amount": product.price,
            "quantity": quantity,
        }
        for product, quantity in cart
    ]


def public(shop: Shop, *, public_url: str) -> dict[str, Any]:
    """The API's object ``shop``, for its merchant and the operator."""
    return {
        "id": shop.id,
        "object": "shop",
        "account": shop.account_id,
        "category": shop.category,
        "created": int(shop.created.timestamp()),
        "currency": shop.currency,
        "description": shop.description,
        "digest": digest_of(shop),
        "handle": shop.handle,
        "indexed": shop.is_indexed,
        "livemode": shop.livemode,
        "metadata": shop.metadata,
        "name": shop.name,
        "open": shop.is_open,
        "review": shop.review,
        "review_note": shop.review_note,
        "url": public_url + page_path(shop.handle),
    }


def public_product(product: Product, *, public_url: str) -> dict[str, Any]:
    """The API's object ``product``."""
    digest = product.picture_hash
    return {
        "id": product.id,
        "object": "product",
        "active": product.active,
        "created": int(product.created.timestamp()),
        "currency": product.currency,
        "description": product.description,
        "livemode": product.livemode,
        "metadata": product.metadata,
        "name": product.name,
        "picture_url": None if digest is None else public_url + picture_path(digest),
        "price": product.price,
        "price_decimal": money.format_decimal(product.price, product.decimals),
        "shop": product.shop,
        "stock": product.stock,
        "tax_text": product.tax_text,
    }


def public_purchase(purchase: Purchase, *, url: str | None = None) -> dict[str, Any]:
    """The API's object ``purchase``; ``url`` is told to who begins it."""
    return {
        "id": purchase.id,
        "object": "purchase",
        "amount": purchase.amount,
        "amount_decimal": money.format_decimal(purchase.amount, purchase.decimals),
        "buyer": purchase.buyer,
        "checkout_session": purchase.checkout_session,
        "created": int(purchase.created.timestamp()),
        "currency": purchase.currency,
        "line_items": purchase.lines,
        "livemode": purchase.livemode,
        "metadata": purchase.metadata,
        "payment_intent": purchase.payment_intent,
        "shop": purchase.shop,
        "short": purchase.is_short,
        "status": purchase.status,
        "url": url,
    }


def _reviewed(shop: Shop, review: Review, note: str | None, by: str | None) -> Shop:
    return replace(shop, review=review.value, review_note=note, reviewed_by=by)
