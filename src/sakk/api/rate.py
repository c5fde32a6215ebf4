"""Rates: what one currency is worth in another now, and whose word that is."""

from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import CurrencyCode, ListParameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import rate as rules
from sakk.core.errors import ResourceMissing
from sakk.flow import rate as flow
from sakk.store.page import page_of

resource = Resource("rates")


class RateListParameters(ListParameters):
    """Which rates: of all pairs that are known directly, or of one base currency in all others."""

    base: CurrencyCode | None = None


class RateShape(Shape):
    """A price, in the quote currency for one whole unit of the base, as exact decimals.

    `bid` is given for it, `ask` is asked. `created` is the time of the oldest word that counts.
    """

    id: Annotated[str, Field(description="The pair, as `usdc-eur`.")]
    object: Literal["rate"]
    ask: str
    base: str
    bid: str
    created: Created
    livemode: Livemode
    metadata: ObjectMetadata
    mid: str
    path: Annotated[list[str], Field(description="The currencies that it was crossed over.")]
    quote: str
    sources: Annotated[
        list[str], Field(description="`configured`: what the operator wrote with the currency.")
    ]
    stopped_on: Annotated[
        str | None, Field(description="The currency by which nothing is converted at it now.")
    ]


@resource.get("/v1/rates", returns=Page[RateShape], operation="list_rates")
def list_rates(context: Context, query: RateListParameters) -> Listing:
    """List the rates that are known now."""
    market = flow.read_market(context.connection, now=context.now)
    if query.base is None:
        found = list(market.known)
    else:
        base = query.base.lower()
        others = sorted({name for each in market.known for name in each.path} - {base})
        rated = (market.find(base, quote) for quote in others)
        found = [each for each in rated if each is not None]
    documents = [
        rules.public(each, livemode=context.livemode, stopped=market.stopped_on(each))
        for each in sorted(found, key=lambda each: (each.base, each.quote))
    ]
    data, has_more = page_of(documents, query.page())
    return Listing(data=data, has_more=has_more)


@resource.get("/v1/rates/{rate}", returns=RateShape, operation="retrieve_rate")
def retrieve(context: Context, rate: str) -> Document:
    """Retrieve the rate of a pair, as `usdc-eur`, crossed over others where nobody quotes it."""
    market = flow.read_market(context.connection, now=context.now)
    try:
        found = market.find(*rules.pair_of(rate))
    except ValueError:
        found = None
    if found is None:
        raise ResourceMissing(
            f"No rate is known for {rate!r} now. GET /v1/rates lists those that are.", param="id"
        )
    return rules.public(found, livemode=context.livemode, stopped=market.stopped_on(found))
