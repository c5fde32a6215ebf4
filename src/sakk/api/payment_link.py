"""Payment links: an address that many people pay at, in Stripe's shape."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.line_items import ItemShape, LineItem, LineItems, currency_of, listed, read_lines
from sakk.api.parameters import ListParameters, LongText, Metadata, Parameters, Strict
from sakk.api.payment import PaymentMethodOptions
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import payment_link as rules
from sakk.core.checkout_session import Line, check_url, total_of
from sakk.core.errors import ParameterInvalid
from sakk.core.metadata import merge
from sakk.core.money import UNITS_MAX
from sakk.core.payment_link import PaymentLink
from sakk.flow import payment_link as flow
from sakk.store import payment_link as store
from sakk.store.page import fetch_page

resource = Resource("payment_links")

USES_MAX = 1_000_000


class Redirect(Strict):
    """Where a payer goes who has paid."""

    url: LongText


class Confirmation(Strict):
    """What a payer reads who has paid."""

    custom_message: LongText | None = None


class AfterCompletion(Strict):
    """What follows when it is paid: the page stays, or a way back is offered."""

    type: Literal["hosted_confirmation", "redirect"]
    hosted_confirmation: Confirmation | None = None
    redirect: Redirect | None = None


class CompletedSessions(Strict):
    """How many may pay."""

    limit: Annotated[int, Field(ge=1, le=USES_MAX)]


class Restrictions(Strict):
    """How often a link may be used."""

    completed_sessions: CompletedSessions


class PaymentLinkChanges(Parameters):
    """What may change afterwards."""

    active: bool | None = None
    after_completion: AfterCompletion | None = None
    inactive_message: LongText | None = None
    metadata: Metadata | None = None
    restrictions: Restrictions | None = None


class PaymentLinkCreate(PaymentLinkChanges):
    """What is asked for. One line with ``custom_unit_amount`` lets the payer choose the amount."""

    application_fee_amount: Annotated[
        int | None,
        Field(
            ge=0,
            le=UNITS_MAX,
            description="What the platform that asks takes of each payment. Else by its rules.",
        ),
    ] = None
    line_items: LineItems
    payment_method_options: PaymentMethodOptions | None = None
    payment_method_types: list[Literal["crypto"]] | None = None


class PaymentLinkUpdate(PaymentLinkChanges):
    """What changes."""


class PaymentLinkListParameters(ListParameters):
    """Which links."""

    active: bool | None = None


class LinkLineListParameters(ListParameters):
    """Which lines: always all of them."""


class RedirectShape(Shape):
    """Where a payer goes who has paid."""

    url: str


class ConfirmationShape(Shape):
    """What a payer reads who has paid."""

    custom_message: str | None


class AfterCompletionShape(Shape):
    """What follows when it is paid."""

    type: Literal["hosted_confirmation", "redirect"]
    hosted_confirmation: ConfirmationShape | None
    redirect: RedirectShape | None


class CustomAmountShape(Shape):
    """The payer chooses, within these."""

    maximum: int | None
    minimum: int | None
    preset: int | None


class CompletedSessionsShape(Shape):
    """How many have paid, of how many that may."""

    count: int
    limit: int


class RestrictionsShape(Shape):
    """How often a link may be used."""

    completed_sessions: CompletedSessionsShape


class PaymentLinkShape(Shape):
    """An address that many people pay at."""

    id: str
    object: Literal["payment_link"]
    active: bool
    after_completion: AfterCompletionShape
    amount: int | None
    application: Annotated[str | None, Field(description="The platform that takes a fee of each.")]
    application_fee_amount: Annotated[
        int | None, Field(description="What it takes of each; null: what its rules say.")
    ]
    created: Created
    currency: str
    custom_unit_amount: CustomAmountShape | None
    inactive_message: str | None
    livemode: Livemode
    metadata: ObjectMetadata
    payment_method_types: list[Literal["crypto"]]
    restrictions: RestrictionsShape | None
    url: str


@resource.post("/v1/payment_links", returns=PaymentLinkShape, operation="create_payment_link")
def create(context: Context, body: PaymentLinkCreate) -> Document:
    """Make a link; whoever opens its ``url`` begins a checkout session."""
    priced = _priced(body.line_items)
    options = (body.payment_method_options or PaymentMethodOptions()).crypto
    coins = None if options is None else options.currencies
    link = PaymentLink(
        id=context.object_id(rules.PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        token_hash="",
        active=body.active is not False,
        currency=currency_of(body.line_items),
        decimals=0,
        networks=None if options is None else options.networks,
        currencies=None if coins is None else [each.lower() for each in coins],
        uses_max=None,
        uses=0,
        success_url=None,
        message=None,
        inactive_message=body.inactive_message,
        metadata=merge({}, body.metadata or {}),
        created=context.now,
        application=_application(context, body.application_fee_amount, priced),
        **priced,
    )
    made = flow.create(
        context.connection,
        context.catalogue,
        context.parts.secrets_vault(),
        _changed(link, body),
        public_url=context.settings.public_url,
        now=context.now,
        request_id=context.request_id,
    )
    return _shown(context, made)


@resource.get("/v1/payment_links", returns=Page[PaymentLinkShape], operation="list_payment_links")
def list_payment_links(context: Context, query: PaymentLinkListParameters) -> Listing:
    """List the links, newest first."""
    rows, has_more = fetch_page(
        context.connection,
        store.payment_links,
        PaymentLink,
        account_id=context.account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=[] if query.active is None else [store.payment_links.c.active.is_(query.active)],
    )
    return Listing(data=[_shown(context, row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/payment_links/{payment_link}",
    returns=PaymentLinkShape,
    operation="retrieve_payment_link",
)
def retrieve(context: Context, payment_link: str) -> Document:
    """Retrieve a link."""
    return _shown(context, _found(context, payment_link))


@resource.post(
    "/v1/payment_links/{payment_link}",
    returns=PaymentLinkShape,
    operation="update_payment_link",
)
def update(context: Context, payment_link: str, body: PaymentLinkUpdate) -> Document:
    """Switch a link on or off, limit it, or change what follows. Sessions that are open go on."""
    changed = flow.change(
        context.connection,
        context.parts.secrets_vault(),
        payment_link,
        lambda link: _changed(link, body),
        account_id=context.account_id,
        livemode=context.livemode,
        public_url=context.settings.public_url,
        now=context.now,
        request_id=context.request_id,
    )
    return _shown(context, changed)


@resource.get(
    "/v1/payment_links/{payment_link}/line_items",
    returns=Page[ItemShape],
    operation="list_payment_link_line_items",
)
def list_lines(context: Context, payment_link: str, query: LinkLineListParameters) -> Listing:
    """List what is bought; all of it is on the first page."""
    return listed(list(rules.public_lines(_found(context, payment_link))))


def _priced(items: list[LineItem]) -> dict[str, Any]:
    """The fields of a link that say what it costs."""
    first = items[0].price_data
    custom = first.custom_unit_amount
    if custom is not None and not custom.enabled:
        raise ParameterInvalid(
            "It is true, or left out.",
            param="line_items[0][price_data][custom_unit_amount][enabled]",
        )
    if custom is None:
        lines, _ = read_lines(items)
        bounds = dict.fromkeys(("amount_min", "amount_max", "amount_preset"))
        return {"lines": [line.document() for line in lines], "amount": total_of(lines), **bounds}
    if len(items) > 1 or first.unit_amount is not None or items[0].quantity != 1:
        raise ParameterInvalid(
            "A payer chooses the amount of one line alone, of which there is one and whose price "
            "is not fixed.",
            param="line_items",
        )
    given = {
        "amount_min": custom.minimum,
        "amount_max": custom.maximum,
        "amount_preset": custom.preset,
    }
    rules.check_bounds(**given)
    return {"lines": [Line(first.product_data.name, 0, 1).document()], "amount": None, **given}


def _application(
    context: Context, amount: int | None, priced: dict[str, Any]
) -> dict[str, Any] | None:
    """Which platform takes what of each payment: at most its part of the least that one is of."""
    least = priced["amount"] if priced["amount"] is not None else priced["amount_min"]
    if amount is not None and least is None:
        raise ParameterInvalid(
            "Payers choose the amount: name the smallest"
            " (line_items[0][price_data][custom_unit_amount][minimum]), or let the platform's rules"
            " say what it takes.",
            param="application_fee_amount",
        )
    application = context.application(amount, of=least or 0, param="application_fee_amount")
    return None if application is None else application.document()


def _changed(link: PaymentLink, body: PaymentLinkChanges) -> PaymentLink:
    """A link with what was sent."""
    after = link
    if body.active is not None:
        after = replace(after, active=body.active)
    if "inactive_message" in body.model_fields_set:
        after = replace(after, inactive_message=body.inactive_message)
    if "metadata" in body.model_fields_set:
        after = replace(after, metadata=merge(after.metadata, body.metadata))
    if "restrictions" in body.model_fields_set:
        limit = body.restrictions
        most = None if limit is None else limit.completed_sessions.limit
        after = replace(after, uses_max=most)
    following = body.after_completion
    if following is not None and following.type == "redirect":
        if following.redirect is None:
            raise ParameterInvalid("Say where to: url.", param="after_completion[redirect][url]")
        url = check_url(following.redirect.url, "after_completion[redirect][url]")
        after = replace(after, success_url=url, message=None)
    elif following is not None:
        told = following.hosted_confirmation
        message = None if told is None else told.custom_message
        after = replace(after, success_url=None, message=message)
    return after


def _found(context: Context, link: str) -> PaymentLink:
    found = store.find(
        context.connection, link, account_id=context.account_id, livemode=context.livemode
    )
    if found is None:
        raise flow.missing(link)
    return found


def _shown(context: Context, link: PaymentLink) -> Document:
    return flow.show(context.parts.secrets_vault(), link, public_url=context.settings.public_url)
