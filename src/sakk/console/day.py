"""Days: the one that is next and what stands in its way, and the closed ones with reports."""

from datetime import date
from typing import Annotated, Any, Final

import msgspec
from pydantic import Field
from sqlalchemy import ColumnElement, Connection

from sakk.console.ledger_break import KINDS
from sakk.console.listing import ListQuery, csv_file, fields, listing
from sakk.console.reconciliation import STATUSES
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import day as rules
from sakk.core.day import Clock, Day
from sakk.flow import day as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import day as store
from sakk.store.page import Window, fetch_window

PATH: Final = f"{ROOT}/days"
# Accounts that a page shows of a report; the file has all.
ACCOUNTS_SHOWN_MAX: Final = 1_000
# What `Outlook.waits_for` says, for the catalogues.
WAITS: Final = (
    mark("the day is not over"),
    mark("the ledger's rows are still being written"),
    mark("the books are to be reconciled after the day's end"),
)


class CloseForm(Form):
    """Which day, as the page showed it, and when days end from it on."""

    date: date
    timezone: Annotated[str, Field(max_length=64)]
    cutoff: Annotated[str, Field(max_length=5)]


class AcceptForm(Form):
    """What stands in the way, as the page showed it, and why the day is closed anyhow."""

    date: date
    digest: Annotated[str, Field(max_length=64)]
    reason: Annotated[str, Field(max_length=rules.REASON_LENGTH_MAX)]


def index(visit: Visit, query: ListQuery) -> Page | Download:
    """The day that is next, and the closed ones, newest first."""
    if not query.is_file:
        return _page(visit, query, None)
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
    names = ("id", "date", "number", "ends_at", "sha256", "previous", "closed_by", "created")
    return csv_file("days.csv", fields(*names), window.rows)


def again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong in the form."""
    return _page(visit, ListQuery(), rejected)


def close(visit: Visit, form: CloseForm) -> Redirect:
    """Close the day, for good."""
    made = flow.close(
        visit.parts,
        identifier=visit.object_id(rules.PREFIX),
        day=form.date,
        actor=visit.actor,
        livemode=visit.livemode,
        step_up=visit.step_up,
        clock=Clock(form.timezone, form.cutoff),
    )
    return Redirect(f"{PATH}/{made.id}", visit.words.gettext("The day is closed."))


def accept(visit: Visit, form: AcceptForm) -> Redirect:
    """Accept, as one of two people, what stands in the way."""
    flow.accept(
        visit.parts,
        identifier=visit.object_id(rules.ACCEPTANCE_PREFIX),
        day=form.date,
        digest=form.digest,
        reason=form.reason,
        actor=visit.actor,
        livemode=visit.livemode,
        step_up=visit.step_up,
    )
    return Redirect(PATH, visit.words.gettext("Your word is written down."))


def show(visit: Visit, day: str) -> Page:
    """A closed day's report, on a page that prints well."""
    with visit.database.read() as connection:
        found = flow.find(connection, day, livemode=visit.livemode)
    report: dict[str, Any] = msgspec.json.decode(found.report)
    values = {
        "row": found,
        "report": report,
        "accounts": report["accounts"][:ACCOUNTS_SHOWN_MAX],
        "kinds": KINDS,
        "statuses": STATUSES,
    }
    return Page("console/day.html", values)


def download(visit: Visit, day: str) -> Download:
    """The report as it was signed."""
    with visit.database.read() as connection:
        found = flow.find(connection, day, livemode=visit.livemode)
    content = msgspec.json.encode(rules.file_document(found))
    return Download(f"day-{found.date}.json", content, "application/json")


def _window(connection: Connection, visit: Visit, query: ListQuery) -> Window[Day]:
    table = store.days
    filters: list[ColumnElement[bool]] = []
    if query.q is not None:
        filters.append((table.c.date == query.q) | (table.c.id == query.q))
    if query.since is not None:
        filters.append(table.c.date >= query.since.isoformat())
    if query.until is not None:
        filters.append(table.c.date <= query.until.isoformat())
    return fetch_window(
        connection,
        table,
        Day,
        bound=[table.c.livemode == visit.livemode],
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _page(visit: Visit, query: ListQuery, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
        seen = flow.outlook(connection, livemode=visit.livemode, now=visit.now)
    values = {
        "list": listing(visit, query, window, window.rows),
        "next": seen,
        "kinds": KINDS,
        "may_close": visit.may("days", "write"),
        "rejected": rejected,
        "sent": {} if rejected is None else rejected.values,
        "faults": {} if rejected is None else rejected.faults,
    }
    return Page("console/days.html", values)


SCREENS = (
    Screen("GET", PATH, index, "days", operator_only=True, menu=Menu("Money", mark("Days"))),
    Screen("POST", f"{PATH}/close", close, "days", step_up=True, operator_only=True, again=again),
    Screen("POST", f"{PATH}/accept", accept, "days", step_up=True, operator_only=True, again=again),
    Screen("GET", f"{PATH}/{{day}}", show, "days", operator_only=True),
    Screen("GET", f"{PATH}/{{day}}/file", download, "days", operator_only=True),
)
