"""Networks: the chains that money may travel on, in the key's mode."""

from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import ListParameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core.errors import ResourceMissing
from sakk.core.network import DepositMethod, public_network
from sakk.store import network as store
from sakk.store.page import page_of

resource = Resource("networks")


class Token(Shape):
    """A token that is listed on a network."""

    asset: str
    currency: str
    symbol: str
    contract: str
    decimals: int
    payin_enabled: bool
    payout_enabled: bool
    payout_minimum: str


class NetworkShape(Shape):
    """A chain, by its CAIP-2 name."""

    id: str
    object: Literal["network"]
    network: str
    name: str
    family: str
    livemode: Livemode
    enabled: bool
    confirmations: int
    block_seconds: int
    head_block_number: int | None
    native_asset: str
    tokens: list[Token]
    deposit_method: Annotated[
        DepositMethod | None,
        Field(description="Which addresses are given out from now on; the operator's alone."),
    ]
    deposit_factory: Annotated[
        str | None, Field(description="Whose clones they are; the operator's alone.")
    ]
    created: Created
    metadata: ObjectMetadata


@resource.get("/v1/networks", returns=Page[NetworkShape], operation="list_networks")
def list_networks(context: Context, query: ListParameters) -> Listing:
    """List the networks of the key's mode."""
    data, has_more = page_of(_documents(context), query.page())
    return Listing(data=data, has_more=has_more)


@resource.get("/v1/networks/{network}", returns=NetworkShape, operation="retrieve_network")
def retrieve(context: Context, network: str) -> Document:
    """Retrieve a network by its CAIP-2 name."""
    for document in _documents(context):
        if document["id"] == network:
            return document
    raise ResourceMissing(f"No such network: {network!r}", param="network")


def _documents(context: Context) -> list[Document]:
    assets = store.list_assets(context.connection)
    heads = {
        cursor.network: cursor.head_number for cursor in store.list_cursors(context.connection)
    }
    return [
        public_network(
            network,
            assets,
            head_number=heads.get(network.network),
            operator=context.is_operator,
        )
        for network in store.list_networks(context.connection, livemode=context.livemode)
    ]
