"""Payment intents: a merchant asks to be paid, in Stripe's shape for crypto deposits."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.customer import expand_customers
from sakk.api.parameters import (
    Amount,
    CurrencyCode,
    Identifier,
    ListParameters,
    LongText,
    Metadata,
    Parameters,
    Strict,
    Timestamp,
    moment,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import payment as rules
from sakk.core.errors import ResourceMissing
from sakk.core.metadata import merge
from sakk.core.money import UNITS_MAX
from sakk.flow import payment as flow
from sakk.store import payment as store
from sakk.store.page import fetch_page

resource = Resource("payment_intents", expands={"customer": expand_customers})

NAMES_MAX = 50
CancellationReason = Literal["duplicate", "fraudulent", "requested_by_customer", "abandoned"]
Names = Annotated[list[Identifier], Field(min_length=1, max_length=NAMES_MAX)]


class CryptoOptions(Strict):
    """Which networks (CAIP-2) and coins may pay; all that are enabled when left out."""

    networks: Names | None = None
    currencies: Names | None = None
    mode: Literal["deposit"] | None = None


class PaymentMethodOptions(Strict):
    """Options by kind of payment method."""

    crypto: CryptoOptions | None = None


class PaymentMethodData(Strict):
    """What the client library sends along when it confirms at once."""

    type: Literal["crypto"]


class PaymentIntentCreate(Parameters):
    """A request to be paid."""

    amount: Amount
    currency: CurrencyCode
    payment_method_types: (
        Annotated[list[Literal["crypto"]], Field(min_length=1, max_length=1)] | None
    ) = None
    payment_method_options: PaymentMethodOptions | None = None
    payment_method_data: PaymentMethodData | None = None
    confirm: bool | None = None
    customer: Identifier | None = None
    description: LongText | None = None
    metadata: Metadata | None = None
    expires_at: Timestamp | None = None
    application_fee_amount: Annotated[
        int | None,
        Field(ge=0, le=UNITS_MAX, description="What the platform that asks takes of it."),
    ] = None


class PaymentIntentUpdate(Parameters):
    """What is only the merchant's note."""

    description: LongText | None = None
    metadata: Metadata | None = None


class PaymentIntentCancel(Parameters):
    """Why it is called off."""

    cancellation_reason: CancellationReason | None = None


class PaymentIntentListParameters(ListParameters):
    """Which payment intents."""

    customer: Identifier | None = None
    status: rules.PaymentStatus | None = None


class SupportedToken(Shape):
    """A token that pays: ``amount`` in its atomic units, ``uri`` by EIP-681."""

    token_currency: str
    token_contract_address: str
    asset: str
    decimals: int
    amount: str
    amount_decimal: str
    uri: str


class DepositAddress(Shape):
    """Where to pay on one network."""

    address: str
    supported_tokens: list[SupportedToken]


class CryptoDisplayDetails(Shape):
    """By CAIP-2 network."""

    deposit_addresses: dict[str, DepositAddress]


class NextAction(Shape):
    """What the payer does next."""

    type: Literal["crypto_display_details"]
    crypto_display_details: CryptoDisplayDetails


class PaymentIntentShape(Shape):
    """A request to be paid, and what has arrived for it."""

    id: str
    object: Literal["payment_intent"]
    amount: int
    amount_decimal: str
    amount_credited: Annotated[
        int, Field(description="What of amount_received gift cards and accounts here paid.")
    ]
    amount_credited_decimal: str
    amount_received: int
    amount_received_decimal: str
    amount_refunded: int
    amount_refunded_decimal: str
    amount_status: Literal["exact", "under", "over"] | None
    application: Annotated[str | None, Field(description="The platform that asked for it.")]
    application_fee_amount: Annotated[
        int | None, Field(description="What it takes; null: by its rules.")
    ]
    canceled_at: int | None
    cancellation_reason: str | None
    created: Created
    currency: str
    customer: str | Document | None
    description: str | None
    expires_at: int
    livemode: Livemode
    metadata: ObjectMetadata
    next_action: NextAction | None
    payment_method_types: list[Literal["crypto"]]
    status: Literal["requires_action", "processing", "succeeded", "canceled", "expired"]
    succeeded_at: int | None
    timing: Literal["on_time", "late"] | None


