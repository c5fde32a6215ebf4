"""Bank statements and their lines: what banks say moved, and whose it is."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy import Connection

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Identifier, ListParameters, Parameters
from sakk.api.proposal import Confirmation, yes_to
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import bank_assignment as assignment_rules
from sakk.core import bank_statement as rules
from sakk.core.bank_file import FileKind
from sakk.core.bank_statement import BankLine, BankStatement
from sakk.core.errors import ResourceMissing
from sakk.flow import bank_assignment as flow
from sakk.store import bank_assignment as assignments
from sakk.store import bank_statement as store
from sakk.store.page import fetch_page

resource = Resource("bank_statements")
lines = Resource("bank_lines")


class BankStatementListParameters(ListParameters):
    """Which statements."""

    bank_account: Identifier | None = None
    status: Literal["accepted", "waiting", "duplicate", "broken", "intraday"] | None = None


class BankLineListParameters(ListParameters):
    """Which lines. ``outcome`` suspense or held is a person's work."""

    bank_account: Identifier | None = None
    statement: Identifier | None = None
    status: Literal["waiting", "new", "matched", "booked"] | None = None
    outcome: (
        Literal[
            "payment",
            "returned",
            "payin",
            "suspense",
            "held",
            "assigned",
            "sent_back",
            "undone",
        ]
        | None
    ) = None


Note = Annotated[str, Field(min_length=1, max_length=assignment_rules.NOTE_LENGTH_MAX)]


class BankLineAssign(Parameters):
    """Whose the money of a line is, and why."""

    account: Identifier
    note: Note | None = None


class BankStatementShape(Shape):
    """A statement as it was taken in; lines are counted, and listed as `bank_lines`."""

    id: str
    object: Literal["bank_statement"]
    bank_account: str
    closing: int
    closing_decimal: str
    created: Created
    credits: int
    currency: str
    debits: int
    file: str
    from_date: str
    kind: FileKind
    lines: int
    livemode: Livemode
    metadata: ObjectMetadata
    number: Annotated[int | None, Field(description="The bank's own count, where it counts.")]
    opening: int
    reason: Annotated[str | None, Field(description="Why it waits, or is wrong.")]
    reference: str
    status: rules.StatementStatus
    to_date: str


class BankAssignmentShape(Shape):
    """Whose the money is said to be, by whom, and who decided on it; `digest` to confirm with."""

    account: str
    at: int
    by: str
    decided_at: int | None
    decided_by: str | None
    digest: str | None
    note: str | None
    status: assignment_rules.AssignmentStatus


class BankLineShape(Shape):
    """A line of a statement; `amount` below zero went out."""

    id: str
    object: Literal["bank_line"]
    account: str | None
    amount: int
    amount_decimal: str
    assignment: BankAssignmentShape | None
    bank_account: str
    bank_reference: str | None
    booking_date: str
    code: str | None
    counterparty_bic: str | None
    counterparty_iban: str | None
    counterparty_name: str | None
    created: Created
    creditor_reference: str | None
    currency: str
    end_to_end_id: str | None
    livemode: Livemode
    metadata: ObjectMetadata
    number: int
    outcome: rules.Outcome | None
    payment: str | None
    remittance: str | None
    return_code: str | None
    statement: str
    status: rules.LineStatus
    value_date: str


