"""The log of requests: what a key asked for and how it was answered, never what was in it.

Bodies, query strings and headers are not kept: they hold names, e-mail addresses and secrets.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

KEEP: Final = timedelta(days=30)
# About: above it the oldest go before their time.
ROWS_MAX: Final = 2_000_000
PATH_LENGTH_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One answered request: ``id`` is the ``Request-Id`` of its answer.

    ``milliseconds``: in our hands, without the wait for a thread. ``error_code``: of an answer of
    400 or more.
    """

    id: str
    account_id: str
    livemode: bool
    key: str
    method: str
    path: str
    status: int
    error_code: str | None
    milliseconds: int
    created: datetime


def shown_path(path: str) -> str:
    """A path as it is kept: its beginning, and of what is not printable the code."""
    text = path[:PATH_LENGTH_MAX]
    return "".join(each if each.isprintable() else f"%{ord(each):02X}" for each in text)


def excess(rows: int) -> int:
    """How many of the oldest rows go, of about so many."""
    return max(0, rows - ROWS_MAX)
