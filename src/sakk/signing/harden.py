"""What keeps others on the same machine away from the signer's memory. Linux."""

import ctypes
import os
import pwd
import resource
import socket
import struct
from typing import Final

from sakk.core.errors import Misconfigured

_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38


def harden_process() -> None:
    """No core dumps, no ptrace and no /proc/<pid>/mem by processes of the same user, 0077 umask.

    prctl(2): a process that is not dumpable cannot be attached to without CAP_SYS_PTRACE.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_DUMPABLE, 0), (_PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise Misconfigured(f"prctl({option}) failed: {os.strerror(ctypes.get_errno())}")


def drop_privileges(user: str) -> None:
    """Become another user for good; Misconfigured if there is none or it could be undone."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise Misconfigured(f"there is no user {user!r} to run the signer as") from None
    if entry.pw_uid == 0:
        raise Misconfigured("the signer's own user cannot be root")
    os.setgroups([])
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    if os.getresuid() != (entry.pw_uid,) * 3 or os.getresgid() != (entry.pw_gid,) * 3:
        raise Misconfigured(f"could not become user {user!r}")


def peer_uid(connection: socket.socket) -> int:
    """The user id of the process at the other end, as the kernel saw it connect (unix(7))."""
    credentials = connection.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
    )
    _, uid, _ = struct.unpack("3i", credentials)
    return int(uid)
