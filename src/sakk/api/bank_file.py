"""Bank files: what went to banks and came from them, and what is brought by hand."""

import base64
from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Download, Listing
from sakk.api.parameters import Identifier, ListParameters, Parameters, ShortText
from sakk.api.person import Code, Hash
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import bank_file as rules
from sakk.core import bank_payment as payment_rules
from sakk.core.bank_file import BankFile
from sakk.core.bank_payment import BankPayment
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.flow import bank_release as flow
from sakk.flow.step_up import StepUp
from sakk.flow.word import Word
from sakk.store import bank_file as store
from sakk.store import bank_payment as payments
from sakk.store.page import fetch_page

resource = Resource("bank_files")
payment_resource = Resource("bank_payments")

# A file of sixteen megabytes in base64, and a little beside it; a larger one comes by its folder.
BODY_BYTES_MAX = 22 << 20


class BankFileCreate(Parameters):
    """A file that a bank sent, brought by hand."""

    file: Annotated[str, Field(description="Its bytes in base64.")]
    name: ShortText = "upload"


class BankFileRelease(Parameters):
    """The hash of the bytes that were looked at, and a fresh code of the person who releases."""

    sha256: Hash
    code: Code | None = None


class BankFileListParameters(ListParameters):
    """Which files."""

    way: Literal["in", "out"] | None = None
    status: (
        Literal["ready", "sent", "withdrawn", "awaiting", "received", "read", "refused"] | None
    ) = None
    bank_account: Identifier | None = None


class BankPaymentListParameters(ListParameters):
    """Which orders."""

    payout: Identifier | None = None
    file: Identifier | None = None
    status: Literal["ordered", "sent", "accepted", "booked", "rejected", "returned"] | None = None


class BankFileShape(Shape):
    """A file, without its bytes. A file that is brought twice is one, by its hash."""

    id: str
    object: Literal["bank_file"]
    bank_account: str | None
    brought_by: Annotated[str | None, Field(description="Who brought it by hand.")]
    created: Created
    done_at: Annotated[int | None, Field(description="When it was put out, or read.")]
    kind: rules.FileKind
    livemode: Livemode
    metadata: ObjectMetadata
    name: str
    reason: Annotated[str | None, Field(description="Why it was refused, or waits.")]
    released_at: int | None
    released_by: Annotated[str | None, Field(description="Who else stands for it.")]
    sha256: str
    size: int
    status: rules.FileStatus
    way: rules.Way


class BankPaymentShape(Shape):
    """One order to a bank: a payout's."""

    id: str
    object: Literal["bank_payment"]
    account: str
    amount: int
    amount_decimal: str
    bank_account: str
    created: Created
    currency: str
    destination: str
    end_to_end_id: str
    ended_at: int | None
    execution_date: str
    fee: Annotated[int, Field(description="What a provider takes besides, of the operator's.")]
    file: Annotated[str, Field(description="Its file, or the order of a provider.")]
    line: str | None
    livemode: Livemode
    metadata: ObjectMetadata
    number: int
    payout: str
    reason: str | None
    reason_code: Annotated[str | None, Field(description="ISO 20022, as the bank gave it.")]
    return_line: str | None
    status: payment_rules.BankPaymentStatus


@resource.post(
    "/v1/bank_files",
    returns=BankFileShape,
    operation="create_bank_file",
    operator_only=True,
    body_bytes_max=BODY_BYTES_MAX,
    takes_file=True,
)
def create(context: Context, body: BankFileCreate) -> Document:
    """Bring a file that a bank sent: camt.053, camt.052, MT940 or pain.002.

    It is read when another person has released it.
    """
    try:
        content = base64.b64decode(body.file, validate=True)
    except ValueError:
        raise ParameterInvalid("file is no base64.", param="file") from None
    row = flow.bring(
        context.connection,
        content,
        name=body.name,
        actor=context.actor,
        livemode=context.livemode,
        now=context.now,
        identifier=context.object_id(rules.PREFIX),
    )
    return rules.public(row)


@resource.post(
    "/v1/bank_files/{bank_file}/release",
    returns=BankFileShape,
    operation="release_bank_file",
    operator_only=True,
    two_steps=True,
)
def release(context: Context, bank_file: str, body: BankFileRelease) -> Document:
    """Stand for a file that another person brought, after looking at it; it is read at once."""
    word = Word(context.actor, StepUp(code=body.code), body.sha256)
    done = flow.release(context.parts, bank_file, word, livemode=context.livemode)
    return rules.public(done)


@resource.post(
    "/v1/bank_files/{bank_file}/refuse",
    returns=BankFileShape,
    operation="refuse_bank_file",
    operator_only=True,
    two_steps=True,
)
def refuse(context: Context, bank_file: str) -> Document:
    """Refuse a file that was brought, or take it back; it is kept, and not read."""
    gone = flow.refuse(context.parts, bank_file, actor=context.actor, livemode=context.livemode)
    return rules.public(gone)


@resource.get(
    "/v1/bank_files",
    returns=Page[BankFileShape],
    operation="list_bank_files",
    operator_only=True,
)
def list_bank_files(context: Context, query: BankFileListParameters) -> Listing:
    """List the files, newest first."""
    c = store.bank_files.c
    told = {"way": query.way, "status": query.status, "bank_account": query.bank_account}
    rows, has_more = fetch_page(
        context.connection,
        store.bank_files,
        BankFile,
        account_id=None,
        livemode=context.livemode,
        page=query.page(),
        filters=[c[name] == value for name, value in told.items() if value is not None],
    )
    return Listing(data=[rules.public(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/bank_files/{bank_file}",
    returns=BankFileShape,
    operation="retrieve_bank_file",
    operator_only=True,
)
def retrieve(context: Context, bank_file: str) -> Document:
    """Retrieve what is known of a file."""
    return rules.public(_found(context, bank_file))


@resource.get(
    "/v1/bank_files/{bank_file}/content",
    returns=BankFileShape,
    operation="download_bank_file",
    operator_only=True,
    is_download=True,
)
def download(context: Context, bank_file: str) -> Download:
    """Download a file's bytes, as they went or came."""
    row = _found(context, bank_file)
    content = store.content_of(context.connection, row.id)
    return Download(content, f'attachment; filename="{row.id}.bin"')


@payment_resource.get(
    "/v1/bank_payments", returns=Page[BankPaymentShape], operation="list_bank_payments"
)
def list_bank_payments(context: Context, query: BankPaymentListParameters) -> Listing:
    """List the orders to banks, newest first: an account's, or all for the operator."""
    c = payments.bank_payments.c
    told = {"payout": query.payout, "file": query.file, "status": query.status}
    rows, has_more = fetch_page(
        context.connection,
        payments.bank_payments,
        BankPayment,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=[c[name] == value for name, value in told.items() if value is not None],
    )
    return Listing(data=[payment_rules.public(row) for row in rows], has_more=has_more)


@payment_resource.get(
    "/v1/bank_payments/{bank_payment}",
    returns=BankPaymentShape,
    operation="retrieve_bank_payment",
)
def retrieve_payment(context: Context, bank_payment: str) -> Document:
    """Retrieve an order to a bank."""
    found = payments.find(
        context.connection,
        bank_payment,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing(f"No such bank payment: {bank_payment!r}", param="id")
    return payment_rules.public(found)


def _found(context: Context, identifier: str) -> BankFile:
    found = store.find(context.connection, identifier, livemode=context.livemode)
    if found is None:
        raise ResourceMissing(f"No such bank file: {identifier!r}", param="id")
    return found
