"""The supervisor with real processes, real signals and events that are awaited."""

import ctypes
import errno
import os
import platform
import queue
import select
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest

from sakk.core.errors import Unavailable
from sakk.runtime import role as runtime_role
from sakk.runtime.exit import EXIT_MISCONFIGURED
from sakk.runtime.nursery import NAME, Nursery
from sakk.runtime.postgres import start_postgres
from sakk.runtime.process import (
    BEHIND_NICE,
    SHORT_TURN_NANOSECONDS,
    Command,
    Process,
    spawn,
    take_short_turns,
)
from sakk.runtime.role import RoleName
from sakk.runtime.settings import load_settings
from sakk.runtime.supervisor import Change, Role, Supervisor

AWAIT_SECONDS_MAX = 60
NICE_MAX = 19

READY_THEN_WAIT = """
import signal, sys
from sakk.runtime.process import report_ready
report_ready()
signal.sigwait({signal.SIGTERM})
"""
STUBBORN = """
import signal
from sakk.runtime.process import report_ready
signal.signal(signal.SIGTERM, signal.SIG_IGN)
report_ready()
while True:
    signal.pause()
"""
WITH_A_CHILD = """
import os, signal, sys
from sakk.runtime.process import report_ready
child = os.fork()
if child == 0:
    signal.pause()
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(child))
os.rename(sys.argv[1] + ".new", sys.argv[1])
report_ready()
signal.pause()
"""
NURSERY = f"""
import sys
from sakk.runtime import nursery
nursery.IMPORTED = ()
if nursery.be_nursery(int(sys.argv[-1])) == "brief":
    sys.exit(7)
{READY_THEN_WAIT}
"""
# There is room for one process more.
CROWDED = f"""
import errno, os
real, asked = os.fork, []
def fork():
    asked.append(1)
    if len(asked) > 1:
        raise BlockingIOError(errno.EAGAIN, "no room for another process")
    return real()
os.fork = fork
{NURSERY}
"""
PARENT = f"""
import sys
from pathlib import Path
from sakk.runtime.supervisor import Role, Supervisor
code = {READY_THEN_WAIT!r}
roles = [Role(name, [sys.executable, "-c", code]) for name in ("one", "two")]
supervisor = Supervisor(roles, run_dir=Path(sys.argv[1]))
sys.exit(supervisor.run(lambda: print("ready", flush=True)))
"""


class Watched:
    """Changes of a supervisor, awaited one by one."""

    def __init__(self) -> None:
        self.changes: queue.Queue[Change] = queue.Queue()

    def await_change(self, role: str, kind: str) -> Change:
        while True:
            change = self.changes.get(timeout=AWAIT_SECONDS_MAX)
            if (change.role, change.kind) == (role, kind):
                return change


def _role(name: str, code: str, *args: str) -> Role:
    return Role(name, [sys.executable, "-c", code, *args])


