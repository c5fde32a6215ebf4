"""Requests for information: what an account is asked about a payment, and its answer.

Who is asked sees the question and the payment as they know it, and never why it is asked.
"""

import base64
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from sakk.api.case import BODY_BYTES_MAX
from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import ListParameters, Parameters, ShortText, Timestamp, moment
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import information_request as rules
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.information_request import InformationStatus
from sakk.flow import information_request as flow
from sakk.store import information_request as store
from sakk.store.page import fetch_page

resource = Resource("information_requests")
Text = Annotated[str, StringConstraints(min_length=1, max_length=rules.TEXT_LENGTH_MAX)]


class InformationRequestCreate(Parameters):
    """What is asked, and by when it is to be answered; a week from now when left out."""

    question: Text
    due_at: Timestamp | None = None


class InformationFile(Parameters):
    """A file of an answer: a PDF, a picture, text, CSV or JSON, whose first bytes bear it out."""

    file: Annotated[str, Field(description="Its bytes in base64.")]
    name: ShortText
    media_type: ShortText


class InformationAnswer(Parameters):
    """The answer, given once, with at most five files of ten megabytes together."""

    text: Text
    files: Annotated[list[InformationFile], Field(max_length=rules.FILES_MAX)] | None = None


class InformationRequestListParameters(ListParameters):
    """Which requests."""

    status: InformationStatus | None = None


class InformationAboutShape(Shape):
    """The payment that is asked about, as it was when it was asked."""

    object: Literal["payin", "payout", "refund"]
    id: str
    payment_intent: str | None
    amount_decimal: str | None
    currency: str | None
    network: str
    address: str
    tx_hash: str | None
    created: int


class InformationFileShape(Shape):
    """A file that was sent with an answer. ``sha256`` is over its bytes, in hexadecimal."""

    name: str
    media_type: str
    size_bytes: int
    sha256: str


class InformationAnswerShape(Shape):
    """What was answered, and by whom: a person, a key that is nobody's, or `operator`."""

    text: str
    files: list[InformationFileShape]
    by: str
    created: int


class InformationRequestShape(Shape):
    """A question about a payment. ``about`` has no fields where it is about no payment."""

    id: str
    object: Literal["information_request"]
    account: str
    about: InformationAboutShape | dict[str, Any]
    question: str
    status: InformationStatus
    due_at: int
    overdue: bool
    reminders: int
    answer: InformationAnswerShape | None
    ended_at: int | None
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


@resource.post(
    "/v1/cases/{case}/information_requests",
    returns=InformationRequestShape,
    operation="create_information_request",
    operator_only=True,
    two_steps=True,
)
def create(context: Context, case: str, body: InformationRequestCreate) -> Document:
    """Ask the account of a case; the case waits for its answer, one question at a time."""
    asked = flow.ask(
        context.parts,
        case,
        body.question,
        due_at=moment(body.due_at),
        actor=context.actor,
        livemode=context.livemode,
        request_id=context.object_id(rules.PREFIX),
    )
    return rules.public(asked, now=context.now)


@resource.get(
    "/v1/information_requests",
    returns=Page[InformationRequestShape],
    operation="list_information_requests",
)
def list_information_requests(context: Context, query: InformationRequestListParameters) -> Listing:
    """List what the account is asked, newest first."""
    filters = [] if query.status is None else [store.has_status(query.status)]
    rows, has_more = fetch_page(
        context.connection,
        store.information_requests,
        rules.InformationRequest,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    asked = store.with_ends(context.connection, rows)
    shown = [rules.public(each, now=context.now) for each in asked]
    return Listing(data=shown, has_more=has_more)


@resource.get(
    "/v1/information_requests/{information_request}",
    returns=InformationRequestShape,
    operation="retrieve_information_request",
)
def retrieve(context: Context, information_request: str) -> Document:
    """Retrieve a question, and its answer if there is one."""
    found = store.find(
        context.connection,
        information_request,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing(
            f"No such request for information: {information_request!r}", param="id"
        )
    return rules.public(found, now=context.now)


@resource.post(
    "/v1/information_requests/{information_request}/answer",
    returns=InformationRequestShape,
    operation="answer_information_request",
    two_steps=True,
    body_bytes_max=BODY_BYTES_MAX,
)
def answer(context: Context, information_request: str, body: InformationAnswer) -> Document:
    """Answer with text and files, once; whoever asked reads it from then on."""
    answered = flow.answer(
        context.parts,
        information_request,
        body.text,
        [
            flow.SentFile(each.name, each.media_type, _bytes_of(each, index))
            for index, each in enumerate(body.files or [])
        ],
        account_id=context.visible_account_id,
        livemode=context.livemode,
        actor=context.actor,
        seed=context.seed,
        by_operator=context.is_operator,
    )
    return rules.public(answered, now=context.now)


@resource.post(
    "/v1/information_requests/{information_request}/withdraw",
    returns=InformationRequestShape,
    operation="withdraw_information_request",
    operator_only=True,
    two_steps=True,
)
def withdraw(context: Context, information_request: str) -> Document:
    """Say that no answer is needed any more; the account is told."""
    ended = flow.withdraw(
        context.parts, information_request, actor=context.actor, livemode=context.livemode
    )
    return rules.public(ended, now=context.now)


def _bytes_of(file: InformationFile, index: int) -> bytes:
    try:
        return base64.b64decode(file.file, validate=True)
    except ValueError:
        raise ParameterInvalid(
            f"files[{index}].file is no base64.", param=f"files[{index}].file"
        ) from None
