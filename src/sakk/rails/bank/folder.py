"""A folder that is mounted, or kept in step by the bank's own tool: ``out/`` to it, ``in/`` back.

What is put out appears whole, by renaming. What comes in is left alone while it is written: names
that tools give to unfinished files, and files that are empty or changed a moment ago. What was
taken is moved to ``in/done/``. Nothing here follows a link or leaves its folder.
"""

import contextlib
import os
import stat
import time
from pathlib import Path
from typing import Final

from sakk.core.bank_file import safe_name
from sakk.rails.bank.rail import FILES_MAX, UNFINISHED, BankUnreachable, FileTooLarge

CHUNK_BYTES: Final = 1 << 20
# A file that was written to less than this ago may not be whole.
QUIET_SECONDS: Final = 2.0


class Folder:
    """One bank's folder. ``quiet_seconds``: how long a file that comes in has not changed."""

    def __init__(self, directory: Path, *, quiet_seconds: float = QUIET_SECONDS) -> None:
        self._out = directory / "out"
        self._in = directory / "in"
        self._done = self._in / "done"
        self._quiet_seconds = quiet_seconds

    def put(self, name: str, content: bytes) -> None:
        """Write beside it, flush to the disk, and rename: a reader sees all or nothing."""
        try:
            self._out.mkdir(parents=True, exist_ok=True)
            beside = self._out / f".{name}.part"
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.rename(self._out / name)
            _sync(self._out)
        except OSError as error:
            raise BankUnreachable(f"{name} can not be written: {error.strerror}") from error

    def list(self) -> list[str]:
        try:
            self._in.mkdir(parents=True, exist_ok=True)
            found = [
                (entry.stat(follow_symlinks=False), entry.name)
                for entry in os.scandir(self._in)
                if entry.is_file(follow_symlinks=False)
                and not entry.name.startswith(".")
                and not entry.name.lower().endswith(UNFINISHED)
            ]
        except OSError as error:
            raise BankUnreachable(f"the folder can not be read: {error.strerror}") from error
        # The clock of files, which is the system's.
        before = time.time() - self._quiet_seconds
        whole = [
            (status.st_mtime, name)
            for status, name in found
            if status.st_size and status.st_mtime <= before
        ]
        return [name for _, name in sorted(whole)[:FILES_MAX]]

    def take(self, name: str, *, bytes_max: int) -> bytes:
        try:
            # Without O_NONBLOCK, opening a FIFO would wait for a writer for ever.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(self._in / name, flags)
        except OSError as error:
            raise BankUnreachable(f"{safe_name(name)}: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileTooLarge(f"{safe_name(name)} is no regular file")
            content = bytearray()
            while chunk := file.read(CHUNK_BYTES):
                content += chunk
                if len(content) > bytes_max:
                    raise FileTooLarge(f"{safe_name(name)} has more than {bytes_max} bytes")
        return bytes(content)

    def done(self, name: str) -> None:
        try:
            self._done.mkdir(parents=True, exist_ok=True)
            target = self._done / name
            number = 1
            while target.exists():
                number += 1
                target = self._done / f"{number}-{name}"
            # It may have been moved before a crash.
            with contextlib.suppress(FileNotFoundError):
                (self._in / name).rename(target)
        except OSError as error:
            raise BankUnreachable(f"{safe_name(name)}: {error.strerror}") from error

    def close(self) -> None:
        """Nothing stays open."""


def _sync(directory: Path) -> None:
    """The names in a folder survive a crash once it is flushed too."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
