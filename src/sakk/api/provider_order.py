"""Provider orders: payouts to banks that a provider carries out, and what it asks of us."""

import base64
from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Identifier, ListParameters, LongText, Parameters, ShortText
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import provider_order as rules
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.person import OPERATOR
from sakk.core.provider_order import ProviderOrder
from sakk.flow import provider_order as flow
from sakk.store import provider_order as store
from sakk.store.page import fetch_page

resource = Resource("provider_orders")

# A file of four megabytes in base64, and a little beside it.
BODY_BYTES_MAX = 6 << 20


class ProviderOrderListParameters(ListParameters):
    """Which orders."""

    payout: Identifier | None = None
    status: (
        Literal["new", "locked", "placing", "placed", "information_required", "paid", "failed"]
        | None
    ) = None


class ProviderOrderAnswer(Parameters):
    """What an officer answers; ``file`` where the provider asks for a document."""

    question: ShortText
    text: LongText
    file: Annotated[str | None, Field(description="Its bytes in base64.")] = None
    file_name: ShortText = "document"


class ProviderQuestionShape(Shape):
    """What a provider asks."""

    id: str
    text: str
    wants_file: bool
    asked_at: int
    answer: Annotated[str | None, Field(description="The answer's id, once there is one.")]
    refusal: Annotated[
        str | None, Field(description="Why the provider did not take the last answer.")
    ]


class ProviderOrderShape(Shape):
    """One order at a provider: a payout's."""

    id: str
    object: Literal["provider_order"]
    account: str
    amount: int
    amount_decimal: str
    bank_account: str
    created: Created
    currency: str
    ended_at: int | None
    fee: Annotated[int, Field(description="What it takes besides, of the operator's.")]
    livemode: Livemode
    metadata: ObjectMetadata
    payment: str
    payout: str
    provider: str
    questions: list[ProviderQuestionShape]
    quote: str | None
    quote_expires_at: int | None
    reason: Annotated[str | None, Field(description="Why it failed, or waits.")]
    reason_code: str | None
    reference: Annotated[str | None, Field(description="The provider's own.")]
    round: Annotated[int, Field(description="Which quote it is tried with.")]
    status: rules.ProviderOrderStatus


@resource.get(
    "/v1/provider_orders",
    returns=Page[ProviderOrderShape],
    operation="list_provider_orders",
    operator_only=True,
)
def list_provider_orders(context: Context, query: ProviderOrderListParameters) -> Listing:
    """List the orders at providers, newest first."""
    c = store.provider_orders.c
    told = {"payout": query.payout, "status": query.status}
    rows, has_more = fetch_page(
        context.connection,
        store.provider_orders,
        ProviderOrder,
        account_id=None,
        livemode=context.livemode,
        page=query.page(),
        filters=[c[name] == value for name, value in told.items() if value is not None],
    )
    return Listing(data=[rules.public(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/provider_orders/{provider_order}",
    returns=ProviderOrderShape,
    operation="retrieve_provider_order",
    operator_only=True,
)
def retrieve(context: Context, provider_order: str) -> Document:
    """Retrieve an order, with all that the provider has asked."""
    found = store.find(context.connection, provider_order, livemode=context.livemode)
    if found is None:
        raise ResourceMissing(f"No such provider order: {provider_order!r}", param="id")
    return rules.public(found)


@resource.post(
    "/v1/provider_orders/{provider_order}/answer",
    returns=ProviderOrderShape,
    operation="answer_provider_order",
    operator_only=True,
    body_bytes_max=BODY_BYTES_MAX,
    takes_file=True,
)
def answer(context: Context, provider_order: str, body: ProviderOrderAnswer) -> Document:
    """Answer what the provider asks: it is sent a moment later, and once. A file is kept sealed."""
    file = None
    if body.file is not None:
        try:
            file = (body.file_name, base64.b64decode(body.file, validate=True))
        except ValueError:
            raise ParameterInvalid("file is no base64.", param="file") from None
    row = flow.answer(
        context.connection,
        provider_order,
        answer_id=context.object_id(rules.ANSWER_PREFIX),
        question=body.question,
        text=body.text,
        file=file,
        by=context.caller.key.person or OPERATOR,
        livemode=context.livemode,
        vault=context.parts.secrets_vault(),
        now=context.now,
    )
    return rules.public(row)
