"""Cases: the queue of a compliance officer, one case with its evidence, and what is done there."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from sqlalchemy import Connection

from sakk.console.case_page import (
    KINDS,
    PRIORITIES,
    STATUSES,
    detail,
    found_case,
    may_work,
    officers_of,
)
from sakk.console.case_reason import why_in
from sakk.console.listing import ROWS, ListQuery, created_within, csv_file, listing, options
from sakk.console.proposal import ConfirmForm, yes_to
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import attachment as attachments
from sakk.core import case as rules
from sakk.core import goaml
from sakk.core import information_request as question_rules
from sakk.core.case import Case, CaseKind, CaseStatus, Outcome, Place, Priority
from sakk.core.errors import ParameterInvalid, ResourceMissing, UnexpectedState
from sakk.flow import case_report
from sakk.flow import case_work as flow
from sakk.flow import information_request as questions
from sakk.flow.case_subject import Matter
from sakk.pages.form import Form, Upload
from sakk.pages.language import mark
from sakk.store import case as store
from sakk.store import information_request as question_store
from sakk.store import network as networks
from sakk.store import person as persons
from sakk.store.page import Window, fetch_window

PATH: Final = f"{ROOT}/cases"
IDENTIFIER_LENGTH_MAX: Final = 255
NAMES_SHOWN_MAX: Final = 10
# A file of ten megabytes, and the fields beside it.
ATTACH_BYTES_MAX: Final = attachments.SIZE_BYTES_MAX + (64 << 10)


ORDERS: Mapping[str, str] = {
    "urgency": mark("The most urgent first"),
    "due": mark("By deadline"),
    "age": mark("The oldest first"),
    "newest": mark("All, the newest first"),
}


class CaseQuery(ListQuery):
    """Which cases, in which order. ``owner``: a person's id, ``me``, or ``nobody``."""

    status: CaseStatus | None = None
    kind: CaseKind | None = None
    priority: Literal["low", "normal", "high", "urgent"] | None = None
    owner: Annotated[str, Field(max_length=IDENTIFIER_LENGTH_MAX)] | None = None
    late: Literal["yes"] | None = None
    order: Literal["urgency", "due", "age", "newest"] | None = None

    @property
    def is_queue(self) -> bool:
        """Without the closed ones, as they are to be worked?"""
        return not self.is_file and self.order != "newest" and self.status != CaseStatus.closed


class TakeForm(Form):
    """To whom (nobody said: me), and whose it was as the page showed it."""

    assignee: Annotated[str, Field(max_length=IDENTIFIER_LENGTH_MAX)] | None = None
    was: Annotated[str, Field(max_length=IDENTIFIER_LENGTH_MAX)] | None = None


class GiveForm(Form):
    """Whom the chosen cases go to. ``chosen``: each with whose it was, as ``case_…:per_…``."""

    chosen: list[Annotated[str, Field(max_length=2 * IDENTIFIER_LENGTH_MAX)]] = Field(
        default_factory=list
    )
    assignee: Annotated[str, Field(max_length=IDENTIFIER_LENGTH_MAX)]


class NoteForm(Form):
    """What is written down, for good."""

    text: Annotated[str, Field(max_length=rules.NOTE_LENGTH_MAX)]


class AttachForm(Form):
    """A file; its type follows from its name."""

    file: Upload


class AskForm(Form):
    """What the account is asked, and in how many days it is to answer."""

    question: Annotated[str, Field(max_length=question_rules.TEXT_LENGTH_MAX)]
    days: Annotated[int, Field(ge=1, le=90)]


class WithdrawForm(Form):
    """Which question, as the page showed it."""

    question: Annotated[str, Field(max_length=IDENTIFIER_LENGTH_MAX)]


class ProposeForm(Form):
    """How the case is to end. ``destination``: to whom coins go back, or the vault."""

    outcome: Literal["release", "return", "seize", "reject", "dismiss"]
    note: Annotated[str, Field(max_length=rules.NOTE_LENGTH_MAX)] | None = None
    destination: Annotated[str, Field(max_length=100)] | None = None
    place: Literal["left", "vault"] | None = None


class ReasonForm(Form):
    """Why."""

    reason: Annotated[str, Field(max_length=rules.NOTE_LENGTH_MAX)] | None = None


