"""The whole system for a bench: a sandbox of its own processes, and what they cost in CPU time."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sakk.bench.figures import WrongResult
from sakk.core.errors import Unavailable

READY_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 40.0
RECONCILE_SECONDS_MAX = 120.0
ERROR_CHARACTERS_MAX = 4_000


@dataclass(frozen=True, slots=True)
class Stack:
    """A running sandbox. ``description`` is the line that it printed."""

    process: subprocess.Popen[bytes]
    description: dict[str, Any]

    @property
    def api(self) -> str:
        return str(self.description["api"])

    @property
    def headers(self) -> dict[str, str]:
        """What each request of the merchant carries."""
        return {"Authorization": f"Bearer {self.description['secret_key']}"}

    @property
    def network(self) -> dict[str, Any]:
        """The first network's description."""
        found: dict[str, Any] = self.description["networks"][0]
        return found

    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds that each part of the tree has used since it started; {} without /proc."""
        return cpu_seconds(self.process.pid)

    def check(self) -> None:
        """Raise WrongResult unless ledger and chain agree, by ``sakk reconcile``."""
        environment = {**os.environ, "DATABASE_URL": self.description["database_url"]}
        for command in (["reconcile"], ["ledger", "verify"]):
            done = subprocess.run(
                [sys.executable, "-m", "sakk.cli", *command],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=RECONCILE_SECONDS_MAX,
            )
            if done.returncode != 0:
                raise WrongResult(
                    f"sakk {' '.join(command)} exits {done.returncode}: {done.stdout}{done.stderr}"
                )


@contextmanager
def start_stack(*options: str) -> Iterator[Stack]:
    """Run ``sakk sandbox --json`` with these options; ends with the block, all its processes too.

    Unavailable with its log when it does not become ready.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sakk.cli", "sandbox", "--json", *options],
            stdout=subprocess.PIPE,
            stderr=log,
        )
        try:
            yield Stack(process, json.loads(_ready_line(process, log)))
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS_MAX)
            finally:
                process.kill()
                assert process.stdout is not None
                process.stdout.close()


def _ready_line(process: subprocess.Popen[bytes], log: IO[bytes]) -> bytes:
    assert process.stdout is not None
    deadline = time.monotonic() + READY_SECONDS_MAX
    while select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
        line = process.stdout.readline()
        if line.startswith(b"{"):
            return line
        if not line:
            break
    log.seek(0)
    told = log.read().decode(errors="replace")[-ERROR_CHARACTERS_MAX:]
    raise Unavailable(f"the sandbox did not become ready: {told}")


def spent(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """CPU seconds by part between two readings."""
    return {name: seconds - before.get(name, 0.0) for name, seconds in sorted(after.items())}


def cpu_seconds(root: int) -> dict[str, float]:
    """CPU seconds by part of a process and all below it; {} without /proc."""
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    tick = os.sysconf("SC_CLK_TCK")
    for entry in Path("/proc").glob("[0-9]*/stat"):
        # A process may end between the listing and the reading.
        with suppress(OSError):
            # The name in brackets may hold spaces: fields are counted behind it (proc(5)).
            fields = entry.read_text().rpartition(")")[2].split()
            number = int(entry.parent.name)
            parents[number] = int(fields[1])
            seconds[number] = sum(int(field) for field in fields[11:15]) / tick
    totals: dict[str, float] = {}
    for number, used in seconds.items():
        if root in _ancestors(number, parents):
            name = _part_name(number)
            totals[name] = totals.get(name, 0.0) + used
    return totals


def _ancestors(number: int, parents: dict[int, int]) -> Sequence[int]:
    """The process itself and all above it."""
    found = [number]
    while (above := parents.get(found[-1], 0)) > 0:
        found.append(above)
    return found


def _part_name(number: int) -> str:
    """``api``, ``worker`` … for our roles, ``service`` for `serving`'s, else the program's name."""
    try:
        words = Path(f"/proc/{number}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "ended"
    if "sakk.runtime" in words:
        return words[words.index("sakk.runtime") + 1]
    if "granian" in words:
        return "service"
    name = Path(words[0].split(" ")[0].rstrip(":")).name
    return {"postgres": "postgres", "anvil": "anvil"}.get(name, "other")
