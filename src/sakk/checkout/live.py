"""What happens to payments, told to the pages that show them (server-sent events, HTML 9.2).

One connection listens for all of a process's pages, and one question finds where all of them stand:
when a pay-in was matched or a session ended, and every second while one of them has a transfer on
its way, whose confirmations nobody announces. Who is told is told a version; the page then asks for
itself again.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import structlog

from sakk.checkout.session_page import version_of
from sakk.core.checkout_session import CheckoutSession
from sakk.flow import checkout_session as flow
from sakk.flow.checkout_news import ENDED
from sakk.flow.stage import Bell
from sakk.store.database import Database

WATCHERS_MAX: Final = 1_024
# Of one network of addresses: a market's phones behind one access point.
WATCHERS_OF_ONE_MAX: Final = 32
BUSY_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 15.0
# Then the browser comes again by itself, wherever it is then answered.
STAY_SECONDS_MAX: Final = 600.0
MATCHED: Final = "payin.finality"

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Watcher:
    """One page that is open."""

    session: CheckoutSession
    address: str
    told: asyncio.Queue[str]
    loop: asyncio.AbstractEventLoop
    version: str = ""


class Live:
    """The pages that are open in this process, and the threads that tell them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._bell = Bell(database.url)
        self._event = self._bell.event(MATCHED, ENDED)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._watchers: set[Watcher] = set()
        self._counts: Counter[str] = Counter()
        self._threads: list[threading.Thread] = []

    def __len__(self) -> int:
        return len(self._watchers)

    def watch(self, session: CheckoutSession, address: str) -> Watcher | None:
        """Begin to be told; None when too many are. ``leave`` afterwards."""
        loop = asyncio.get_running_loop()
        watcher = Watcher(session, address, asyncio.Queue(), loop)
        with self._lock:
            if len(self._watchers) >= WATCHERS_MAX or self._counts[address] >= WATCHERS_OF_ONE_MAX:
                return None
            self._watchers.add(watcher)
            self._counts[address] += 1
            if not self._threads:
                self._start()
        self._event.set()
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Whoever leaves is told nothing more, and makes room."""
        with self._lock:
            self._watchers.discard(watcher)
            self._counts[watcher.address] -= 1
            if not self._counts[watcher.address]:
                del self._counts[watcher.address]

    def close(self) -> None:
        """End the threads."""
        self._stop.set()
        self._event.set()
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        self._threads = [
            threading.Thread(target=self._bell.listen, args=(self._stop,), daemon=True),
            threading.Thread(target=self._run, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        pause = IDLE_SECONDS
        while not self._stop.is_set():
            self._event.wait(pause)
            self._event.clear()
            try:
                pause = BUSY_SECONDS if self._look() else IDLE_SECONDS
            except Exception:
                # The database may be away for a moment; pages ask again by themselves too.
                log.exception("checkout.live")
                pause = BUSY_SECONDS

    def _look(self) -> bool:
        """Tell what changed; is something on its way?"""
        with self._lock:
            watchers = list(self._watchers)
        if not watchers:
            return False
        sessions = {each.session.id: each.session for each in watchers}
        with self._database.begin() as connection:
            found = flow.progress(connection, list(sessions.values()))
        for watcher in watchers:
            version = version_of(found[watcher.session.id][1])
            if version != watcher.version:
                watcher.version = version
                watcher.loop.call_soon_threadsafe(watcher.told.put_nowait, version)
        return any(progress.waiting for _, progress in found.values())


async def stream(watcher: Watcher) -> AsyncIterator[bytes]:
    """The events of a page as they go out, with a word now and then that finds broken lines."""
    ends = asyncio.get_running_loop().time() + STAY_SECONDS_MAX
    yield b"retry: 2000\n\n"
    while asyncio.get_running_loop().time() < ends:
        try:
            version = await asyncio.wait_for(watcher.told.get(), IDLE_SECONDS)
        except TimeoutError:
            yield b": here\n\n"
        else:
            yield f"data: {version}\n\n".encode()
