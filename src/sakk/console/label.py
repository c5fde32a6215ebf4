"""Lists: which there are, how fresh each is, and what its imports changed."""

from collections.abc import Mapping
from typing import Final

from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Visit
from sakk.pages.language import mark
from sakk.store import label as store

PATH: Final = f"{ROOT}/lists"
IMPORTS_SHOWN: Final = 20
KINDS: Mapping[str, str] = {
    "sanctions": mark("Sanctions"),
    "labels": mark("Labels of addresses"),
    "operator": mark("The house's own"),
    "countries": mark("Countries"),
}


def show(visit: Visit) -> Page:
    """Every list with its age, and the newest imports."""
    with visit.database.read() as connection:
        lists = store.list_lists(connection)
        version = store.lists_version(connection)
        imports = store.list_imports(connection, limit=IMPORTS_SHOWN)
    names = {each.id: each.name for each in lists}
    lines = [
        {
            "row": each,
            "is_stale": each.is_stale(visit.now),
            "hours": each.age_seconds(visit.now) // 3600,
        }
        for each in lists
    ]
    values = {
        "lines": lines,
        "version": version,
        "imports": [(each, names.get(each.list_id, each.list_id)) for each in imports],
        "kinds": KINDS,
        "stale": [each.name for each in lists if each.is_stale(visit.now)],
    }
    return Page("console/lists.html", values)


SCREENS = (
    Screen(
        "GET",
        PATH,
        show,
        "lists",
        operator_only=True,
        menu=Menu(mark("Risk"), mark("Lists")),
    ),
)
