"""Days: periods of the ledger that are closed for good, with signed reports. The operator's."""

from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field, StringConstraints

from sakk.api.context import Context, Document, Download, Listing
from sakk.api.parameters import ListParameters, Parameters, ShortText
from sakk.api.person import Code, Hash
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import day as rules
from sakk.flow import day as flow
from sakk.flow.step_up import StepUp
from sakk.store import day as store
from sakk.store.page import fetch_page

resource = Resource("days")

Date = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=rules.REASON_LENGTH_MAX)]
CutOff = Annotated[str, StringConstraints(pattern=r"^[0-2][0-9]:[0-5][0-9]$")]


class DayClose(Parameters):
    """Which day (the next one when left out), and when days end from it on.

    ``timezone`` and ``cutoff`` go together; left out, they are those of the day before, and
    midnight in UTC for the first. ``code``: a fresh one of the person who closes.
    """

    date: Date | None = None
    timezone: ShortText | None = None
    cutoff: CutOff | None = None
    code: Code | None = None


class DayAccept(Parameters):
    """The digest of what stands in the way, as it was shown, and why the day is closed anyhow."""

    date: Date
    digest: Hash
    reason: Reason
    code: Code | None = None


class DayListParameters(ListParameters):
    """Which days."""


class DayShape(Shape):
    """A closed day. Its report holds what was booked from ``from_ns`` on, up to ``to_ns``.

    Both are the ledger's own time, in nanoseconds. ``previous``: the ``sha256`` of the day before.
    """

    id: str
    object: Literal["day"]
    authority: Annotated[str, Field(description="The installation's Ed25519 key.")]
    closed_by: str
    created: Created
    cutoff: str
    date: str
    ends_at: int
    from_ns: str
    livemode: Livemode
    metadata: ObjectMetadata
    number: Annotated[int, Field(description="Without a gap.")]
    previous: str | None
    sha256: str
    signature: str
    timezone: str
    to_ns: str


class DayOutlookShape(Shape):
    """The day that would be closed next, and what stands in its way.

    ``waits_for``: what has to happen first, whoever asks. ``blockers``: breaks that nobody has
    explained; two people may accept them by ``digest``.
    """

    object: Literal["day_outlook"]
    accepted: list[dict[str, Any]]
    blockers: list[str]
    breaks: list[str]
    cutoff: str
    date: str
    digest: str
    ends_at: int
    livemode: Livemode
    ready: bool
    timezone: str
    waits_for: str | None


class DayReportShape(DayShape):
    """A closed day with its report."""

    report: dict[str, Any]


@resource.post(
    "/v1/days", returns=DayReportShape, operation="close_day", operator_only=True, two_steps=True
)
def close(context: Context, body: DayClose) -> Document:
    """Close a day, for good. One that is closed is answered as it is; none is opened again."""
    made = flow.close(
        context.parts,
        identifier=context.object_id(rules.PREFIX),
        day=None if body.date is None else rules.read_date(body.date),
        actor=context.actor,
        livemode=context.livemode,
        step_up=StepUp(code=body.code),
        clock=rules.read_clock(body.timezone, body.cutoff),
    )
    return _reported(made)


@resource.post(
    "/v1/days/acceptances",
    returns=DayOutlookShape,
    operation="accept_day",
    operator_only=True,
    two_steps=True,
)
def accept(context: Context, body: DayAccept) -> Document:
    """Say, as one of two people, that a day is closed although breaks stand unexplained."""
    found = flow.accept(
        context.parts,
        identifier=context.object_id(rules.ACCEPTANCE_PREFIX),
        day=rules.read_date(body.date),
        digest=body.digest,
        reason=body.reason,
        actor=context.actor,
        livemode=context.livemode,
        step_up=StepUp(code=body.code),
    )
    return flow.outlook_document(found, livemode=context.livemode)


@resource.get("/v1/days", returns=Page[DayShape], operation="list_days", operator_only=True)
def list_days(context: Context, query: DayListParameters) -> Listing:
    """List the closed days, newest first."""
    rows, has_more = fetch_page(
        context.connection,
        store.days,
        rules.Day,
        account_id=None,
        livemode=context.livemode,
        page=query.page(),
    )
    return Listing(data=[rules.public(row) for row in rows], has_more=has_more)


@resource.get("/v1/days/next", returns=DayOutlookShape, operation="preview_day", operator_only=True)
def preview(context: Context) -> Document:
    """Look at the day that would be closed next, and at what stands in its way."""
    found = flow.outlook(context.connection, livemode=context.livemode, now=context.now)
    return flow.outlook_document(found, livemode=context.livemode)


@resource.get(
    "/v1/days/{day}", returns=DayReportShape, operation="retrieve_day", operator_only=True
)
def retrieve(context: Context, day: str) -> Document:
    """Retrieve a closed day with its report, by its id or its date."""
    return _reported(flow.find(context.connection, day, livemode=context.livemode))


@resource.get(
    "/v1/days/{day}/file",
    returns=DayReportShape,
    operation="download_day",
    operator_only=True,
    is_download=True,
)
def download(context: Context, day: str) -> Download:
    """Download the report as it was signed: `sakk day verify` and the client check it offline."""
    found = flow.find(context.connection, day, livemode=context.livemode)
    content = msgspec.json.encode(rules.file_document(found))
    return Download(content, f'attachment; filename="day-{found.date}.json"')


def _reported(day: rules.Day) -> Document:
    return {**rules.public(day), "report": msgspec.json.decode(day.report)}
