"""Split bills: who has paid, what is open, and whose share is given to whom."""

from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.money_request import Note
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
from sakk.core import bill as rules
from sakk.core import money_request as request_rules
from sakk.core.bill import SHARES_MAX, WEIGHT_MAX
from sakk.core.errors import ResourceMissing
from sakk.core.metadata import merge
from sakk.core.money import UNITS_MAX
from sakk.flow import bill as flow
from sakk.store import money_request as store
from sakk.store.page import fetch_page

resource = Resource("bills")
Weight = Annotated[int, Field(ge=0, le=WEIGHT_MAX)]


class ShareParameters(Strict):
    """One person's part: so much, or by ``weight`` of what amounts leave."""

    payer: LongText
    amount: Amount | None = None
    weight: Annotated[int, Field(ge=1, le=WEIGHT_MAX)] = 1


class BillCreate(Parameters):
    """What somebody paid for all, and who bears how much of it; of what is left by weights the
    account itself has one, unless it says otherwise."""

    amount: Amount
    currency: CurrencyCode
    shares: Annotated[list[ShareParameters], Field(min_length=1, max_length=SHARES_MAX)]
    own_amount: Annotated[int, Field(ge=0, le=UNITS_MAX)] | None = None
    own_weight: Weight = 1
    note: Note | None = None
    expires_at: Timestamp | None = None
    metadata: Metadata | None = None


class BillReassign(Parameters):
    """Whose share, and who is asked for what is left of it; without ``payer`` the account itself
    bears it."""

    money_request: Identifier
    payer: LongText | None = None


class BillShareShape(Shape):
    """One share: so much of the bill is asked for by a request."""

    amount: int | None
    amount_paid: int
    amount_released: int
    money_request: str
    payer: str | None
    recipient: str | None
    status: Literal["open", "paid", "declined", "canceled", "expired"]


class BillShape(Shape):
    """A bill that is split: ``own_share`` and the shares, less what was released of them, sum to
    its amount."""

    id: str
    object: Literal["bill"]
    account: str
    amount: int
    amount_decimal: str
    amount_open: int
    amount_paid: int
    created: Created
    currency: str
    livemode: Livemode
    metadata: ObjectMetadata
    note: str | None
    own_share: int
    shares: list[BillShareShape]


@resource.post("/v1/bills", returns=BillShape, operation="create_bill")
def create(context: Context, body: BillCreate) -> Document:
    """Split a bill that the account has paid: each share is a request for money."""
    return flow.split(
        context.connection,
        rules.Bill(
            id=context.object_id(rules.PREFIX),
            account_id=context.account_id,
            livemode=context.livemode,
            amount=body.amount,
            own_share=0,
            currency=body.currency.lower(),
            decimals=0,
            note=body.note,
            metadata=merge({}, body.metadata or {}),
            created=context.now,
        ),
        [rules.Share(each.payer, each.amount, each.weight) for each in body.shares],
        own_amount=body.own_amount,
        own_weight=body.own_weight,
        expires_at=moment(body.expires_at),
        share_id=lambda place: context.object_id(request_rules.PREFIX, place),
    )


@resource.get("/v1/bills", returns=Page[BillShape], operation="list_bills")
def list_bills(context: Context, query: ListParameters) -> Listing:
    """List the bills that the account has split, newest first."""
    rows, has_more = fetch_page(
        context.connection,
        store.bills,
        rules.Bill,
        account_id=context.account_id,
        livemode=context.livemode,
        page=query.page(),
    )
    return Listing(data=flow.shown(context.connection, rows), has_more=has_more)


@resource.get("/v1/bills/{bill}", returns=BillShape, operation="retrieve_bill")
def retrieve(context: Context, bill: str) -> Document:
    """Retrieve a bill: who has paid, and what is open."""
    found = store.find_bill(
        context.connection, bill, account_id=context.account_id, livemode=context.livemode
    )
    if found is None:
        raise ResourceMissing(f"No such bill: {bill!r}", param="id")
    [document] = flow.shown(context.connection, [found])
    return document


@resource.post("/v1/bills/{bill}/reassign", returns=BillShape, operation="reassign_bill_share")
def reassign(context: Context, bill: str, body: BillReassign) -> Document:
    """Give what is left of a share to somebody else, or take it on."""
    return flow.reassign(
        context.connection,
        bill,
        body.money_request,
        body.payer,
        share_id=context.object_id(request_rules.PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
    )
