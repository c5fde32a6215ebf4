"""The log of requests: what came of each, for who looks for a fault in a program."""

from operator import attrgetter
from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy import ColumnElement, Connection

from sakk.console.listing import ListQuery, created_within, csv_file, listing, options
from sakk.console.route import Menu, Screen
from sakk.console.visit import Download, Page, Visit
from sakk.core.request_log import LoggedRequest
from sakk.core.search import SearchKind, read_search
from sakk.pages.language import mark
from sakk.store import request_log as store
from sakk.store.page import Window, fetch_window

PATH = "/console/requests"
OUTCOMES = {"good": mark("Answered"), "wrong": mark("Refused"), "fault": mark("Failed here")}
_LEAST = {"good": (200, 399), "wrong": (400, 499), "fault": (500, 599)}


class RequestQuery(ListQuery):
    """Which requests."""

    outcome: Literal["good", "wrong", "fault"] | None = None
    method: Literal["GET", "POST", "DELETE"] | None = None
    key: Annotated[str, Field(max_length=100)] | None = None


def index(visit: Visit, query: RequestQuery) -> Page | Download:
    """The requests, newest first."""
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
    if query.is_file:
        return csv_file(
            "requests.csv",
            [(name, attrgetter(name)) for name in LoggedRequest.__slots__],
            window.rows,
        )
    return Page(
        "console/requests.html",
        {
            "list": listing(visit, query, window, window.rows),
            "choices": {
                "outcome": options(visit, OUTCOMES),
                "method": [(each, each) for each in ("GET", "POST", "DELETE")],
            },
        },
    )


def _window(connection: Connection, visit: Visit, query: RequestQuery) -> Window[LoggedRequest]:
    c = store.requests.c
    mode = c.livemode == visit.livemode
    filters: list[ColumnElement[bool]] = created_within(visit, query, store.requests)
    bound: list[ColumnElement[bool]] = []
    if visit.account_id is None:
        filters.append(mode)
    else:
        bound += [c.account_id == visit.account_id, mode]
    if query.outcome is not None:
        filters.append(c.status.between(*_LEAST[query.outcome]))
    for name in ("method", "key"):
        if (value := getattr(query, name)) is not None:
            filters.append(c[name] == value)
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id and search.name == "req":
        bound.append(c.id == search.value)
    elif search is not None:
        text = query.q or ""
        filters.append(c.path.contains(text, autoescape=True) | (c.error_code == text))
    return fetch_window(
        connection,
        store.requests,
        LoggedRequest,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "requests", menu=Menu("Developers", mark("Requests"))),
)
