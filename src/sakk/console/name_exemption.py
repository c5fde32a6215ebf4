"""Exemptions of names: who on a list is not meant, who said so and why, and how that ends."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field
from sqlalchemy import ColumnElement, Connection

from sakk.console.listing import (
    ListQuery,
    created_within,
    csv_file,
    fields,
    listing,
    options,
)
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core.entity import ListedEntity
from sakk.core.errors import ResourceMissing
from sakk.core.name_screening import REASON_LENGTH_MAX, SUBJECT_LENGTH_MAX, NameExemption
from sakk.core.search import SearchKind, read_search
from sakk.flow import name as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import entity as entities
from sakk.store import name as store
from sakk.store import person as persons
from sakk.store.label import lists_version
from sakk.store.page import Window, fetch_window

PATH: Final = f"{ROOT}/exemptions"
STATES: Mapping[str, tuple[str, str]] = {
    "standing": (mark("It holds"), "good"),
    "ended": (mark("Ended"), "plain"),
}


class ExemptionQuery(ListQuery):
    """Which of them."""

    state: Literal["standing", "ended"] | None = None


class CreateForm(Form):
    """Who is not whom of a list, and how that is known."""

    subject: Annotated[str, Field(max_length=SUBJECT_LENGTH_MAX)]
    entity: Annotated[str, Field(max_length=60)]
    reason: Annotated[str, Field(max_length=REASON_LENGTH_MAX)]


class EndForm(Form):
    """Why it holds no more."""

    reason: Annotated[str, Field(max_length=REASON_LENGTH_MAX)]


def index(visit: Visit, query: ExemptionQuery) -> Page | Download:
    """The exemptions, newest first, and a form for another."""
    return _list(visit, query, None)


def list_again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong in the form."""
    page = _list(visit, ExemptionQuery(), rejected)
    assert isinstance(page, Page)
    return page


def create(visit: Visit, form: CreateForm) -> Redirect:
    """Say that it is somebody else."""
    row = flow.exempt(
        visit.parts,
        subject=form.subject,
        entity_id=form.entity,
        reason=form.reason,
        actor=visit.actor,
        livemode=visit.livemode,
    )
    return Redirect(f"{PATH}/{row.id}", visit.words.gettext("Written down: it is somebody else."))


def show(visit: Visit, exemption: str) -> Page:
    """One exemption, and what the list says of the entry now."""
    return _detail(visit, exemption, None)


def again(visit: Visit, rejected: Rejected, exemption: str) -> Page:
    """The same with why it could not be ended."""
    return _detail(visit, exemption, rejected)


def end(visit: Visit, exemption: str, form: EndForm) -> Redirect:
    """Take it back: the likeness counts again."""
    flow.end_exemption(
        visit.parts, exemption, reason=form.reason, actor=visit.actor, livemode=visit.livemode
    )
    told = visit.words.gettext("Ended: the likeness counts again.")
    return Redirect(f"{PATH}/{exemption}", told)


def _list(visit: Visit, query: ExemptionQuery, rejected: Rejected | None) -> Page | Download:
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
        people = [each for row in window.rows for each in (row.created_by, row.ended_by) if each]
        names = persons.names(connection, people)
        listed = _listed(connection, [row.entity_id for row in window.rows])
    if query.is_file:
        columns = (
            *("id", "created", "subject", "entity_id", "entity_version", "reason", "created_by"),
            *("ended", "ended_by", "ended_reason"),
        )
        return csv_file("exemptions.csv", fields(*columns), window.rows)
    values = {
        "list": listing(visit, query, window, window.rows),
        "names": names,
        "listed": listed,
        "states": STATES,
        "choices": {"state": options(visit, STATES)},
        "may_exempt": _may(visit),
        "rejected": rejected,
        "sent": {} if rejected is None else rejected.values,
        "faults": {} if rejected is None else rejected.faults,
    }
    return Page("console/name_exemptions.html", values)


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        found = store.find_exemption(connection, identifier, livemode=visit.livemode)
        if found is None:
            raise ResourceMissing("There is no such exemption.")
        names = persons.names(connection, [found.created_by, found.ended_by or ""])
        entry = _listed(connection, [found.entity_id]).get(found.entity_id)
    values = {
        "row": found,
        "entry": entry,
        "is_changed": entry is not None and entry.opened_version != found.entity_version,
        "names": names,
        "states": STATES,
        "may_end": found.ended is None and _may(visit),
        "rejected": rejected,
        "sent": {} if rejected is None else rejected.values,
        "faults": {} if rejected is None else rejected.faults,
    }
    return Page("console/name_exemption.html", values)


def _window(connection: Connection, visit: Visit, query: ExemptionQuery) -> Window[NameExemption]:
    c = store.name_exemptions.c
    bound: list[ColumnElement[bool]] = []
    filters = [c.livemode == visit.livemode, *created_within(visit, query, store.name_exemptions)]
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id and search.name in ("nex", "ent"):
        bound = [(c.id if search.name == "nex" else c.entity_id) == search.value]
    elif query.q is not None:
        bound = [c.subject == query.q.strip()]
    if query.state is not None:
        filters.append(c.ended.is_(None) if query.state == "standing" else c.ended.is_not(None))
    return fetch_window(
        connection,
        store.name_exemptions,
        NameExemption,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _listed(connection: Connection, identifiers: list[str]) -> dict[str, ListedEntity]:
    """What the lists say of the entries now."""
    version = lists_version(connection)
    found = entities.entities_at(connection, version=version, entity_ids=identifiers)
    return {each.entity_id: each for each in found}


def _may(visit: Visit) -> bool:
    mine = visit.person.powers
    return visit.may("name_screenings", "write") and not flow.EXEMPTERS.isdisjoint(mine)


SCREENS = (
    Screen(
        "GET",
        PATH,
        index,
        "name_screenings",
        operator_only=True,
        menu=Menu("Risk", mark("Exemptions")),
    ),
    Screen(
        "POST",
        PATH,
        create,
        "name_screenings",
        step_up=True,
        operator_only=True,
        again=list_again,
    ),
    Screen("GET", f"{PATH}/{{exemption}}", show, "name_screenings", operator_only=True),
    Screen(
        "POST",
        f"{PATH}/{{exemption}}/end",
        end,
        "name_screenings",
        step_up=True,
        operator_only=True,
        again=again,
    ),
)
