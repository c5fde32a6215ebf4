"""Who acts: told to the database, so that the audit log can say it of every change.

A process says who it is when it connects; a request or a person says it again in each transaction
of theirs. Whoever connects otherwise is named by the user of the database (``sql:…``).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_ODD = re.compile(r"[^\w:.@/+-]")
_process = ""


@dataclass(frozen=True, slots=True)
class Acting:
    """Who acts in this context: a key, or ``person/key``; by which request."""

    actor: str
    request: str = ""


_acting: ContextVar[Acting | None] = ContextVar("acting", default=None)


def set_process(name: str) -> None:
    """Name this process, before it opens the database: ``role:worker``, ``cli:alice``."""
    global _process
    _process = _ODD.sub("_", name)


def connect_option() -> str:
    """What a connection is opened with."""
    return f" -c sakk.actor={_process}" if _process else ""


def current() -> Acting | None:
    """Who acts in this context, if not the process for itself."""
    return _acting.get()


def become(actor: str) -> None:
    """From now on this context acts for somebody."""
    _acting.set(Acting(actor))


@contextmanager
def acting(actor: str, request: str) -> Iterator[None]:
    """Act for somebody until the block ends."""
    token = _acting.set(Acting(actor, request))
    try:
        yield
    finally:
        _acting.reset(token)
