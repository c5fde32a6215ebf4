"""How the table of routes is swept: questions, rows before and after, and fields that are ids."""

import json
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel
from sqlalchemy import text

from sakk.api.parameters import Identifier
from sakk.api.route import Route
from tests.api.world import Api

# What every request leaves behind, and says nothing of what was asked for.
BESIDE = frozenset({"idempotency_keys", "request_log"})
# What follows from the journal a while later.
PROJECTED = frozenset(
    {
        *("ledger_accounts", "ledger_balances", "ledger_cursors", "ledger_entries"),
        *("ledger_open_charges", "ledger_transfers"),
    }
)
# A row that nobody asked for tells of holds that ran out by themselves.
_ASKED_FOR = {"ledger_journal": "WHERE substr(payload, 5, 4) <> '\\x00000000'"}
# By which a field of the type of ids is known.
[_OF_IDS] = typing.get_args(Identifier)[1:]
# The fields of a body that are objects of somebody's: their place, and the last name in it.
Place = tuple[str, ...]


def filled(path: str, ids: Mapping[str, str]) -> str:
    """A path with an object for each parameter; KeyError names what has none."""
    return re.sub(r"{(\w+)}", lambda match: ids[match[1]], path)


def nobodys(path: str) -> str:
    """A path with ids that are no ids."""
    return re.sub(r"{\w+}", "nobody", path)


def another(identifier: str) -> str:
    """An id of the same form that nobody has: those of one moment differ in their last letters."""
    return identifier[:-10] + "1" * 10


class Said(NamedTuple):
    """An answer, without what is every answer's own: the request's id."""

    status: int
    text: str

    @property
    def code(self) -> str | None:
        """An error's code."""
        found: str | None = self._error().get("code")
        return found

    def names(self, field: str) -> bool:
        """Is the error, or a fault of a line, about this field?"""
        return field in str(self._error().get("param")) or f'{field}"' in self.text

    def without(self, ids: Mapping[str, str]) -> "Said":
        """The same, with the ids that were asked for taken out."""
        told = self.text
        for each in sorted(ids.values(), key=len, reverse=True):
            told = told.replace(each, "")
        return self._replace(text=told)

    def _error(self) -> dict[str, Any]:
        return dict(json.loads(self.text).get("error") or {}) if self.status >= 400 else {}


def ask(api: Api, route: Route, path: str, key: str, body: Any = None, **headers: str) -> Said:
    """Ask a route."""
    options = {"json": body or {}} if route.method == "POST" else {}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = api.call(route.method, path, key=key, headers=named, **options)
    return Said(answer.status_code, answer.text.replace(answer.headers["request-id"], ""))


def put(body: Any, place: Place, identifier: str) -> Any:
    """A body with an id at a place; in each member of a list."""
    if isinstance(body, list):
        return [put(each, place, identifier) for each in body]
    name, *rest = place
    inner = put(body.get(name, {}), tuple(rest), identifier) if rest else identifier
    return {**body, name: inner}


def rows(api: Api) -> dict[str, dict[str, int]]:
    """Every table's rows, with how often each is there."""
    with api.database.begin() as connection:
        names = connection.execute(
            text(
                "SELECT c.relname FROM pg_class c WHERE c.relkind IN ('r', 'p')"
                " AND c.relnamespace = 'public'::regnamespace AND NOT c.relispartition"
            )
        ).scalars()
        found: dict[str, dict[str, int]] = {}
        for name in set(names) - BESIDE - PROJECTED:
            which = _ASKED_FOR.get(name, "")
            counted = connection.execute(
                text(f"SELECT t::text, count(*) FROM {name} t {which} GROUP BY 1")
            )
            found[name] = {str(row): int(number) for row, number in counted}
    return found


def changed(
    before: Mapping[str, dict[str, int]], after: Mapping[str, dict[str, int]]
) -> dict[str, list[str]]:
    """The rows that came, went or are others now, by their tables."""
    return {
        name: [row for row in rows if before[name].get(row) != rows[row]]
        + [row for row in before[name] if row not in rows]
        for name, rows in after.items()
        if rows != before[name]
    }


def places(model: type[BaseModel]) -> Iterator[Place]:
    """The fields of the type of ids, in all that a body or a query may hold."""
    for name, each in model.model_fields.items():
        if name != "expand":
            kind: Any = each.annotation
            kind = typing.Annotated[kind, *each.metadata] if each.metadata else kind
            yield from ((name, *inner) for inner in _within(kind))


def _within(kind: Any) -> Iterator[Place]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield from places(kind)
    elif typing.get_origin(kind) is typing.Annotated:
        if kind.__metadata__[0] == _OF_IDS:
            yield ()
        else:
            yield from _within(kind.__origin__)
    elif typing.get_origin(kind) is not typing.Literal:
        for each in typing.get_args(kind):
            yield from _within(each)
