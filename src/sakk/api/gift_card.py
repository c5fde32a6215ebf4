"""Gift cards: issued, looked up by their code, redeemed, given back to, frozen and replaced."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from sakk.api.context import Context, Document, Listing, ShownOnce
from sakk.api.parameters import (
    Amount,
    CurrencyCode,
    Identifier,
    ListParameters,
    LongText,
    Metadata,
    Parameters,
    Timestamp,
    moment,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import gift_card as rules
from sakk.core import money
from sakk.core.errors import ResourceMissing
from sakk.core.gift_card import GiftCardStatus, MovementKind, Redeemable
from sakk.core.metadata import merge
from sakk.flow import gift_card as flow
from sakk.store import account
from sakk.store import gift_card as store
from sakk.store.page import fetch_page

resource = Resource("gift_cards")
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Code = Annotated[str, StringConstraints(min_length=1, max_length=60)]


class GiftCardCreate(Parameters):
    """What the card is worth, paid from the account's balance, and its terms."""

    amount: Amount
    currency: CurrencyCode
    redeemable: Literal["issuer", "holder"] = "issuer"
    country: Country | None = None
    expires_at: Timestamp | None = None
    active: bool = True
    metadata: Metadata | None = None


class GiftCardListParameters(ListParameters):
    """Which cards."""

    status: GiftCardStatus | None = None


class GiftCardLookup(Parameters):
    """The code that stands on a card."""

    code: Code


class GiftCardRedeem(Parameters):
    """The code, and how much of the card; all that is left when it is left out."""

    code: Code
    amount: Amount | None = None
    description: LongText | None = None
    metadata: Metadata | None = None


class GiftCardRefund(Parameters):
    """How much of a redemption goes back to its card; all that is left of it when left out."""

    amount: Amount | None = None


class GiftCardMovementListParameters(ListParameters):
    """Which movements."""

    kind: MovementKind | None = None
    gift_card: Identifier | None = None


class GiftCardShape(Shape):
    """A gift card, as its issuer sees it."""

    id: str
    object: Literal["gift_card"]
    account: str
    amount: Annotated[int, Field(description="What it was issued with.")]
    balance: int
    balance_decimal: str
    batch: Annotated[str | None, Field(description="With which others it was issued.")]
    code: Annotated[str | None, Field(description="Shown once, where a card is made.")]
    country: str | None
    created: Created
    currency: str
    expires_at: Annotated[int | None, Field(description="Null: never.")]
    hint: Annotated[str, Field(description="The last characters of the code.")]
    livemode: Livemode
    metadata: ObjectMetadata
    redeemable: Literal["issuer", "holder"]
    replaces: str | None
    status: Literal["requested", "inactive", "active", "frozen", "replaced", "rejected"]


class GiftCardStandingShape(Shape):
    """What who knows a code may know of the card."""

    object: Literal["gift_card_standing"]
    balance: int
    balance_decimal: str
    currency: str
    expires_at: int | None
    issuer: str | None
    livemode: Livemode
    redeemable: Literal["issuer", "holder"]
    status: Literal["requested", "inactive", "active", "frozen", "replaced", "rejected"]


class GiftCardMovementShape(Shape):
    """Money onto a card or off it, and the account on the other side."""

    id: str
    object: Literal["gift_card_movement"]
    account: str
    amount: int
    amount_decimal: str
    created: Created
    currency: str
    description: str | None
    failure_code: str | None
    gift_card: str
    kind: Literal["issue", "redeem", "refund", "replacement", "lapse"]
    livemode: Livemode
    metadata: ObjectMetadata
    other: Annotated[
        str | None, Field(description="The card that replaces it, or what a refund gives back.")
    ]
    payment_intent: Annotated[str | None, Field(description="The payment that it is for.")]
    status: Literal["requested", "held", "posted", "rejected", "released"]


class OutstandingShape(Shape):
    """One currency of what is outstanding."""

    cards: int
    currency: str
    expired: Annotated[int, Field(description="The part of it whose cards have expired.")]
    outstanding: int
    outstanding_decimal: str


class GiftCardLiabilityShape(Shape):
    """What the account's cards are still worth: owed until it is redeemed."""

    object: Literal["gift_card_liability"]
    data: list[OutstandingShape]
    livemode: Livemode


@resource.post(
    "/v1/gift_cards", returns=GiftCardShape, operation="create_gift_card", two_steps=True
)
def create(context: Context, body: GiftCardCreate) -> ShownOnce:
    """Issue a gift card: what it is worth leaves the balance, and its code is shown once."""
    card, code = flow.issue(
        context.parts,
        flow.Issue(
            amount=body.amount,
            currency=body.currency.lower(),
            redeemable=Redeemable(body.redeemable),
            country=body.country,
            expires_at=moment(body.expires_at),
            active=body.active,
            metadata=merge({}, body.metadata or {}),
        ),
        identifier=context.object_id(rules.PREFIX),
        of=_of(context),
    )
    return _shown_once(card, code)


@resource.get("/v1/gift_cards", returns=Page[GiftCardShape], operation="list_gift_cards")
def list_gift_cards(context: Context, query: GiftCardListParameters) -> Listing:
    """List the cards that the account has issued, newest first; the operator's key: of all."""
    filters: list[Any] = []
    if query.status is not None:
        filters.append(store.gift_cards.c.status == query.status.value)
    rows, has_more = fetch_page(
        context.connection,
        store.gift_cards,
        rules.GiftCard,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=[rules.public(row) for row in rows], has_more=has_more)


