"""Lines of bank statements: what waits for a person, given to an account or sent back by two."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from sakk.console.bank_statement import OUTCOMES
from sakk.console.listing import (
    Exact,
    ListQuery,
    created_within,
    csv_file,
    fields,
    listing,
    options,
)
from sakk.console.proposal import ConfirmForm, yes_to
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import bank_assignment as rules
from sakk.core import bank_return as back_rules
from sakk.core.bank_account import HOLDER_LENGTH_MAX
from sakk.core.bank_assignment import AssignmentStatus
from sakk.core.bank_return import BankReturn, BankReturnStatus
from sakk.core.bank_statement import BankLine, waits_for_person
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.money import format_decimal, parse_decimal
from sakk.flow import bank_assignment as flow
from sakk.flow import bank_return as back_flow
from sakk.flow.officer import is_alone
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import account as merchants
from sakk.store import bank_account as accounts
from sakk.store import bank_assignment as assignments
from sakk.store import bank_payment as payments
from sakk.store import bank_return as backs
from sakk.store import bank_statement as store
from sakk.store import case as cases
from sakk.store import person as persons
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/bank_lines"


RETURNS: Final[Mapping[str, tuple[str, str]]] = {
    "awaiting": (mark("Awaits a second person"), "wait"),
    "declined": (mark("Refused"), "plain"),
    "confirmed": (mark("Confirmed"), "wait"),
    "stopped": (mark("Stopped by screening"), "bad"),
    "ordered": (mark("Ordered"), "wait"),
    "sent": (mark("Sent to the bank"), "wait"),
    "accepted": (mark("Accepted by the bank"), "wait"),
    "booked": (mark("Gone back"), "good"),
    "rejected": (mark("Rejected by the bank"), "bad"),
    "returned": (mark("Came back from the sender"), "warn"),
}


class LineQuery(ListQuery):
    """Which lines; what waits for a person where nothing is said."""

    outcome: (
        Literal[
            "all",
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


class AssignForm(Form):
    """Whose the money is, and why."""

    account: Annotated[str, Field(max_length=255)]
    note: Annotated[str, Field(max_length=rules.NOTE_LENGTH_MAX)] | None = None


class SendBackForm(Form):
    """Why, what the bank may take besides, and the sender where the line names none."""

    note: Annotated[str, Field(max_length=back_rules.NOTE_LENGTH_MAX)] | None = None
    fee_max: Annotated[str, Field(max_length=40)] | None = None
    holder: Annotated[str, Field(max_length=HOLDER_LENGTH_MAX)] | None = None
    iban: Annotated[str, Field(max_length=60)] | None = None


def index(visit: Visit, query: LineQuery) -> Page | Download:
    """The lines, newest first."""
    c = store.bank_lines.c
    bound = []
    filters = created_within(visit, query, store.bank_lines)
    filters.append(c.livemode == visit.livemode)
    if query.outcome is None:
        bound.append(store.is_open)
    elif query.outcome != "all":
        filters.append(c.outcome == query.outcome)
    if query.q is not None:
        filters.append(
            (c.id == query.q)
            | (c.end_to_end_id == query.q)
            | (c.counterparty_iban == query.q)
            | (c.counterparty_name == query.q)
        )
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.bank_lines,
            BankLine,
            bound=bound,
            filters=filters,
            limit=query.limit,
            **query.place,
        )
        said = assignments.of_lines(connection, [each.id for each in window.rows])
        going = backs.newest_of(connection, [each.id for each in window.rows])
        named = {each.account_id for each in window.rows if each.account_id}
        names = merchants.names(connection, named)
    if query.is_file:
        return _file(window.rows)
    values = {
        "list": listing(visit, query, window, window.rows),
        "outcomes": OUTCOMES,
        "names": names,
        "awaiting": {
            *(line for line, each in said.items() if each.status == AssignmentStatus.awaiting),
            *(line for line, each in going.items() if each.status == BankReturnStatus.awaiting),
        },
        "choices": {
            "outcome": [("all", visit.words.gettext("All")), *options(visit, OUTCOMES)],
        },
    }
    return Page("console/bank_lines.html", values)


def show(visit: Visit, bank_line: str) -> Page:
    """One line: what the bank says, what it was matched to, and whose it is said to be."""
    return _detail(visit, bank_line, None)


def again(visit: Visit, rejected: Rejected, bank_line: str) -> Page:
    """The same with what was wrong."""
    return _detail(visit, bank_line, rejected)


def assign(visit: Visit, bank_line: str, form: AssignForm) -> Redirect:
    """Say whose the money is; another person confirms it."""
    flow.propose(
        visit.parts,
        bank_line,
        account_id=form.account.strip(),
        note=form.note,
        actor=visit.actor,
        livemode=visit.livemode,
    )
    return _back(bank_line, visit.words.gettext("Proposed: another person confirms it."))


def confirm(visit: Visit, bank_line: str, form: ConfirmForm) -> Redirect:
    """Confirm whose the money is, as another person said."""
    flow.confirm(visit.parts, bank_line, yes_to(visit, form), livemode=visit.livemode)
    return _back(bank_line, visit.words.gettext("Confirmed: it is being booked."))


def decline(visit: Visit, bank_line: str) -> Redirect:
    """Refuse what was proposed, or take it back."""
    flow.decline(visit.parts, bank_line, actor=visit.actor, livemode=visit.livemode)
    return _back(bank_line, visit.words.gettext("The proposal is gone."))


def send_back(visit: Visit, bank_line: str, form: SendBackForm) -> Redirect:
    """Say that the money goes back to its sender; another person confirms it."""
    with visit.database.read() as connection:
        found = store.find_line(connection, bank_line, livemode=visit.livemode)
    if found is None:
        raise ResourceMissing("There is no such line.")
    try:
        fee_max = parse_decimal(form.fee_max or "0", found.decimals)
    except ValueError:
        raise ParameterInvalid("This is no amount.", param="fee_max") from None
    request = back_flow.ReturnRequest(
        line=bank_line, note=form.note, fee_max=fee_max, holder=form.holder, iban=form.iban
    )
    back_flow.propose(visit.parts, request, actor=visit.actor, livemode=visit.livemode)
    return _back(bank_line, visit.words.gettext("Proposed: another person confirms it."))


def confirm_return(visit: Visit, bank_line: str, form: ConfirmForm) -> Redirect:
    """Confirm that the money goes back, as another person said."""
    back_flow.confirm(
        visit.parts, _return_of(visit, bank_line).id, yes_to(visit, form), livemode=visit.livemode
    )
    return _back(bank_line, visit.words.gettext("Confirmed: it is screened, and then ordered."))


def decline_return(visit: Visit, bank_line: str) -> Redirect:
    """Refuse what was proposed, or take it back."""
    back_flow.decline(
        visit.parts, _return_of(visit, bank_line).id, actor=visit.actor, livemode=visit.livemode
    )
    return _back(bank_line, visit.words.gettext("The proposal is gone."))


def _return_of(visit: Visit, identifier: str) -> BankReturn:
    with visit.database.read() as connection:
        found = backs.newest_of(connection, [identifier]).get(identifier)
    if found is None or found.livemode is not visit.livemode:
        raise ResourceMissing("There is no such line.")
    return found


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        found = store.find_line(connection, identifier, livemode=visit.livemode)
        if found is None:
            raise ResourceMissing("There is no such line.")
        said = assignments.of_lines(connection, [found.id]).get(found.id)
        waits = said is not None and said.status == AssignmentStatus.awaiting
        back = backs.newest_of(connection, [found.id]).get(found.id)
        carried = backs.list_by_ids(connection, [found.payment or ""]).get(found.payment or "")
        payment = None
        if found.payment is not None:
            payment = payments.find(
                connection, found.payment, account_id=None, livemode=visit.livemode
            )
        shown = {each for each in (found.account_id, said and said.account_id) if each}
        acted = [each for each in (said, back) if each is not None]
        people = [each.proposed_by for each in acted]
        people += [each.decided_by for each in acted if each.decided_by is not None]
        values: dict[str, Any] = {
            "row": found,
            "own": accounts.find(
                connection, found.bank_account, account_id=None, livemode=visit.livemode
            ),
            "payment": payment,
            "case": cases.find(connection, found.id, livemode=visit.livemode)
            if visit.may("cases")
            else None,
            "said": said,
            "waits": waits,
            "digest": rules.digest_of(said, found) if waits and said is not None else None,
            "back": back,
            "back_waits": back is not None and back.status == BankReturnStatus.awaiting,
            "back_digest": None if back is None else back_rules.digest_of(back),
            "carried": carried,
            "account_of": back_rules.account_of(found),
            "sender_of": back_rules.sender_of(found),
            "names": merchants.names(connection, shown),
            "people": persons.names(connection, people),
            "alone": is_alone(connection, livemode=visit.livemode),
        }
    values |= {
        "outcomes": OUTCOMES,
        "returns": RETURNS,
        "may_write": visit.may("bank_lines", "write"),
        "in_suspense": waits_for_person(found),
        "message": None if rejected is None else rejected.message,
        "sent": {} if rejected is None else rejected.values,
        "faults": {} if rejected is None else rejected.faults,
    }
    return Page("console/bank_line.html", values)


def _back(identifier: str, told: str) -> Redirect:
    return Redirect(f"{PATH}/{identifier}", told)


def _file(rows: list[BankLine]) -> Download:
    return csv_file(
        "bank-lines.csv",
        [
            *fields("id", "bank_account", "statement", "number", "booking_date", "value_date"),
            ("amount", lambda row: Exact(format_decimal(row.units, row.decimals))),
            *fields("currency", "counterparty_name", "counterparty_iban", "remittance"),
            *fields("end_to_end_id", "status", "outcome", "account_id", "payment"),
        ],
        rows,
    )


def _act(name: str, handler: Any) -> Screen:
    return Screen(
        "POST",
        f"{PATH}/{{bank_line}}/{name}",
        handler,
        "bank_lines",
        step_up=True,
        operator_only=True,
        again=again,
    )


SCREENS: tuple[Screen, ...] = (
    Screen(
        "GET",
        PATH,
        index,
        "bank_lines",
        operator_only=True,
        menu=Menu("Money", mark("Bank lines")),
    ),
    Screen("GET", f"{PATH}/{{bank_line}}", show, "bank_lines", operator_only=True),
    _act("assign", assign),
    _act("confirm", confirm),
    _act("decline", decline),
    _act("send_back", send_back),
    _act("confirm_return", confirm_return),
    _act("decline_return", decline_return),
)
