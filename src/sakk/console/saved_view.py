"""Saved views: a list's search and filters under a name, for the person who made them."""

from typing import Annotated

from pydantic import Field

from sakk.console.route import Screen
from sakk.console.visit import Redirect, Visit
from sakk.core.errors import ParameterInvalid
from sakk.core.role import OWN
from sakk.core.saved_view import NAME_LENGTH_MAX, QUERY_LENGTH_MAX
from sakk.flow import saved_view as flow
from sakk.pages.form import Form
from sakk.store import saved_view as store

PATH = "/console/saved_views"
SCREEN_LENGTH_MAX = 200


class SaveForm(Form):
    """Which list, its filters, and a name for them."""

    screen: Annotated[str, Field(max_length=SCREEN_LENGTH_MAX)]
    query: Annotated[str, Field(max_length=QUERY_LENGTH_MAX)] | None = None
    name: Annotated[str, Field(max_length=NAME_LENGTH_MAX)]


class RemoveForm(Form):
    """Where to go on."""

    screen: Annotated[str, Field(max_length=SCREEN_LENGTH_MAX)]


def save(visit: Visit, form: SaveForm) -> Redirect:
    """Keep a list's filters."""
    screen = _checked(form.screen)
    with visit.database.begin() as connection:
        flow.save(
            connection,
            person=visit.person.id,
            screen=screen,
            name=form.name,
            query=form.query or "",
            now=visit.now,
        )
    address = f"{screen}?{form.query}" if form.query else screen
    return Redirect(address, flash=visit.words.gettext("The view is saved."))


def remove(visit: Visit, view: str, form: RemoveForm) -> Redirect:
    """Remove a view of one's own."""
    with visit.database.begin() as connection:
        store.remove(connection, view, person=visit.person.id)
    return Redirect(_checked(form.screen), flash=visit.words.gettext("The view is removed."))


def _checked(screen: str) -> str:
    """A list of ours, and no other place."""
    if not screen.startswith("/console") or "//" in screen or "\\" in screen:
        raise ParameterInvalid("Views are of the console's lists.", param="screen")
    return screen


SCREENS: tuple[Screen, ...] = (
    Screen("POST", PATH, save, OWN),
    Screen("POST", PATH + "/{view}/remove", remove, OWN),
)
