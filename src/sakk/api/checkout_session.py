"""Checkout sessions: a page on which a payment is made, in Stripe's shape."""

from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.customer import expand_customers
from sakk.api.gift_card import Code, GiftCardMovementShape
from sakk.api.line_items import ItemShape, LineItems, listed, read_lines
from sakk.api.parameters import (
    Identifier,
    ListParameters,
    LongText,
    Metadata,
    Parameters,
    ShortText,
    Strict,
    Timestamp,
    moment,
)
from sakk.api.payment import PaymentMethodOptions, expand_payment_intents
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import checkout_session as rules
from sakk.core import gift_card as gift_cards
from sakk.core.checkout_session import CheckoutSession, check_url, total_of
from sakk.core.errors import ParameterInvalid
from sakk.core.metadata import merge
from sakk.core.money import UNITS_MAX
from sakk.core.payment import PaymentIntent
from sakk.flow import checkout_session as flow
from sakk.flow import gift_card_payment
from sakk.flow.gift_card import Of
from sakk.flow.payment import PaymentRequest
from sakk.pages.language import LANGUAGES
from sakk.store import checkout_session as store
from sakk.store.page import fetch_page

resource = Resource(
    "checkout_sessions",
    expands={"customer": expand_customers, "payment_intent": expand_payment_intents},
)


class PaymentIntentData(Strict):
    """What the payment intent of the session says."""

    description: LongText | None = None
    metadata: Metadata | None = None
    application_fee_amount: Annotated[
        int | None,
        Field(ge=0, le=UNITS_MAX, description="What the platform that asks takes of it."),
    ] = None


class CheckoutSessionCreate(Parameters):
    """A page to be paid on. Addresses are https://… and may hold {CHECKOUT_SESSION_ID}."""

    line_items: LineItems
    mode: Literal["payment"] = "payment"
    ui_mode: Literal["hosted"] = "hosted"
    success_url: LongText | None = None
    cancel_url: LongText | None = None
    client_reference_id: ShortText | None = None
    customer: Identifier | None = None
    expires_at: Timestamp | None = None
    locale: ShortText | None = None
    metadata: Metadata | None = None
    payment_intent_data: PaymentIntentData | None = None
    payment_method_options: PaymentMethodOptions | None = None
    payment_method_types: list[Literal["crypto"]] | None = None


class CheckoutSessionUpdate(Parameters):
    """What is only the merchant's note."""

    metadata: Metadata | None = None


class CheckoutSessionExpire(Parameters):
    """Nothing is said."""


class GiftCardApply(Parameters):
    """The code that stands on a gift card."""

    code: Code


class CheckoutSessionListParameters(ListParameters):
    """Which sessions."""

    payment_intent: Identifier | None = None
    payment_link: Identifier | None = None


class LineListParameters(ListParameters):
    """Which lines: always all of them."""


class CheckoutSessionShape(Shape):
    """A page on which one payment intent is paid; ``url`` is there while it is open."""

    id: str
    object: Literal["checkout.session"]
    amount_subtotal: int
    amount_total: int
    amount_total_decimal: str
    cancel_url: str | None
    client_reference_id: str | None
    created: Created
    currency: str
    customer: str | Document | None
    expires_at: int
    livemode: Livemode
    locale: str | None
    metadata: ObjectMetadata
    mode: Literal["payment"]
    payment_intent: str | Document
    payment_link: str | None
    payment_method_types: list[Literal["crypto"]]
    payment_status: Literal["paid", "unpaid"]
    pos_device: str | None
    status: Literal["open", "complete", "expired"]
    success_url: str | None
    ui_mode: Literal["hosted"]
    url: str | None


@resource.post(
    "/v1/checkout/sessions", returns=CheckoutSessionShape, operation="create_checkout_session"
)
def create(context: Context, body: CheckoutSessionCreate) -> Document:
    """Make a page to be paid on; send the payer to its ``url``."""
    lines, currency = read_lines(body.line_items)
    options = (body.payment_method_options or PaymentMethodOptions()).crypto
    about = body.payment_intent_data or PaymentIntentData()
    coins = None if options is None else options.currencies
    session, intent = flow.create(
        context.connection,
        context.catalogue,
        context.parts.secrets_vault(),
        flow.SessionRequest(
            payment=PaymentRequest(
                amount=total_of(lines),
                currency=currency,
                networks=None if options is None else options.networks,
                currencies=None if coins is None else [each.lower() for each in coins],
                customer=body.customer,
                description=about.description,
                metadata=merge({}, about.metadata or {}),
                expires_at=moment(body.expires_at),
                application=context.application(
                    about.application_fee_amount,
                    of=total_of(lines),
                    param="payment_intent_data[application_fee_amount]",
                ),
            ),
            lines=lines,
            success_url=_url(body.success_url, "success_url"),
            cancel_url=_url(body.cancel_url, "cancel_url"),
            client_reference_id=body.client_reference_id,
            locale=read_locale(body.locale),
            metadata=merge({}, body.metadata or {}),
        ),
        identifier=context.object_id(rules.PREFIX),
        intent_id=context.object_id("pi"),
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
        request_id=context.request_id,
    )
    return _shown(context, session, intent)


