"""Cases: what compliance officers work on. The operator's alone, every route of it."""

import base64
import hashlib
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints
from sqlalchemy import Connection

from sakk.api.context import Context, Document, Download, Listing
from sakk.api.parameters import (
    Identifier,
    ListParameters,
    LongText,
    Parameters,
    ShortText,
)
from sakk.api.proposal import Confirmation, yes_to
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import attachment as attachments
from sakk.core import case as rules
from sakk.core import goaml
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.flow import case_report
from sakk.flow import case_work as flow
from sakk.flow.case_evidence import evidence
from sakk.flow.case_subject import find_matter
from sakk.store import case as store

# A file of ten megabytes in base64, and a little beside it.
BODY_BYTES_MAX = 15 << 20

resource = Resource("cases")

PriorityName = Literal["low", "normal", "high", "urgent"]
NoteText = Annotated[str, StringConstraints(min_length=1, max_length=rules.NOTE_LENGTH_MAX)]


class CaseListParameters(ListParameters):
    """Which cases. ``order``: ``queue`` leaves closed ones out, the most urgent and oldest first.

    ``subject``: the id of what a case is about, or an address as CAIP-10.
    """

    status: rules.CaseStatus | None = None
    assignee: Identifier | None = None
    kind: rules.CaseKind | None = None
    priority: PriorityName | None = None
    overdue: bool | None = None
    subject: ShortText | None = None
    order: Literal["newest", "queue"] = "newest"


class CaseAssign(Parameters):
    """To whom (by default the caller), and whose it ``was``: nobody's when left out."""

    assignee: Identifier | None = None
    was: Identifier | None = None


class CaseNoteCreate(Parameters):
    """What is written down; it is never changed."""

    text: NoteText


class CaseAttach(Parameters):
    """A file of a few types. As a part of a form it is sent as it is."""

    file: Annotated[str, Field(description="Its bytes in base64.")]
    name: ShortText
    media_type: ShortText


class CasePropose(Parameters):
    """How the case is to end. ``destination``: to whom coins go back, or the vault."""

    outcome: Literal["release", "return", "seize", "reject", "dismiss"]
    note: NoteText | None = None
    destination: Identifier | None = None
    place: Literal["left", "vault"] | None = None


class CaseDecline(Parameters):
    """Why not."""

    reason: LongText | None = None


class CaseReopen(Parameters):
    """What was found."""

    reason: LongText


class CaseReport(Parameters):
    """What a person writes of a report. ``indicators``: codes of the authority's own table."""

    format: Literal["goaml"] = "goaml"
    reason: Annotated[str, StringConstraints(min_length=1, max_length=goaml.TEXT_MAX)]
    action: Annotated[str, StringConstraints(min_length=1, max_length=goaml.TEXT_MAX)]
    indicators: Annotated[list[Identifier], Field(max_length=goaml.INDICATORS_MAX)]


class CaseSettingsUpdate(Parameters):
    """Who reports to its authority: see the guide of compliance for its fields."""

    reporting_entity: dict[str, Any]


class CaseShape(Shape):
    """One case. ``proposal``: what one person asks another to confirm."""

    id: str
    object: Literal["case"]
    account: str | None
    kind: rules.CaseKind
    subject: str
    status: rules.CaseStatus
    priority: PriorityName
    reason: str
    screening: str | None
    assignee: str | None
    proposal: dict[str, Any] | None
    outcome: str | None
    carrier: str | None
    acts: int
    due_at: int
    overdue: bool
    closed_at: int | None
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


class CaseNoteShape(Shape):
    """One note of a case."""

    id: str
    object: Literal["case_note"]
    case: str
    author: str
    text: str
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


class CaseAttachmentShape(Shape):
    """One file of a case, without its content."""

    id: str
    object: Literal["case_attachment"]
    case: str
    author: str
    name: str
    media_type: str
    size_bytes: int
    sha256: str
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


class CaseActShape(Shape):
    """One act of a case's history."""

    id: str
    object: Literal["case_act"]
    case: str
    number: int
    act: rules.Act
    by: str
    key: str | None
    before: dict[str, Any]
    after: dict[str, Any]
    detail: dict[str, Any]
    created: Created
    livemode: Livemode


class CaseLedgerLine(Shape):
    """What the ledger moved in the name of the subject."""

    transfer: str
    debit: str
    credit: str
    units: str
    why: str
    status: str
    created: int


class CaseTimelineLine(Shape):
    """An event about the subject."""

    id: str
    type: str
    created: int


class CaseQuestionShape(Shape):
    """What the account was asked, with who asked and the ids of the files of its answer."""

    id: str
    object: Literal["information_request"]
    account: str
    about: dict[str, Any]
    question: str
    status: Literal["open", "answered", "withdrawn"]
    due_at: int
    overdue: bool
    reminders: int
    answer: dict[str, Any] | None
    ended_at: int | None
    asked_by: str
    attachments: list[str]
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


