"""Freezes: the operator stops signing and sending; a command on the machine lets them go on."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Identifier, ListParameters, Parameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core.freeze import PREFIX, REASON_CHARACTERS_MAX, Freeze, FreezeOrigin, public
from sakk.flow import freeze as flow
from sakk.store import freeze as store
from sakk.store.page import fetch_page

resource = Resource("freezes")


class FreezeParameters(Parameters):
    """What is to be stopped. Without a network, asset or account it is everything."""

    reason: Annotated[str, StringConstraints(min_length=1, max_length=REASON_CHARACTERS_MAX)]
    network: Identifier | None = None
    asset: Identifier | None = None
    account: Identifier | None = None
    hold_rebroadcasts: Annotated[
        bool, Field(description="Hold back too what a node was given before.")
    ] = False


class FreezeListParameters(ListParameters):
    """Which freezes."""

    status: Literal["in_force", "lifted"] | None = None


class FreezeShape(Shape):
    """What is stopped, by whom, and since when the signer has it too."""

    id: str
    object: Literal["freeze"]
    account: str | None
    asset: str | None
    created: Created
    hold_rebroadcasts: bool
    lift_reason: str | None
    lifted_at: int | None
    livemode: Livemode
    metadata: ObjectMetadata
    network: str | None
    origin: FreezeOrigin
    reason: str
    scope: str
    signer_frozen_at: int | None
    status: Literal["in_force", "lifted"]


@resource.post("/v1/freeze", returns=FreezeShape, operation="create_freeze", operator_only=True)
def create(context: Context, body: FreezeParameters) -> Document:
    """Stop signing and sending at once, in both modes; the signer's log has it a moment later.

    There is no request that lifts it: that is `sakk unfreeze`, at the signer's own files.
    """
    row = flow.freeze(
        context.connection,
        flow.FreezeOrder(
            reason=body.reason,
            network=body.network,
            asset=body.asset,
            account_id=body.account,
            holds_rebroadcasts=body.hold_rebroadcasts,
        ),
        identifier=context.object_id(PREFIX),
        origin=FreezeOrigin.api,
        now=context.now,
        request_id=context.request_id,
    )
    return public(row, livemode=context.livemode)


@resource.get("/v1/freeze", returns=Page[FreezeShape], operation="list_freezes", operator_only=True)
def list_freezes(context: Context, query: FreezeListParameters) -> Listing:
    """List the freezes, newest first, those that were lifted too."""
    lifted_at = store.freezes.c.lifted_at
    filters = []
    if query.status is not None:
        filters.append(
            lifted_at.is_(None) if query.status == "in_force" else lifted_at.is_not(None)
        )
    rows, has_more = fetch_page(
        context.connection,
        store.freezes,
        Freeze,
        account_id=None,
        livemode=None,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=[public(row, livemode=context.livemode) for row in rows], has_more=has_more)
