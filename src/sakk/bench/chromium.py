"""A Chromium that a bench asks by its DevTools protocol over a pipe: no driver beside it.

With ``--remote-debugging-pipe`` Chromium reads messages on descriptor 3 and writes them on 4, JSON
with a NUL after each (https://chromedevtools.github.io/devtools-protocol/).
"""

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from sakk.core.errors import Unavailable

FLAGS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--remote-debugging-pipe"),
)
ANSWER_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 20.0
_READ_BYTES: Final = 1 << 16
# Puts the pipe's ends where Chromium looks for them, out of each other's way, and becomes it.
_LAUNCH: Final = (
    "import fcntl, os, sys\n"
    "ends = [fcntl.fcntl(int(each), fcntl.F_DUPFD, 10) for each in sys.argv[1:3]]\n"
    "os.dup2(ends[0], 3)\nos.dup2(ends[1], 4)\nos.closerange(5, 64)\n"
    "os.execv(sys.argv[3], sys.argv[3:])\n"
)
# When scripts of a page have run and what it shows stands there, in ms since it was asked for.
_INTERACTIVE: Final = (
    "(() => {const n = performance.getEntriesByType('navigation')[0];"
    " const p = performance.getEntriesByName('first-contentful-paint')[0];"
    " return n && n.domContentLoadedEventEnd && p"
    " ? Math.max(n.domContentLoadedEventEnd, p.startTime) : null})()"
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """One visit: bytes over the wire with their headers, and milliseconds until it answers."""

    size: int
    interactive: float


@dataclass(slots=True)
class Chromium:
    """One browser; every visit is in a context of its own, which has cached nothing."""

    writes: int
    reads: int
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _buffer: bytearray = field(default_factory=bytearray)

    def visit(self, url: str, *, width: int, height: int) -> Loaded:
        """Load a page with an empty cache; Unavailable when it does not come to rest."""
        context = self._ask("Target.createBrowserContext")["browserContextId"]
        try:
            target = self._ask("Target.createTarget", url="about:blank", browserContextId=context)
            session = self._ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)[
                "sessionId"
            ]
            for act in ("Network.enable", "Page.enable", "Runtime.enable"):
                self._ask(act, session=session)
            self._ask(
                "Emulation.setDeviceMetricsOverride",
                session=session,
                width=width,
                height=height,
                deviceScaleFactor=1,
                mobile=False,
            )
            size = 0
            number = self._send("Page.navigate", session, {"url": url})
            is_answered = is_loaded = False
            while not (is_loaded and is_answered):
                said = self._read()
                is_answered |= said.get("id") == number
                size += _bytes_of(said)
                is_loaded |= said.get("method") == "Page.loadEventFired"
            interactive, late = self._interactive(session)
            return Loaded(size + late, interactive)
        finally:
            self._ask("Target.disposeBrowserContext", browserContextId=context)

    def _interactive(self, session: str) -> tuple[float, int]:
        """When it could be used, as the page itself says, and the bytes that came meanwhile."""
        size = 0
        deadline = time.monotonic() + ANSWER_SECONDS_MAX
        while time.monotonic() < deadline:
            number = self._send("Runtime.evaluate", session, {"expression": _INTERACTIVE})
            while (said := self._read()).get("id") != number:
                size += _bytes_of(said)
            value = said["result"]["result"].get("value")
            if value is not None:
                return float(value), size
            time.sleep(0.02)
        raise Unavailable("the page was never painted")

    def _ask(self, method: str, *, session: str | None = None, **given: Any) -> dict[str, Any]:
        number = self._send(method, session, given)
        while (said := self._read()).get("id") != number:
            pass
        if "error" in said:
            raise Unavailable(f"Chromium refuses {method}: {said['error']}")
        result: dict[str, Any] = said["result"]
        return result

    def _send(self, method: str, session: str | None, given: dict[str, Any]) -> int:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": given}
        if session is not None:
            message["sessionId"] = session
        os.write(self.writes, json.dumps(message).encode() + b"\0")
        return number

    def _read(self) -> dict[str, Any]:
        """The next message; Unavailable when none comes in time."""
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self.reads], [], [], ANSWER_SECONDS_MAX)
            chunk = os.read(self.reads, _READ_BYTES) if ready else b""
            if not chunk:
                raise Unavailable("Chromium says nothing any more")
            self._buffer += chunk
        message, _, rest = bytes(self._buffer).partition(b"\0")
        self._buffer = bytearray(rest)
        found: dict[str, Any] = json.loads(message)
        return found


def _bytes_of(said: dict[str, Any]) -> int:
    if said.get("method") != "Network.loadingFinished":
        return 0
    return int(said["params"]["encodedDataLength"])


@contextmanager
def start_chromium() -> Iterator[Chromium]:
    """Run one; it ends with the block. Unavailable where there is none."""
    program = shutil.which("chromium")
    if program is None:
        raise Unavailable("There is no Chromium here (Debian: apt install chromium).")
    theirs, writes = os.pipe()
    reads, answers = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", _LAUNCH, str(theirs), str(answers)),
                *(program, *FLAGS, f"--user-data-dir={profile}"),
            ],
            pass_fds=(theirs, answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(answers)
        try:
            yield Chromium(writes, reads)
        finally:
            with suppress(OSError):
                os.close(writes)
            os.close(reads)
            process.terminate()
            try:
                process.wait(STOP_SECONDS_MAX)
            finally:
                process.kill()
                process.wait()
