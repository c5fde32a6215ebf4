"""Our own PostgreSQL: an unprivileged process on a unix socket that dies with us.

``data_dir`` holds ``cluster/`` (PostgreSQL's own files), ``password``, ``lock``, ``made``,
``socket`` (where the unix socket is) and ``start.log``.
Nothing listens on a network. Passwords are scram, pages carry checksums, fsync is always on: also
a throw-away cluster is measured and crashed like a real one.

Started as root, PostgreSQL gets another user. It is handed the open folder and calls it
``/proc/self/fd/N``, so that a data folder below a private home works and no parent directory
has to be opened for others.
"""

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from sakk.core.errors import Misconfigured, Unavailable
from sakk.runtime.binaries import Binaries, find_binaries, readable_by, unprivileged_user
from sakk.runtime.cluster import DATABASE, SUPERUSER, cluster_url, pid_file
from sakk.runtime.process import Command, Process, User, spawn, take_short_turns

CONNECTIONS_MAX = 200
READY_SECONDS_MAX = 300.0  # replay of the journal after a crash is part of a start
STOP_SECONDS_MAX = 20.0
PREDECESSOR_SECONDS_MAX = 15.0
POLL_SECONDS = 0.01
LOG_TAIL_CHARACTERS = 2_000
SOCKET_FOLDER_CHARACTERS_MAX = 80  # sun_path is 108 bytes, less ".s.PGSQL.5432.lock"
SOCKET_PREFIX = "sakk-"
EPHEMERAL_PREFIX = "sakk-pg-"
ABANDONED_SECONDS_MIN = 60.0

COMMON_SETTINGS = {
    "listen_addresses": "",
    "max_connections": str(CONNECTIONS_MAX),
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",  # every statement of ours is short; compiling them costs more than they do
    "log_min_messages": "warning",
    "log_parameter_max_length_on_error": "0",
}
DURABLE_SETTINGS = {
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgresql-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
}
EPHEMERAL_SETTINGS = {
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "max_worker_processes": "2",
    "max_parallel_workers": "0",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "autovacuum_naptime": "10s",
}


