"""Saved views: a person keeps a list's search and filters under a name."""

from datetime import datetime

from sqlalchemy import Connection

from sakk.core.saved_view import PREFIX, SavedView, check
from sakk.store import saved_view as store
from sakk.store.identity import new_id


def save(
    connection: Connection, *, person: str, screen: str, name: str, query: str, now: datetime
) -> SavedView:
    """Keep a view; one of the same name is replaced. ParameterInvalid, UnexpectedState."""
    others = [
        each
        for each in store.list_views(connection, person=person, screen=screen)
        if each.name != name.strip()
    ]
    name = check(name, query, views=len(others))
    view = SavedView(new_id(PREFIX), person, screen, name, query, now)
    store.put(connection, view)
    return view
