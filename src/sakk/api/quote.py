"""Quotes: what the network takes for a payout, promised for a while."""

from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import (
    Amount,
    CurrencyCode,
    Identifier,
    ListParameters,
    Metadata,
    Parameters,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import quote as rules
from sakk.core.metadata import merge
from sakk.flow import quote as flow
from sakk.flow.payout import read_terms
from sakk.store import quote as store
from sakk.store.page import fetch_page

resource = Resource("quotes")


class QuoteCreate(Parameters):
    """What is to be paid out, and where."""

    kind: Literal["payout"] = "payout"
    network: Identifier
    currency: CurrencyCode
    amount: Annotated[
        Amount | None,
        Field(description="Of what: then what the fee schedule charges is promised too."),
    ] = None
    metadata: Metadata | None = None


class QuoteShape(Shape):
    """A fee in the currency's smallest unit, promised until ``expires_at``.

    ``fee`` is what the account is charged, ``network_fee`` what the network takes.
    """

    id: str
    object: Literal["quote"]
    amount: int | None
    asset: str
    created: Created
    currency: str
    expires_at: int
    fee: int
    fee_decimal: str
    gas: int
    gas_price: str
    kind: Literal["payout"]
    livemode: Livemode
    metadata: ObjectMetadata
    network: str
    network_fee: int
    network_fee_decimal: str
    service_fee: Annotated[
        int | None,
        Field(description="What the fee schedule charges for a payout of this amount, on top."),
    ]
    service_fee_decimal: str | None


@resource.post("/v1/quotes", returns=QuoteShape, operation="create_quote")
def create(context: Context, body: QuoteCreate) -> Document:
    """Ask what a payout of a currency on a network costs.

    Named in a payout's `quote` before it expires, its `fee` is what the payout is charged, and of
    a payout of the same `amount` its `service_fee` too.
    """
    made = flow.create(
        context.connection,
        network_name=body.network,
        currency=body.currency.lower(),
        terms=read_terms(
            context.connection,
            account_id=context.account_id,
            livemode=context.livemode,
            now=context.now,
        ),
        identifier=context.object_id(rules.PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        metadata=merge({}, body.metadata or {}),
        now=context.now,
        amount=body.amount,
    )
    return rules.public(made)


@resource.get("/v1/quotes", returns=Page[QuoteShape], operation="list_quotes")
def list_quotes(context: Context, query: ListParameters) -> Listing:
    """List the quotes, newest first."""
    rows, has_more = fetch_page(
        context.connection,
        store.quotes,
        rules.Quote,
        account_id=context.account_id,
        livemode=context.livemode,
        page=query.page(),
    )
    return Listing(data=[rules.public(row) for row in rows], has_more=has_more)


@resource.get("/v1/quotes/{quote}", returns=QuoteShape, operation="retrieve_quote")
def retrieve(context: Context, quote: str) -> Document:
    """Retrieve a quote."""
    found = flow.retrieve(
        context.connection, quote, account_id=context.account_id, livemode=context.livemode
    )
    return rules.public(found)
