"""Lists by keyset: newest first, by id, one page at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, Table, select
from sqlalchemy.sql.util import ClauseAdapter

from sakk.core.errors import CursorMissing
from sakk.store.database import fetch_all

LIMIT_MAX = 100
LIMIT_DEFAULT = 10

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page: at most one of the two cursors, and bounds of the time of creation.

    The API shows whole seconds, so its ``gt`` and ``lte`` are these two bounds a second later.
    """

    limit: int = LIMIT_DEFAULT
    starting_after: str | None = None
    ending_before: str | None = None
    created_gte: datetime | None = None
    created_lt: datetime | None = None


def fetch_page(
    connection: Connection,
    table: Table,
    make: Callable[..., T],
    *,
    account_id: str | None,
    livemode: bool | None,
    page: PageRequest,
    filters: Sequence[ColumnElement[bool]] = (),
    oldest_first: bool = False,
) -> tuple[list[T], bool]:
    """One page of a table with ``id`` and ``created``: rows newest first, and is there more?

    ``make`` takes the columns by name. ``account_id`` None means every account's rows, ``livemode``
    None a table without modes. ``oldest_first`` is for what has an order of its own, as lines have.
    Raises CursorMissing (400) for a cursor that names no row of these.
    """
    conditions: list[ColumnElement[bool]] = list(filters)
    if account_id is not None:
        conditions.append(table.c.account_id == account_id)
    if livemode is not None:
        conditions.append(table.c.livemode == livemode)
    for param in ("starting_after", "ending_before"):
        cursor = getattr(page, param)
        if cursor is not None:
            _check_cursor(connection, table, cursor, conditions, param)
    conditions.extend(_created(table, page))
    statement = select(table).limit(page.limit + 1)
    if page.ending_before is not None:
        statement = statement.where(*conditions, _beyond(table, page.ending_before, oldest_first))
        order = table.c.id.desc() if oldest_first else table.c.id.asc()
        rows = _rows(connection, statement.order_by(order), make)
        return rows[: page.limit][::-1], len(rows) > page.limit
    if page.starting_after is not None:
        conditions.append(_beyond(table, page.starting_after, not oldest_first))
    order = table.c.id.asc() if oldest_first else table.c.id.desc()
    rows = _rows(connection, statement.where(*conditions).order_by(order), make)
    return rows[: page.limit], len(rows) > page.limit


def _beyond(table: Table, cursor: str, older: bool) -> ColumnElement[bool]:
    return table.c.id < cursor if older else table.c.id > cursor


def page_of(
    documents: Sequence[dict[str, Any]], page: PageRequest
) -> tuple[list[dict[str, Any]], bool]:
    """One page of a short list that is configuration, in the order given, by its ``id``s."""
    kept = [document for document in documents if _is_created_within(document["created"], page)]
    ids = [document["id"] for document in documents]
    for param in ("starting_after", "ending_before"):
        cursor = getattr(page, param)
        if cursor is not None and cursor not in ids:
            raise _no_cursor(cursor, param)
    if page.ending_before is not None:
        before = [each for each in kept if ids.index(each["id"]) < ids.index(page.ending_before)]
        return before[-page.limit :], len(before) > page.limit
    if page.starting_after is not None:
        kept = [each for each in kept if ids.index(each["id"]) > ids.index(page.starting_after)]
    return kept[: page.limit], len(kept) > page.limit


def _rows(connection: Connection, statement: Select[Any], make: Callable[..., T]) -> list[T]:
    return [make(**row) for row in connection.execute(statement).mappings()]


def _is_created_within(created: int, page: PageRequest) -> bool:
    moment = datetime.fromtimestamp(created, UTC)
    return (page.created_gte is None or moment >= page.created_gte) and (
        page.created_lt is None or moment < page.created_lt
    )


def _no_cursor(cursor: str, param: str) -> CursorMissing:
    return CursorMissing(
        "No such object in this list: {cursor}. Use an id that the list returned.",
        param=param,
        cursor=repr(cursor),
    )


