"""Currencies: the units of account, and the tokens that carry them."""

from typing import Literal

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import ListParameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, ObjectMetadata, Page, Shape
from sakk.core.errors import ResourceMissing
from sakk.core.network import public_currency
from sakk.store import network as store
from sakk.store.page import page_of

resource = Resource("currencies")


class UsdRate(Shape):
    """US dollars for one whole unit, as an exact ratio."""

    numerator: str
    denominator: str


class CurrencyShape(Shape):
    """A unit of account with a fixed number of decimals."""

    id: str
    object: Literal["currency"]
    name: str
    kind: Literal["fiat", "coin"]
    decimals: int
    usd_rate: UsdRate | None
    assets: list[str]
    created: Created
    livemode: bool
    metadata: ObjectMetadata


@resource.get("/v1/currencies", returns=Page[CurrencyShape], operation="list_currencies")
def list_currencies(context: Context, query: ListParameters) -> Listing:
    """List the currencies."""
    found = _documents(context)
    data, has_more = page_of(found, query.page())
    return Listing(data=data, has_more=has_more)


@resource.get("/v1/currencies/{currency}", returns=CurrencyShape, operation="retrieve_currency")
def retrieve(context: Context, currency: str) -> Document:
    """Retrieve a currency by its code."""
    for document in _documents(context):
        if document["id"] == currency:
            return document
    raise ResourceMissing(f"No such currency: {currency!r}", param="currency")


def _documents(context: Context) -> list[Document]:
    """Every currency, with the tokens of the key's mode."""
    networks = {
        network.network
        for network in store.list_networks(context.connection, livemode=context.livemode)
    }
    assets = [asset for asset in store.list_assets(context.connection) if asset.network in networks]
    return [
        {**public_currency(currency, assets), "livemode": context.livemode}
        for currency in store.list_currencies(context.connection)
    ]