def _is_gone(pid: int) -> bool:
    """No such process, or one that waits for its adopter to read its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def parent(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A supervisor in a process of its own, ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_killed_role_is_started_again(tmp_path: Path, watched: Watched) -> None:
    roles = [_role("one", READY_THEN_WAIT), _role("two", READY_THEN_WAIT)]
    with Supervisor(roles, run_dir=tmp_path, on_change=watched.changes.put) as supervisor:
        supervisor.await_ready()
        first = int((tmp_path / "one.pid").read_text())
        other = int((tmp_path / "two.pid").read_text())
        os.kill(first, signal.SIGKILL)
        assert watched.await_change("one", "ended").code == -signal.SIGKILL
        again = watched.await_change("one", "ready").pid
        assert again != first
        assert int((tmp_path / "one.ready").read_text()) == again
        assert supervisor.pid("one") == again
        assert supervisor.pid("two") == other
    assert list(tmp_path.iterdir()) == []


def test_forked_roles_are_started_again_whoever_died(tmp_path: Path, watched: Watched) -> None:
    """One of them, or the nursery, with which the kernel ends all that it forked."""
    nursery = Nursery({}, [sys.executable, "-c", NURSERY, NAME])
    roles = [Role(name, ["/nowhere"], is_forked=True) for name in ("api", "worker")]
    roles.append(Role("brief", ["/nowhere"], is_forked=True, reports_ready=False))
    with Supervisor(
        roles, run_dir=tmp_path, nursery=nursery, on_change=watched.changes.put
    ) as supervisor:
        supervisor.await_ready()
        first, other = supervisor.pid("api"), supervisor.pid("worker")
        assert first is not None
        assert other is not None
        assert os.getsid(first) == first
        shown = Path(f"/proc/{first}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        assert shown[-1] == b"api"
        os.kill(first, signal.SIGKILL)
        assert watched.await_change("api", "ended").code == -signal.SIGKILL
        again = watched.await_change("api", "ready").pid
        assert supervisor.pid("worker") == other
        mother = int(Path(f"/proc/{again}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(mother, signal.SIGKILL)
        assert watched.await_change("worker", "ended").code == -signal.SIGKILL
        watched.await_change("worker", "ready")
        assert _is_gone(again)
        assert _is_gone(other)
        while watched.await_change("brief", "ended").code != 7:
            pass
    assert list(tmp_path.iterdir()) == []


def test_roles_start_where_nothing_can_be_forked(tmp_path: Path) -> None:
    nursery = Nursery({}, [sys.executable, "-c", "", NAME])
    role = Role("api", [sys.executable, "-c", READY_THEN_WAIT], is_forked=True)
    with Supervisor([role], run_dir=tmp_path, nursery=nursery) as supervisor:
        supervisor.await_ready()


def test_where_there_is_no_room_for_a_process_those_that_run_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    """The nursery has room for one of two, and the supervisor at first for none."""
    refused: list[Command] = []

    def crowded(command: Command) -> Process:
        if not refused and READY_THEN_WAIT in command.argv:
            refused.append(command)
            raise BlockingIOError(errno.EAGAIN, "no room for another process")
        return spawn(command)

    monkeypatch.setattr("sakk.runtime.supervisor.spawn", crowded)
    nursery = Nursery({}, [sys.executable, "-c", CROWDED, NAME])
    argv = [sys.executable, "-c", READY_THEN_WAIT]
    roles = [Role(name, argv, is_forked=True) for name in ("api", "worker")]
    with Supervisor(
        roles, run_dir=tmp_path, nursery=nursery, on_change=watched.changes.put
    ) as supervisor:
        supervisor.await_ready()
        kinds = sorted(watched.changes.get().kind for _ in range(4))
        assert (kinds, len(refused)) == (["ready", "ready", "started", "started"], 1)


def test_a_stop_does_not_wait_for_a_nursery_that_still_imports(tmp_path: Path) -> None:
    nursery = Nursery({}, [sys.executable, "-c", "import signal; signal.pause()", NAME])
    role = Role("api", [sys.executable, "-c", READY_THEN_WAIT], is_forked=True)
    supervisor = Supervisor([role], run_dir=tmp_path, nursery=nursery).start()
    supervisor.stop()
    assert supervisor.pid("api") is None


def test_a_role_that_no_request_waits_for_stands_behind(tmp_path: Path) -> None:
    """As a process, and as a session where the kernel shares cores among sessions."""
    code = f"from sakk.runtime.process import stand_behind\nstand_behind()\n{READY_THEN_WAIT}"
    roles = [_role("behind", code), _role("first", READY_THEN_WAIT)]
    with Supervisor(roles, run_dir=tmp_path) as supervisor:
        supervisor.await_ready()
        pids = [supervisor.pid(each.name) or 0 for each in roles]
        nices = [os.getpriority(os.PRIO_PROCESS, pid) for pid in pids]
        assert nices[0] == min(nices[1] + BEHIND_NICE, NICE_MAX)
        groups = [Path(f"/proc/{pid}/autogroup") for pid in pids]
        if groups[0].exists():
            assert [each.read_text().endswith(f"nice {BEHIND_NICE}\n") for each in groups] == [
                True,
                False,
            ]


def test_who_takes_short_turns_keeps_its_share() -> None:
    """Of this thread alone: what it starts is born with the same."""
    told: list[tuple[int, int, int]] = []

    def take() -> None:
        told.append(_turn())
        take_short_turns()
        child = threading.Thread(target=lambda: told.append(_turn()))
        child.start()
        child.join()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    (policy, nice, before), (policy_after, nice_after, after) = told
    assert (policy_after, nice_after) == (policy, nice)
    # A kernel that has no such thing says 0.
    assert after == (SHORT_TURN_NANOSECONDS if before else 0)


def _turn() -> tuple[int, int, int]:
    """This thread's policy, nice and turn in nanoseconds (sched_getattr(2))."""
    read = ctypes.create_string_buffer(56)
    number = {"x86_64": 315, "aarch64": 275}[platform.machine()]
    assert ctypes.CDLL(None).syscall(number, 0, read, 56, 0) == 0
    _, policy, _, nice, _, turn, *_ = struct.unpack("=IIQiIQQQII", read.raw)
    return policy, nice, turn


