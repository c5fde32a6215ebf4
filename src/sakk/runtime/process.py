"""Child processes that never outlive us.

The kernel sends the death signal when the *thread* that forked the child ends, not the process
(prctl(2)). So all children are forked by one thread of this module, which lives as long as the
process does; any thread may call ``spawn``.
"""

import ctypes
import json
import os
import platform
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from sakk.runtime.garbage import exempt_from_collection

LAUNCHER = Path(__file__).with_name("launch.py")
END_SECONDS_MAX = 20.0
PR_SET_PDEATHSIG = 1
READY_VARIABLE = "SAKK_READY_FD"
READY = b"ready\n"
# A third of the share of who answers requests, where both want the same core (sched(7)).
BEHIND_NICE = 5
# What the kernel looks at first where it shares cores among sessions (sched(7), "autogroup").
AUTOGROUP = Path("/proc/self/autogroup")
# Who asks for less at a time goes before who asks for more (sched_setattr(2), since Linux 6.12).
SHORT_TURN_NANOSECONDS = 100_000
_SET_ATTRIBUTES = {"x86_64": 314, "aarch64": 274}
_ATTRIBUTES = struct.Struct("=IIQiIQQQII")


@dataclass(frozen=True, slots=True)
class User:
    """Whom a child runs as. Only root may name another."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: the program, its surroundings, and how it hears of our death."""

    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    user: User | None = None
    death_signal: signal.Signals = signal.SIGKILL
    pass_fds: Sequence[int] = ()
    stdin: int | IO[Any] = subprocess.DEVNULL
    stdout: int | IO[Any] | None = None
    stderr: int | IO[Any] | None = None


class _Forker:
    """The thread that forks, started at the first use; once more in a forked child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()

    def run(self, call: Callable[[], Any]) -> Any:
        with self._lock:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                self._work = queue.SimpleQueue()
                threading.Thread(
                    target=self._loop, args=(self._work,), name="forker", daemon=True
                ).start()
        future: Future[Any] = Future()
        self._work.put((call, future))
        return future.result()

    @staticmethod
    def _loop(work: "queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]]") -> None:
        while True:
            call, future = work.get()
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)


_forker = _Forker()


@dataclass(slots=True)
class Process:
    """A running child. ``wait`` may be called from several threads."""

    popen: subprocess.Popen[bytes]
    started_at: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def is_alive(self) -> bool:
        return self.popen.poll() is None

    def wait(self, timeout_seconds: float | None = None) -> int | None:
        """The exit code (negative: the signal), or None when the time is over."""
        try:
            return self.popen.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return None

    def send(self, number: signal.Signals) -> None:
        """Send a signal; a child that has ended already is no error."""
        self.popen.send_signal(number)

    def end(
        self,
        first: signal.Signals = signal.SIGTERM,
        *,
        timeout_seconds: float = END_SECONDS_MAX,
    ) -> int:
        """Ask it to end, wait, then SIGKILL. Returns the exit code; all pipes are closed."""
        self.send(first)
        code = self.wait(timeout_seconds)
        if code is None:
            self.send(signal.SIGKILL)
            code = self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                pipe.close()
        return code


def die_with_parent(death_signal: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel to end this process with its parent: for workers that a library forked.

    Does nothing where the kernel cannot (prctl is Linux's).
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)


def stand_behind() -> None:
    """Let processes that somebody waits for have a core first; called before threads are started.

    What the session is to the kernel is changed where it is ours alone, and not where a shell's.
    """
    os.nice(BEHIND_NICE)
    if os.getsid(0) == os.getpid():
        # Not every kernel shares by session.
        with suppress(OSError):
            AUTOGROUP.write_text(str(BEHIND_NICE))


def take_short_turns(pid: int = 0) -> None:
    """Let a process that requests wait for have a core soon when it wakes, for less at a time.

    Called before it starts threads and processes, which are born with the same; its share of the
    cores stays what it was. Does nothing where the kernel does not know of it, or refuses.
    """
    number = _SET_ATTRIBUTES.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return
    with suppress(OSError):
        if os.sched_getscheduler(pid) != os.SCHED_OTHER:
            return
        nice = os.getpriority(os.PRIO_PROCESS, pid)
        wanted = _ATTRIBUTES.pack(
            _ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, SHORT_TURN_NANOSECONDS, 0, 0, 0, 0
        )
        ctypes.CDLL(None).syscall(number, pid, wanted, 0)


def report_ready() -> None:
    """Tell the supervisor that this role answers, if it asked; what is there now will stay."""
    exempt_from_collection()
    number = os.environ.pop(READY_VARIABLE, None)
    if number is not None:
        fd = int(number)
        os.write(fd, READY)
        os.close(fd)


def spawn(command: Command) -> Process:
    """Start a child in a session of its own that the kernel ends when we die.

    A session of its own, so that Ctrl-C at the terminal reaches the supervisor alone, and it
    ends its children in order.
    """
    order = {
        "parent": os.getpid(),
        "signal": int(command.death_signal),
        "uid": command.user.uid if command.user else None,
        "gid": command.user.gid if command.user else None,
        "argv": [str(part) for part in command.argv],
    }

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps(order)],
            env=None if command.env is None else dict(command.env),
            cwd=command.cwd,
            stdin=command.stdin,
            stdout=command.stdout,
            stderr=command.stderr,
            pass_fds=command.pass_fds,
            start_new_session=True,
        )

    return Process(popen=_forker.run(start))
