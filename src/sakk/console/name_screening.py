"""Names: is somebody on a list? What was decided, likenesses side by side, and who is not meant."""

import re
from collections.abc import Callable
from typing import Annotated, Final, Literal

from pydantic import Field
from sqlalchemy import Connection

from sakk.console.listing import ListQuery, created_within, listing
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.screening import VERDICTS
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core.entity import NAME_LENGTH_MAX
from sakk.core.errors import ResourceMissing
from sakk.core.name_screening import (
    REASON_LENGTH_MAX,
    SUBJECT_LENGTH_MAX,
    NameScreening,
    read_query,
)
from sakk.core.role import Role
from sakk.core.search import SearchKind, read_search
from sakk.flow import name as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import name as store
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/names"
# What speaks for and against a likeness, as it is kept, and how pages say it.
EVIDENCE: Final = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"the list calls the name weak", mark("the list calls the name weak")),
        (
            r"(?P<listed>\w+) on the list, (?P<asked>\w+) asked for",
            mark("another kind: {listed} on the list, {asked} asked for"),
        ),
        (r"country (?P<countries>[A-Z, ]+)", mark("the same country: {countries}")),
        (r"no country in common", mark("no country in common")),
        (r"born in a year that the list gives", mark("born in a year that the list gives")),
        (
            r"born within a year of what the list gives",
            mark("born within a year of what the list gives"),
        ),
        (
            r"born (?P<asked>\S+), and the list says (?P<listed>.+)",
            mark("born {asked}, and the list says {listed}"),
        ),
        (r"born (?P<asked>\S+)", mark("born on the same day: {asked}")),
    )
)


class AskForm(Form):
    """Who is asked about. ``subject``: what it is for, under which an exemption holds."""

    name: Annotated[str, Field(max_length=NAME_LENGTH_MAX)]
    kind: Literal["person", "organization"] | None = None
    birth: Annotated[str, Field(max_length=10)] | None = None
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    subject: Annotated[str, Field(max_length=SUBJECT_LENGTH_MAX)] | None = None


class ExemptForm(Form):
    """Whom of a list it is not, and how that is known."""

    entity: Annotated[str, Field(max_length=60)]
    reason: Annotated[str, Field(max_length=REASON_LENGTH_MAX)]


def index(visit: Visit, query: ListQuery) -> Page:
    """What was asked, newest first, and a form to ask."""
    return _list(visit, query, None)


def list_again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong in the form."""
    return _list(visit, ListQuery(), rejected)


def ask(visit: Visit, form: AskForm) -> Redirect:
    """Hold a name against the lists; the decision is kept."""
    asked = read_query(
        form.name,
        kind=form.kind,
        birth=form.birth,
        countries=() if form.country is None else (form.country,),
    )
    subject = form.subject or "enquiry"
    flow.check_subject(subject)
    with visit.database.begin() as connection:
        (decided,) = flow.screen_names(
            connection,
            visit.parts.name_index(),
            [flow.NameRequest(subject, asked, visit.account_id, visit.livemode)],
            now=visit.now,
        )
    return Redirect(f"{PATH}/{decided.id}")


def show(visit: Visit, name_screening: str) -> Page:
    """One decision, each likeness with what speaks for and against it."""
    return _detail(visit, name_screening, None)


def again(visit: Visit, rejected: Rejected, name_screening: str) -> Page:
    """The same with what could not be done."""
    return _detail(visit, name_screening, rejected)


def exempt(visit: Visit, name_screening: str, form: ExemptForm) -> Redirect:
    """Say that it is somebody else; it holds until the list says something new of them."""
    with visit.database.read() as connection:
        found = _found(connection, visit, name_screening)
    flow.exempt(
        visit.parts,
        subject=found.subject,
        entity_id=form.entity,
        reason=form.reason,
        actor=visit.actor,
        livemode=visit.livemode,
    )
    return Redirect(f"{PATH}/{found.id}", visit.words.gettext("Written down: it is somebody else."))


def said_in(visit: Visit) -> Callable[[str], str]:
    """How the page's language says what speaks for and against a likeness."""

    def said(what: str) -> str:
        for pattern, text in EVIDENCE:
            found = pattern.fullmatch(what)
            if found is not None:
                return visit.words.gettext(text, **found.groupdict())
        return what

    return said


def _list(visit: Visit, query: ListQuery, rejected: Rejected | None) -> Page:
    c = store.name_screenings.c
    mode = c.livemode == visit.livemode
    bound = [mode] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id and search.name == "nsc":
        bound = [c.id == search.value, *bound]
    elif search is not None:
        bound = [c.subject == (query.q or "").strip(), *bound]
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.name_screenings,
            NameScreening,
            bound=bound,
            filters=created_within(visit, query, store.name_screenings),
            limit=query.limit,
            **query.place,
        )
    return Page(
        "console/name_screenings.html",
        {
            "list": listing(visit, query, window, window.rows),
            "words": VERDICTS,
            "may_ask": visit.may("name_screenings", "write"),
            "rejected": rejected,
            "sent": {} if rejected is None else rejected.values,
            "faults": {} if rejected is None else rejected.faults,
        },
    )


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        found = _found(connection, visit, identifier)
        standing = store.exemptions_of(connection, found.subject, livemode=visit.livemode)
    exempted = {(each.entity_id, each.entity_version) for each in standing}
    is_officer = Role.compliance in visit.person.powers
    return Page(
        "console/name_screening.html",
        {
            "row": found,
            "words": {"verdict": VERDICTS},
            "said": said_in(visit),
            "exempted": exempted,
            "may_exempt": visit.may("name_screenings", "write") and is_officer,
            "rejected": rejected,
            "faults": {} if rejected is None else rejected.faults,
        },
    )


def _found(connection: Connection, visit: Visit, identifier: str) -> NameScreening:
    found = store.find_name_screening(connection, identifier, livemode=visit.livemode)
    if found is None or visit.account_id not in (None, found.account_id):
        raise ResourceMissing("There is no such decision.")
    return found


SCREENS = (
    Screen(
        "GET",
        PATH,
        index,
        "name_screenings",
        operator_only=True,
        menu=Menu("Risk", mark("Names")),
    ),
    Screen("POST", PATH, ask, "name_screenings", operator_only=True, again=list_again),
    Screen("GET", f"{PATH}/{{name_screening}}", show, "name_screenings", operator_only=True),
    Screen(
        "POST",
        f"{PATH}/{{name_screening}}/exempt",
        exempt,
        "name_screenings",
        step_up=True,
        operator_only=True,
        again=again,
    ),
)
