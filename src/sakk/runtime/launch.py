"""Become another program that dies with its parent; run as a script, never imported.

``python -I -S launch.py '{"parent": 1, "signal": 9, "uid": …, "gid": …, "argv": […]}'``

``subprocess`` could run this between fork and exec, but only by a hook that is unsafe beside
threads. A fresh interpreter has none. Privileges are dropped here, after this file and the
interpreter were read: the other user may be unable to read either. The death signal is set last,
because changing the user clears it (prctl(2), PR_SET_PDEATHSIG).
"""

import ctypes
import json
import os
import sys

PR_SET_PDEATHSIG = 1
EXIT_PARENT_GONE = 126
EXIT_NOT_STARTED = 127


def main() -> None:
    """Drop privileges, tie this process to its parent, and become the program."""
    order = json.loads(sys.argv[1])
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None
    if order["uid"] is not None:
        os.setgroups([])
        os.setgid(order["gid"])
        os.setuid(order["uid"])
    if prctl is not None and prctl(PR_SET_PDEATHSIG, order["signal"], 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != order["parent"]:
        os._exit(EXIT_PARENT_GONE)  # it died before we could ask to be told
    try:
        os.execvp(order["argv"][0], order["argv"])  # noqa: S606 (it becomes a fixed program)
    except OSError as error:
        sys.stderr.write(f"cannot run {order['argv'][0]}: {error}\n")
        os._exit(EXIT_NOT_STARTED)


if __name__ == "__main__":
    main()
