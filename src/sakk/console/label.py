"""Lists: which there are, how fresh each is, what its imports changed, and another import."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core.errors import ParameterInvalid
from sakk.pages.form import Form, Upload
from sakk.pages.language import mark
from sakk.screening.countries import import_countries
from sakk.screening.importers import import_list, retire_list
from sakk.store import label as store

PATH: Final = f"{ROOT}/lists"
IMPORTS_SHOWN: Final = 20
FILE_BYTES_MAX: Final = 32 << 20
BODY_BYTES_MAX: Final = FILE_BYTES_MAX + (64 << 10)
KINDS: Mapping[str, str] = {
    "sanctions": mark("Sanctions"),
    "labels": mark("Labels of addresses"),
    "operator": mark("The house's own"),
    "countries": mark("Countries"),
}

Name = Annotated[str, Field(max_length=100)]


class ImportForm(Form):
    """A file of today. ``shrunk``: taken although it lost more than half of what it had."""

    name: Name
    kind: Literal["sanctions", "labels", "operator", "countries"]
    file: Upload
    shrunk: bool = False


class RetireForm(Form):
    """Which list is used no more."""

    name: Name


def show(visit: Visit) -> Page:
    """Every list with its age, and the newest imports."""
    return _page(visit, None)


def again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong with the file."""
    return _page(visit, rejected)


def ready(visit: Visit) -> Redirect:
    """The person proved to be there: now a file can be chosen, too large to be kept by one."""
    return Redirect(PATH)


def take(visit: Visit, form: ImportForm) -> Redirect:
    """Import a file; it holds for the very next decision, and what it touches is judged again."""
    ending = "".join(Path(form.file.name).suffixes[-2:])[-20:]
    ending = ending if ending.replace(".", "").isalnum() else ""
    with tempfile.TemporaryDirectory(prefix="sakk-list-") as folder:
        path = Path(folder) / f"file{ending}"
        path.write_bytes(form.file.content)
        try:
            opened, closed = _imported(visit, form, path)
        except ParameterInvalid as error:
            # The file's own name, and the line, as whoever sent it knows them.
            told = error.message.replace(str(path), form.file.name[-100:])
            raise ParameterInvalid(told, param=error.param) from None
    told = visit.words.gettext(
        "Imported: {opened} entries are new, {closed} are gone. What they touch is judged again.",
        opened=opened,
        closed=closed,
    )
    return Redirect(PATH, told)


def retire(visit: Visit, form: RetireForm) -> Redirect:
    """Use a list no more; its history stays."""
    retire_list(visit.database, form.name, now=visit.now)
    return Redirect(PATH, visit.words.gettext("It counts no more."))


def _imported(visit: Visit, form: ImportForm, path: Path) -> tuple[int, int]:
    """How many entries are new, and how many are gone."""
    if form.kind == "countries":
        found = import_countries(visit.database, path, name=form.name, now=visit.now)
        return found.opened, found.closed
    report = import_list(
        visit.database,
        path,
        name=form.name,
        kind=form.kind,
        allow_shrink=form.shrunk,
        now=visit.now,
    )
    entities = report.entities
    return report.opened + entities.opened, report.closed + entities.closed


def _page(visit: Visit, rejected: Rejected | None) -> Page:
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
    values: dict[str, Any] = {
        "lines": lines,
        "version": version,
        "imports": [(each, names.get(each.list_id, each.list_id)) for each in imports],
        "kinds": KINDS,
        "kind_options": [(code, visit.words.gettext(text)) for code, text in KINDS.items()],
        "stale": [each.name for each in lists if each.is_stale(visit.now)],
        "may_write": visit.may("lists", "write"),
        "is_ready": visit.stepped_up,
        "message": None if rejected is None else rejected.message,
        "given": {} if rejected is None else rejected.values,
        "faults": {} if rejected is None else rejected.faults,
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
    Screen(
        "POST",
        PATH,
        take,
        "lists",
        step_up=True,
        operator_only=True,
        again=again,
        body_bytes_max=BODY_BYTES_MAX,
    ),
    Screen("POST", f"{PATH}/ready", ready, "lists", step_up=True, operator_only=True, again=again),
    Screen(
        "POST", f"{PATH}/retire", retire, "lists", step_up=True, operator_only=True, again=again
    ),
)
