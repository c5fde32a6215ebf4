"""Freezes: the operator stops signing and sending; two persons let them go on."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Identifier, ListParameters, Parameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core.errors import ResourceMissing
from sakk.core.freeze import (
    LIFT_PREFIX,
    PREFIX,
    REASON_CHARACTERS_MAX,
    Freeze,
    FreezeOrigin,
    LiftStatus,
    public,
    public_lift,
)
from sakk.flow import freeze as flow
from sakk.flow.step_up import StepUp
from sakk.flow.word import Word
from sakk.store import freeze as store
from sakk.store.page import fetch_page

resource = Resource("freezes")

Code = Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")]
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Signature = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


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

    One person proposes to lift it and another confirms; `sakk unfreeze` does at the signer's files.
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


class LiftParameters(Parameters):
    """Why it ends. ``signature``: of the lift's ``message``, with your Ed25519 key."""

    reason: Annotated[str, StringConstraints(min_length=1, max_length=REASON_CHARACTERS_MAX)]
    signature: Signature | None = None


class LiftConfirm(Parameters):
    """The ``digest`` of the lift that was read, and a fresh code or a signature of its message."""

    digest: Hash
    code: Code | None = None
    signature: Signature | None = None


class LiftShape(Shape):
    """One person's wish to end a freeze, and what became of it.

    ``signatures``: how many signed it for the signer, whose own half ends by them where its policy
    file says so, and else by `sakk unfreeze`.
    """

    id: str
    object: Literal["freeze_lift"]
    created: Created
    decided_at: int | None
    decided_by: str | None
    digest: str
    freeze: str
    livemode: Livemode
    message: str
    metadata: ObjectMetadata
    proposed_by: str
    reason: str
    signatures: int
    status: LiftStatus


@resource.post(
    "/v1/freezes/{freeze}/lift",
    returns=LiftShape,
    operation="propose_freeze_lift",
    operator_only=True,
    two_steps=True,
)
def propose_lift(context: Context, freeze: str, body: LiftParameters) -> Document:
    """Propose to end a freeze, as finance, admin or approver; another person confirms it."""
    lifting, row = flow.propose_lift(
        context.parts,
        freeze,
        reason=body.reason,
        lift_id=context.object_id(LIFT_PREFIX),
        actor=context.actor,
        livemode=context.livemode,
        signature=body.signature,
    )
    return public_lift(lifting, row)


@resource.post(
    "/v1/freezes/{freeze}/lift/confirm",
    returns=LiftShape,
    operation="confirm_freeze_lift",
    operator_only=True,
    two_steps=True,
)
def confirm_lift(context: Context, freeze: str, body: LiftConfirm) -> Document:
    """End a freeze that another person proposed to lift; what waited goes on at once.

    With a signature instead of a code the signer's half may end too.
    """
    word = Word(context.actor, StepUp(body.code, body.signature), body.digest)
    lifting, row = flow.confirm_lift(context.parts, freeze, word, livemode=context.livemode)
    return public_lift(lifting, row)


@resource.post(
    "/v1/freezes/{freeze}/lift/reject",
    returns=LiftShape,
    operation="reject_freeze_lift",
    operator_only=True,
    two_steps=True,
)
def reject_lift(context: Context, freeze: str) -> Document:
    """Reject a lift that was proposed; who proposed it may take it back so."""
    lifting, row = flow.reject_lift(
        context.parts, freeze, actor=context.actor, livemode=context.livemode
    )
    return public_lift(lifting, row)


@resource.get(
    "/v1/freezes/{freeze}/lift",
    returns=LiftShape,
    operation="retrieve_freeze_lift",
    operator_only=True,
)
def retrieve_lift(context: Context, freeze: str) -> Document:
    """Retrieve the lift of a freeze that is proposed, or the last one that was."""
    row = store.find(context.connection, freeze)
    lifting = None if row is None else store.find_lift(context.connection, freeze)
    if row is None or lifting is None:
        raise ResourceMissing(f"Nobody proposed to lift {freeze!r}.", param="freeze")
    return public_lift(lifting, row)
