"""Saved views: a list's search and filters under a name, of one person."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sakk.core.errors import ParameterInvalid, UnexpectedState

PREFIX: Final = "view"
NAME_LENGTH_MAX: Final = 60
QUERY_LENGTH_MAX: Final = 2_000
VIEWS_MAX: Final = 50


@dataclass(frozen=True, slots=True)
class SavedView:
    """``query`` is the list's query string, without a cursor. ``screen`` is the list's path."""

    id: str
    person: str
    screen: str
    name: str
    query: str
    created: datetime


def check(name: str, query: str, *, views: int) -> str:
    """The name as it is kept; ParameterInvalid, or UnexpectedState where there are too many."""
    name = name.strip()
    if not (1 <= len(name) <= NAME_LENGTH_MAX and name.isprintable()):
        raise ParameterInvalid(
            "A view's name has 1 to {name_length_max} printable characters.",
            param="name",
            name_length_max=NAME_LENGTH_MAX,
        )
    if len(query) > QUERY_LENGTH_MAX:
        raise ParameterInvalid(
            "This view's filters are longer than {query_length_max} characters. Use fewer.",
            param="query",
            query_length_max=QUERY_LENGTH_MAX,
        )
    if views >= VIEWS_MAX:
        raise UnexpectedState(
            "You have {views_max} saved views here. Delete one first.", views_max=VIEWS_MAX
        )
    return name
