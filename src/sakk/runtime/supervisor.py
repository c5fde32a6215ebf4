"""The parent of ``sakk serve``: one real process per role, started again when it dies.

Each role has a thread that starts it, waits for its end and starts it again. A role says that it
is ready through a pipe (``SAKK_READY_FD``). ``<run_dir>/<role>.pid`` holds the number of its
process, ``<role>.ready`` the same once it is ready. When the supervisor is killed the kernel
kills the roles; when a role is killed the supervisor kills what it forked. A role that is forked
from the nursery (`nursery.py`) is back sooner; where there is none it is started as the others are.
"""

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

import structlog

from sakk.core.errors import SakkError, Unavailable
from sakk.runtime.exit import EXIT_MISCONFIGURED
from sakk.runtime.nursery import Forked, Nursery
from sakk.runtime.process import READY, READY_VARIABLE, Command, Process, User, spawn
from sakk.runtime.signals import at_stop_signals

BACKOFF_SECONDS_MIN = 0.05
BACKOFF_SECONDS_MAX = 5.0
STEADY_SECONDS = 3.0  # who lived as long starts again at once
READY_SECONDS_MAX = 60.0
ROLES_STOP_SECONDS_MAX = 12.0
POSTGRES_STOP_SECONDS_MAX = 6.0

log = structlog.get_logger(__name__)

ChangeKind = Literal["started", "ready", "ended"]


@dataclass(frozen=True, slots=True)
class Change:
    """Something happened to a role's process. ``code`` is its exit code when it ended."""

    role: str
    kind: ChangeKind
    pid: int
    code: int | None = None


class DatabaseServer(Protocol):
    """What the supervisor needs of the embedded PostgreSQL."""

    def start(self) -> object: ...
    def process(self) -> Process: ...
    def stop(self, *, timeout_seconds: float = ...) -> None: ...


@dataclass(frozen=True, slots=True)
class Role:
    """A process to keep alive."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)  # beside our own environment
    user: User | None = None
    reports_ready: bool = True
    is_forked: bool = False  # where there is a nursery


@dataclass(slots=True)
class _Kept:
    """One role's process as its thread sees it."""

    role: Role
    process: Process | Forked | None = None
    starts: int = 0
    is_ready: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


