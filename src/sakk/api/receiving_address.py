"""Receiving addresses: where an account is paid at any time, by whoever."""

from typing import Literal

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Identifier, ListParameters, Parameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core.receiving_address import PREFIX, ReceivingAddress
from sakk.flow import receiving_address as flow
from sakk.store import receiving_address as store
from sakk.store.page import fetch_page

resource = Resource("receiving_addresses")


class ReceivingAddressCreate(Parameters):
    """On which network, by its CAIP-2 name."""

    network: Identifier


class ReceivingAddressListParameters(ListParameters):
    """Which addresses."""

    network: Identifier | None = None


class SignedDomain(Shape):
    """Name and version by which a token's signed messages are separated (EIP-712)."""

    name: str
    version: str


class ReceivedToken(Shape):
    """A token that is credited when it arrives."""

    token_currency: str
    token_contract_address: str
    asset: str
    decimals: int
    eip712: SignedDomain | None


class ReceivingAddressShape(Shape):
    """An account's own address on a network, for ever: the ``payTo`` of what it sells."""

    id: str
    object: Literal["receiving_address"]
    account: str
    address: str
    created: Created
    livemode: Livemode
    metadata: ObjectMetadata
    network: str
    supported_tokens: list[ReceivedToken]


@resource.post(
    "/v1/receiving_addresses", returns=ReceivingAddressShape, operation="create_receiving_address"
)
def create(context: Context, body: ReceivingAddressCreate) -> Document:
    """Have the account's address on a network; asked for again, it is the same."""
    row = flow.obtain(
        context.connection,
        identifier=context.object_id(PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        name=body.network,
        now=context.now,
    )
    return flow.show(context.connection, [row])[0]


@resource.get(
    "/v1/receiving_addresses",
    returns=Page[ReceivingAddressShape],
    operation="list_receiving_addresses",
)
def list_receiving_addresses(context: Context, query: ReceivingAddressListParameters) -> Listing:
    """List the account's addresses, newest first."""
    columns = store.receiving_addresses.c
    rows, has_more = fetch_page(
        context.connection,
        store.receiving_addresses,
        ReceivingAddress,
        account_id=context.account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=[] if query.network is None else [columns.network == query.network],
    )
    return Listing(data=flow.show(context.connection, rows), has_more=has_more)
