"""Reports: asked for, followed, canceled; their files are in `sakk.api.file`."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.file import FileShape
from sakk.api.parameters import (
    CurrencyCode,
    Identifier,
    ListParameters,
    Metadata,
    Parameters,
    Strict,
    Timestamp,
    moment,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import file as file_rules
from sakk.core import metadata as metadata_rules
from sakk.core import report as rules
from sakk.core.errors import ResourceMissing
from sakk.core.money import UNITS_MAX
from sakk.core.report import Report, ReportForm, ReportKind, ReportParameters, ReportStatus
from sakk.flow import report as flow
from sakk.store import file as files
from sakk.store import report as store
from sakk.store.page import fetch_page

resource = Resource("reports")

Kind = Literal[
    "general_ledger",
    "trial_balance",
    "merchant_statement",
    "fees",
    "volumes",
    "travel_rule",
    "large_values",
]


class RunParameters(Strict):
    """Of what the report is; see the guide for what each kind takes.

    ``interval_start`` is included and the beginning of all when left out; ``interval_end`` is not
    included, and now when left out. ``tax_ppm``: of the tax that fees include, in millionths.
    ``threshold``: units of ``currency`` from which a value is large.
    """

    account: Identifier | None = None
    currency: CurrencyCode | None = None
    detail: bool = False
    interval_end: Timestamp | None = None
    interval_start: Timestamp | None = None
    tax_ppm: Annotated[int, Field(ge=0, le=rules.TAX_PPM_MAX)] = 0
    threshold: Annotated[int, Field(ge=1, le=UNITS_MAX)] | None = None


class ReportCreate(Parameters):
    """What is to be written."""

    report_type: Kind
    format: Literal["csv", "jsonl", "beancount"] = "csv"
    parameters: RunParameters = RunParameters()
    metadata: Metadata | None = None


class ReportListParameters(ListParameters):
    """Which reports."""

    report_type: ReportKind | None = None
    status: ReportStatus | None = None


class RunParametersShape(Shape):
    """What the report is of."""

    account: str | None
    currency: str | None
    detail: bool
    interval_end: int
    interval_start: int
    tax_ppm: int
    threshold: int | None


class ReportShape(Shape):
    """A report, and how far it has come."""

    id: str
    object: Literal["report"]
    created: Created
    ended_at: int | None
    failure_code: str | None
    failure_message: str | None
    format: ReportForm
    livemode: Livemode
    mapping: Annotated[int | None, Field(description="The version of the chart it is written by.")]
    metadata: ObjectMetadata
    parameters: RunParametersShape
    progress_percent: int
    report_type: ReportKind
    result: Annotated[FileShape | None, Field(description="While the file is kept.")]
    rows: int
    rows_total: Annotated[int | None, Field(description="None until it was counted.")]
    status: ReportStatus


@resource.post("/v1/reports", returns=ReportShape, operation="create_report")
def create(context: Context, body: ReportCreate) -> Document:
    """Ask for a report; the operator's own key asks about all accounts, or names one."""
    given = body.parameters
    report = flow.create(
        context.connection,
        ReportKind(body.report_type),
        ReportForm(body.format),
        ReportParameters(
            start=moment(given.interval_start or 0) or context.now,
            end=moment(given.interval_end) or context.now.replace(microsecond=0),
            account=given.account,
            currency=None if given.currency is None else given.currency.lower(),
            detail=given.detail,
            tax_ppm=given.tax_ppm,
            threshold=given.threshold,
        ),
        identifier=context.object_id(rules.PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        is_operator=context.visible_account_id is None,
        requested_by=context.actor.signature,
        metadata=metadata_rules.merge({}, body.metadata),
        now=context.now,
    )
    return rules.public(report, None)


@resource.get("/v1/reports", returns=Page[ReportShape], operation="list_reports")
def list_reports(context: Context, query: ReportListParameters) -> Listing:
    """List the reports that the account asked for, newest first."""
    c = store.reports.c
    filters = []
    if query.report_type is not None:
        filters.append(c.kind == query.report_type.value)
    if query.status is not None:
        filters.append(c.status == query.status.value)
    rows, has_more = fetch_page(
        context.connection,
        store.reports,
        Report,
        account_id=context.account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=_shown(context, rows), has_more=has_more)


@resource.get("/v1/reports/{report}", returns=ReportShape, operation="retrieve_report")
def retrieve(context: Context, report: str) -> Document:
    """Retrieve a report, and see how far it has come."""
    found = store.find(
        context.connection, report, account_id=context.account_id, livemode=context.livemode
    )
    if found is None:
        raise ResourceMissing("No such report: {report}.", param="id", report=repr(report))
    return _shown(context, [found])[0]


@resource.post("/v1/reports/{report}/cancel", returns=ReportShape, operation="cancel_report")
def cancel(context: Context, report: str) -> Document:
    """Write a report no further; one that has ended stays as it is."""
    found = flow.cancel(
        context.connection,
        report,
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
    )
    return _shown(context, [found])[0]


def _shown(context: Context, rows: Sequence[Report]) -> list[dict[str, Any]]:
    found = files.find_many(context.connection, [row.file for row in rows if row.file])
    url = context.settings.public_url
    return [
        rules.public(
            row,
            None if row.file not in found else file_rules.public(found[row.file], public_url=url),
        )
        for row in rows
    ]
