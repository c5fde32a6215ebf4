"""Reconciliations: runs of the proof that were kept. The operator's alone."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Identifier, ListParameters, Parameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import reconciliation as rules
from sakk.core.errors import ResourceMissing
from sakk.core.reconciliation import ReconciliationStatus
from sakk.flow import reconciliation as flow
from sakk.store import reconciliation as store
from sakk.store.page import fetch_page

NETWORKS_MAX = 50

resource = Resource("reconciliations")


class ReconciliationCreate(Parameters):
    """Which networks are looked at; a day is closed after a run of all that are enabled."""

    networks: Annotated[list[Identifier], Field(min_length=1, max_length=NETWORKS_MAX)]


class ReconciliationListParameters(ListParameters):
    """Which runs."""

    status: ReconciliationStatus | None = None


class ReconciliationShape(Shape):
    """One run. ``scopes``: what it looked at; ``sha256``: of the canonical JSON of its document.

    A run that ``failed`` could not read a side, and says ``why``: it finds and ends nothing.
    """

    id: str
    object: Literal["reconciliation"]
    breaks: Annotated[int, Field(description="What it found, new or known.")]
    created: Created
    journal_sequence: int
    livemode: Livemode
    metadata: ObjectMetadata
    scopes: list[str]
    sha256: str
    started: int
    status: ReconciliationStatus
    why: str | None


class ReconciliationDetailShape(ReconciliationShape):
    """A run with everything that it saw."""

    document: dict[str, Any]


@resource.post(
    "/v1/reconciliations",
    returns=ReconciliationDetailShape,
    operation="create_reconciliation",
    operator_only=True,
    two_steps=True,
)
def create(context: Context, body: ReconciliationCreate) -> Document:
    """Reconcile now: the ledger against the chains and against every row that moved money.

    What does not agree becomes a break, or stays the one that it was; what is gone is resolved.
    """
    found = flow.run(
        context.parts,
        livemode=context.livemode,
        identifier=context.object_id(rules.PREFIX),
        networks=body.networks,
    )
    return rules.public_detail(found.row)


@resource.get(
    "/v1/reconciliations",
    returns=Page[ReconciliationShape],
    operation="list_reconciliations",
    operator_only=True,
)
def list_reconciliations(context: Context, query: ReconciliationListParameters) -> Listing:
    """List the runs, newest first."""
    table = store.reconciliations
    filters = [] if query.status is None else [table.c.status == query.status.value]
    rows, has_more = fetch_page(
        context.connection,
        table,
        rules.Reconciliation,
        account_id=None,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=[rules.public(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/reconciliations/{reconciliation}",
    returns=ReconciliationDetailShape,
    operation="retrieve_reconciliation",
    operator_only=True,
)
def retrieve(context: Context, reconciliation: str) -> Document:
    """Retrieve a run with everything that it saw."""
    found = store.find(context.connection, reconciliation, livemode=context.livemode)
    if found is None:
        raise ResourceMissing(f"No such reconciliation: {reconciliation!r}", param="id")
    return rules.public_detail(found)
