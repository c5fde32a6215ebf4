"""Breaks: what the books do not agree on, who owns it, and corrections by two people."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing, options
from sakk.console.proposal import ConfirmForm, yes_to
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import ledger_break as rules
from sakk.core.errors import ResourceMissing
from sakk.core.ledger_break import BreakStatus, LedgerBreak, Leg
from sakk.core.reconciliation import BreakKind
from sakk.flow import ledger_break as flow
from sakk.flow.officer import is_alone
from sakk.pages.form import Form
from sakk.pages.language import mark, mark_in
from sakk.store import ledger_break as store
from sakk.store import person as persons
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/breaks"
IDENTIFIER_LENGTH_MAX: Final = 255
DAY_SECONDS: Final = 86_400
KINDS: Final[Mapping[str, str]] = {
    "chain_without_ledger": mark("More on the chain than in the ledger"),
    "ledger_without_chain": mark("More in the ledger than on the chain"),
    "escrow_differs": mark("Escrow differs"),
    "row_differs": mark("A record differs from the ledger"),
    "in_flight": mark("On its way for too long"),
    "suspense": mark("Nobody's yet"),
    "bank_without_ledger": mark("At the bank and not in the ledger"),
    "ledger_without_bank": mark("In the ledger and not at the bank"),
    "amount_differs": mark("Another amount"),
    "counterparty_differs": mark("Another counterparty"),
    "duplicate": mark("Twice"),
}
STATUSES: Final[Mapping[str, tuple[str, str]]] = {
    "open": (mark_in("break", "Open"), "bad"),
    "awaiting_second": (mark("Awaits a second person"), "wait"),
    "correcting": (mark("Being booked"), "wait"),
    "corrected": (mark("Corrected"), "good"),
    "resolved": (mark("Resolved"), "plain"),
}
ACTS: Final[Mapping[str, str]] = {
    "opened": mark("Found"),
    "found": mark("Found with another amount"),
    "assigned": mark("Given to somebody"),
    "noted": mark("Written down"),
    "proposed": mark("Correction proposed"),
    "declined": mark("Proposal refused"),
    "confirmed": mark("Correction confirmed"),
    "booked": mark("Correction booked"),
    "refused": mark("Refused by the ledger"),
    "reopened": mark("Still there: open again"),
    "resolved": mark("Gone: resolved"),
}


class BreakQuery(ListQuery):
    """Which breaks; those that stand where nothing is said."""

    status: (
        Literal["all", "open", "awaiting_second", "correcting", "corrected", "resolved"] | None
    ) = None
    kind: BreakKind | None = None
    owner: Annotated[str, Field(max_length=IDENTIFIER_LENGTH_MAX)] | None = None


class OwnerForm(Form):
    """To whom; nobody said: me."""

    owner: Annotated[str, Field(max_length=IDENTIFIER_LENGTH_MAX)] | None = None


class NoteForm(Form):
    """What is written down, for good."""

    text: Annotated[str, Field(max_length=rules.NOTE_LENGTH_MAX)]


class ProposeForm(Form):
    """One transfer; what needs several is proposed over the API or the command line."""

    debit: Annotated[str, Field(max_length=rules.NAME_LENGTH_MAX)]
    credit: Annotated[str, Field(max_length=rules.NAME_LENGTH_MAX)]
    units: Annotated[int, Field(ge=1, le=rules.UNITS_MAX)]
    note: Annotated[str, Field(max_length=rules.NOTE_LENGTH_MAX)] | None = None


class ReasonForm(Form):
    """Why."""

    reason: Annotated[str, Field(max_length=rules.NOTE_LENGTH_MAX)] | None = None


def index(visit: Visit, query: BreakQuery) -> Page | Download:
    """The breaks, newest first."""
    c = store.breaks.c
    filters = created_within(visit, query, store.breaks)
    if query.status is None:
        filters.append(c.status != BreakStatus.resolved.value)
    elif query.status != "all":
        filters.append(c.status == query.status)
    if query.kind is not None:
        filters.append(c.kind == query.kind.value)
    if query.owner == "nobody":
        filters.append(c.owner.is_(None))
    elif query.owner is not None:
        filters.append(c.owner == (visit.person.id if query.owner == "me" else query.owner))
    if query.q is not None:
        filters.append((c.id == query.q) | (c.subject == query.q) | (c.unit == query.q))
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.breaks,
            LedgerBreak,
            bound=[c.livemode == visit.livemode],
            filters=filters,
            limit=query.limit,
            **query.place,
        )
        names = persons.names(connection, [each.owner for each in window.rows if each.owner])
    if query.is_file:
        columns = ("id", "created", "kind", "status", "subject", "unit", "units", "owner", "detail")
        return csv_file("breaks.csv", fields(*columns), window.rows)
    mine = [("me", visit.words.gettext("Me")), ("nobody", visit.words.gettext("Nobody"))]
    values = {
        "list": listing(visit, query, window, window.rows),
        "kinds": KINDS,
        "statuses": STATUSES,
        "names": names,
        "days": {
            each.id: rules.age_seconds(each, visit.now) // DAY_SECONDS for each in window.rows
        },
        "choices": {
            "status": [("all", visit.words.gettext("All")), *options(visit, STATUSES)],
            "kind": options(visit, KINDS),
            "owner": mine,
        },
    }
    return Page("console/breaks.html", values)


def show(visit: Visit, ledger_break: str) -> Page:
    """One break with its history."""
    return _detail(visit, ledger_break, None)


def again(visit: Visit, rejected: Rejected, ledger_break: str) -> Page:
    """The same with what was wrong in the form."""
    return _detail(visit, ledger_break, rejected)


def take(visit: Visit, ledger_break: str, form: OwnerForm) -> Redirect:
    """Take it, or give it away."""
    flow.assign(
        visit.parts,
        ledger_break,
        actor=visit.actor,
        livemode=visit.livemode,
        owner=form.owner,
    )
    return _back(ledger_break, visit.words.gettext("It has an owner."))


def note(visit: Visit, ledger_break: str, form: NoteForm) -> Redirect:
    """Write something down, for good."""
    flow.note(
        visit.parts,
        ledger_break,
        form.text,
        actor=visit.actor,
        livemode=visit.livemode,
        act_id=visit.object_id(rules.ACT_PREFIX),
    )
    return _back(ledger_break, visit.words.gettext("Written down."))


def propose(visit: Visit, ledger_break: str, form: ProposeForm) -> Redirect:
    """Propose a correction; another person confirms it."""
    flow.propose(
        visit.parts,
        ledger_break,
        [Leg(form.debit, form.credit, form.units)],
        actor=visit.actor,
        livemode=visit.livemode,
        note=form.note,
    )
    return _back(ledger_break, visit.words.gettext("Proposed: another person confirms it."))


def confirm(visit: Visit, ledger_break: str, form: ConfirmForm) -> Redirect:
    """Confirm what another person proposed; it is booked a moment later."""
    flow.confirm(visit.parts, ledger_break, yes_to(visit, form), livemode=visit.livemode)
    return _back(ledger_break, visit.words.gettext("Confirmed: it is being booked."))


def decline(visit: Visit, ledger_break: str, form: ReasonForm) -> Redirect:
    """Refuse what was proposed, or take it back."""
    flow.decline(
        visit.parts,
        ledger_break,
        actor=visit.actor,
        livemode=visit.livemode,
        reason=form.reason,
    )
    return _back(ledger_break, visit.words.gettext("The proposal is gone."))


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        found = store.find(connection, identifier, livemode=visit.livemode)
        if found is None:
            raise ResourceMissing("There is no such break.")
        history = store.list_acts(connection, found.id)
        proposal: dict[str, Any] = found.proposal or {}
        named = {each.actor for each in history} | {found.owner or "", proposal.get("by") or ""}
        values = {
            "row": found,
            "history": history,
            "names": persons.names(connection, sorted(named)),
            "alone": is_alone(connection, livemode=visit.livemode),
            "digest": rules.digest_of(found) if found.status == "awaiting_second" else None,
            "days": rules.age_seconds(found, visit.now) // DAY_SECONDS,
            "kinds": KINDS,
            "statuses": STATUSES,
            "acts": ACTS,
            "may_work": visit.may("breaks", "write"),
            "rejected": rejected,
            "sent": {} if rejected is None else rejected.values,
            "faults": {} if rejected is None else rejected.faults,
        }
    return Page("console/break.html", values)


def _back(identifier: str, told: str) -> Redirect:
    return Redirect(f"{PATH}/{identifier}", told)


def _act(name: str, handler: Any, *, step_up: bool = False) -> Screen:
    return Screen(
        "POST",
        f"{PATH}/{{ledger_break}}/{name}",
        handler,
        "breaks",
        step_up=step_up,
        operator_only=True,
        again=again,
    )


SCREENS = (
    Screen("GET", PATH, index, "breaks", operator_only=True, menu=Menu("Money", mark("Breaks"))),
    Screen("GET", f"{PATH}/{{ledger_break}}", show, "breaks", operator_only=True),
    _act("take", take),
    _act("note", note),
    _act("propose", propose, step_up=True),
    _act("confirm", confirm, step_up=True),
    _act("decline", decline),
)