@resource.get(
    "/v1/bank_statements",
    returns=Page[BankStatementShape],
    operation="list_bank_statements",
    operator_only=True,
)
def list_bank_statements(context: Context, query: BankStatementListParameters) -> Listing:
    """List the statements of banks, newest first."""
    c = store.bank_statements.c
    told = {"bank_account": query.bank_account, "status": query.status}
    rows, has_more = fetch_page(
        context.connection,
        store.bank_statements,
        BankStatement,
        account_id=None,
        livemode=context.livemode,
        page=query.page(),
        filters=[c[name] == value for name, value in told.items() if value is not None],
    )
    return Listing(data=[rules.public(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/bank_statements/{bank_statement}",
    returns=BankStatementShape,
    operation="retrieve_bank_statement",
    operator_only=True,
)
def retrieve(context: Context, bank_statement: str) -> Document:
    """Retrieve a statement."""
    found = store.find(context.connection, bank_statement, livemode=context.livemode)
    if found is None:
        raise ResourceMissing(f"No such bank statement: {bank_statement!r}", param="id")
    return rules.public(found)


@lines.get("/v1/bank_lines", returns=Page[BankLineShape], operation="list_bank_lines")
def list_bank_lines(context: Context, query: BankLineListParameters) -> Listing:
    """List lines of statements, newest first: what is an account's, or all for the operator."""
    c = store.bank_lines.c
    told = {
        "bank_account": query.bank_account,
        "statement": query.statement,
        "status": query.status,
        "outcome": query.outcome,
    }
    filters = [c[name] == value for name, value in told.items() if value is not None]
    if not context.is_operator:
        filters.append(c.outcome.in_(rules.MERCHANTS))
    rows, has_more = fetch_page(
        context.connection,
        store.bank_lines,
        BankLine,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=_shown(context, context.connection, rows), has_more=has_more)


@lines.get("/v1/bank_lines/{bank_line}", returns=BankLineShape, operation="retrieve_bank_line")
def retrieve_line(context: Context, bank_line: str) -> Document:
    """Retrieve a line."""
    found = store.find_line(context.connection, bank_line, livemode=context.livemode)
    if (
        found is None
        or context.visible_account_id not in (None, found.account_id)
        or (not context.is_operator and found.outcome not in rules.MERCHANTS)
    ):
        raise ResourceMissing(f"No such bank line: {bank_line!r}", param="id")
    [shown] = _shown(context, context.connection, [found])
    return shown


@lines.post(
    "/v1/bank_lines/{bank_line}/assign",
    returns=BankLineShape,
    operation="assign_bank_line",
    operator_only=True,
    two_steps=True,
)
def assign(context: Context, bank_line: str, body: BankLineAssign) -> Document:
    """Say whose the money of a line in suspense is; another person confirms it."""
    flow.propose(
        context.parts,
        bank_line,
        account_id=body.account,
        note=body.note,
        actor=context.actor,
        livemode=context.livemode,
    )
    return _after(context, bank_line)


@lines.post(
    "/v1/bank_lines/{bank_line}/confirm",
    returns=BankLineShape,
    operation="confirm_bank_line",
    operator_only=True,
    two_steps=True,
)
def confirm(context: Context, bank_line: str, body: Confirmation) -> Document:
    """Confirm whose the money is, as another person said; it goes to that account's balance."""
    flow.confirm(context.parts, bank_line, yes_to(context, body), livemode=context.livemode)
    return _after(context, bank_line)


@lines.post(
    "/v1/bank_lines/{bank_line}/decline",
    returns=BankLineShape,
    operation="decline_bank_line",
    operator_only=True,
    two_steps=True,
)
def decline(context: Context, bank_line: str) -> Document:
    """Refuse what was proposed of a line, or take it back; its money stays in suspense."""
    flow.decline(context.parts, bank_line, actor=context.actor, livemode=context.livemode)
    return _after(context, bank_line)


def _after(context: Context, identifier: str) -> Document:
    with context.database.begin() as connection:
        found = store.find_line(connection, identifier, livemode=context.livemode)
        assert found is not None
        [shown] = _shown(context, connection, [found])
    return shown


def _shown(context: Context, connection: Connection, rows: Sequence[BankLine]) -> list[Document]:
    """Lines, for the operator with what is said of those in suspense."""
    said = assignments.of_lines(connection, [row.id for row in rows]) if context.is_operator else {}
    return [
        rules.public_line(
            row, assignment_rules.public(said[row.id], row) if row.id in said else None
        )
        for row in rows
    ]