class CaseDetailShape(CaseShape):
    """A case with its evidence. ``outcomes``: what may be proposed now. ``digest``: to confirm.

    ``one_person``: the sandbox, where one key proposes and confirms.
    """

    outcomes: list[str]
    digest: str | None
    one_person: bool
    about: dict[str, Any] | None
    subjects: list[str]
    related: list[str]
    screenings: list[dict[str, Any]]
    ledger: list[CaseLedgerLine]
    timeline: list[CaseTimelineLine]
    notes: list[CaseNoteShape]
    information_requests: list[CaseQuestionShape]
    attachments: list[CaseAttachmentShape]
    history: list[CaseActShape]


class CaseReportShape(Shape):
    """A report as a draft: ``xml`` of the ``schema``, and its hash."""

    object: Literal["case_report"]
    case: str
    format: Literal["goaml"]
    schema_version: str
    sha256: str
    xml: str
    livemode: Livemode


class CaseSettingsShape(Shape):
    """How cases are worked in a mode. ``one_person``: the sandbox alone."""

    object: Literal["case_settings"]
    one_person: bool
    reporting_entity: dict[str, Any] | None
    changed_by: str | None
    changed_at: int | None
    livemode: Livemode


@resource.get("/v1/cases", returns=Page[CaseShape], operation="list_cases", operator_only=True)
def list_cases(context: Context, query: CaseListParameters) -> Listing:
    """List the cases: newest first, or as a queue to work through."""
    wanted = store.Wanted(
        status=None if query.status is None else query.status.value,
        assignee=query.assignee,
        kind=None if query.kind is None else query.kind.value,
        priority=None if query.priority is None else rules.Priority[query.priority].value,
        overdue=query.overdue,
        subject=query.subject,
    )
    if query.order == "newest":
        rows, has_more = store.list_cases(
            context.connection, wanted, query.page(), livemode=context.livemode, now=context.now
        )
    else:
        if query.ending_before is not None or query.created is not None:
            raise ParameterInvalid(
                "A queue goes forward by starting_after alone.", param="ending_before"
            )
        rows, has_more = store.list_queue(
            context.connection,
            wanted,
            livemode=context.livemode,
            now=context.now,
            limit=query.limit,
            starting_after=query.starting_after,
        )
    shown = [rules.public(row, now=context.now) for row in rows]
    return Listing(data=shown, has_more=has_more)


@resource.get(
    "/v1/cases/{case}", returns=CaseDetailShape, operation="retrieve_case", operator_only=True
)
def retrieve(context: Context, case: str) -> Document:
    """Retrieve a case with its evidence, by its id or by its subject's."""
    return _shown(context.connection, context, case)


@resource.post(
    "/v1/cases/{case}/assign",
    returns=CaseShape,
    operation="assign_case",
    operator_only=True,
    two_steps=True,
)
def assign(context: Context, case: str, body: CaseAssign) -> Document:
    """Take a case, or give it to somebody; of two who take it at once one gets it."""
    row = flow.assign(
        context.parts,
        case,
        actor=context.actor,
        livemode=context.livemode,
        assignee=body.assignee,
        was=body.was,
    )
    return rules.public(row, now=context.now)


@resource.post(
    "/v1/cases/{case}/notes",
    returns=CaseNoteShape,
    operation="create_case_note",
    operator_only=True,
    two_steps=True,
)
def note(context: Context, case: str, body: CaseNoteCreate) -> Document:
    """Write something down of a case, for good."""
    written = flow.note(
        context.parts,
        case,
        body.text,
        actor=context.actor,
        livemode=context.livemode,
        note_id=context.object_id(rules.NOTE_PREFIX),
    )
    return rules.public_note(written)


@resource.post(
    "/v1/cases/{case}/attachments",
    returns=CaseAttachmentShape,
    operation="create_case_attachment",
    operator_only=True,
    two_steps=True,
    body_bytes_max=BODY_BYTES_MAX,
    takes_file=True,
)
def attach(context: Context, case: str, body: CaseAttach) -> Document:
    """Put a file to a case: a PDF, an image, text, CSV or JSON of at most ten megabytes."""
    try:
        content = base64.b64decode(body.file, validate=True)
    except ValueError:
        raise ParameterInvalid("file is no base64.", param="file") from None
    kept = flow.attach(
        context.parts,
        case,
        content,
        name=body.name,
        media_type=body.media_type,
        actor=context.actor,
        livemode=context.livemode,
        attachment_id=context.object_id(attachments.PREFIX),
    )
    return attachments.public(kept)


@resource.get(
    "/v1/cases/{case}/attachments/{case_attachment}/content",
    returns=CaseAttachmentShape,
    operation="download_case_attachment",
    operator_only=True,
    is_download=True,
)
def download(context: Context, case: str, case_attachment: str) -> Download:
    """Download a file of a case: always to be saved, whatever it says that it is."""
    found = find_matter(context.connection, case, livemode=context.livemode).case
    kept = store.find_attachment(context.connection, case_attachment)
    if kept is None or kept.case_id != found.id:
        raise ResourceMissing(f"No such attachment: {case_attachment!r}", param="case_attachment")
    content = store.read_content(context.connection, kept.id)
    return Download(content, attachments.disposition(kept.name))


