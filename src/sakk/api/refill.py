"""Refills: rules that keep channels funded, up to what their agents have signed."""

from typing import Literal

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Amount, Identifier, ListParameters, Parameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import refill as rules
from sakk.flow import refill as flow
from sakk.store import refill as store
from sakk.store.page import fetch_page

resource = Resource("refills")


class RefillCreate(Parameters):
    """Which channel; below how much it is funded again, and up to how much."""

    channel: Identifier
    below: Amount
    up_to: Amount


class RefillShape(Shape):
    """A rule: with less than ``below`` left the channel is funded up to ``up_to`` left.

    Never above what the agent has signed, nor beyond the mandate's budgets: then it is `exhausted`.
    """

    id: str
    object: Literal["refill"]
    account: str
    channel: str
    mandate: str
    below: int
    up_to: int
    status: rules.RefillStatus
    failure_code: str | None
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


@resource.post("/v1/refills", returns=RefillShape, operation="create_refill")
def create(context: Context, body: RefillCreate) -> Document:
    """Keep a channel funded, under its mandate. The agent signs the ceiling; this signs nothing."""
    refill = flow.create(
        context.connection,
        body.channel,
        below=body.below,
        up_to=body.up_to,
        identifier=context.object_id(rules.PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
    )
    return rules.public_refill(refill)


@resource.get("/v1/refills", returns=Page[RefillShape], operation="list_refills")
def list_refills(context: Context, query: ListParameters) -> Listing:
    """List the account's rules, newest first."""
    rows, has_more = fetch_page(
        context.connection,
        store.refills,
        rules.Refill,
        account_id=context.account_id,
        livemode=context.livemode,
        page=query.page(),
    )
    return Listing(data=[rules.public_refill(row) for row in rows], has_more=has_more)


@resource.get("/v1/refills/{refill}", returns=RefillShape, operation="retrieve_refill")
def retrieve(context: Context, refill: str) -> Document:
    """Retrieve a rule."""
    return rules.public_refill(
        flow.find(
            context.connection, refill, account_id=context.account_id, livemode=context.livemode
        )
    )


@resource.post("/v1/refills/{refill}/end", returns=RefillShape, operation="end_refill")
def end(context: Context, refill: str) -> Document:
    """End a rule; what it has put in stays in the channel."""
    return rules.public_refill(
        flow.end(
            context.connection, refill, account_id=context.account_id, livemode=context.livemode
        )
    )
