"""Settlements that wait for their end: one thread asks for all of them, when it is told.

Another asks once for each that begins to wait: it may have ended before anybody waited.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import structlog

from sakk.core.errors import SakkError
from sakk.flow.stage import Bell

# Beyond this many nobody more waits in a process: they are told to ask again.
WAITING_MAX = 4_096
# A notification is a hint: what a crash swallows is found by this.
LOOK_SECONDS = 1.0

End = TypeVar("End")
HandOut = Callable[[Sequence[str], Sequence[str]], Mapping[str, End]]

log = structlog.get_logger(__name__)


class Waiters(Generic[End]):
    """Who waits in this process, on an event loop, and the threads that tell them.

    ``ended``: whom the database notifies when something may have ended. ``hand_out`` says what did,
    of those that are told once and of those that are told each time.
    """

    def __init__(self, database_url: str, hand_out: HandOut[End], *, ended: str) -> None:
        self._hand_out = hand_out
        self._bell = Bell(database_url)
        self._event = self._bell.event(ended)
        self._begun = threading.Event()
        self._fresh: list[str] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._once: dict[str, asyncio.Future[End]] = {}
        self._keyed: dict[str, list[asyncio.Future[End]]] = {}
        self._threads: list[threading.Thread] = []

    def __len__(self) -> int:
        return len(self._once) + len(self._keyed)

    def wait(self, payment: str, *, is_keyed: bool) -> asyncio.Future[End]:
        """The end of a payment, for one who waits; ``leave`` when it is not awaited any more."""
        future: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        with self._lock:
            if is_keyed:
                self._keyed.setdefault(payment, []).append(future)
            else:
                self._once[payment] = future
            self._fresh.append(payment)
            if not self._threads:
                self._start()
        self._begun.set()
        return future

    def leave(self, payment: str, future: asyncio.Future[End]) -> None:
        """Whoever leaves is told nothing more, and the next one may be."""
        with self._lock:
            if self._once.get(payment) is future:
                del self._once[payment]
            others = [each for each in self._keyed.get(payment, ()) if each is not future]
            if others:
                self._keyed[payment] = others
            else:
                self._keyed.pop(payment, None)

    def close(self) -> None:
        """End the threads; whoever waits still is told nothing."""
        self._stop.set()
        self._event.set()
        self._begun.set()
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        self._threads = [
            threading.Thread(target=self._bell.listen, args=(self._stop,), daemon=True),
            threading.Thread(target=self._run, args=(self._event, self._all), daemon=True),
            threading.Thread(target=self._run, args=(self._begun, self._new), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, event: threading.Event, whom: Callable[[], set[str]]) -> None:
        while not self._stop.is_set():
            event.wait(LOOK_SECONDS)
            event.clear()
            try:
                self._look(whom)
            except SakkError as error:
                log.warning("x402.waiting", code=error.code)
            except Exception:
                log.exception("x402.waiting")

    def _all(self) -> set[str]:
        return {*self._once, *self._keyed}

    def _new(self) -> set[str]:
        fresh, self._fresh = self._fresh, []
        return set(fresh)

    def _look(self, whom: Callable[[], set[str]]) -> None:
        """Ask for those, if they wait still, and tell what came to an end."""
        with self._lock:
            payments = whom()
            once = sorted(payments & self._once.keys())
            keyed = sorted(payments & self._keyed.keys())
        if not once and not keyed:
            return
        for payment, end in self._hand_out(once, keyed).items():
            with self._lock:
                futures = self._keyed.pop(payment, [])
                alone = self._once.pop(payment, None)
            for future in [*futures, *([alone] if alone is not None else [])]:
                future.get_loop().call_soon_threadsafe(_tell, future, end)


def _tell(future: asyncio.Future[End], end: End) -> None:
    if not future.done():
        future.set_result(end)