class ReportForm(Form):
    """What a person writes of a report. ``indicators``: codes of the authority, by commas."""

    reason: Annotated[str, Field(max_length=goaml.TEXT_MAX)]
    action: Annotated[str, Field(max_length=goaml.TEXT_MAX)]
    indicators: Annotated[str, Field(max_length=1_000)] | None = None

    @property
    def words(self) -> case_report.Words:
        codes = [each.strip() for each in (self.indicators or "").split(",") if each.strip()]
        return case_report.Words(self.reason, self.action, codes)


@dataclass(frozen=True, slots=True)
class Line:
    """A case in the list."""

    case: Case
    priority: str
    owner: str | None
    is_late: bool


def index(visit: Visit, query: CaseQuery) -> Page | Download:
    """The cases: as a queue to work through, or all of them."""
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
        officers = officers_of(connection, visit)
        names = persons.names(connection, [each.assignee for each in window.rows if each.assignee])
    lines = [
        Line(
            case=row,
            priority=Priority(row.priority).name,
            owner=names.get(row.assignee, row.assignee) if row.assignee else None,
            is_late=rules.is_overdue(row, visit.now),
        )
        for row in window.rows
    ]
    if query.is_file:
        return _file(lines)
    mine = [("me", visit.words.gettext("Me")), ("nobody", visit.words.gettext("Nobody"))]
    values = {
        "list": listing(visit, query, window, lines),
        "statuses": STATUSES,
        "kinds": KINDS,
        "priorities": PRIORITIES,
        "why": why_in(visit),
        "officers": officers if may_work(visit) else [],
        "choices": {
            "status": options(visit, STATUSES),
            "kind": options(visit, KINDS),
            "priority": options(visit, PRIORITIES),
            "owner": [*mine, *officers],
            "late": [("yes", visit.words.gettext("Past their deadline"))],
            "order": options(visit, ORDERS),
        },
    }
    return Page("console/cases.html", values)


def show(visit: Visit, case: str) -> Page:
    """One case, with all that is known of what it is about."""
    return detail(visit, case, None)


def again(visit: Visit, rejected: Rejected, case: str) -> Page:
    """The same with what was wrong in the form."""
    return detail(visit, case, rejected)


def take(visit: Visit, case: str, form: TakeForm) -> Redirect:
    """Take a case, or give it to another officer."""
    found = found_case(visit, case)
    flow.assign(
        visit.parts,
        found.case.id,
        actor=visit.actor,
        livemode=visit.livemode,
        assignee=form.assignee,
        was=form.was,
    )
    told = visit.words.gettext("The case is yours.")
    if form.assignee not in (None, visit.person.id):
        told = visit.words.gettext("The case is given away.")
    return _back(found, told)


def give(visit: Visit, form: GiveForm) -> Redirect:
    """Give several cases to one officer; what somebody took meanwhile stays theirs."""
    gettext, ngettext = visit.words.gettext, visit.words.ngettext
    if not form.chosen:
        return Redirect(PATH, gettext("Choose at least one case."), "warn")
    given, left = 0, 0
    for each in form.chosen[:ROWS]:
        case, _, was = each.partition(":")
        try:
            found = found_case(visit, case)
            flow.assign(
                visit.parts,
                found.case.id,
                actor=visit.actor,
                livemode=visit.livemode,
                assignee=form.assignee,
                was=was or None,
            )
            given += 1
        except (ResourceMissing, UnexpectedState):
            left += 1
    told = ngettext("{number} case is given.", "{number} cases are given.", given)
    if not left:
        return Redirect(PATH, told)
    kept = ngettext(
        "{number} was changed by somebody meanwhile, and stays as it is.",
        "{number} were changed by somebody meanwhile, and stay as they are.",
        left,
    )
    return Redirect(PATH, f"{told} {kept}", "warn")


def note(visit: Visit, case: str, form: NoteForm) -> Redirect:
    """Write something down, for good."""
    found = found_case(visit, case)
    flow.note(
        visit.parts,
        found.case.id,
        form.text,
        actor=visit.actor,
        livemode=visit.livemode,
        note_id=visit.object_id(rules.NOTE_PREFIX),
    )
    return _back(found, visit.words.gettext("Written down."))