@resource.get("/v1/gift_cards/{gift_card}", returns=GiftCardShape, operation="retrieve_gift_card")
def retrieve(context: Context, gift_card: str) -> Document:
    """Retrieve a card that the account has issued."""
    found = store.find(
        context.connection,
        gift_card,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing(f"No such gift card: {gift_card!r}", param="id")
    return rules.public(found)


@resource.post(
    "/v1/gift_cards/{gift_card}/activate", returns=GiftCardShape, operation="activate_gift_card"
)
def activate(context: Context, gift_card: str) -> Document:
    """Let a card that was issued inactive be redeemed."""
    return rules.public(
        flow.activate(
            context.connection,
            gift_card,
            account_id=context.account_id,
            livemode=context.livemode,
            now=context.now,
        )
    )


@resource.post(
    "/v1/gift_cards/{gift_card}/freeze", returns=GiftCardShape, operation="freeze_gift_card"
)
def freeze(context: Context, gift_card: str) -> Document:
    """Stop a card that is lost: nothing is redeemed of it."""
    return rules.public(
        flow.stop(
            context.connection,
            gift_card,
            account_id=context.account_id,
            livemode=context.livemode,
            now=context.now,
        )
    )


@resource.post(
    "/v1/gift_cards/{gift_card}/unfreeze", returns=GiftCardShape, operation="unfreeze_gift_card"
)
def unfreeze(context: Context, gift_card: str) -> Document:
    """Let a card that was found be redeemed again."""
    return rules.public(
        flow.let_go(
            context.connection,
            gift_card,
            account_id=context.account_id,
            livemode=context.livemode,
            now=context.now,
        )
    )


@resource.post(
    "/v1/gift_cards/{gift_card}/replace",
    returns=GiftCardShape,
    operation="replace_gift_card",
    two_steps=True,
)
def replace(context: Context, gift_card: str) -> ShownOnce:
    """Make another card for a frozen one, with all that is left of it; its code is shown once."""
    card, code = flow.substitute(
        context.parts,
        gift_card,
        new_id=context.object_id(rules.PREFIX),
        of=_of(context),
    )
    return _shown_once(card, code)


@resource.lookup(
    "/v1/gift_cards/lookup", returns=GiftCardStandingShape, operation="look_up_gift_card"
)
def look_up(context: Context, body: GiftCardLookup) -> Document:
    """Say what is left of a card, to who knows its code. Wrong codes make the guesser wait."""
    card = flow.look_up(context.parts, body.code, context.account_id, livemode=context.livemode)
    with context.database.begin() as connection:
        issuer = account.find_account(connection, card.account_id)
    return rules.public_for_holder(card, None if issuer is None else issuer.name)


@resource.post(
    "/v1/gift_cards/redeem",
    returns=GiftCardMovementShape,
    operation="redeem_gift_card",
    two_steps=True,
)
def redeem(context: Context, body: GiftCardRedeem) -> Document:
    """Take what is left of a card, or a part, onto the account's balance."""
    return rules.public_movement(
        flow.redeem(
            context.parts,
            body.code,
            body.amount,
            of=_of(context),
            description=body.description,
            metadata=merge({}, body.metadata or {}),
        )
    )


@resource.get(
    "/v1/gift_card_movements",
    returns=Page[GiftCardMovementShape],
    operation="list_gift_card_movements",
)
def list_movements(context: Context, query: GiftCardMovementListParameters) -> Listing:
    """List what cards moved to and from the account's balance, newest first."""
    filters: list[Any] = []
    if query.kind is not None:
        filters.append(store.gift_card_movements.c.kind == query.kind.value)
    if query.gift_card is not None:
        filters.append(store.gift_card_movements.c.card == query.gift_card)
    rows, has_more = fetch_page(
        context.connection,
        store.gift_card_movements,
        rules.GiftCardMovement,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=[rules.public_movement(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/gift_card_movements/{gift_card_movement}",
    returns=GiftCardMovementShape,
    operation="retrieve_gift_card_movement",
)
def retrieve_movement(context: Context, gift_card_movement: str) -> Document:
    """Retrieve a movement to or from the account's balance."""
    found = store.find_movement(
        context.connection,
        gift_card_movement,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing(f"No such movement: {gift_card_movement!r}", param="id")
    return rules.public_movement(found)


@resource.post(
    "/v1/gift_card_movements/{gift_card_movement}/refund",
    returns=GiftCardMovementShape,
    operation="refund_gift_card",
    two_steps=True,
)
def refund(context: Context, gift_card_movement: str, body: GiftCardRefund) -> Document:
    """Give a redemption back to its card, or a part of it."""
    return rules.public_movement(
        flow.refund(context.parts, gift_card_movement, body.amount, of=_of(context))
    )


@resource.get(
    "/v1/gift_card_liability",
    returns=GiftCardLiabilityShape,
    operation="retrieve_gift_card_liability",
)
def liability(context: Context) -> Document:
    """State what the account's cards are still worth; the operator's key: those of all."""
    found = store.outstanding(
        context.connection,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        now=context.now,
    )
    return {
        "object": "gift_card_liability",
        "data": [
            {
                "cards": each.cards,
                "currency": each.currency,
                "expired": each.expired,
                "outstanding": each.outstanding,
                "outstanding_decimal": money.format_decimal(each.outstanding, each.decimals),
            }
            for each in found
        ],
        "livemode": context.livemode,
    }


def _of(context: Context) -> flow.Of:
    return flow.Of(
        account_id=context.account_id,
        livemode=context.livemode,
        movement_id=context.object_id(rules.MOVEMENT_PREFIX),
        request_id=context.request_id,
        actor=context.actor,
    )


def _shown_once(card: rules.GiftCard, code: str) -> ShownOnce:
    shown = rules.public(card)
    return ShownOnce(document={**shown, "code": code}, stored=shown)
