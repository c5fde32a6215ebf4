"""Events: what happened, as it was told."""

import json
from typing import Annotated

from pydantic import Field
from sqlalchemy import ColumnElement, Connection

from sakk.console.listing import ListQuery, created_within, csv_file, listing
from sakk.console.route import Menu, Screen
from sakk.console.visit import Download, Page, Visit
from sakk.console.webhook import merchants_types
from sakk.core.errors import ResourceMissing
from sakk.core.event import EVENT_TYPES
from sakk.core.search import SearchKind, read_search
from sakk.pages.language import mark
from sakk.store import event as store
from sakk.store import payment_story as story
from sakk.store.page import Window, fetch_window

PATH = "/console/events"


class EventQuery(ListQuery):
    """Which events."""

    type: Annotated[str, Field(max_length=100)] | None = None


def index(visit: Visit, query: EventQuery) -> Page | Download:
    """The events, newest first."""
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
    if query.is_file:
        return csv_file(
            "events.csv",
            [
                ("id", lambda row: row.id),
                ("created", lambda row: row.created),
                ("type", lambda row: row.type),
                ("object", lambda row: row.object_id),
                ("request", lambda row: row.request_id),
            ],
            window.rows,
        )
    types = sorted(EVENT_TYPES) if visit.is_operator else merchants_types()
    return Page(
        "console/events.html",
        {
            "list": listing(visit, query, window, window.rows),
            "choices": {"type": [(each, each) for each in types]},
        },
    )


def show(visit: Visit, event: str) -> Page:
    """An event with its bytes and where it was delivered."""
    with visit.database.read() as connection:
        found = store.get(connection, event, account_id=visit.account_id, livemode=visit.livemode)
        if found is None:
            raise ResourceMissing("No such event: {event}", param="event", event=repr(event))
        told = story.list_told(connection, [found.object_id])
    return Page(
        "console/event.html",
        {
            "event": found,
            "body": json.dumps(json.loads(found.body), indent=2, ensure_ascii=False),
            "told": [each for each in told if each.event == found.id and each.delivery],
        },
    )


def _window(connection: Connection, visit: Visit, query: EventQuery) -> Window[store.Head]:
    c = store.events.c
    mode = c.livemode == visit.livemode
    filters: list[ColumnElement[bool]] = created_within(visit, query, store.events)
    bound: list[ColumnElement[bool]] = []
    if visit.account_id is None:
        filters.append(mode)
    else:
        bound += [c.account_id == visit.account_id, mode]
    if not visit.is_operator:
        # The operator's own events of an account are nobody else's.
        filters.append(c.audience == "merchant")
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id and search.name != "req":
        bound.append(c.id == search.value if search.name == "evt" else c.object_id == search.value)
    elif search is not None and search.kind is SearchKind.id:
        filters.append(c.request_id == search.value)
    elif search is not None:
        filters.append(c.type.startswith(search.value, autoescape=True))
    if query.type is not None:
        filters.append(c.type == query.type)
    return fetch_window(
        connection,
        store.events,
        store.Head,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "events", menu=Menu("Developers", mark("Events"))),
    Screen("GET", PATH + "/{event}", show, "events"),
)
