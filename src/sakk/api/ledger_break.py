"""Breaks: what the books do not agree on, and who corrects it. The operator's alone."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints
from sqlalchemy import Connection

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Identifier, ListParameters, Parameters, Strict
from sakk.api.proposal import Confirmation, yes_to
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import ledger_break as rules
from sakk.core.errors import ResourceMissing
from sakk.core.ledger_break import BreakStatus, Leg
from sakk.core.reconciliation import BreakKind
from sakk.flow import ledger_break as flow
from sakk.store import ledger_break as store

resource = Resource("breaks")

Text = Annotated[str, StringConstraints(min_length=1, max_length=rules.NOTE_LENGTH_MAX)]
AccountName = Annotated[str, StringConstraints(min_length=1, max_length=rules.NAME_LENGTH_MAX)]
Units = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,39}$")]


class BreakListParameters(ListParameters):
    """Which breaks."""

    status: BreakStatus | None = None
    kind: BreakKind | None = None
    owner: Identifier | None = None


class BreakAssign(Parameters):
    """To whom; by default the caller."""

    owner: Identifier | None = None


class BreakNote(Parameters):
    """What is written down."""

    text: Text


class BreakTransfer(Strict):
    """One movement between two ledger accounts of one unit, by their names."""

    debit: AccountName
    credit: AccountName
    units: Units


class BreakPropose(Parameters):
    """By which transfers the break is corrected; they happen together or not at all."""

    transfers: Annotated[list[BreakTransfer], Field(min_length=1, max_length=rules.LEGS_MAX)]
    note: Text | None = None


class BreakDecline(Parameters):
    """Why."""

    reason: Text | None = None


class BreakShape(Shape):
    """One break. ``units``: what the other side has beyond the ledger, in the unit's smallest part.

    ``explained``: somebody owns it and has written down what it is. ``digest``: to confirm with.
    """

    id: str
    object: Literal["break"]
    age_seconds: int
    corrected_at: int | None
    corrections: int
    created: Created
    detail: str
    digest: str | None
    explained: bool
    first_reconciliation: str
    kind: BreakKind
    last_reconciliation: str
    livemode: Livemode
    metadata: ObjectMetadata
    notes: int
    owner: str | None
    proposal: dict[str, Any] | None
    resolved_at: int | None
    status: BreakStatus
    subject: str | None
    unit: str | None
    units: str


class BreakActShape(Shape):
    """One act of a break's history; never changed."""

    id: str
    object: Literal["break_act"]
    act: rules.Act
    break_: Annotated[str, Field(alias="break")]
    by: str
    created: Created
    detail: dict[str, Any]
    key: str | None
    livemode: Livemode
    number: int


class BreakDetailShape(BreakShape):
    """A break with all that happened to it, oldest first."""

    history: list[BreakActShape]


@resource.get("/v1/breaks", returns=Page[BreakShape], operation="list_breaks", operator_only=True)
def list_breaks(context: Context, query: BreakListParameters) -> Listing:
    """List the breaks, newest first."""
    rows, has_more = store.list_breaks(
        context.connection,
        query.page(),
        livemode=context.livemode,
        status=query.status,
        kind=None if query.kind is None else query.kind.value,
        owner=query.owner,
    )
    return Listing(data=[rules.public(row, now=context.now) for row in rows], has_more=has_more)


@resource.get(
    "/v1/breaks/{ledger_break}",
    returns=BreakDetailShape,
    operation="retrieve_break",
    operator_only=True,
)
def retrieve(context: Context, ledger_break: str) -> Document:
    """Retrieve a break with its history."""
    return _shown(context.connection, context, ledger_break)


@resource.post(
    "/v1/breaks/{ledger_break}/assign",
    returns=BreakDetailShape,
    operation="assign_break",
    operator_only=True,
    two_steps=True,
)
def assign(context: Context, ledger_break: str, body: BreakAssign) -> Document:
    """Take a break, or give it to a person with the role finance."""
    flow.assign(
        context.parts,
        ledger_break,
        actor=context.actor,
        livemode=context.livemode,
        owner=body.owner,
    )
    return _after(context, ledger_break)


@resource.post(
    "/v1/breaks/{ledger_break}/notes",
    returns=BreakDetailShape,
    operation="create_break_note",
    operator_only=True,
    two_steps=True,
)
def note(context: Context, ledger_break: str, body: BreakNote) -> Document:
    """Write down what a break is, for good; whoever owns it has explained it by that."""
    flow.note(
        context.parts,
        ledger_break,
        body.text,
        actor=context.actor,
        livemode=context.livemode,
        act_id=context.object_id(rules.ACT_PREFIX),
    )
    return _after(context, ledger_break)


@resource.post(
    "/v1/breaks/{ledger_break}/propose",
    returns=BreakDetailShape,
    operation="propose_break",
    operator_only=True,
    two_steps=True,
)
def propose(context: Context, ledger_break: str, body: BreakPropose) -> Document:
    """Propose the transfers that correct a break; another person confirms them."""
    flow.propose(
        context.parts,
        ledger_break,
        [Leg(each.debit, each.credit, int(each.units)) for each in body.transfers],
        actor=context.actor,
        livemode=context.livemode,
        note=body.note,
    )
    return _after(context, ledger_break)


@resource.post(
    "/v1/breaks/{ledger_break}/decline",
    returns=BreakDetailShape,
    operation="decline_break",
    operator_only=True,
    two_steps=True,
)
def decline(context: Context, ledger_break: str, body: BreakDecline) -> Document:
    """Refuse what was proposed, or take it back."""
    flow.decline(
        context.parts,
        ledger_break,
        actor=context.actor,
        livemode=context.livemode,
        reason=body.reason,
    )
    return _after(context, ledger_break)


@resource.post(
    "/v1/breaks/{ledger_break}/confirm",
    returns=BreakDetailShape,
    operation="confirm_break",
    operator_only=True,
    two_steps=True,
)
def confirm(context: Context, ledger_break: str, body: Confirmation) -> Document:
    """Confirm what another person proposed, as it was shown; it is booked a moment later."""
    flow.confirm(context.parts, ledger_break, yes_to(context, body), livemode=context.livemode)
    return _after(context, ledger_break)


def _after(context: Context, identifier: str) -> Document:
    with context.database.begin() as connection:
        return _shown(connection, context, identifier)


def _shown(connection: Connection, context: Context, identifier: str) -> Document:
    found = store.find(connection, identifier, livemode=context.livemode)
    if found is None:
        raise ResourceMissing(f"No such break: {identifier!r}", param="id")
    history = [rules.public_act(each) for each in store.list_acts(connection, found.id)]
    return {**rules.public(found, now=context.now), "history": history}
