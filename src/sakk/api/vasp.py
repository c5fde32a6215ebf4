"""The operator's directory of institutions that keep wallets for others."""

from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Identifier, ListParameters, Parameters, ShortText
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, Page, Shape
from sakk.api.travel_rule import Country, Lei, TravelAddress
from sakk.core import vasp as rules
from sakk.flow import vasp as flow
from sakk.store import vasp as store
from sakk.store.page import fetch_page

resource = Resource("vasps")


class VaspDetails(Parameters):
    """An institution. ``addresses`` are known to be its; payouts there are to it."""

    name: ShortText | None = None
    lei: Lei | None = None
    country: Country | None = None
    travel_address: TravelAddress | None = None
    addresses: Annotated[list[Identifier] | None, Field(max_length=rules.ADDRESSES_MAX)] = None
    status: rules.VaspStatus | None = None


class VaspShape(Shape):
    """One institution; to a blocked one nothing is sent."""

    id: str
    object: Literal["vasp"]
    addresses: list[str]
    country: str | None
    created: Created
    lei: str | None
    livemode: Livemode
    name: str
    status: rules.VaspStatus
    travel_address: str | None


@resource.post("/v1/vasps", returns=VaspShape, operation="create_vasp", operator_only=True)
def create(context: Context, body: VaspDetails) -> Document:
    """Put an institution in the directory."""
    vasp = flow.create(
        context.connection,
        body.model_dump(exclude={"expand"}, mode="json"),
        identifier=context.object_id(rules.PREFIX),
        livemode=context.livemode,
        now=context.now,
    )
    return rules.public_vasp(vasp)


@resource.get("/v1/vasps", returns=Page[VaspShape], operation="list_vasps", operator_only=True)
def list_vasps(context: Context, query: ListParameters) -> Listing:
    """List the directory, newest first."""
    rows, has_more = fetch_page(
        context.connection,
        store.vasps,
        rules.Vasp,
        account_id=None,
        livemode=context.livemode,
        page=query.page(),
    )
    return Listing(data=[rules.public_vasp(row) for row in rows], has_more=has_more)


@resource.get("/v1/vasps/{vasp}", returns=VaspShape, operation="retrieve_vasp", operator_only=True)
def retrieve(context: Context, vasp: str) -> Document:
    """Retrieve an institution."""
    return rules.public_vasp(flow.find(context.connection, vasp, livemode=context.livemode))


@resource.post("/v1/vasps/{vasp}", returns=VaspShape, operation="update_vasp", operator_only=True)
def update(context: Context, vasp: str, body: VaspDetails) -> Document:
    """Change what is known of an institution; what is not sent stays."""
    changes = body.model_dump(exclude={"expand"}, exclude_unset=True, mode="json")
    return rules.public_vasp(
        flow.update(context.connection, vasp, changes, livemode=context.livemode)
    )
