"""Files that only the signer's user may read, written so that a crash leaves the old or the new."""

import os
import stat
from pathlib import Path

from sakk.core.errors import Misconfigured

PRIVATE_MODE = 0o600


def check_private(path: Path) -> None:
    """Refuse a file that others could read or replace; Misconfigured says how to mend it."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        raise Misconfigured(f"{path} is missing") from None
    if not stat.S_ISREG(found.st_mode):
        raise Misconfigured(f"{path} is not a regular file")
    if found.st_mode & 0o077:
        raise Misconfigured(f"{path} is open to other users: run `chmod 600 {path}`")
    trusted = {os.geteuid(), 0}
    if os.geteuid() == 0:
        # A command of root's looks at the files of the signer's user.
        trusted.add(path.parent.stat().st_uid)
    if found.st_uid not in trusted:
        raise Misconfigured(f"{path} belongs to user id {found.st_uid}, not to the signer's")


def check_directory(path: Path) -> None:
    """Refuse a directory where others could put files in place of the signer's."""
    found = path.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise Misconfigured(f"{path} is not a directory")
    if found.st_mode & 0o022:
        raise Misconfigured(f"{path} can be written by other users: run `chmod 700 {path}`")
    if found.st_uid not in (os.geteuid(), 0):
        raise Misconfigured(f"{path} belongs to user id {found.st_uid}, not to the signer's")


def write_private(path: Path, content: bytes, *, replace: bool) -> None:
    """Write a whole file, mode 0600, durable before this returns.

    What root writes belongs to who owns the folder: the signer's user must be able to read it.
    FileExistsError when it exists and may not be replaced: a keystore is never overwritten.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if os.geteuid() == 0:
                owner = path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            os.fsync(file.fileno())
        if replace:
            temporary.rename(path)
        else:
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make a new or renamed name in this directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
