"""Customers: each with a permanent deposit address."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import RootModel

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import ListParameters, LongText, Metadata, Parameters, ShortText
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core.customer import PREFIX
from sakk.flow import customer as flow
from sakk.store import customer as store

resource = Resource("customers")


class CustomerParameters(Parameters):
    """The details of a customer."""

    name: ShortText | None = None
    email: ShortText | None = None
    description: LongText | None = None
    metadata: Metadata | None = None


class CustomerListParameters(ListParameters):
    """Which customers."""

    email: ShortText | None = None


class DepositToken(Shape):
    """A token that is credited when it arrives."""

    token_currency: str
    token_contract_address: str
    asset: str
    decimals: int


class DepositAddress(Shape):
    """Where the customer pays on one network, at any time."""

    address: str
    supported_tokens: list[DepositToken]


class CustomerShape(Shape):
    """A payer that comes back."""

    id: str
    object: Literal["customer"]
    name: str | None
    email: str | None
    description: str | None
    crypto_deposit_addresses: dict[str, DepositAddress]
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


class DeletedCustomer(Shape):
    """What is left of a deleted customer."""

    id: str
    object: Literal["customer"]
    deleted: Literal[True]


class AnyCustomer(RootModel[CustomerShape | DeletedCustomer]):
    """A customer, or what is left of it."""


@resource.post("/v1/customers", returns=CustomerShape, operation="create_customer")
def create(context: Context, body: CustomerParameters) -> Document:
    """Create a customer and issue its deposit address."""
    return flow.create(
        context.connection,
        customer_id=context.object_id(PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
        request_id=context.request_id,
        details={name: getattr(body, name) for name in flow.DETAILS},
        metadata=body.metadata or {},
    )


@resource.get("/v1/customers", returns=Page[CustomerShape], operation="list_customers")
def list_customers(context: Context, query: CustomerListParameters) -> Listing:
    """List the customers, newest first; deleted ones are left out."""
    rows, has_more = store.list_customers(
        context.connection,
        query.page(),
        account_id=context.account_id,
        livemode=context.livemode,
        email=query.email,
    )
    return Listing(data=flow.show(context.connection, rows), has_more=has_more)


@resource.get("/v1/customers/{customer}", returns=AnyCustomer, operation="retrieve_customer")
def retrieve(context: Context, customer: str) -> Document:
    """Retrieve a customer; a deleted one says only that it is."""
    found = store.find_customer(
        context.connection, customer, account_id=context.account_id, livemode=context.livemode
    )
    if found is None:
        raise flow.missing(customer)
    return flow.show(context.connection, [found])[0]


@resource.post("/v1/customers/{customer}", returns=CustomerShape, operation="update_customer")
def update(context: Context, customer: str, body: CustomerParameters) -> Document:
    """Change a customer's details; what is not sent stays, what is empty is unset."""
    return flow.update(
        context.connection,
        customer,
        body.given(*flow.DETAILS, "metadata"),
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
        request_id=context.request_id,
    )


@resource.delete("/v1/customers/{customer}", returns=DeletedCustomer, operation="delete_customer")
def delete(context: Context, customer: str) -> Document:
    """Delete a customer. Money that arrives at its address later is still credited."""
    return flow.delete(
        context.connection,
        customer,
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
        request_id=context.request_id,
    )


def expand_customers(context: Context, ids: Sequence[str]) -> Mapping[str, Document]:
    """The customers behind ids, for ``expand[]=customer`` on other objects."""
    found = store.find_customers(
        context.connection, ids, account_id=context.account_id, livemode=context.livemode
    )
    return {document["id"]: document for document in flow.show(context.connection, found)}