@dataclass(slots=True)
class Postgres:
    """A cluster of ours. ``start`` after a crash keeps the socket, so that URLs stay good."""

    data_dir: Path
    ephemeral: bool
    binaries: Binaries
    user: User | None
    password: str
    socket_dir: Path
    _lock_fd: int
    _process: Process | None = None
    _discard: Callable[[], None] | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_stopped: bool = False

    @property
    def pid(self) -> int:
        if self._process is None:
            raise Unavailable("PostgreSQL is not running")
        return self._process.pid

    @property
    def cluster(self) -> Path:
        return self.data_dir / "cluster"

    def url(self, database: str = DATABASE) -> str:
        """An address that libpq, psycopg and SQLAlchemy all read."""
        return cluster_url(self.password, database, self.socket_dir)

    def is_alive(self) -> bool:
        return self._process is not None and self._process.is_alive()

    def process(self) -> Process:
        """The postmaster, for who watches it."""
        if self._process is None:
            raise Unavailable("PostgreSQL is not running")
        return self._process

    def start(self) -> Self:
        """Start the postmaster and return when it answers. Raises Unavailable with its log."""
        with self._lock:
            if not self.is_alive():
                self._start()
        return self

    def _start(self) -> None:
        _await_predecessor(self.cluster)
        deadline = time.monotonic() + READY_SECONDS_MAX
        retry_until = time.monotonic() + PREDECESSOR_SECONDS_MAX
        while not self._is_stopped:
            self._process = self._spawn()
            if self._await_ready(self._process, deadline):
                return
            # Backends of a killed postmaster may hold its shared memory for a moment.
            if not self._is_held_by_predecessor() or time.monotonic() > retry_until:
                raise Unavailable(f"PostgreSQL did not start: {self.log_tail()}")
            time.sleep(POLL_SECONDS * 10)
        raise Unavailable("PostgreSQL was stopped")

    def stop(self, *, timeout_seconds: float = STOP_SECONDS_MAX) -> None:
        """Fast shutdown (open transactions are rolled back), then free all that was taken.

        A cluster that is thrown away next is not written out first.
        """
        self._is_stopped = True
        with self._lock:
            if self._process is not None:
                process, self._process = self._process, None
                how = signal.SIGQUIT if self.ephemeral else signal.SIGINT
                process.end(how, timeout_seconds=timeout_seconds)
            shutil.rmtree(self.socket_dir, ignore_errors=True)
            if self._lock_fd >= 0:
                os.close(self._lock_fd)
                self._lock_fd = -1
            if self._discard is not None:
                self._discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def log_tail(self) -> str:
        """The end of what PostgreSQL said at its start."""
        with suppress(FileNotFoundError):
            return (self.data_dir / "start.log").read_text("utf-8", "replace")[
                -LOG_TAIL_CHARACTERS:
            ]
        return "(no log)"

    def _spawn(self) -> Process:
        settings = COMMON_SETTINGS | (EPHEMERAL_SETTINGS if self.ephemeral else DURABLE_SETTINGS)
        settings["unix_socket_directories"] = str(self.socket_dir)
        flags = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        process = self._run("postgres", *flags)
        take_short_turns(process.pid)
        return process

    def _run(self, program: str, *flags: str) -> Process:
        """Run one of PostgreSQL's programs on the cluster, as its user."""
        folder_fd = os.open(self.cluster, os.O_RDONLY | os.O_DIRECTORY)
        try:
            named = str(self.cluster) if self.user is None else f"/proc/self/fd/{folder_fd}"
            with (self.data_dir / "start.log").open("wb") as log:
                return spawn(
                    Command(
                        argv=[self.binaries.program(program), "-D", named, *flags],
                        env=_environment(),
                        cwd=Path("/"),
                        user=self.user,
                        # Immediate shutdown: the next start replays the write-ahead log.
                        death_signal=signal.SIGQUIT,
                        pass_fds=(folder_fd,),
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )
                )
        finally:
            os.close(folder_fd)

    def _await_ready(self, process: Process, deadline: float) -> bool:
        while time.monotonic() < deadline and not self._is_stopped:
            if _status(self.cluster, process.pid) == "ready":
                return True
            if process.wait(POLL_SECONDS) is not None:
                return False
        process.end(signal.SIGQUIT)
        raise Unavailable(
            f"PostgreSQL was not ready within {READY_SECONDS_MAX:.0f} s: {self.log_tail()}"
        )

    def _is_held_by_predecessor(self) -> bool:
        said = self.log_tail()
        return "still in use" in said or "already exists" in said or "already in use" in said

    def initialise(self) -> None:
        """Make the cluster unless it is there. A half-made one is thrown away and made again."""
        if (self.cluster / "PG_VERSION").exists() and (self.data_dir / "made").exists():
            return
        shutil.rmtree(self.cluster, ignore_errors=True)
        self.cluster.mkdir(mode=0o700)
        _give(self.cluster, self.user)
        secret = self.socket_dir / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        _give(secret, self.user)
        flags = ["-U", SUPERUSER, "-A", "scram-sha-256", f"--pwfile={secret}", "--data-checksums"]
        flags += ["--no-sync"] if self.ephemeral else []
        process = self._run("initdb", *flags, "-E", "UTF8", "--locale=C.UTF-8")
        code = process.wait(READY_SECONDS_MAX)
        secret.unlink()
        if code != 0:
            process.end(signal.SIGKILL)
            raise Unavailable(f"initdb failed: {self.log_tail()}")
        (self.data_dir / "made").touch(mode=0o600)


def start_postgres(
    data_dir: Path | None = None, *, ephemeral: bool = False, binaries: Binaries | None = None
) -> Postgres:
    """Start a cluster of ours in ``data_dir``, making it at the first start.

    ``ephemeral``: a smaller one in a temporary folder (or in ``data_dir``), thrown away by
    ``stop``. Raises Misconfigured when another process holds the folder, or when no PostgreSQL of
    the version that made it is there; Unavailable when it does not start.
    """
    if data_dir is None and not ephemeral:
        raise ValueError("only an ephemeral cluster may go without a data_dir")
    if data_dir is None:
        _sweep_abandoned()
        data_dir = Path(tempfile.mkdtemp(prefix=EPHEMERAL_PREFIX))
    folder = data_dir.absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock_fd = _lock(folder)
    _forget_socket_folder(folder)
    user = _owner(folder / "cluster") or unprivileged_user()
    postgres = Postgres(
        data_dir=folder,
        ephemeral=ephemeral,
        binaries=readable_by(user, binaries or find_binaries(major=_major(folder / "cluster"))),
        user=user,
        password=_password(folder / "password"),
        socket_dir=_socket_folder(folder, user),
        _lock_fd=lock_fd,
        _discard=(lambda: shutil.rmtree(folder, ignore_errors=True)) if ephemeral else None,
    )
    try:
        postgres.initialise()
        postgres.start()
        _create_database(postgres)
    except BaseException:
        postgres.stop()
        raise
    return postgres


