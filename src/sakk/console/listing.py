"""Lists: search, filters, saved views, pages by keyset, and files for spreadsheets.

A screen's own query extends ``ListQuery`` with its filters; what it does not know is refused by the
door. Times in filters are days of the person's own zone.
"""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from operator import attrgetter
from typing import Annotated, Any, Final, Generic, Literal, TypeVar
from urllib.parse import urlencode

from pydantic import Field
from sqlalchemy import ColumnElement, Table

from sakk.console.visit import Download, Visit
from sakk.core.saved_view import SavedView
from sakk.core.search import LENGTH_MAX
from sakk.core.sheet import Exact as Exact
from sakk.core.sheet import csv_head, csv_line
from sakk.core.volume import beginning
from sakk.pages.form import Form
from sakk.pages.moment import zone_of
from sakk.store import saved_view
from sakk.store.page import Window

ROWS: Final = 50
# What one file holds; the newest of them.
FILE_ROWS_MAX: Final = 10_000
CURSOR_LENGTH_MAX: Final = 100
CSV: Final = "text/csv; charset=utf-8"
_PLACES: Final = ("after", "before", "format")

T = TypeVar("T")
Cursor = Annotated[str, Field(max_length=CURSOR_LENGTH_MAX)]


class ListQuery(Form):
    """What every list may be asked for. ``since`` and ``until`` are days, both included."""

    q: Annotated[str, Field(max_length=LENGTH_MAX)] | None = None
    since: date | None = None
    until: date | None = None
    after: Cursor | None = None
    before: Cursor | None = None
    format: Literal["csv"] | None = None

    @property
    def is_file(self) -> bool:
        return self.format == "csv"

    @property
    def limit(self) -> int:
        """How many rows are fetched."""
        return FILE_ROWS_MAX if self.is_file else ROWS

    @property
    def place(self) -> dict[str, str | None]:
        """The cursors, as ``fetch_window`` takes them; a file begins with the newest."""
        if self.is_file:
            return {"after": None, "before": None}
        return {"after": self.after, "before": self.before}


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """One page of a list, for the macros of ``console/list.html``.

    ``newer`` and ``older`` are addresses; ``is_cut``: what is older has not been looked at.
    ``kept`` is what a saved view keeps; ``query`` the values of the filters' fields.
    """

    path: str
    rows: Sequence[T]
    query: dict[str, Any]
    newer: str | None
    older: str | None
    is_cut: bool
    is_filtered: bool
    file: str
    kept: str
    views: Sequence[SavedView]


def listing(visit: Visit, query: ListQuery, window: Window[Any], rows: Sequence[T]) -> Listing[T]:
    """What a list's template is given. ``rows`` are the window's, as they are shown."""
    given = query.model_dump(mode="json", exclude_none=True)
    kept = {name: value for name, value in given.items() if name not in _PLACES}
    with visit.database.read() as connection:
        views = saved_view.list_views(connection, person=visit.person.id, screen=visit.path)

    def address(**place: str | None) -> str:
        values = kept | {name: value for name, value in place.items() if value is not None}
        return f"{visit.path}?{urlencode(values, doseq=True)}" if values else visit.path

    return Listing(
        path=visit.path,
        rows=rows,
        query=dict.fromkeys(type(query).model_fields) | kept,
        newer=None if window.newer is None else address(before=window.newer),
        older=None if window.older is None else address(after=window.older),
        is_cut=window.is_cut,
        is_filtered=bool(kept),
        file=address(format="csv"),
        kept=urlencode(kept, doseq=True),
        views=views,
    )


def created_within(visit: Visit, query: ListQuery, table: Table) -> list[ColumnElement[bool]]:
    """The filters of a list by the time of creation: whole days of the person's zone."""
    zone = zone_of(visit.time_zone)
    filters = []
    if query.since is not None:
        filters.append(table.c.created >= beginning(query.since, zone))
    if query.until is not None and query.until < date.max:
        filters.append(table.c.created < beginning(query.until + timedelta(days=1), zone))
    return filters


Words = Mapping[str, str | tuple[str, str]]


def options(visit: Visit, words: Words) -> list[tuple[str, str]]:
    """What may be chosen of statuses and the like: pairs of a value and its text."""
    return [
        (value, visit.words.gettext(word if isinstance(word, str) else word[0]))
        for value, word in words.items()
    ]


Column = tuple[str, Callable[[T], object]]


def csv_file(name: str, columns: Sequence[Column[T]], rows: Iterable[T]) -> Download:
    """Rows as a file for spreadsheets: UTF-8 with its mark, lines as RFC 4180 ends them."""
    content = io.BytesIO()
    content.write(csv_head([head for head, _ in columns]))
    for row in rows:
        content.write(csv_line([of(row) for _, of in columns]))
    return Download(name, content.getvalue(), CSV)


def fields(*names: str) -> list[Column[Any]]:
    """Columns that are attributes of the rows, each under its own name."""
    return [(name, attrgetter(name)) for name in names]