def attach(visit: Visit, case: str, form: AttachForm) -> Redirect:
    """Put a file to the case."""
    found = found_case(visit, case)
    media_type = attachments.media_type_of(form.file.name)
    if media_type is None:
        endings = ", ".join(attachments.ENDINGS)
        told = visit.words.gettext("Files that are kept end in {endings}.", endings=endings)
        raise ParameterInvalid(told, param="file")
    flow.attach(
        visit.parts,
        found.case.id,
        form.file.content,
        name=form.file.name,
        media_type=media_type,
        actor=visit.actor,
        livemode=visit.livemode,
        attachment_id=visit.object_id(attachments.PREFIX),
    )
    return _back(found, visit.words.gettext("The file is with the case."))


def download(visit: Visit, case: str, attachment: str) -> Download:
    """A file of the case, always to be saved."""
    found = found_case(visit, case)
    with visit.database.read() as connection:
        kept = store.find_attachment(connection, attachment)
        if kept is None or kept.case_id != found.case.id:
            raise ResourceMissing("There is no such file.")
        content = store.read_content(connection, kept.id)
    return Download(attachments.saved_as(kept.name, kept.media_type), content)


def ask(visit: Visit, case: str, form: AskForm) -> Redirect:
    """Ask the account; it is told the question, and never why."""
    found = found_case(visit, case)
    questions.ask(
        visit.parts,
        found.case.id,
        form.question,
        due_at=visit.now + timedelta(days=form.days),
        actor=visit.actor,
        livemode=visit.livemode,
        request_id=visit.object_id(question_rules.PREFIX),
    )
    return _back(found, visit.words.gettext("Asked: the case waits for the answer."))


def withdraw(visit: Visit, case: str, form: WithdrawForm) -> Redirect:
    """Take the question back; the account is told that no answer is needed."""
    found = found_case(visit, case)
    with visit.database.read() as connection:
        asked = question_store.find(
            connection, form.question, account_id=None, livemode=visit.livemode
        )
    if asked is None or asked.request.case_id != found.case.id:
        raise ResourceMissing("There is no such question.")
    questions.withdraw(visit.parts, asked.request.id, actor=visit.actor, livemode=visit.livemode)
    return _back(found, visit.words.gettext("The question is taken back."))


def propose(visit: Visit, case: str, form: ProposeForm) -> Redirect:
    """Say how the case is to end; another person confirms it."""
    found = found_case(visit, case)
    plan = flow.Plan(
        Outcome(form.outcome),
        note=form.note,
        destination=form.destination,
        place=None if form.place is None else Place(form.place),
    )
    flow.propose(visit.parts, found.case.id, plan, actor=visit.actor, livemode=visit.livemode)
    return _back(found, visit.words.gettext("Proposed: another person confirms it."))


def confirm(visit: Visit, case: str, form: ConfirmForm) -> Redirect:
    """Confirm what another person proposed; it is carried out by that."""
    found = found_case(visit, case)
    flow.confirm(visit.parts, found.case.id, yes_to(visit, form), livemode=visit.livemode)
    return _back(found, visit.words.gettext("Confirmed: it is being carried out."))


def decline(visit: Visit, case: str, form: ReasonForm) -> Redirect:
    """Refuse what was proposed, or take it back."""
    found = found_case(visit, case)
    flow.decline(
        visit.parts,
        found.case.id,
        actor=visit.actor,
        livemode=visit.livemode,
        reason=form.reason,
    )
    return _back(found, visit.words.gettext("The proposal is gone: the case is worked on."))


def reopen(visit: Visit, case: str, form: ReasonForm) -> Redirect:
    """Open a closed case again, for what was found since."""
    found = found_case(visit, case)
    if form.reason is None:
        raise ParameterInvalid(visit.words.gettext("This is needed."), param="reason")
    flow.reopen(
        visit.parts,
        found.case.id,
        actor=visit.actor,
        livemode=visit.livemode,
        reason=form.reason,
    )
    return _back(found, visit.words.gettext("The case is open again."))


def draft(visit: Visit, case: str, form: ReportForm) -> Download:
    """The report as goAML, to be read; nothing is kept of it."""
    found = found_case(visit, case)
    with visit.database.begin() as connection:
        content = case_report.draft(
            connection, found.case.id, form.words, livemode=visit.livemode, now=visit.now
        )
    return Download(f"{found.case.id}.goaml.xml", content, attachments.REPORT_MEDIA_TYPE)


