"""Where the tests' temporary files lie: in memory, when the machine has room for them there.

Hundreds of databases are made and dropped in a run. On ext4 each new file costs a search past all
inodes that were freed a moment ago (``recently_deleted`` in the kernel's ``fs/ext4/ialloc.c``): a
quarter of the suite's time. PostgreSQL is not told: it works and syncs as on a disk.
"""

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

MEMORY = Path("/dev/shm")
FREE_BYTES_MIN = 3 * 2**30
PREFIX = "sakk-tests-"
ABANDONED_SECONDS_MIN = 60.0


class Scratch:
    """A folder in memory for this process and its children, gone with ``close``."""

    def __init__(self) -> None:
        _sweep_abandoned()
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=MEMORY))
        self._fd = _lock(self.folder)
        # As /tmp: the users of PostgreSQL and of the signer come here too.
        self.folder.chmod(0o1777)
        os.environ["TMPDIR"] = str(self.folder)
        tempfile.tempdir = None

    def close(self) -> None:
        os.environ.pop("TMPDIR", None)
        tempfile.tempdir = None
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._fd)


def take_memory() -> Scratch | None:
    """Put temporary files into memory; None when TMPDIR says where, or when there is no room.

    A test run's workers find the controller's TMPDIR.
    """
    if "TMPDIR" in os.environ or not MEMORY.is_dir():
        return None
    place = os.statvfs(MEMORY)
    is_small = place.f_bavail * place.f_frsize < FREE_BYTES_MIN
    # Containers often forbid programs there, and tests put some into temporary folders.
    if is_small or place.f_flag & os.ST_NOEXEC:
        return None
    return Scratch()


def _lock(folder: Path) -> int:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd


def _sweep_abandoned() -> None:
    """Throw away what a killed run left behind: nobody holds its lock."""
    for folder in MEMORY.glob(f"{PREFIX}*"):
        try:
            # A young one may be about to take its lock.
            if time.time() - folder.stat().st_mtime < ABANDONED_SECONDS_MIN:
                continue
            fd = _lock(folder)
        except OSError:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        os.close(fd)
