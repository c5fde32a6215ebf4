"""Screenings: verdicts on transfers. The operator's alone: they would tip a suspect off."""

from typing import Any, Literal

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Identifier, ListParameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core.errors import ResourceMissing
from sakk.core.screening import Verdict, to_public
from sakk.store import screening as store

resource = Resource("screenings")


class ScreeningListParameters(ListParameters):
    """Which screenings; ``subject`` is a payin or a payout."""

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
