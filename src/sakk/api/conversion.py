"""Conversions: a price is asked for, held for a while, and converted by."""

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
from sakk.core import conversion as rules
from sakk.core.errors import ResourceMissing
from sakk.core.metadata import merge
from sakk.flow import conversion as flow
from sakk.store import conversion as store
from sakk.store.page import fetch_page, page_of

resource = Resource("conversions")
quotes = Resource("conversion_quotes")
positions = Resource("fx_positions")


class ConversionQuoteCreate(Parameters):
    """What is to be converted. `fixed` says which side `amount` is of: with `target` so much comes
    out of it."""

    source_currency: CurrencyCode
    target_currency: CurrencyCode
    amount: Amount
    fixed: Literal["source", "target"] = "source"
    metadata: Metadata | None = None


class ConversionQuoteListParameters(ListParameters):
    """Which quotes."""

    status: Literal["held", "used", "expired"] | None = None


class ConversionCreate(Parameters):
    """By which quote."""

    quote: Identifier
    metadata: Metadata | None = None


class _AmountsShape(Shape):
    account: str
    created: Created
    id: str
    livemode: Livemode
    metadata: ObjectMetadata
    price: Annotated[str, Field(description="Of the target, for one whole unit of the source.")]
    service_fee: Annotated[int, Field(description="Of the source, on top of its amount.")]
    service_fee_decimal: str
    source_amount: int
    source_amount_decimal: str
    source_currency: str
    spread: Annotated[int, Field(description="Of the target: what the price is below the bid.")]
    spread_decimal: str
    target_amount: int
    target_amount_decimal: str
    target_currency: str
    usd_cents: int


class ConversionQuoteShape(_AmountsShape):
    """A price that is held until `expires_at`, for one conversion."""

    object: Literal["conversion_quote"]
    ask: Annotated[str, Field(description="The market's.")]
    bid: Annotated[str, Field(description="The market's.")]
    expires_at: int
    conversion: Annotated[str | None, Field(description="What it was used for.")]
    path: list[str]
    rated_at: Annotated[int, Field(description="Of the oldest word that counts.")]
    sources: list[str]
    status: rules.QuoteStatus


class ConversionShape(_AmountsShape):
    """What one currency became of another, exactly as its quote had promised."""

    object: Literal["conversion"]
    failure_code: str | None
    quote: str
    status: Literal["requested", "posted", "rejected"]


class FxPositionShape(Shape):
    """What exchanges left the operator with in a currency: above zero it is long of it."""

    id: Annotated[str, Field(description="The currency.")]
    object: Literal["fx_position"]
    amount: int
    amount_decimal: str
    created: Created
    currency: str
    livemode: Livemode
    metadata: ObjectMetadata
    usd_cents: Annotated[int | None, Field(description="At the market's mid; null: not known.")]


@quotes.post(
    "/v1/conversion_quotes", returns=ConversionQuoteShape, operation="create_conversion_quote"
)
def create_quote(context: Context, body: ConversionQuoteCreate) -> Document:
    """Ask for a price; what it promises holds until it expires, for one conversion."""
    made = flow.quote(
        context.connection,
        flow.Wish(
            source_currency=body.source_currency.lower(),
            target_currency=body.target_currency.lower(),
            amount=body.amount,
            fixed=body.fixed,
            metadata=merge({}, body.metadata or {}),
        ),
        identifier=context.object_id(rules.QUOTE_PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
    )
    return rules.public_quote(made, used_by=None, now=context.now)


@quotes.get(
    "/v1/conversion_quotes",
    returns=Page[ConversionQuoteShape],
    operation="list_conversion_quotes",
)
def list_quotes(context: Context, query: ConversionQuoteListParameters) -> Listing:
    """List the quotes of conversions, newest first: those that nobody accepted too."""
    wanted = None if query.status is None else rules.QuoteStatus(query.status)
    rows, has_more = fetch_page(
        context.connection,
        store.conversion_quotes,
        rules.ConversionQuote,
        account_id=context.account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=[] if wanted is None else [store.quote_is(wanted, context.now)],
    )
    used = store.used_by(context.connection, [row.id for row in rows])
    data = [rules.public_quote(row, used_by=used.get(row.id), now=context.now) for row in rows]
    return Listing(data=data, has_more=has_more)


@quotes.get(
    "/v1/conversion_quotes/{conversion_quote}",
    returns=ConversionQuoteShape,
    operation="retrieve_conversion_quote",
)
def retrieve_quote(context: Context, conversion_quote: str) -> Document:
    """Retrieve the quote of a conversion."""
    found = store.find_quote(
        context.connection,
        conversion_quote,
        account_id=context.account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing(f"No such conversion_quote: {conversion_quote!r}.", param="id")
    used = store.find_by_quote(context.connection, found.id)
    return rules.public_quote(found, used_by=used, now=context.now)


@resource.post(
    "/v1/conversions", returns=ConversionShape, operation="create_conversion", two_steps=True
)
def create(context: Context, body: ConversionCreate) -> Document:
    """Convert by a quote, at once. A quote is used once, before it expires."""
    made = flow.create(
        context.parts,
        body.quote,
        identifier=context.object_id(rules.PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        metadata=merge({}, body.metadata or {}),
        request_id=context.request_id,
    )
    return rules.public(made)


@resource.get("/v1/conversions", returns=Page[ConversionShape], operation="list_conversions")
def list_conversions(context: Context, query: ListParameters) -> Listing:
    """List the conversions, newest first."""
    rows, has_more = fetch_page(
        context.connection,
        store.conversions,
        rules.Conversion,
        account_id=context.account_id,
        livemode=context.livemode,
        page=query.page(),
    )
    return Listing(data=[rules.public(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/conversions/{conversion}", returns=ConversionShape, operation="retrieve_conversion"
)
def retrieve(context: Context, conversion: str) -> Document:
    """Retrieve a conversion."""
    found = flow.retrieve(
        context.connection, conversion, account_id=context.account_id, livemode=context.livemode
    )
    return rules.public(found)


@positions.get(
    "/v1/fx_positions",
    returns=Page[FxPositionShape],
    operation="list_fx_positions",
    operator_only=True,
)
def list_positions(context: Context, query: ListParameters) -> Listing:
    """List what exchanges left open in each currency, valued at the market now."""
    found = flow.positions(context.connection, livemode=context.livemode, now=context.now)
    documents = [
        rules.public_position(each, livemode=context.livemode, now=context.now) for each in found
    ]
    data, has_more = page_of(documents, query.page())
    return Listing(data=data, has_more=has_more)
