"""Application fees: what platforms took of what they do for connected accounts."""

from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import or_

from sakk.api.context import Context, Document, Listing
from sakk.api.fee import FeePartShape
from sakk.api.parameters import Identifier, ListParameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import application_fee as rules
from sakk.core.application_fee import ApplicationFee
from sakk.core.errors import ResourceMissing
from sakk.store import application_fee as store
from sakk.store.page import fetch_page

resource = Resource("application_fees")


class ApplicationFeeListParameters(ListParameters):
    """Which application fees."""

    source: Identifier | None = None
    payment_intent: Identifier | None = None
    connected_account: Identifier | None = None


class ApplicationFeeShape(Shape):
    """What a platform took, or what went back (below zero); the platform and the account see it."""

    id: str
    object: Literal["application_fee"]
    account: Annotated[str, Field(description="Of whom it was taken.")]
    amount: int
    amount_decimal: str
    application: Annotated[str, Field(description="The platform, whose it is.")]
    basis: Annotated[int, Field(description="What it was taken of.")]
    connected_account: str
    created: Created
    currency: str
    kind: Literal["payin", "payout", "refund"]
    livemode: Livemode
    metadata: ObjectMetadata
    parts: list[FeePartShape]
    payment_intent: str | None
    reason: rules.ApplicationFeeReason
    rule: Annotated[int | None, Field(description="Null where the amount was named.")]
    source: Annotated[str, Field(description="The pay-in, payout or refund that it belongs to.")]
    status: Annotated[
        rules.ApplicationFeeStatus,
        Field(description="`pending`: it goes back when the platform's balance covers it."),
    ]
    version: int | None


@resource.get(
    "/v1/application_fees", returns=Page[ApplicationFeeShape], operation="list_application_fees"
)
def list_application_fees(context: Context, query: ApplicationFeeListParameters) -> Listing:
    """List what the account took as a platform, or had taken, newest first; the operator's: all."""
    c = store.application_fees.c
    filters: list[Any] = [
        column == wanted
        for column, wanted in (
            (c.source, query.source),
            (c.payment_intent, query.payment_intent),
            (c.connected_account, query.connected_account),
        )
        if wanted is not None
    ]
    visible = context.visible_account_id
    if visible is not None:
        filters.append(or_(c.account_id == visible, c.connected == visible))
    rows, has_more = fetch_page(
        context.connection,
        store.application_fees,
        ApplicationFee,
        account_id=None,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=[rules.public(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/application_fees/{application_fee}",
    returns=ApplicationFeeShape,
    operation="retrieve_application_fee",
)
def retrieve(context: Context, application_fee: str) -> Document:
    """Retrieve an application fee."""
    found = store.find(
        context.connection,
        application_fee,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing(f"No such application_fee: {application_fee!r}.", param="id")
    return rules.public(found)