@resource.post("/v1/payment_intents", returns=PaymentIntentShape, operation="create_payment_intent")
def create(context: Context, body: PaymentIntentCreate) -> Document:
    """Ask to be paid.

    The answer carries a fresh deposit address and, for every network and token that may pay, the
    exact amount and an EIP-681 URI. The rate is locked until the payment intent expires.
    """
    options = (body.payment_method_options or PaymentMethodOptions()).crypto or CryptoOptions()
    intent = flow.create(
        context.connection,
        context.catalogue,
        flow.PaymentRequest(
            amount=body.amount,
            currency=body.currency.lower(),
            networks=options.networks,
            currencies=None
            if options.currencies is None
            else [currency.lower() for currency in options.currencies],
            customer=body.customer,
            description=body.description,
            metadata=merge({}, body.metadata or {}),
            expires_at=moment(body.expires_at),
            application=context.application(
                body.application_fee_amount, of=body.amount, param="application_fee_amount"
            ),
        ),
        identifier=context.object_id("pi"),
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
        request_id=context.request_id,
    )
    return rules.public(intent)


@resource.get(
    "/v1/payment_intents", returns=Page[PaymentIntentShape], operation="list_payment_intents"
)
def list_payment_intents(context: Context, query: PaymentIntentListParameters) -> Listing:
    """List the payment intents, newest first."""
    columns = store.payment_intents.c
    filters = []
    if query.customer is not None:
        filters.append(columns.customer == query.customer)
    if query.status is not None:
        filters.append(columns.status == query.status.value)
    rows, has_more = fetch_page(
        context.connection,
        store.payment_intents,
        rules.PaymentIntent,
        account_id=context.account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=[rules.public(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/payment_intents/{payment_intent}",
    returns=PaymentIntentShape,
    operation="retrieve_payment_intent",
)
def retrieve(context: Context, payment_intent: str) -> Document:
    """Retrieve a payment intent."""
    return rules.public(_found(context, payment_intent))


@resource.post(
    "/v1/payment_intents/{payment_intent}",
    returns=PaymentIntentShape,
    operation="update_payment_intent",
)
def update(context: Context, payment_intent: str, body: PaymentIntentUpdate) -> Document:
    """Change the description and the metadata."""
    current = _found(context, payment_intent)
    changed = flow.change(
        context.connection,
        payment_intent,
        account_id=context.account_id,
        livemode=context.livemode,
        description=body.description,
        metadata=merge(current.metadata, body.metadata)
        if "metadata" in body.model_fields_set
        else None,
        now=context.now,
        request_id=context.request_id,
    )
    return rules.public(changed)


@resource.post(
    "/v1/payment_intents/{payment_intent}/cancel",
    returns=PaymentIntentShape,
    operation="cancel_payment_intent",
)
def cancel(context: Context, payment_intent: str, body: PaymentIntentCancel) -> Document:
    """Cancel a payment intent that nobody has begun to pay; its address stays watched."""
    canceled = flow.cancel(
        context.connection,
        payment_intent,
        account_id=context.account_id,
        livemode=context.livemode,
        reason=body.cancellation_reason,
        now=context.now,
        request_id=context.request_id,
    )
    return rules.public(canceled)


def expand_payment_intents(context: Context, ids: Sequence[str]) -> Mapping[str, Document]:
    """The payment intents behind ids, for ``expand[]=payment_intent`` on other objects."""
    found = [
        store.find(
            context.connection,
            identifier,
            account_id=context.account_id,
            livemode=context.livemode,
        )
        for identifier in ids
    ]
    return {intent.id: rules.public(intent) for intent in found if intent is not None}


def _found(context: Context, payment_intent: str) -> rules.PaymentIntent:
    intent = store.find(
        context.connection,
        payment_intent,
        account_id=context.account_id,
        livemode=context.livemode,
    )
    if intent is None:
        raise ResourceMissing(f"No such payment_intent: {payment_intent!r}", param="id")
    return intent
