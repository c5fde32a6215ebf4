"""The log of requests, off the way of answers: noted in memory, written by a thread of its own.

What is noted while too much waits is dropped and counted, never waited for. Requests without a key
that is known have no owner, who could look at them; they are counted in the metrics alone. So are
postings and charges, whose log is the ledger.
"""

import threading
from collections import deque
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
import structlog
from prometheus_client import Counter

from sakk.api.context import Caller
from sakk.core.request_log import LoggedRequest, shown_param, shown_path
from sakk.store import request_log as store
from sakk.store.database import Database

WAITING_MAX: Final = 10_000
BATCH_MAX: Final = 1_000
# So long rows gather; a test or a person who looks waits no longer.
GATHER_SECONDS: Final = 1.0

log = structlog.get_logger("sakk.api")
dropped_total = Counter("sakk_request_log_dropped_total", "Requests that the log has no row of.")


class Noted(NamedTuple):
    """What is known when an answer is made; its error is read later, by the thread that writes."""

    id: str
    caller: Caller
    method: str
    path: str
    status: int
    body: bytes
    seconds: float
    at: datetime


class RequestLog:
    """One process's log; safe to note from many threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[Noted] = deque()
        self._more = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def note(self, noted: Noted) -> None:
        """Remember an answer. Costs no lock but at the first."""
        if self._thread is None:
            self._start()
        if len(self._waiting) >= WAITING_MAX:
            dropped_total.inc()
            return
        self._waiting.append(noted)
        if not self._more.is_set():
            self._more.set()

    def close(self) -> None:
        """Write what waits, and end."""
        self._stopping.set()
        self._more.set()
        if self._thread is not None:
            self._thread.join()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._stopping.is_set():
                self._thread = threading.Thread(target=self._write, name="request-log", daemon=True)
                self._thread.start()

    def _write(self) -> None:
        while not self._stopping.is_set():
            self._more.wait()
            self._stopping.wait(GATHER_SECONDS)
            self._more.clear()
            self._flush()
        self._flush()

    def _flush(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]
            try:
                with self._database.begin() as connection:
                    store.insert(connection, [_row(each) for each in batch])
            # Whatever one batch carries, the thread goes on with the next.
            except Exception as error:
                dropped_total.inc(len(batch))
                log.warning("request_log_not_written", rows=len(batch), error=type(error).__name__)


def _row(noted: Noted) -> LoggedRequest:
    code, param = _error(noted.body) if noted.status >= 400 else (None, None)
    return LoggedRequest(
        id=noted.id,
        account_id=noted.caller.account_id,
        livemode=noted.caller.key.livemode,
        key=noted.caller.key.id,
        method=noted.method,
        path=shown_path(noted.path),
        status=noted.status,
        error_code=code,
        param=shown_param(code, param),
        milliseconds=round(noted.seconds * 1000),
        created=noted.at,
    )


def _error(body: bytes) -> tuple[str | None, object]:
    """The code and the field in an error's body; None where it is no error of ours."""
    try:
        error = msgspec.json.decode(body)["error"]
        code = error["code"]
    except (ValueError, LookupError, TypeError):
        return None, None
    return (code, error.get("param")) if isinstance(code, str) else (None, None)