@resource.get(
    "/v1/checkout/sessions",
    returns=Page[CheckoutSessionShape],
    operation="list_checkout_sessions",
)
def list_checkout_sessions(context: Context, query: CheckoutSessionListParameters) -> Listing:
    """List the sessions, newest first."""
    columns = store.checkout_sessions.c
    filters = []
    if query.payment_intent is not None:
        filters.append(columns.payment_intent == query.payment_intent)
    if query.payment_link is not None:
        filters.append(columns.payment_link == query.payment_link)
    rows, has_more = fetch_page(
        context.connection,
        store.checkout_sessions,
        CheckoutSession,
        account_id=context.account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    shown = flow.show(
        context.connection,
        context.parts.secrets_vault(),
        rows,
        public_url=context.settings.public_url,
    )
    return Listing(data=shown, has_more=has_more)


@resource.get(
    "/v1/checkout/sessions/{checkout_session}",
    returns=CheckoutSessionShape,
    operation="retrieve_checkout_session",
)
def retrieve(context: Context, checkout_session: str) -> Document:
    """Retrieve a session."""
    return _shown(context, *_found(context, checkout_session))


@resource.post(
    "/v1/checkout/sessions/{checkout_session}",
    returns=CheckoutSessionShape,
    operation="update_checkout_session",
)
def update(context: Context, checkout_session: str, body: CheckoutSessionUpdate) -> Document:
    """Change the metadata."""
    session, intent = _found(context, checkout_session)
    if "metadata" in body.model_fields_set:
        session, intent = flow.annotate(
            context.connection,
            session.id,
            merge(session.metadata, body.metadata),
            account_id=context.account_id,
            livemode=context.livemode,
        )
    return _shown(context, session, intent)


@resource.post(
    "/v1/checkout/sessions/{checkout_session}/expire",
    returns=CheckoutSessionShape,
    operation="expire_checkout_session",
)
def expire(context: Context, checkout_session: str, body: CheckoutSessionExpire) -> Document:
    """Call an open session off that nobody has begun to pay; its addresses stay watched."""
    session, intent = flow.expire(
        context.connection,
        checkout_session,
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
        request_id=context.request_id,
    )
    return _shown(context, session, intent)


@resource.post(
    "/v1/checkout/sessions/{checkout_session}/gift_cards",
    returns=GiftCardMovementShape,
    operation="apply_gift_card",
    two_steps=True,
)
def apply_gift_card(context: Context, checkout_session: str, body: GiftCardApply) -> Document:
    """Let a gift card pay what is due, or as much as it has; the rest is paid another way.

    Its movement is `held` until the rest is there, and then posted with it.
    """
    with context.database.begin() as connection:
        _, intent = flow.find(
            connection,
            checkout_session,
            account_id=context.account_id,
            livemode=context.livemode,
        )
    movement = gift_card_payment.apply(
        context.parts,
        intent.id,
        body.code,
        guessers=(context.account_id, intent.id),
        of=Of(
            account_id=context.account_id,
            livemode=context.livemode,
            movement_id=context.object_id(gift_cards.MOVEMENT_PREFIX),
            request_id=context.request_id,
            actor=context.actor,
        ),
    )
    return gift_cards.public_movement(movement)


@resource.post(
    "/v1/checkout/sessions/{checkout_session}/gift_cards/{gift_card_movement}/remove",
    returns=CheckoutSessionShape,
    operation="remove_gift_card",
)
def remove_gift_card(context: Context, checkout_session: str, gift_card_movement: str) -> Document:
    """Take a gift card off a session again, as long as it has not paid."""
    _, intent = _found(context, checkout_session)
    gift_card_payment.take_off(context.connection, intent.id, gift_card_movement)
    return _shown(context, *_found(context, checkout_session))


@resource.get(
    "/v1/checkout/sessions/{checkout_session}/line_items",
    returns=Page[ItemShape],
    operation="list_checkout_session_line_items",
)
def list_lines(context: Context, checkout_session: str, query: LineListParameters) -> Listing:
    """List what is bought; all of it is on the first page."""
    return listed(rules.public_lines(*_found(context, checkout_session)))


def read_locale(locale: str | None) -> str | None:
    """A language that the pages speak, or None for the payer's own; ParameterInvalid."""
    if locale is None or locale == "auto":
        return None
    if locale not in LANGUAGES:
        raise ParameterInvalid(f"locale is auto, or one of {', '.join(LANGUAGES)}.", param="locale")
    return locale


def _url(url: str | None, param: str) -> str | None:
    if url is not None:
        check_url(url.replace(rules.ID_MARK, "ID"), param)
    return url


def _found(context: Context, session: str) -> tuple[CheckoutSession, PaymentIntent]:
    return flow.find(
        context.connection, session, account_id=context.account_id, livemode=context.livemode
    )


def _shown(context: Context, session: CheckoutSession, intent: PaymentIntent) -> Document:
    token = flow.token_of(context.parts.secrets_vault(), session.id)
    return rules.public(session, intent, url=context.settings.public_url + rules.page_path(token))
