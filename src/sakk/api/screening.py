"""Screenings: verdicts on transfers. The operator's alone: they would tip a suspect off."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Identifier, ListParameters, Parameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core.errors import ParameterMissing, ResourceMissing
from sakk.core.screening import Verdict, gravest, to_public
from sakk.flow import check as flow
from sakk.flow.check import NETWORKS_MAX
from sakk.store import screening as store

resource = Resource("screenings")


class ScreeningListParameters(ListParameters):
    """Which screenings; ``subject`` is a payin, a payout, or ``check``."""

    subject: Identifier | None = None
    verdict: Verdict | None = None
    account: Identifier | None = None


Path = list[str]


class ReasonShape(Shape):
    """Why: the rule, what it met, the way there, and of how much of the money it is said."""

    verdict: str
    kind: str
    rule: str
    rule_version: str | None
    side: str
    address: str
    category: str
    list: str
    version: int
    confidence: int
    entity: str | None
    path: Path
    share_ppm: int | None
    units: str | None
    detail: str | None


class ScreeningShape(Shape):
    """A verdict, with all that is needed to reach it again: ``inputs`` are its facts."""

    id: str
    object: Literal["screening"]
    account: str | None
    subject: str
    network: str
    asset: str
    direction: str
    sender: str
    receiver: str
    token_amount: str
    verdict: Verdict
    reasons: list[ReasonShape]
    inputs: dict[str, Any] | None
    lists_version: int
    rules_version: str
    input_hash: str
    created: Created
    livemode: Livemode
    metadata: ObjectMetadata


@resource.get(
    "/v1/screenings",
    returns=Page[ScreeningShape],
    operation="list_screenings",
    operator_only=True,
)
def list_screenings(context: Context, query: ScreeningListParameters) -> Listing:
    """List verdicts, newest first."""
    rows, has_more = store.list_screenings(
        context.connection,
        query.page(),
        livemode=context.livemode,
        account_id=query.account or context.visible_account_id,
        subject=query.subject,
        verdict=None if query.verdict is None else query.verdict.value,
    )
    return Listing(data=[to_public(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/screenings/{screening}",
    returns=ScreeningShape,
    operation="retrieve_screening",
    operator_only=True,
)
def retrieve(context: Context, screening: str) -> Document:
    """Retrieve a verdict."""
    found = store.find_screening(context.connection, screening)
    if (
        found is None
        or found.livemode != context.livemode
        or context.visible_account_id not in (None, found.account_id)
    ):
        raise ResourceMissing(f"No such screening: {screening!r}", param="id")
    return to_public(found)


class ScreeningCheck(Parameters):
    """An address. With ``asset`` a withdrawal attempt of ``amount``; without, a wallet.

    ``networks``: on which to look; the asset's own by default. ``account``: whose withdrawal.
    """

    address: Identifier
    networks: Annotated[list[Identifier], Field(min_length=1, max_length=NETWORKS_MAX)] | None = (
        None
    )
    asset: Annotated[str, Field(max_length=200)] | None = None
    amount: Annotated[int, Field(ge=0)] | None = None
    account: Identifier | None = None


class ScreeningCheckShape(Shape):
    """What is said of it now: the gravest ``verdict`` of its screenings."""

    object: Literal["screening_check"]
    verdict: Verdict
    screenings: list[ScreeningShape]
    livemode: Livemode


@resource.post(
    "/v1/screenings/check",
    returns=ScreeningCheckShape,
    operation="check_screening",
    operator_only=True,
    two_steps=True,
)
def check(context: Context, body: ScreeningCheck) -> Document:
    """Ask what screening says of an address before anything is sent to it, or came from it.

    The check is recorded as a screening about no transfer; a withdrawal is judged again later.
    """
    if body.networks is None and body.asset is None:
        raise ParameterMissing("Give networks, an asset, or both.", param="networks")
    networks = body.networks
    if networks is None:
        networks = [flow.network_of(body.asset or "")]
    asked = flow.Check(
        address=body.address,
        networks=networks,
        asset=body.asset,
        amount=body.amount,
        account_id=body.account or context.visible_account_id,
    )
    ids = [context.object_id("scr", place) for place in range(flow.CHECKS_MAX)]
    found = flow.check(context.parts, asked, livemode=context.livemode, ids=ids)
    return {
        "object": "screening_check",
        "verdict": gravest([Verdict(each.verdict) for each in found]).value,
        "screenings": [to_public(each) for each in found],
        "livemode": context.livemode,
    }
