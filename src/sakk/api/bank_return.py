"""Bank returns: money in suspense at a bank goes back to its sender, by two people."""

from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Identifier, ListParameters, LongText, Parameters
from sakk.api.proposal import Confirmation, yes_to
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import bank_return as rules
from sakk.core.bank_return import BankReturn
from sakk.core.errors import ResourceMissing
from sakk.core.money import UNITS_MAX
from sakk.flow import bank_return as flow
from sakk.store import bank_return as store
from sakk.store.page import fetch_page

resource = Resource("bank_returns")

Note = Annotated[str, Field(min_length=1, max_length=rules.NOTE_LENGTH_MAX)]
Status = Literal[
    "awaiting",
    "declined",
    "confirmed",
    "stopped",
    "ordered",
    "sent",
    "accepted",
    "booked",
    "rejected",
    "returned",
]


class BankReturnCreate(Parameters):
    """Which line's money goes back, why, and what the bank may take besides.

    It goes to the account that the line names. Where the bank named no sender, ``holder`` says who
    it is; where it named no account with an IBAN, ``iban`` says it, or ``number`` and bank.
    """

    line: Identifier
    note: Note | None = None
    fee_max: Annotated[int, Field(ge=0, le=UNITS_MAX)] = 0
    holder: LongText | None = None
    iban: Identifier | None = None
    bic: Identifier | None = None
    country: Identifier | None = None
    number: Identifier | None = None
    bank_code: Identifier | None = None


class BankReturnListParameters(ListParameters):
    """Which returns."""

    line: Identifier | None = None
    bank_account: Identifier | None = None
    status: Status | None = None


class BankReturnShape(Shape):
    """Money in suspense on its way back to its sender; `digest` to confirm with while it waits."""

    id: str
    object: Literal["bank_return"]
    amount: int
    amount_decimal: str
    bank_account: str
    bank_code: str | None
    bic: str | None
    by: str
    by_hand: Annotated[
        bool, Field(description="The account was said by people: the line names none.")
    ]
    country: str | None
    created: Created
    currency: str
    debit_line: Annotated[str | None, Field(description="The line that shows it going.")]
    decided_at: int | None
    decided_by: str | None
    difference: Annotated[
        int,
        Field(
            description="What the bank took beyond `amount` and `fee_max`, or, below zero, what it"
            " sent too little; it stands in suspense."
        ),
    ]
    digest: str | None
    end_to_end_id: str
    ended_at: int | None
    execution_date: str | None
    fee: Annotated[int, Field(description="What the bank took besides, of the operator's.")]
    fee_max: Annotated[int, Field(description="More than that is a `difference`.")]
    file: str | None
    holder: str
    iban: str | None
    line: str
    livemode: Livemode
    metadata: ObjectMetadata
    note: str | None
    number: str | None
    reason: str | None
    reason_code: Annotated[str | None, Field(description="ISO 20022, as the bank gave it.")]
    return_line: Annotated[str | None, Field(description="The line by which it came back.")]
    status: rules.BankReturnStatus


@resource.post(
    "/v1/bank_returns",
    returns=BankReturnShape,
    operation="create_bank_return",
    operator_only=True,
    two_steps=True,
)
def create(context: Context, body: BankReturnCreate) -> Document:
    """Propose to send a line's money back to its sender; another person confirms it."""
    made = flow.propose(
        context.parts,
        flow.ReturnRequest(
            line=body.line,
            holder=body.holder,
            iban=body.iban,
            bic=body.bic,
            country=body.country,
            number=body.number,
            bank_code=body.bank_code,
            fee_max=body.fee_max,
            note=body.note,
        ),
        actor=context.actor,
        livemode=context.livemode,
        identifier=context.object_id(rules.PREFIX),
    )
    return rules.public(made)


@resource.get(
    "/v1/bank_returns",
    returns=Page[BankReturnShape],
    operation="list_bank_returns",
    operator_only=True,
)
def list_bank_returns(context: Context, query: BankReturnListParameters) -> Listing:
    """List the returns, newest first."""
    c = store.bank_returns.c
    told = {"line": query.line, "bank_account": query.bank_account, "status": query.status}
    rows, has_more = fetch_page(
        context.connection,
        store.bank_returns,
        BankReturn,
        account_id=None,
        livemode=context.livemode,
        page=query.page(),
        filters=[c[name] == value for name, value in told.items() if value is not None],
    )
    return Listing(data=[rules.public(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/bank_returns/{bank_return}",
    returns=BankReturnShape,
    operation="retrieve_bank_return",
    operator_only=True,
)
def retrieve(context: Context, bank_return: str) -> Document:
    """Retrieve a return."""
    found = store.find(context.connection, bank_return, livemode=context.livemode)
    if found is None:
        raise ResourceMissing(f"No such bank return: {bank_return!r}", param="id")
    return rules.public(found)


@resource.post(
    "/v1/bank_returns/{bank_return}/confirm",
    returns=BankReturnShape,
    operation="confirm_bank_return",
    operator_only=True,
    two_steps=True,
)
def confirm(context: Context, bank_return: str, body: Confirmation) -> Document:
    """Confirm that money goes back, as another person proposed; it is screened and ordered."""
    done = flow.confirm(
        context.parts, bank_return, yes_to(context, body), livemode=context.livemode
    )
    return rules.public(done)


@resource.post(
    "/v1/bank_returns/{bank_return}/decline",
    returns=BankReturnShape,
    operation="decline_bank_return",
    operator_only=True,
    two_steps=True,
)
def decline(context: Context, bank_return: str) -> Document:
    """Refuse what was proposed, or take it back; the money stays in suspense."""
    gone = flow.decline(context.parts, bank_return, actor=context.actor, livemode=context.livemode)
    return rules.public(gone)