@resource.post(
    "/v1/cases/{case}/propose",
    returns=CaseDetailShape,
    operation="propose_case",
    operator_only=True,
    two_steps=True,
)
def propose(context: Context, case: str, body: CasePropose) -> Document:
    """Say how a case is to end; another person confirms it.

    Held pay-ins are released, returned to a ``destination``, or seized: ``left`` where they stand,
    or sent to a ``vault``. Payouts are released to the policy, or rejected. Where nothing waits a
    case is dismissed.
    """
    plan = flow.Plan(
        rules.Outcome(body.outcome),
        note=body.note,
        destination=body.destination,
        place=None if body.place is None else rules.Place(body.place),
    )
    flow.propose(context.parts, case, plan, actor=context.actor, livemode=context.livemode)
    with context.database.begin() as connection:
        return _shown(connection, context, case)


@resource.post(
    "/v1/cases/{case}/decline",
    returns=CaseShape,
    operation="decline_case",
    operator_only=True,
    two_steps=True,
)
def decline(context: Context, case: str, body: CaseDecline) -> Document:
    """Refuse what was proposed, or take it back: the case is worked on further."""
    row = flow.decline(
        context.parts,
        case,
        actor=context.actor,
        livemode=context.livemode,
        reason=body.reason,
    )
    return rules.public(row, now=context.now)


@resource.post(
    "/v1/cases/{case}/confirm",
    returns=CaseShape,
    operation="confirm_case",
    operator_only=True,
    two_steps=True,
)
def confirm(context: Context, case: str, body: Confirmation) -> Document:
    """Confirm what another person proposed, as it was shown; it is carried out by that."""
    row = flow.confirm(context.parts, case, yes_to(context, body), livemode=context.livemode)
    return rules.public(row, now=context.now)


@resource.post(
    "/v1/cases/{case}/reopen",
    returns=CaseShape,
    operation="reopen_case",
    operator_only=True,
    two_steps=True,
)
def reopen(context: Context, case: str, body: CaseReopen) -> Document:
    """Open a closed case again, for what was found since."""
    row = flow.reopen(
        context.parts,
        case,
        actor=context.actor,
        livemode=context.livemode,
        reason=body.reason,
    )
    return rules.public(row, now=context.now)


@resource.lookup(
    "/v1/cases/{case}/report",
    returns=CaseReportShape,
    operation="draft_case_report",
    operator_only=True,
)
def report(context: Context, case: str, body: CaseReport) -> Document:
    """Draft a suspicious transaction report of a case, as goAML; nothing is kept of it."""
    words = case_report.Words(body.reason, body.action, body.indicators)
    with context.database.begin() as connection:
        content = case_report.draft(
            connection, case, words, livemode=context.livemode, now=context.now
        )
    return {
        "object": "case_report",
        "case": case,
        "format": body.format,
        "schema_version": goaml.SCHEMA,
        "sha256": hashlib.sha256(content).hexdigest(),
        "xml": content.decode(),
        "livemode": context.livemode,
    }


@resource.post(
    "/v1/cases/{case}/filings",
    returns=CaseDetailShape,
    operation="file_case_report",
    operator_only=True,
    two_steps=True,
)
def file(context: Context, case: str, body: CaseReport) -> Document:
    """Keep a report with its case, and propose that it is filed; another person confirms it."""
    case_report.file(
        context.parts,
        case,
        case_report.Words(body.reason, body.action, body.indicators),
        actor=context.actor,
        livemode=context.livemode,
        attachment_id=context.object_id(attachments.PREFIX),
    )
    with context.database.begin() as connection:
        return _shown(connection, context, case)


@resource.get(
    "/v1/case_settings",
    returns=CaseSettingsShape,
    operation="retrieve_case_settings",
    operator_only=True,
)
def settings(context: Context) -> Document:
    """Retrieve how cases are worked, and who reports."""
    found = store.find_settings(context.connection, livemode=context.livemode)
    return rules.public_settings(found, livemode=context.livemode)


@resource.post(
    "/v1/case_settings",
    returns=CaseSettingsShape,
    operation="update_case_settings",
    operator_only=True,
    two_steps=True,
)
def configure(context: Context, body: CaseSettingsUpdate) -> Document:
    """Say who reports to its authority, as a person with the role compliance."""
    changed = case_report.configure(
        context.parts, body.reporting_entity, actor=context.actor, livemode=context.livemode
    )
    return rules.public_settings(changed, livemode=context.livemode)


def _shown(connection: Connection, context: Context, case: str) -> Document:
    matter = find_matter(connection, case, livemode=context.livemode)
    return evidence(connection, matter, now=context.now)
