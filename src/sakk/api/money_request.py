"""Requests for money: asked for, paid, declined, called off, with a reminder now and then."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import (
    Amount,
    CurrencyCode,
    ListParameters,
    LongText,
    Metadata,
    Parameters,
    Timestamp,
    moment,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import money_request as rules
from sakk.core import transfer as transfers
from sakk.core.alias import NOTE_LENGTH_MAX
from sakk.core.errors import ResourceMissing
from sakk.core.metadata import merge
from sakk.core.money_request import MoneyRequestStatus
from sakk.flow import money_request as flow
from sakk.store import money_request as store
from sakk.store.page import fetch_page

resource = Resource("money_requests")
Note = Annotated[str, Field(min_length=1, max_length=NOTE_LENGTH_MAX)]


class MoneyRequestCreate(Parameters):
    """Whom is asked, as a transfer's destination; without an amount the payer chooses it."""

    payer: LongText
    currency: CurrencyCode
    amount: Amount | None = None
    note: Note | None = None
    expires_at: Timestamp | None = None
    metadata: Metadata | None = None


class MoneyRequestBatchCreate(Parameters):
    """Whom are asked, each for the same; without an amount each chooses it."""

    payers: Annotated[list[LongText], Field(min_length=1, max_length=rules.PAYERS_MAX)]
    currency: CurrencyCode
    amount: Amount | None = None
    note: Note | None = None
    expires_at: Timestamp | None = None
    metadata: Metadata | None = None


class MoneyRequestPay(Parameters):
    """A part of what is left; all of it when it is left out."""

    amount: Amount | None = None


class MoneyRequestListParameters(ListParameters):
    """Which requests: those that the account made, or that it is asked by."""

    direction: Literal["outgoing", "incoming"] = "outgoing"
    status: MoneyRequestStatus | None = None


class MoneyRequestShape(Shape):
    """One account asks another for money."""

    id: str
    object: Literal["money_request"]
    account: str
    amount: Annotated[int | None, Field(description="Null: the payer chooses it.")]
    amount_decimal: str | None
    amount_paid: int
    amount_released: Annotated[
        int, Field(description="The part of a bill's share that was given to somebody else.")
    ]
    bill: Annotated[str | None, Field(description="Shown to who asks.")]
    created: Created
    currency: str
    expires_at: int
    livemode: Livemode
    metadata: ObjectMetadata
    note: str | None
    payer: Annotated[str | None, Field(description="Null while only an e-mail address is asked.")]
    recipient: str | None
    reminded_at: int | None
    reminders: int
    status: Literal["open", "paid", "declined", "canceled", "expired"]


class MoneyRequestBatchShape(Shape):
    """Many asked at once: a request for each, in the order in which they were named."""

    object: Literal["money_request_batch"]
    data: list[MoneyRequestShape]
    livemode: Livemode


@resource.post("/v1/money_requests", returns=MoneyRequestShape, operation="create_money_request")
def create(context: Context, body: MoneyRequestCreate) -> Document:
    """Ask another account for money."""
    made = flow.create(
        context.connection,
        flow.Asked(
            payer=body.payer,
            amount=body.amount,
            currency=body.currency.lower(),
            note=body.note,
            expires_at=moment(body.expires_at),
            metadata=merge({}, body.metadata or {}),
        ),
        identifier=context.object_id(rules.PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
    )
    return rules.public(made)


@resource.post(
    "/v1/money_request_batches",
    returns=MoneyRequestBatchShape,
    operation="create_money_request_batch",
)
def create_many(context: Context, body: MoneyRequestBatchCreate) -> Document:
    """Ask many accounts for money, each for the same: a request for each, or none at all."""
    made = flow.ask_many(
        context.connection,
        flow.Asked(
            payer="",
            amount=body.amount,
            currency=body.currency.lower(),
            note=body.note,
            expires_at=moment(body.expires_at),
            metadata=merge({}, body.metadata or {}),
        ),
        body.payers,
        identifiers=[context.object_id(rules.PREFIX, place) for place in range(len(body.payers))],
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
    )
    return {
        "object": "money_request_batch",
        "data": [rules.public(each) for each in made],
        "livemode": context.livemode,
    }


@resource.get(
    "/v1/money_requests", returns=Page[MoneyRequestShape], operation="list_money_requests"
)
def list_money_requests(context: Context, query: MoneyRequestListParameters) -> Listing:
    """List what the account has asked for, or is asked for, newest first."""
    is_incoming = query.direction == "incoming"
    filters: list[Any] = []
    if is_incoming:
        filters.append(store.is_asked(context.account_id, livemode=context.livemode))
    if query.status is not None:
        filters.append(store.money_requests.c.status == query.status.value)
    rows, has_more = fetch_page(
        context.connection,
        store.money_requests,
        rules.MoneyRequest,
        account_id=None if is_incoming else context.account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    shown = [rules.public(row, for_payer=is_incoming) for row in rows]
    return Listing(data=shown, has_more=has_more)


@resource.get(
    "/v1/money_requests/{money_request}",
    returns=MoneyRequestShape,
    operation="retrieve_money_request",
)
def retrieve(context: Context, money_request: str) -> Document:
    """Retrieve a request that the account made, or that it is asked by."""
    whose: dict[str, Any] = {"account_id": context.account_id, "livemode": context.livemode}
    found = store.find(context.connection, money_request, **whose)
    if found is not None:
        return rules.public(found)
    asked = store.find_asked(context.connection, money_request, **whose)
    if asked is None:
        raise ResourceMissing(f"No such request for money: {money_request!r}", param="id")
    return rules.public(asked, for_payer=True)


@resource.post(
    "/v1/money_requests/{money_request}/pay",
    returns=MoneyRequestShape,
    operation="pay_money_request",
    two_steps=True,
)
def pay(context: Context, money_request: str, body: MoneyRequestPay) -> Document:
    """Pay what is left of a request, or a part of it."""
    paid, _ = flow.pay(
        context.parts,
        money_request,
        body.amount,
        transfer_id=context.object_id(transfers.PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        actor=context.actor,
        request_id=context.request_id,
    )
    return rules.public(paid, for_payer=True)


@resource.post(
    "/v1/money_requests/{money_request}/decline",
    returns=MoneyRequestShape,
    operation="decline_money_request",
)
def decline(context: Context, money_request: str) -> Document:
    """Say that the account does not pay it."""
    declined = flow.decline(
        context.connection,
        money_request,
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
    )
    return rules.public(declined, for_payer=True)


@resource.post(
    "/v1/money_requests/{money_request}/cancel",
    returns=MoneyRequestShape,
    operation="cancel_money_request",
)
def cancel(context: Context, money_request: str) -> Document:
    """Call a request off."""
    canceled = flow.cancel(
        context.connection,
        money_request,
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
    )
    return rules.public(canceled)


@resource.post(
    "/v1/money_requests/{money_request}/remind",
    returns=MoneyRequestShape,
    operation="remind_of_money_request",
)
def remind(context: Context, money_request: str) -> Document:
    """Remind who is asked: three times at most, a day apart."""
    reminded = flow.remind(
        context.connection,
        money_request,
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
    )
    return rules.public(reminded)