def _check_cursor(
    connection: Connection,
    table: Table,
    cursor: str,
    conditions: Sequence[ColumnElement[bool]],
    param: str,
) -> None:
    found = connection.execute(select(table.c.id).where(*conditions, table.c.id == cursor)).first()
    if found is None:
        raise _no_cursor(cursor, param)


def _created(table: Table, page: PageRequest) -> list[ColumnElement[bool]]:
    bounds = []
    if page.created_gte is not None:
        bounds.append(table.c.created >= page.created_gte)
    if page.created_lt is not None:
        bounds.append(table.c.created < page.created_lt)
    return bounds


# So many rows of a list are looked at for one page of it, whatever is filtered.
WINDOW_ROWS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Window(Generic[T]):
    """One page for people, newest first, and the ids from which its neighbours go on.

    ``older`` is given as ``after``, ``newer`` as ``before``. ``is_cut``: the page is not full, and
    what is older has not been looked at.
    """

    rows: list[T]
    newer: str | None = None
    older: str | None = None
    is_cut: bool = False


def fetch_window(
    connection: Connection,
    table: Table,
    make: type[T],
    *,
    bound: Sequence[ColumnElement[bool]],
    filters: Sequence[ColumnElement[bool]] = (),
    after: str | None = None,
    before: str | None = None,
    limit: int,
) -> Window[T]:
    """One page of a table by ``id``, newest first, in a bounded time whatever is filtered.

    ``bound`` are conditions that an index has before its ``id``; ``filters``, anything else, are
    tried on the next ``WINDOW_ROWS_MAX`` rows of it, and the page goes on where these end. A page
    ``before`` an id that reaches the newest row is the first page.
    """
    if before is not None:
        found, end = _windowed(
            connection, table, make, [*bound, table.c.id > before], filters, limit, newest=False
        )
        if len(found) > limit or end is not None:
            shown = found[:limit][::-1]
            newer = _id_of(shown[0]) if len(found) > limit else end
            return Window(shown, newer=newer, older=_id_of(shown[-1]) if shown else before)
        after = None
    conditions = list(bound) if after is None else [*bound, table.c.id < after]
    found, end = _windowed(connection, table, make, conditions, filters, limit, newest=True)
    shown, more = found[:limit], len(found) > limit
    older = _id_of(shown[-1]) if more else end
    newer = None if after is None else _id_of(shown[0]) if shown else after
    return Window(shown, newer=newer, older=older, is_cut=end is not None and not more)


def _windowed(
    connection: Connection,
    table: Table,
    make: type[T],
    conditions: Sequence[ColumnElement[bool]],
    filters: Sequence[ColumnElement[bool]],
    limit: int,
    *,
    newest: bool,
) -> tuple[list[T], str | None]:
    """A page's rows and one more, and where the window ended if it did before they were found."""
    order = table.c.id.desc() if newest else table.c.id.asc()
    columns = [each for each in table.c if each.name in make.__dataclass_fields__]  # type: ignore[attr-defined]
    inner = select(table).where(*conditions).order_by(order)
    if not filters:
        statement = inner.with_only_columns(*columns).limit(limit + 1)
        return fetch_all(connection, statement, make), None
    window = inner.limit(WINDOW_ROWS_MAX).subquery()
    adapter = ClauseAdapter(window)
    id_ = window.c.id
    rows = fetch_all(
        connection,
        select(*(window.c[each.name] for each in columns))
        .where(*(adapter.traverse(each) for each in filters))
        .order_by(id_.desc() if newest else id_.asc())
        .limit(limit + 1),
        make,
    )
    if len(rows) > limit:
        return rows, None
    last = (
        select(table.c.id).where(*conditions).order_by(order).offset(WINDOW_ROWS_MAX - 1).limit(1)
    )
    end: str | None = connection.execute(last).scalar_one_or_none()
    return rows, end


def _id_of(row: object) -> str:
    identifier: str = row.id  # type: ignore[attr-defined]
    return identifier
