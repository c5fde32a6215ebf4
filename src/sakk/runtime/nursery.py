"""Roles are forked from one process that has imported what they need.

Most of a role's start is Python reading modules, and most of those are the same in every role. The
supervisor starts ``python -m sakk.runtime nursery`` once; it imports them, has no threads, opens
nothing, and forks a role when it is asked. A role that died is back in a few milliseconds, and what
was imported is in memory once. Each is a process and a session of its own, as one that was started
by ``exec`` is: ``ps`` shows it by the same words.

What is sent, over sockets that keep messages apart:

- to the nursery: a role's name and environment, as JSON, with the two descriptors of a ``Forked``:
  its end of the line on which it is answered, and perhaps where the role says that it is ready;
- back on that line: the process's number, with a descriptor of the process (pidfd_open(2));
- and at its end the exit code, negative for a signal.

A role ends with the nursery and the nursery with the supervisor: the kernel sees to both.
"""

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from sakk.core.errors import Unavailable
from sakk.runtime.process import READY_VARIABLE, Command, Process, die_with_parent, spawn

NAME = "nursery"
ARGV = (sys.executable, "-m", "sakk.runtime", NAME)
# What roles are made of. The signer is not among them: it holds no code that it does not need.
IMPORTED = (
    "eth_abi.abi",  # which is imported where it is needed
    "sakk.runtime.edge",
    "sakk.runtime.ledger",
    "sakk.runtime.ledger_door",
    "sakk.runtime.watcher",
    "sakk.runtime.worker",
)
MESSAGE_BYTES_MAX = 1 << 20
FDS_MAX = 2
EXIT_PARENT_GONE = 126  # as `launch.py` says it
LOOK_SECONDS = 0.1


def is_possible() -> bool:
    """Has this kernel what it takes? Elsewhere roles are started one by one."""
    if sys.platform != "linux":
        return False
    try:
        own = os.pidfd_open(os.getpid())
    except OSError:
        return False
    try:
        signal.pidfd_send_signal(own, 0)  # only whether it may be sent
    except OSError:
        return False
    finally:
        os.close(own)
    return True


@dataclass(slots=True)
class Forked:
    """A role's process, which is the nursery's child and not ours. Ends as a `Process` does."""

    pid: int
    _descriptor: int
    _line: socket.socket
    started_at: float = field(default_factory=time.monotonic)
    _code: int | None = None
    _closing: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, timeout_seconds: float | None = None) -> int | None:
        """The exit code (negative: the signal), or None when the time is over. For one thread."""
        if self._code is None and select.select([self._line], [], [], timeout_seconds)[0]:
            told = self._line.recv(MESSAGE_BYTES_MAX)
            if not told:  # the nursery died, and the kernel kills what it forked
                select.select([self._descriptor], [], [])
            with self._closing:
                self._code = int(told) if told else -signal.SIGKILL
                os.close(self._descriptor)
                self._line.close()
        return self._code

    def send(self, number: signal.Signals) -> None:
        """Send a signal; a process that has ended already is no error."""
        with self._closing, suppress(ProcessLookupError):
            if self._code is None:
                signal.pidfd_send_signal(self._descriptor, number)


