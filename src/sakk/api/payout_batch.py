"""Payout batches: thousands of payouts in one request."""

from base64 import b64decode
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import (
    Identifier,
    ListParameters,
    LongText,
    Metadata,
    Parameters,
    ShortText,
)
from sakk.api.payout import (
    Destination,
    PayoutFields,
    PayoutShape,
    initiator_of,
    request_of,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import chart
from sakk.core import payout as payout_rules
from sakk.core import payout_batch as rules
from sakk.core.errors import ParameterInvalid, ParameterMissing, ResourceMissing
from sakk.core.metadata import merge
from sakk.core.money import UNITS_MAX
from sakk.flow import payout_batch as flow
from sakk.store import payout as payouts
from sakk.store import payout_batch as store
from sakk.store.page import fetch_page

# Ten thousand lines of some hundred bytes each.
BODY_BYTES_MAX = 8 << 20

resource = Resource("payout_batches")


class PayoutLine(PayoutFields):
    """One payout of a batch."""

    reference: Annotated[
        ShortText | None, Field(description="Your own name for it: no two payouts have the same.")
    ] = None
    allow_duplicate: Annotated[
        bool, Field(description="Pay it although another line or payout looks the same.")
    ] = False
    quote: Annotated[
        Identifier | None,
        Field(description="A quote that has not expired: its fee is charged. Else the batch's."),
    ] = None
    application_fee_amount: Annotated[
        int | None,
        Field(
            ge=0,
            le=UNITS_MAX,
            description="What the platform that asks takes for it, on top. Else by its rules.",
        ),
    ] = None


class PayoutBatchPreview(Parameters):
    """Payouts to be looked at together: ``lines``, or a CSV ``file``."""

    lines: Annotated[list[PayoutLine] | None, Field(min_length=1, max_length=rules.LINES_MAX)] = (
        None
    )
    file: Annotated[
        str | None,
        Field(description="A CSV file in base64; as `text/csv` or a part of a form, as it is."),
    ] = None
    allow_duplicates: Annotated[
        bool, Field(description="Pay lines that double another one, or the whole batch again.")
    ] = False
    on_invalid: Annotated[
        Literal["refuse", "skip"],
        Field(description="One wrong line and nothing is made, or the wrong ones are left out."),
    ] = "refuse"
    quote: Annotated[
        Identifier | None, Field(description="The quote of every line that names none.")
    ] = None


class PayoutBatchCreate(PayoutBatchPreview):
    """Payouts to be made together; each has a life of its own afterwards."""

    digest: Annotated[
        str | None,
        Field(description="The preview's: what was previewed is what is made. A file needs it."),
    ] = None
    description: LongText | None = None
    metadata: Metadata | None = None


class Fault(Shape):
    """What is wrong with a line; ``line`` 0 is the whole batch."""

    line: int
    param: Annotated[str | None, Field(description="The field of the line, or the file's column.")]
    code: str
    message: str


class SkippedFault(Shape):
    """What is wrong with a line that was left out, and what to do about it."""

    param: Annotated[str | None, Field(description="The field of the line, or the file's column.")]
    code: str
    message: str


class SkippedLineShape(Shape):
    """A line that no payout was made of. It is paid when it is asked for anew, put right."""

    id: str
    object: Literal["payout_batch.skipped_line"]
    created: Created
    faults: list[SkippedFault]
    line: int
    livemode: Livemode
    payout_batch: str
    said: Annotated[
        dict[str, str],
        Field(
            description="What it says, by a file's columns; in JSON its amount is in the smallest "
            "unit. Who stands behind the address is not kept."
        ),
    ]


class PreviewTotal(Shape):
    """What the lines add up to in a currency's smallest unit, and what the balance has of it."""

    currency: str
    count: int
    delivered: int
    delivered_decimal: str
    fee: int
    fee_decimal: str
    debited: int
    debited_decimal: str
    available: int


class PreviewLine(Shape):
    """A line as it would be paid; ``line`` as a file's editor numbers it, or from 1."""

    line: int
    amount: int
    amount_decimal: str
    application_fee_amount: int
    asset: str
    currency: str
    description: str | None
    destination: Destination
    fee: int
    fee_mode: Literal["sender", "receiver"]
    quote: str | None
    reference: str | None
    scheduled_at: int | None
    token_amount: str


class PayoutBatchPreviewShape(Shape):
    """What would be made. Nothing was; and unless ``valid``, nothing can be.

    With ``on_invalid`` skip the lines, totals and digest are those of what would be paid.
    """

    object: Literal["payout_batch_preview"]
    digest: str
    faults: list[Fault]
    lines: list[PreviewLine]
    livemode: Livemode
    totals: list[PreviewTotal]
    valid: bool


class PayoutBatchLines(ListParameters):
    """Which payouts of a batch."""

    status: payout_rules.PayoutStatus | None = None


class PayoutBatchTotal(Shape):
    """Payouts of one currency in one status; sums in the currency's smallest unit."""

    currency: str
    status: payout_rules.PayoutStatus
    count: int
    amount: int
    amount_decimal: str
    fee: int
    fee_decimal: str
    under_review: int


class PayoutBatchShape(Shape):
    """A batch of ``lines`` payouts, and what they add up to now.

    ``digest`` is the preview's, a SHA-256 of what is paid.
    """

    id: str
    object: Literal["payout_batch"]
    allow_duplicates: bool
    canceled_at: int | None
    created: Created
    description: str | None
    digest: str
    lines: int
    livemode: Livemode
    metadata: ObjectMetadata
    on_invalid: rules.OnInvalid
    skipped: Annotated[int, Field(description="Lines that were left out, and are not paid.")]
    source: Literal["json", "csv"]
    status: rules.BatchStatus
    totals: list[PayoutBatchTotal]


@resource.lookup(
    "/v1/payout_batches/preview",
    returns=PayoutBatchPreviewShape,
    operation="preview_payout_batch",
    body_bytes_max=BODY_BYTES_MAX,
    takes_file=True,
)
def preview(context: Context, body: PayoutBatchPreview) -> Document:
    """Look at a batch: every line as it would be paid, and everything that is wrong.

    Nothing is made. A file's columns are `network`, `address` or `beneficiary`, `currency`,
    `amount` (a decimal number), `fee_mode`, `reference`, `description`, `scheduled_at`,
    `allow_duplicate`, `quote`; and who stands behind the address (the Travel Rule):
    `beneficiary_type`, `beneficiary_name`, `beneficiary_given_name`, `beneficiary_country`,
    `beneficiary_wallet`, `vasp_name`, `vasp_lei`, `vasp_travel_address`.
    """
    checked = flow.preview(
        context.parts,
        _request(context, body),
        identifier=context.object_id(rules.PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
    )
    totals = rules.preview_totals(checked.payouts)
    units = [chart.currency_unit(each["currency"], livemode=context.livemode) for each in totals]
    available = context.parts.books.balances(
        [chart.merchant(context.account_id, "available", unit) for unit in units]
    )
    return {
        "object": "payout_batch_preview",
        "digest": checked.digest,
        "faults": [each.document() for each in checked.faults],
        "lines": [rules.preview_line(each) for each in checked.payouts],
        "livemode": context.livemode,
        "totals": [
            total | {"available": units} for total, units in zip(totals, available, strict=True)
        ],
        "valid": checked.can_be_made(rules.OnInvalid(body.on_invalid)),
    }


@resource.post(
    "/v1/payout_batches",
    returns=PayoutBatchShape,
    operation="create_payout_batch",
    two_steps=True,
    body_bytes_max=BODY_BYTES_MAX,
    takes_file=True,
)
def create(context: Context, body: PayoutBatchCreate) -> Document:
    """Send money to up to 10,000 destinations.

    One wrong line, or one that doubles another, and nothing is made; with `on_invalid` skip such
    lines are left out and kept with the batch, unless no other is there. Every other line is a
    payout of its own: one that fails stops no other, and one that the balance does not cover is
    rejected alone, the first lines first.
    """
    if body.file is not None and body.digest is None:
        raise ParameterMissing(
            "Missing required parameter: digest. POST /v1/payout_batches/preview answers it: what "
            "was previewed is what is made.",
            param="digest",
        )
    batch, totals = flow.create(
        context.parts,
        replace(
            _request(context, body),
            previewed=body.digest,
            description=body.description,
            metadata=merge({}, body.metadata or {}),
        ),
        identifier=context.object_id(rules.PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        request_id=context.request_id,
    )
    return rules.public(batch, totals)


@resource.get("/v1/payout_batches", returns=Page[PayoutBatchShape], operation="list_payout_batches")
def list_batches(context: Context, query: ListParameters) -> Listing:
    """List the batches, newest first: an account's, or all for the operator."""
    rows, has_more = fetch_page(
        context.connection,
        store.payout_batches,
        rules.PayoutBatch,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
    )
    totals = store.totals(context.connection, [row.id for row in rows])
    return Listing(data=[rules.public(row, totals[row.id]) for row in rows], has_more=has_more)


@resource.get(
    "/v1/payout_batches/{payout_batch}",
    returns=PayoutBatchShape,
    operation="retrieve_payout_batch",
)
def retrieve(context: Context, payout_batch: str) -> Document:
    """Retrieve a batch with the counts and sums of its payouts by currency and status."""
    found = _found(context, payout_batch)
    return rules.public(found, store.totals(context.connection, [found.id])[found.id])


@resource.get(
    "/v1/payout_batches/{payout_batch}/payouts",
    returns=Page[PayoutShape],
    operation="list_payout_batch_payouts",
)
def list_payouts(context: Context, payout_batch: str, query: PayoutBatchLines) -> Listing:
    """List the payouts of a batch, in the order of its lines."""
    found = _found(context, payout_batch)
    filters = [payouts.payouts.c.batch == found.id]
    if query.status is not None:
        filters.append(payouts.payouts.c.status == query.status.value)
    rows, has_more = fetch_page(
        context.connection,
        payouts.payouts,
        payout_rules.Payout,
        account_id=found.account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
        oldest_first=True,
    )
    return Listing(
        data=[payout_rules.public(row, operator=context.is_operator) for row in rows],
        has_more=has_more,
    )


@resource.get(
    "/v1/payout_batches/{payout_batch}/skipped_lines",
    returns=Page[SkippedLineShape],
    operation="list_payout_batch_skipped_lines",
)
def list_skipped_lines(context: Context, payout_batch: str, query: ListParameters) -> Listing:
    """List the lines that were left out of a batch, in their order, with all that is wrong."""
    found = _found(context, payout_batch)
    rows, has_more = fetch_page(
        context.connection,
        store.payout_batch_skipped_lines,
        rules.SkippedLine,
        account_id=found.account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=[store.payout_batch_skipped_lines.c.batch == found.id],
        oldest_first=True,
    )
    return Listing(data=[rules.public_skipped(row) for row in rows], has_more=has_more)


@resource.post(
    "/v1/payout_batches/{payout_batch}/cancel",
    returns=PayoutBatchShape,
    operation="cancel_payout_batch",
    two_steps=True,
)
def cancel(context: Context, payout_batch: str) -> Document:
    """Call off every payout of a batch that no transaction carries yet.

    The totals say what was called off and what goes on; it may be asked for again.
    """
    batch, totals = flow.cancel(
        context.parts,
        payout_batch,
        account_id=context.account_id,
        livemode=context.livemode,
        request_id=context.request_id,
    )
    return rules.public(batch, totals)


def _request(context: Context, body: PayoutBatchPreview) -> flow.BatchRequest:
    if (body.lines is None) == (body.file is None):
        raise ParameterMissing("Give lines or a file, and not both.", param="lines")
    if body.file is not None:
        try:
            raw = b64decode(body.file, validate=True)
        except ValueError:
            raise ParameterInvalid("The file is not base64.", param="file") from None
        read = flow.read_file(
            context.parts,
            raw,
            initiator=initiator_of(context),
            allow_duplicates=body.allow_duplicates,
        )
        # A file's lines name no fee: the platform's rules say what it takes.
        by_rules = context.application(None, of=0, param="file")
        lines = [
            replace(line, request=replace(line.request, application=by_rules))
            for line in read.lines
        ]
        return replace(
            read, lines=lines, on_invalid=rules.OnInvalid(body.on_invalid), quote=body.quote
        )
    asked: list[rules.Line] = []
    faults: list[rules.Fault] = []
    for number, line in enumerate(body.lines or (), 1):
        request = replace(request_of(context, line, reference=line.reference), quote=line.quote)
        try:
            application = context.application(
                line.application_fee_amount, of=line.amount, param="application_fee_amount"
            )
        except ParameterInvalid as error:
            faults.append(rules.Fault.of(number, error))
            application = None
        request = replace(request, application=application)
        asked.append(rules.Line(number, request, line.allow_duplicate))
    return flow.BatchRequest(
        lines=asked,
        faults=faults,
        allow_duplicates=body.allow_duplicates,
        on_invalid=rules.OnInvalid(body.on_invalid),
        quote=body.quote,
    )


def _found(context: Context, identifier: str) -> rules.PayoutBatch:
    found = store.find(
        context.connection,
        identifier,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing(f"No such payout batch: {identifier!r}", param="id")
    return found