def test_the_roles_that_stand_behind_are_those_that_no_request_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    behind: list[RoleName] = []
    short: list[RoleName] = []
    for role in RoleName:
        monkeypatch.setattr(runtime_role, "announce_role", lambda _: None)
        monkeypatch.setattr(runtime_role, "stand_behind", partial(behind.append, role))
        monkeypatch.setattr(runtime_role, "take_short_turns", partial(short.append, role))
        monkeypatch.setattr(runtime_role, "stop_at_signals", _stop)
        with pytest.raises(_Stopped):
            runtime_role.run_role(role, load_settings())
    assert behind == [RoleName.worker, RoleName.watcher]
    assert short == [RoleName.ledger]


class _Stopped(Exception):
    """Far enough."""


def _stop() -> None:
    raise _Stopped


def test_sigterm_ends_all_with_code_0(parent: "subprocess.Popen[str]", tmp_path: Path) -> None:
    pids = [int((tmp_path / f"{name}.pid").read_text()) for name in ("one", "two")]
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(AWAIT_SECONDS_MAX) == 0
    assert all(_is_gone(pid) for pid in pids)


def test_kill_of_the_supervisor_kills_the_roles(
    parent: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    roles = [os.pidfd_open(int((tmp_path / f"{name}.pid").read_text())) for name in ("one", "two")]
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for role in roles:
        poll = select.poll()
        poll.register(role)
        assert poll.poll(AWAIT_SECONDS_MAX * 1000), "a role outlived its supervisor"
        os.close(role)


def test_a_role_that_ignores_sigterm_is_killed(
    tmp_path: Path, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sakk.runtime.supervisor.ROLES_STOP_SECONDS_MAX", 0.2)
    supervisor = Supervisor(
        [_role("one", STUBBORN)], run_dir=tmp_path, on_change=watched.changes.put
    ).start()
    supervisor.await_ready()
    supervisor.stop()
    assert watched.await_change("one", "ended").code == -signal.SIGKILL


def test_what_a_killed_role_had_forked_ends_with_it(tmp_path: Path, watched: Watched) -> None:
    run_dir, note = tmp_path / "run", tmp_path / "child"
    role = _role("one", WITH_A_CHILD, str(note))
    with Supervisor([role], run_dir=run_dir, on_change=watched.changes.put):
        pid = watched.await_change("one", "ready").pid
        child = int(note.read_text())
        os.kill(pid, signal.SIGKILL)
        watched.await_change("one", "ended")
        watched.await_change("one", "ready")
        assert _is_gone(child)


def test_a_misconfigured_role_ends_the_run_with_its_code(tmp_path: Path) -> None:
    roles = [_role("one", f"raise SystemExit({EXIT_MISCONFIGURED})"), _role("two", READY_THEN_WAIT)]
    supervisor = Supervisor(roles, run_dir=tmp_path).start()
    try:
        with pytest.raises(Unavailable, match="one"):
            supervisor.await_ready()
    finally:
        supervisor.stop()
    assert supervisor.exit_code == EXIT_MISCONFIGURED


def test_a_killed_postgres_is_started_again_under_the_roles(
    tmp_path: Path, watched: Watched
) -> None:
    postgres = start_postgres(ephemeral=True)
    role = _role("one", READY_THEN_WAIT)
    with Supervisor(
        [role], run_dir=tmp_path, postgres=postgres, on_change=watched.changes.put
    ) as supervisor:
        supervisor.await_ready()
        os.kill(int((tmp_path / "postgres.pid").read_text()), signal.SIGKILL)
        watched.await_change("postgres", "ended")
        pid = watched.await_change("postgres", "ready").pid
        assert int((tmp_path / "postgres.pid").read_text()) == pid
        with psycopg.connect(postgres.url()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not postgres.is_alive()
