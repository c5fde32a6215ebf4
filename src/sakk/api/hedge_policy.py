"""Hedge policies: when open positions are closed, and up to which value by themselves."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from sqlalchemy import Connection

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import CurrencyCode, ListParameters, Parameters
from sakk.api.proposal import Confirmation, yes_to
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import hedge_policy as rules
from sakk.core.errors import ResourceMissing
from sakk.core.money import UNITS_MAX
from sakk.flow import hedge_policy as flow
from sakk.store import hedge_policy as store
from sakk.store.page import page_of

resource = Resource("hedge_policies")

Note = Annotated[str, StringConstraints(min_length=1, max_length=rules.NOTE_LENGTH_MAX)]
Cents = Annotated[int, Field(ge=0, le=UNITS_MAX)]


class HedgePolicyPropose(Parameters):
    """How a currency's position is to be closed. Values are US cents at the market's mid."""

    currency: CurrencyCode
    against: CurrencyCode
    threshold_usd_cents: Annotated[int, Field(ge=1, le=UNITS_MAX)]
    auto_usd_cents: Cents = 0
    note: Note | None = None


class HedgeProposalShape(Shape):
    """What somebody wants the policy to be, until another person confirms it."""

    against: str
    at: int
    auto_usd_cents: int
    by: str
    note: str | None
    threshold_usd_cents: int


class HedgePolicyShape(Shape):
    """When a currency's position is closed, null where nothing stands yet.

    From `threshold_usd_cents` on; by itself up to `auto_usd_cents`, above it two people approve the
    order. `digest`: to confirm `proposal` with.
    """

    id: Annotated[str, Field(description="The currency.")]
    object: Literal["hedge_policy"]
    against: str | None
    auto_usd_cents: int | None
    created: Created
    digest: str | None
    livemode: Livemode
    metadata: ObjectMetadata
    proposal: HedgeProposalShape | None
    threshold_usd_cents: int | None


@resource.get(
    "/v1/hedge_policies",
    returns=Page[HedgePolicyShape],
    operation="list_hedge_policies",
    operator_only=True,
)
def list_policies(context: Context, query: ListParameters) -> Listing:
    """List the policies by which positions are closed, and what is proposed of them."""
    documents = [
        rules.public(currency, context.livemode, policy, proposal)
        for currency, (policy, proposal) in store.standing(
            context.connection, livemode=context.livemode
        ).items()
    ]
    data, has_more = page_of(documents, query.page())
    return Listing(data=data, has_more=has_more)


@resource.get(
    "/v1/hedge_policies/{hedge_policy}",
    returns=HedgePolicyShape,
    operation="retrieve_hedge_policy",
    operator_only=True,
)
def retrieve(context: Context, hedge_policy: str) -> Document:
    """Retrieve a currency's policy."""
    return _shown(context.connection, hedge_policy, livemode=context.livemode)


@resource.post(
    "/v1/hedge_policies",
    returns=HedgePolicyShape,
    operation="propose_hedge_policy",
    operator_only=True,
    two_steps=True,
)
def propose(context: Context, body: HedgePolicyPropose) -> Document:
    """Say when a position is closed. What lets more go by itself waits for another person."""
    currency = body.currency.lower()
    flow.propose(
        context.parts,
        flow.HedgeWish(
            currency,
            body.against.lower(),
            body.threshold_usd_cents,
            body.auto_usd_cents,
            body.note,
        ),
        actor=context.actor,
        livemode=context.livemode,
    )
    return _after(context, currency)


@resource.post(
    "/v1/hedge_policies/{hedge_policy}/confirm",
    returns=HedgePolicyShape,
    operation="confirm_hedge_policy",
    operator_only=True,
    two_steps=True,
)
def confirm(context: Context, hedge_policy: str, body: Confirmation) -> Document:
    """Confirm what another person proposed, as it was shown; it is in force at once."""
    flow.confirm(context.parts, hedge_policy, yes_to(context, body), livemode=context.livemode)
    return _after(context, hedge_policy)


@resource.post(
    "/v1/hedge_policies/{hedge_policy}/decline",
    returns=HedgePolicyShape,
    operation="decline_hedge_policy",
    operator_only=True,
    two_steps=True,
)
def decline(context: Context, hedge_policy: str) -> Document:
    """Refuse what was proposed, or take it back; what stands stays."""
    with context.database.begin() as connection:
        before = _shown(connection, hedge_policy, livemode=context.livemode)
    flow.decline(context.parts, hedge_policy, actor=context.actor, livemode=context.livemode)
    return {**before, "digest": None, "proposal": None}


def _after(context: Context, currency: str) -> Document:
    with context.database.begin() as connection:
        return _shown(connection, currency, livemode=context.livemode)


def _shown(connection: Connection, currency: str, *, livemode: bool) -> Document:
    policy = store.find(connection, currency, livemode=livemode)
    proposal = store.find_proposal(connection, currency, livemode=livemode)
    if policy is None and proposal is None:
        raise ResourceMissing(
            "There is no policy for {currency}. GET /v1/hedge_policies lists those that are.",
            param="id",
            currency=repr(currency),
        )
    return rules.public(currency, livemode, policy, proposal)
