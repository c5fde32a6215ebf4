"""Gift cards by the thousand: issued in one call, their codes handed out once."""

from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing, ShownOnce
from sakk.api.gift_card import Country
from sakk.api.parameters import (
    Amount,
    CurrencyCode,
    ListParameters,
    Metadata,
    NoParameters,
    Parameters,
    Strict,
    Timestamp,
    moment,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import gift_card_batch as rules
from sakk.core.errors import ResourceMissing
from sakk.core.gift_card import Redeemable
from sakk.core.gift_card_batch import GiftCardBatch, Kind
from sakk.core.metadata import merge
from sakk.flow import gift_card_batch as flow
from sakk.flow.gift_card import Issue, Of
from sakk.store import gift_card_batch as store
from sakk.store.page import fetch_page

resource = Resource("gift_cards")


class CardsOfOneWorth(Strict):
    """So many cards of one worth."""

    amount: Amount
    count: Annotated[int, Field(ge=1, le=rules.CARDS_MAX)] = 1


class GiftCardBatchCreate(Parameters):
    """What is issued, paid from the account's balance, and the terms of every card."""

    cards: Annotated[list[CardsOfOneWorth], Field(min_length=1, max_length=rules.LINES_MAX)]
    currency: CurrencyCode
    redeemable: Literal["issuer", "holder"] = "issuer"
    country: Country | None = None
    expires_at: Timestamp | None = None
    active: bool = True
    metadata: Metadata | None = None


class GiftCardBatchListParameters(ListParameters):
    """Which batches: all of them."""


class GiftCardBatchShape(Shape):
    """Cards that were issued together."""

    id: str
    object: Literal["gift_card_batch"]
    active: bool
    amount: Annotated[int, Field(description="Of all cards together.")]
    amount_decimal: str
    cards: int
    codes_taken_at: Annotated[int | None, Field(description="When the codes were handed out.")]
    created: Created
    currency: str
    livemode: Livemode
    metadata: ObjectMetadata
    rejected: Annotated[int, Field(description="How many the balance did not cover.")]
    status: Literal["requested", "posted"]


class GiftCardCodesShape(Shape):
    """The codes of a batch, as a file: once."""

    object: Literal["gift_card_codes"]
    batch: str
    file: Annotated[
        str | None,
        Field(description="CSV: gift_card, code, amount, currency, expires_at. Null in a replay."),
    ]
    livemode: Livemode


@resource.post(
    "/v1/gift_card_batches",
    returns=GiftCardBatchShape,
    operation="create_gift_card_batch",
    two_steps=True,
)
def create(context: Context, body: GiftCardBatchCreate) -> Document:
    """Issue up to 10,000 gift cards at once; nothing is issued where the balance covers not all."""
    terms = Issue(
        amount=0,
        currency=body.currency.lower(),
        redeemable=Redeemable(body.redeemable),
        country=body.country,
        expires_at=moment(body.expires_at),
        active=body.active,
        metadata=merge({}, body.metadata or {}),
    )
    made = flow.issue(
        context.parts,
        flow.Batch([Kind(each.amount, each.count) for each in body.cards], terms),
        identifier=context.object_id(rules.PREFIX),
        of=_of(context),
    )
    return rules.public(made)


@resource.get(
    "/v1/gift_card_batches",
    returns=Page[GiftCardBatchShape],
    operation="list_gift_card_batches",
)
def list_batches(context: Context, query: GiftCardBatchListParameters) -> Listing:
    """List the batches that the account has issued, newest first; the operator's key: of all."""
    rows, has_more = fetch_page(
        context.connection,
        store.gift_card_batches,
        GiftCardBatch,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=[],
    )
    return Listing(data=[rules.public(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/gift_card_batches/{gift_card_batch}",
    returns=GiftCardBatchShape,
    operation="retrieve_gift_card_batch",
)
def retrieve(context: Context, gift_card_batch: str) -> Document:
    """Retrieve a batch of cards."""
    found = store.find(
        context.connection,
        gift_card_batch,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing(f"No such batch of gift cards: {gift_card_batch!r}", param="id")
    return rules.public(found)


@resource.post(
    "/v1/gift_card_batches/{gift_card_batch}/codes",
    returns=GiftCardCodesShape,
    operation="take_gift_card_codes",
    two_steps=True,
)
def take_codes(context: Context, gift_card_batch: str, body: NoParameters) -> ShownOnce:
    """Take the codes of a batch, once: again within ten minutes, if the answer broke off."""
    batch, file = flow.codes(context.parts, gift_card_batch, of=_of(context))
    shown = {
        "object": "gift_card_codes",
        "batch": batch.id,
        "file": None,
        "livemode": batch.livemode,
    }
    return ShownOnce(document={**shown, "file": file}, stored=shown)


def _of(context: Context) -> Of:
    return Of(
        account_id=context.account_id,
        livemode=context.livemode,
        movement_id="",
        request_id=context.request_id,
        actor=context.actor,
    )