class Nursery:
    """The supervisor's side: started once, and again when it died."""

    def __init__(self, env: Mapping[str, str], argv: Sequence[str] = ARGV) -> None:
        self._env = {**os.environ, **env}
        self._argv = tuple(argv)
        self._starting = threading.Lock()
        self._refuses = threading.Event()
        self._process: Process | None = None
        self._line: socket.socket | None = None

    def start(self) -> Self:
        """Let it begin to import; returns at once."""
        self._await_line()
        return self

    def fork(self, name: str, *, env: Mapping[str, str], ready_fd: int | None) -> Forked:
        """A new process of a role. Raises Unavailable where none can be had."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                order = json.dumps({"role": name, "env": dict(env)}).encode()
                fds = [theirs.fileno(), *([] if ready_fd is None else [ready_fd])]
                socket.send_fds(self._await_line(), [order], fds)
            while not select.select([ours], [], [], LOOK_SECONDS)[0]:
                if self._refuses.is_set():
                    raise Unavailable("no role is started any more")
            told, descriptors, _, _ = socket.recv_fds(ours, MESSAGE_BYTES_MAX, 1)
            if not told:
                raise Unavailable("the nursery could not fork, or ended before it had")
        except OSError as error:
            ours.close()
            raise Unavailable(f"the nursery does not answer: {error}") from error
        except Unavailable:
            ours.close()
            raise
        return Forked(int(told), descriptors[0], ours)

    def refuse(self) -> None:
        """Nobody waits for a role any more; those that are there stay."""
        self._refuses.set()

    def stop(self) -> None:
        """End it, and with it what is left of its roles."""
        self.refuse()
        with self._starting:
            if self._line is not None:
                self._line.close()
                self._line = None
            if self._process is not None:
                self._process.end(signal.SIGKILL)
                self._process = None

    def _await_line(self) -> socket.socket:
        with self._starting:
            if self._line is not None and self._process is not None and self._process.is_alive():
                return self._line
            if self._refuses.is_set():
                raise Unavailable("no role is started any more")
            if self._line is not None:
                self._line.close()
            self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                fd = theirs.fileno()
                argv = (*self._argv, str(fd))
                self._process = spawn(Command(argv=argv, env=self._env, pass_fds=(fd,)))
            return self._line


@dataclass(frozen=True, slots=True)
class _Child:
    """A role as the nursery knows it: a descriptor of its process, and whom to tell of its end."""

    pid: int
    descriptor: int
    answer: socket.socket

    def close(self) -> None:
        os.close(self.descriptor)
        self.answer.close()


def be_nursery(line_fd: int) -> str:
    """Import, then fork until the supervisor hangs up. Returns in each child, the role's name."""
    for each in IMPORTED:
        importlib.import_module(each)
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise RuntimeError("a module has started a thread, which no child would have")
    # A collection in a child would copy every page that it looks at.
    gc.freeze()
    line = socket.socket(fileno=line_fd)
    children: dict[int, _Child] = {}
    poll = select.poll()
    poll.register(line, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor != line.fileno():
                poll.unregister(descriptor)
                _tell_end(children.pop(descriptor))
                continue
            message, fds, _, _ = socket.recv_fds(line, MESSAGE_BYTES_MAX, FDS_MAX)
            if not message:
                raise SystemExit(0)
            nursery = os.getpid()
            try:
                pid = os.fork()
            except OSError:  # no room for another: those that are there stay, and who asked hears
                for each_fd in fds:
                    os.close(each_fd)
                continue
            if pid == 0:
                for each_child in children.values():
                    each_child.close()
                line.close()
                return _become(message, fds, nursery)
            child = _tell_start(pid, fds)
            children[child.descriptor] = child
            poll.register(child.descriptor, select.POLLIN)


def _tell_start(pid: int, fds: Sequence[int]) -> _Child:
    answer = socket.socket(fileno=fds[0])
    for ready_fd in fds[1:]:
        os.close(ready_fd)
    child = _Child(pid, os.pidfd_open(pid), answer)
    with suppress(OSError):  # nobody waits for it any more
        socket.send_fds(answer, [str(pid).encode()], [child.descriptor])
    return child


def _tell_end(child: _Child) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
    with suppress(OSError):
        child.answer.send(str(code).encode())
    child.close()


def _become(message: bytes, fds: Sequence[int], nursery: int) -> str:
    """In a child: a session and an environment of its own, and nothing of the nursery's."""
    os.close(fds[0])
    order = json.loads(message)
    os.setsid()
    die_with_parent()
    if os.getppid() != nursery:
        os._exit(EXIT_PARENT_GONE)  # it died before we could ask to be told
    os.environ.clear()
    os.environ.update(order["env"])
    for ready_fd in fds[1:]:
        os.environ[READY_VARIABLE] = str(ready_fd)
    name = str(order["role"])
    with suppress(OSError, ValueError):
        _show(name)
    return name


def _show(name: str) -> None:
    """Put the role's name where ours stands among our arguments: `ps` reads our own memory."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = (int(field) for field in fields[45:47])  # arg_start and arg_end of proc(5)
    with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
        memory.seek(begin)
        shown = memory.read(end - begin)
        at = shown.rindex(NAME.encode() + b"\0")
        memory.seek(begin + at)
        memory.write(name.encode().ljust(len(shown) - at, b"\0")[: len(shown) - at])
