"""Named places where a test may kill the process: both sides of every call that leaves it.

``failpoint("payout.broadcast.before")`` does nothing unless the process was started with

- ``SAKK_FAILPOINTS="name=kill,other=kill:3"``: SIGKILL at the first, or the third, passing; or
- ``SAKK_FAILPOINT_DIR=folder``: SIGKILL when ``folder/<name>`` exists and says ``kill`` or
  ``kill:n``. The file becomes ``<name>.fired`` first, so that it fires once: the process that
  is started next passes.

A kill is a real one: no handler, no ``finally``, no flush.
"""

import os
import signal
import threading
from collections import Counter
from pathlib import Path

from sakk.core.errors import Misconfigured

ACTION = "kill"


def _parse(action: str, source: str) -> int:
    """``kill`` or ``kill:n`` as the number of the passing that dies."""
    word, _, count = action.strip().partition(":")
    if word != ACTION or not (count == "" or (count.isdecimal() and int(count) > 0)):
        raise Misconfigured(
            f"{source} says {action!r}: use {ACTION} or {ACTION}:<n>, n from 1", param=source
        )
    return int(count or 1)


def _from_environment() -> dict[str, int]:
    entries = [part for part in os.environ.get("SAKK_FAILPOINTS", "").split(",") if part.strip()]
    pairs = (entry.partition("=") for entry in entries)
    return {name.strip(): _parse(action, "SAKK_FAILPOINTS") for name, _, action in pairs}


_armed = _from_environment()
_folder = os.environ.get("SAKK_FAILPOINT_DIR")
_is_off = not _armed and _folder is None
_passed: Counter[str] = Counter()
_lock = threading.Lock()


def failpoint(name: str) -> None:
    """Die here if a test asked for it; otherwise the cost of one comparison."""
    if _is_off:
        return
    with _lock:
        _passed[name] += 1
        if _armed.get(name) == _passed[name] or _is_due(name):
            os.kill(os.getpid(), signal.SIGKILL)


def _is_due(name: str) -> bool:
    if _folder is None:
        return False
    path = Path(_folder, name)
    try:
        if _passed[name] < _parse(path.read_text(), f"SAKK_FAILPOINT_DIR/{name}"):
            return False
        path.rename(path.with_name(f"{name}.fired"))
    except FileNotFoundError:
        return False  # not armed, or another process took it
    return True