def _create_database(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        found = connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)
        ).fetchone()
        if found is None:
            connection.execute(f'CREATE DATABASE "{DATABASE}"')


def _environment() -> dict[str, str]:
    """Nothing of ours reaches PostgreSQL, least of all our secrets."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _lock(folder: Path) -> int:
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise Misconfigured(
            f"another Sakk runs on {folder}: stop it, or set SAKK_DATA_DIR to another folder",
            param="SAKK_DATA_DIR",
        ) from None
    return fd


def _password(path: Path) -> str:
    """The cluster's password, made at the first start; only we may read it."""
    if not path.exists():
        scratch = path.with_suffix(".new")
        scratch.unlink(missing_ok=True)
        scratch.touch(mode=0o600)
        scratch.write_text(secrets.token_urlsafe(24))
        scratch.rename(path)
    return path.read_text()


def _socket_folder(data_dir: Path, user: User | None) -> Path:
    """A new folder with a short name; who may enter still needs the password."""
    parent = tempfile.gettempdir()
    if len(parent) > SOCKET_FOLDER_CHARACTERS_MAX or user is not None:
        parent = "/tmp"  # noqa: S108 (mkdtemp below makes a name nobody can guess)
    folder = Path(tempfile.mkdtemp(prefix=SOCKET_PREFIX, dir=parent))
    (data_dir / "socket").write_text(str(folder))
    _give(folder, user)
    folder.chmod(0o711)
    return folder


def _forget_socket_folder(data_dir: Path) -> None:
    """Remove the folder that a killed predecessor left. We hold the lock, so it is not in use."""
    with suppress(FileNotFoundError):
        _await_predecessor(data_dir / "cluster")
        folder = Path((data_dir / "socket").read_text())
        if folder.name.startswith(SOCKET_PREFIX):
            shutil.rmtree(folder, ignore_errors=True)


def _sweep_abandoned() -> None:
    """Throw away ephemeral clusters whose owner was killed: their lock is free."""
    for folder in Path(tempfile.gettempdir()).glob(f"{EPHEMERAL_PREFIX}*"):
        with suppress(OSError, Misconfigured):
            # A young one may be about to take its lock.
            if time.time() - (folder / "lock").stat().st_mtime < ABANDONED_SECONDS_MIN:
                continue
            lock_fd = _lock(folder)
            _forget_socket_folder(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock_fd)


def _give(path: Path, user: User | None) -> None:
    if user is not None:
        os.chown(path, user.uid, user.gid)


def _owner(cluster: Path) -> User | None:
    """As root: whoever owns the cluster already, so that a new system user changes nothing."""
    if os.geteuid() != 0 or not cluster.exists():
        return None
    status = cluster.stat()
    return None if status.st_uid == 0 else User(uid=status.st_uid, gid=status.st_gid)


def _major(cluster: Path) -> int | None:
    with suppress(FileNotFoundError):
        return int((cluster / "PG_VERSION").read_text())
    return None


def _status(cluster: Path, pid: int) -> str:
    lines = pid_file(cluster)
    return lines[7].strip() if len(lines) >= 8 and lines[0] == str(pid) else ""


def _await_predecessor(cluster: Path) -> None:
    """Wait for a postmaster whose parent was killed; forget a pid file that nobody is behind.

    PostgreSQL itself trusts the file when any process of its user has that number, which after a
    restart of the machine or container is likely.
    """
    deadline = time.monotonic() + PREDECESSOR_SECONDS_MAX
    while lines := pid_file(cluster):
        if not _is_postmaster(int(lines[0]), cluster):
            (cluster / "postmaster.pid").unlink(missing_ok=True)
            return
        if time.monotonic() > deadline:
            raise Misconfigured(
                f"a PostgreSQL (process {lines[0]}) still runs on {cluster}: stop it",
                param="SAKK_DATA_DIR",
            )
        time.sleep(POLL_SECONDS)


def _is_postmaster(pid: int, cluster: Path) -> bool:
    """Does this process work in this folder? A postmaster's working directory is its cluster."""
    try:
        return Path(f"/proc/{pid}/cwd").samefile(cluster)
    except OSError:
        return False
