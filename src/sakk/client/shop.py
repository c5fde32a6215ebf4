"""The mall: shops, what they sell, and purchases.

shop = sakk.shops.create(name="Tea house", handle="tea-house", currency="usd")
sakk.products.create(shop=shop.id, name="Oolong tea, 100 g", price=1_250, stock=40)
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

import msgspec

from sakk.client.endpoint import ListOptions, Retrievable, present
from sakk.client.objects import Resource
from sakk.client.page import Page


class Shop(Resource, frozen=True, kw_only=True):
    """A shop; seen by people when it is `open` and its `review` is `approved`."""

    account: str
    category: str
    currency: str
    digest: str
    handle: str
    name: str
    open: bool
    review: str
    url: str
    description: str | None = None
    indexed: bool = False
    review_note: str | None = None


class Product(Resource, frozen=True, kw_only=True):
    """What a shop sells; `stock` None: any number."""

    active: bool
    currency: str
    name: str
    price: int
    shop: str
    description: str | None = None
    picture_url: str | None = None
    price_decimal: str | None = None
    stock: int | None = None
    tax_text: str | None = None


class PurchaseLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a purchase, at the price that it was bought at."""

    product: str
    name: str
    amount: int
    quantity: int


class Purchase(Resource, frozen=True, kw_only=True):
    """What somebody bought; `url` is told once, to who begins it."""

    amount: int
    checkout_session: str
    currency: str
    line_items: tuple[PurchaseLine, ...]
    payment_intent: str
    shop: str
    status: str
    amount_decimal: str | None = None
    buyer: str | None = None
    short: bool = False
    url: str | None = None


class Shops(Retrievable[Shop]):
    """Shops of the account; the operator's key sees and judges all."""

    root = "/v1/shops"
    kind = Shop

    def create(
        self,
        *,
        name: str,
        handle: str,
        currency: str,
        category: str | None = None,
        description: str | None = None,
        indexed: bool | None = None,
        open: bool | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Shop:
        """Make a shop, which the operator approves."""
        body = present(
            {
                "name": name,
                "handle": handle,
                "currency": currency,
                "category": category,
                "description": description,
                "indexed": indexed,
                "open": open,
                "metadata": metadata,
            }
        )
        return self._post(Shop, self.root, body, idempotency_key)

    def update(self, id: str, *, idempotency_key: str | None = None, **changes: Any) -> Shop:
        """Change what is given, under the API's names."""
        return self._post(Shop, self._path(id), changes, idempotency_key)

    def approve(self, id: str, *, digest: str, idempotency_key: str | None = None) -> Shop:
        """Let people see it; the operator's key. ``digest``: the shop's, as it was looked at."""
        return self._post(Shop, self._path(id, "approve"), {"digest": digest}, idempotency_key)

    def refuse(
        self, id: str, *, note: str, digest: str | None = None, idempotency_key: str | None = None
    ) -> Shop:
        """Show it to nobody, and say why; the operator's key."""
        body = present({"note": note, "digest": digest})
        return self._post(Shop, self._path(id, "refuse"), body, idempotency_key)

    def list(self, *, review: str | None = None, **options: Unpack[ListOptions]) -> Page[Shop]:
        """Shops, newest first."""
        return self._list(self.root, Shop, {"review": review, **options})


class Products(Retrievable[Product]):
    """What the account's shops sell."""

    root = "/v1/products"
    kind = Product

    def create(
        self,
        *,
        shop: str,
        name: str,
        price: int,
        description: str | None = None,
        tax_text: str | None = None,
        stock: int | None = None,
        picture: str | None = None,
        active: bool | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Product:
        """Put something into a shop; `picture` is a PNG in base64."""
        body = present(
            {
                "shop": shop,
                "name": name,
                "price": price,
                "description": description,
                "tax_text": tax_text,
                "stock": stock,
                "picture": picture,
                "active": active,
                "metadata": metadata,
            }
        )
        return self._post(Product, self.root, body, idempotency_key)

    def update(self, id: str, *, idempotency_key: str | None = None, **changes: Any) -> Product:
        """Change what is given, under the API's names; None takes away."""
        return self._post(Product, self._path(id), changes, idempotency_key)

    def list(
        self,
        *,
        shop: str | None = None,
        active: bool | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[Product]:
        """Products, newest first."""
        return self._list(self.root, Product, {"shop": shop, "active": active, **options})


class Purchases(Retrievable[Purchase]):
    """Purchases at the account's shops, and those that it began."""

    root = "/v1/purchases"
    kind = Purchase

    def create(
        self,
        *,
        shop: str,
        line_items: Sequence[Mapping[str, Any]],
        locale: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Purchase:
        """Begin a purchase; it is paid at its `url`, or by `transfers.pay_checkout`."""
        body = present(
            {
                "shop": shop,
                "line_items": [dict(each) for each in line_items],
                "locale": locale,
                "metadata": metadata,
            }
        )
        return self._post(Purchase, self.root, body, idempotency_key)

    def list(
        self,
        *,
        shop: str | None = None,
        status: str | None = None,
        direction: Literal["incoming", "outgoing"] | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[Purchase]:
        """Purchases, newest first."""
        filters = {"shop": shop, "status": status, "direction": direction}
        return self._list(self.root, Purchase, {**filters, **options})
