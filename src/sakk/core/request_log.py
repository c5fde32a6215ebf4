"""The log of requests: what a key asked for and how it was answered, never what was in it.

Bodies, query strings and headers are not kept: they hold names, e-mail addresses and secrets.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sakk.core.errors import ParameterUnknown

KEEP: Final = timedelta(days=30)
# About: above it the oldest go before their time.
ROWS_MAX: Final = 2_000_000
PATH_LENGTH_MAX: Final = 300
PARAM_LENGTH_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One answered request: ``id`` is the ``Request-Id`` of its answer.

    ``milliseconds``: in our hands, without the wait for a thread. ``error_code`` and ``param``,
    the field that was wrong: of an answer of 400 or more.
    """

    id: str
    account_id: str
    livemode: bool
    key: str
    method: str
    path: str
    status: int
    error_code: str | None
    param: str | None
    milliseconds: int
    created: datetime


def shown_param(code: str | None, param: object) -> str | None:
    """A field that an error names, as it is kept: a name of ours, and none that was sent.

    Names that are no field's, and those of metadata, are the caller's own words.
    """
    if not isinstance(param, str) or code == ParameterUnknown.code or not param.isprintable():
        return None
    return "metadata" if param.startswith("metadata") else param[:PARAM_LENGTH_MAX]


def shown_path(path: str) -> str:
    """A path as it is kept: its beginning, and of what is not printable the code."""
    text = path[:PATH_LENGTH_MAX]
    return "".join(each if each.isprintable() else f"%{ord(each):02X}" for each in text)


def excess(rows: int) -> int:
    """How many of the oldest rows go, of about so many."""
    return max(0, rows - ROWS_MAX)
