"""Payins: the transfers that were seen on a rail."""

from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.customer import expand_customers
from sakk.api.parameters import Identifier, ListParameters
from sakk.api.payment import expand_payment_intents
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import evm
from sakk.core import payin as rules
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.flow.case_alone import release_payin
from sakk.store import payin as store
from sakk.store.page import fetch_page

resource = Resource(
    "payins",
    expands={"customer": expand_customers, "payment_intent": expand_payment_intents},
)


class PayinListParameters(ListParameters):
    """Which payins. A merchant asks for held ones as ``under_review``."""

    payment_intent: Identifier | None = None
    customer: Identifier | None = None
    network: Identifier | None = None
    asset: Identifier | None = None
    address: Identifier | None = None
    tx_hash: Identifier | None = None
    status: rules.PayInStatus | Literal["under_review", "declined"] | None = None


class PayinShape(Shape):
    """One transfer, with where it stands on its chain. Token amounts in atomic units."""

    id: str
    object: Literal["payin"]
    account: str | None
    address: str
    amount: int | None
    amount_decimal: str | None
    asset: str
    block_hash: str
    block_number: int
    block_timestamp: int
    created: Created
    currency: str | None
    customer: str | Document | None
    application_fee: Annotated[int, Field(description="What a platform takes of it.")]
    fee: Annotated[int, Field(description="What its account is charged for it.")]
    fee_returned: Annotated[
        int,
        Field(description="What of it goes back at once, where its payment was refunded before."),
    ]
    livemode: Livemode
    log_index: int
    metadata: ObjectMetadata
    network: str
    payment_intent: str | Document | None
    reason: str | None
    role: str | None
    screening: str | None
    sender: str
    status: str
    suspense_units: str | None
    token_amount: str
    tx_hash: str


@resource.get("/v1/payins", returns=Page[PayinShape], operation="list_payins")
def list_payins(context: Context, query: PayinListParameters) -> Listing:
    """List the payins, newest first: an account's, or all for the operator."""
    columns = store.payins.c
    filters = [
        columns[name] == value
        for name in ("payment_intent", "customer", "network", "asset", "tx_hash")
        if (value := getattr(query, name)) is not None
    ]
    if query.address is not None:
        filters.append(columns.address == _address(query.address))
    if query.status is not None:
        filters.append(columns.status.in_(_statuses(context, query.status)))
    rows, has_more = fetch_page(
        context.connection,
        store.payins,
        rules.PayIn,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(
        data=[rules.public(row, operator=context.is_operator) for row in rows], has_more=has_more
    )


@resource.get("/v1/payins/{payin}", returns=PayinShape, operation="retrieve_payin")
def retrieve(context: Context, payin: str) -> Document:
    """Retrieve a payin."""
    found = store.find(
        context.connection,
        payin,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing(f"No such payin: {payin!r}", param="id")
    return rules.public(found, operator=context.is_operator)


@resource.post(
    "/v1/payins/{payin}/release",
    returns=PayinShape,
    operation="release_payin",
    operator_only=True,
    two_steps=True,
)
def release(context: Context, payin: str) -> Document:
    """Let go on what is held for its token alone, once that is listed.

    What screening holds is released by its case (`POST /v1/cases/{case}/propose`), but in the
    sandbox, where one may do it alone.
    """
    released = release_payin(context.parts, payin, actor=context.actor, livemode=context.livemode)
    return rules.public(released, operator=True)


def _address(text: str) -> str:
    try:
        return evm.parse_address(text)
    except ValueError as error:
        raise ParameterInvalid(f"Invalid address: {error}.", param="address") from None


def _statuses(context: Context, status: str) -> list[str]:
    """The statuses of the rows that are asked for, by the words that the caller sees."""
    found = [each.value for each in rules.PayInStatus if rules.shown_status(each.value) == status]
    if context.is_operator and status not in (rules.UNDER_REVIEW, rules.DECLINED):
        return [str(status)]
    if not found:
        raise ParameterInvalid(
            f"Ask for held payins as {rules.UNDER_REVIEW!r}, for those that were not accepted as"
            f" {rules.DECLINED!r}.",
            param="status",
        )
    return found