class Supervisor:
    """Keeps roles, and the embedded PostgreSQL under them, alive until it is stopped."""

    def __init__(
        self,
        roles: Sequence[Role],
        *,
        run_dir: Path,
        postgres: DatabaseServer | None = None,
        nursery: Nursery | None = None,
        on_change: Callable[[Change], None] | None = None,
    ) -> None:
        self._kept = {role.name: _Kept(role) for role in roles}
        if len(self._kept) != len(roles):
            raise ValueError("two roles have one name")
        self._postgres = postgres
        self._nursery = nursery
        self._run_dir = run_dir
        self._on_change = on_change
        self._stopping = threading.Event()
        self._is_forced = False
        self._exit_code = 0
        self._postgres_thread: threading.Thread | None = None

    def start(self) -> Self:
        """Start every role; returns at once."""
        self._run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._write("supervisor.pid", os.getpid())
        if self._postgres is not None:
            self._write("postgres.pid", self._postgres.process().pid)
            self._postgres_thread = self._thread("postgres", self._keep_postgres, self._postgres)
        for kept in self._kept.values():
            kept.thread = self._thread(kept.role.name, self._keep, kept)
        return self

    def await_ready(self, timeout_seconds: float = READY_SECONDS_MAX) -> None:
        """Return when every role has said that it is ready; raises Unavailable naming the rest."""
        deadline = time.monotonic() + timeout_seconds
        for kept in self._kept.values():
            while not kept.is_ready.wait(min(0.1, max(0.0, deadline - time.monotonic()))):
                if time.monotonic() >= deadline or self._stopping.is_set():
                    late = [name for name, it in self._kept.items() if not it.is_ready.is_set()]
                    raise Unavailable(
                        f"not ready after {timeout_seconds:g} s: {', '.join(late)}; see its log"
                    )

    def run(self, on_ready: Callable[[], None] | None = None) -> int:
        """Start all, stay until SIGTERM or SIGINT, end all; the exit code. A second signal kills.

        Call it in the main thread. Raises Unavailable when a role does not become ready.
        """
        at_stop_signals(self._on_signal)
        self.start()
        try:
            self.await_ready()
            if on_ready is not None:
                on_ready()
            self._stopping.wait()
        except Unavailable:
            if not self._stopping.is_set():
                raise
        finally:
            self.stop()
        return self._exit_code

    def stop(self) -> None:
        """End the roles together, kill who is late, and PostgreSQL last; within 20 s in all."""
        self._stopping.set()
        if self._nursery is not None:
            self._nursery.refuse()
        running = [kept.process for kept in self._kept.values()]
        for process in running:
            if process is not None:
                process.send(signal.SIGTERM)
        deadline = time.monotonic() + ROLES_STOP_SECONDS_MAX
        for kept in self._kept.values():
            self._end(kept, deadline)
        if self._nursery is not None:
            self._nursery.stop()
        if self._postgres is not None:
            self._postgres.stop(timeout_seconds=POSTGRES_STOP_SECONDS_MAX)
            if self._postgres_thread is not None:
                self._postgres_thread.join()
        for name in ("postgres.pid", "supervisor.pid"):
            (self._run_dir / name).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def pid(self, role: str) -> int | None:
        """The number of a role's process, None while it is down."""
        process = self._kept[role].process
        return None if process is None else process.pid

    @property
    def exit_code(self) -> int:
        """What ``run`` returns: 0, or the code of a role that no restart can help."""
        return self._exit_code

    def _on_signal(self) -> None:
        if self._stopping.is_set():
            self._is_forced = True
        self._stopping.set()

    def _thread(self, name: str, target: Callable[..., None], *args: object) -> threading.Thread:
        thread = threading.Thread(target=target, args=args, name=f"keep-{name}", daemon=True)
        thread.start()
        return thread

    def _keep(self, kept: _Kept) -> None:
        backoff = BACKOFF_SECONDS_MIN
        while not self._stopping.is_set():
            try:
                process, ready_fd = self._launch(kept)
            except Unavailable:
                return  # asked to stop before it was there
            except OSError as error:  # the machine has no room for a process at the moment
                log.error("role is not started", part=kept.role.name, error=str(error))
                self._stopping.wait(backoff)
                backoff = min(backoff * 2, BACKOFF_SECONDS_MAX)
                continue
            try:
                if self._stopping.is_set():
                    process.send(signal.SIGTERM)  # stop() may have looked before it was there
                self._await_role(kept, process, ready_fd)
            finally:
                if ready_fd is not None:
                    os.close(ready_fd)
            code = process.wait()
            self._clear(kept, process, code)
            if code == EXIT_MISCONFIGURED and not self._stopping.is_set():
                self._exit_code = EXIT_MISCONFIGURED
                self._stopping.set()
            if time.monotonic() - process.started_at >= STEADY_SECONDS:
                backoff = BACKOFF_SECONDS_MIN
            self._stopping.wait(backoff)
            backoff = min(backoff * 2, BACKOFF_SECONDS_MAX)

    def _launch(self, kept: _Kept) -> tuple[Process | Forked, int | None]:
        role = kept.role
        env = {**os.environ, **role.env, "SAKK_RESTARTS": str(kept.starts)}
        reading: int | None = None
        writing: int | None = None
        if role.reports_ready:
            reading, writing = os.pipe()
        try:
            process = self._fork(role, env, writing) or _start(role, env, writing)
        except (Unavailable, OSError):
            if reading is not None:
                os.close(reading)
            raise
        finally:
            if writing is not None:
                os.close(writing)
        kept.starts += 1
        kept.process = process
        self._write(f"{role.name}.pid", process.pid)
        self._tell(Change(role.name, "started", process.pid))
        return process, reading

    def _fork(self, role: Role, env: Mapping[str, str], ready_fd: int | None) -> Forked | None:
        if self._nursery is None or not role.is_forked or role.user is not None:
            return None
        try:
            return self._nursery.fork(role.name, env=env, ready_fd=ready_fd)
        except Unavailable as error:
            if self._stopping.is_set():
                raise
            log.warning("role is not forked", part=role.name, reason=error.message)
            return None

    def _await_role(self, kept: _Kept, process: Process | Forked, ready_fd: int | None) -> None:
        """Until it is ready, or its end of the pipe closes because it died first."""
        if ready_fd is not None:
            select.select([ready_fd], [], [])
            if os.read(ready_fd, len(READY)) != READY:
                return
        kept.is_ready.set()
        self._write(f"{kept.role.name}.ready", process.pid)
        self._tell(Change(kept.role.name, "ready", process.pid))

    def _clear(self, kept: _Kept, process: Process | Forked, code: int | None) -> None:
        kept.is_ready.clear()
        kept.process = None
        # What it forked is in its session; a worker left behind would keep the port.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for ending in ("pid", "ready"):
            (self._run_dir / f"{kept.role.name}.{ending}").unlink(missing_ok=True)
        level = log.info if self._stopping.is_set() else log.warning
        level("role ended", part=kept.role.name, pid=process.pid, code=code)
        self._tell(Change(kept.role.name, "ended", process.pid, code))

    def _keep_postgres(self, postgres: DatabaseServer) -> None:
        while not self._stopping.is_set():
            try:
                process = postgres.process()
                code = process.wait()
                self._tell(Change("postgres", "ended", process.pid, code))
                if self._stopping.is_set():
                    return
                log.error("PostgreSQL ended, starting it again", code=code)
                postgres.start()
            except SakkError as error:
                if self._stopping.is_set():
                    return
                log.error("PostgreSQL does not start", error=str(error))
                self._stopping.wait(BACKOFF_SECONDS_MAX)
                continue
            self._write("postgres.pid", postgres.process().pid)
            self._tell(Change("postgres", "ready", postgres.process().pid))

    def _end(self, kept: _Kept, deadline: float) -> None:
        if kept.thread is None:
            return
        while kept.thread.is_alive() and time.monotonic() < deadline and not self._is_forced:
            kept.thread.join(0.1)
        process = kept.process
        if process is not None and kept.thread.is_alive():
            log.warning("role did not end in time, killed", part=kept.role.name, pid=process.pid)
            process.send(signal.SIGKILL)
        kept.thread.join()

    def _write(self, name: str, pid: int) -> None:
        """Whole or not at all: a reader never sees half a number."""
        scratch = self._run_dir / f".{name}.new"
        scratch.write_text(str(pid))
        scratch.rename(self._run_dir / name)

    def _tell(self, change: Change) -> None:
        if self._on_change is not None:
            self._on_change(change)


def _start(role: Role, env: Mapping[str, str], ready_fd: int | None) -> Process:
    """The role as a program of its own."""
    if ready_fd is None:
        return spawn(Command(argv=role.argv, env=env, user=role.user))
    told = {**env, READY_VARIABLE: str(ready_fd)}
    return spawn(Command(argv=role.argv, env=told, user=role.user, pass_fds=(ready_fd,)))