def file(visit: Visit, case: str, form: ReportForm) -> Redirect:
    """Keep the report with the case, and propose that it is filed."""
    found = found_case(visit, case)
    case_report.file(
        visit.parts,
        found.case.id,
        form.words,
        actor=visit.actor,
        livemode=visit.livemode,
        attachment_id=visit.object_id(attachments.PREFIX),
    )
    return _back(found, visit.words.gettext("Proposed: another person confirms it."))


def _back(found: Matter, told: str) -> Redirect:
    return Redirect(f"{PATH}/{found.case.id}", told)


def _wanted(connection: Connection, visit: Visit, query: CaseQuery) -> store.Wanted:
    owner = visit.person.id if query.owner == "me" else query.owner
    subjects = None
    if query.q is not None:
        known = networks.list_networks(connection, livemode=visit.livemode)
        subjects = [query.q, *(f"{each.network}:{query.q.lower()}" for each in known)]
        if query.q.startswith(f"{rules.PREFIX}_"):
            case = store.find(connection, query.q, livemode=visit.livemode)
            subjects.append("" if case is None else case.subject)
    return store.Wanted(
        status=None if query.status is None else query.status.value,
        assignee=None if owner == "nobody" else owner,
        kind=None if query.kind is None else query.kind.value,
        priority=None if query.priority is None else Priority[query.priority].value,
        overdue=None if query.late is None else True,
        subjects=subjects,
        account_id=visit.account_id,
        is_taken=False if owner == "nobody" else None,
    )


def _window(connection: Connection, visit: Visit, query: CaseQuery) -> Window[Case]:
    wanted = _wanted(connection, visit, query)
    days = created_within(visit, query, store.cases)
    if query.is_queue:
        rows, has_more = store.list_queue(
            connection,
            wanted,
            livemode=visit.livemode,
            now=visit.now,
            limit=query.limit,
            starting_after=query.after,
            order=query.order or "urgency",  # type: ignore[arg-type]
            more=days,
        )
        return Window(rows, older=rows[-1].id if has_more else None)
    return fetch_window(
        connection,
        store.cases,
        Case,
        bound=[store.cases.c.livemode == visit.livemode],
        filters=[*wanted.conditions(visit.now), *days],
        limit=query.limit,
        **query.place,
    )


def _file(lines: list[Line]) -> Download:
    return csv_file(
        "cases.csv",
        [
            ("id", lambda line: line.case.id),
            ("created", lambda line: line.case.created),
            ("kind", lambda line: line.case.kind),
            ("subject", lambda line: line.case.subject),
            ("status", lambda line: line.case.status),
            ("priority", lambda line: line.priority),
            ("owner", lambda line: line.owner),
            ("due", lambda line: line.case.due_at),
            ("late", lambda line: line.is_late),
            ("reason", lambda line: line.case.reason),
            ("outcome", lambda line: line.case.outcome),
            ("closed", lambda line: line.case.closed_at),
            ("account", lambda line: line.case.account_id),
        ],
        lines,
    )


def _act(name: str, handler: Any, *, step_up: bool = False, **more: Any) -> Screen:
    return Screen(
        "POST",
        f"{PATH}/{{case}}/{name}",
        handler,
        "cases",
        step_up=step_up,
        operator_only=True,
        again=again,
        **more,
    )


SCREENS = (
    Screen(
        "GET",
        PATH,
        index,
        "cases",
        operator_only=True,
        menu=Menu(mark("Risk"), mark("Cases")),
    ),
    Screen("POST", f"{PATH}/give", give, "cases", operator_only=True),
    Screen("GET", f"{PATH}/{{case}}", show, "cases", operator_only=True),
    _act("take", take),
    _act("note", note),
    _act("attach", attach, body_bytes_max=ATTACH_BYTES_MAX),
    Screen(
        "GET",
        f"{PATH}/{{case}}/files/{{attachment}}",
        download,
        "cases",
        operator_only=True,
    ),
    _act("ask", ask),
    _act("withdraw", withdraw),
    _act("propose", propose, step_up=True),
    _act("confirm", confirm, step_up=True),
    _act("decline", decline),
    _act("reopen", reopen),
    _act("draft", draft),
    _act("file", file, step_up=True),
)
