"""Run a program that the kernel kills when the thread that started it ends.

Started by path, without Sakk's packages: ``python -I -S leash.py PARENT_PID PROGRAM ARGUMENT…``.
The setting (prctl(2), PR_SET_PDEATHSIG) outlives exec, so the program keeps this process's id.
Where there is no prctl (macOS) the program runs without a leash.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Bind to the parent, then become the program."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            sys.exit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    # The parent may have died before the call above: then nobody is left to wait for.
    if os.getppid() != parent:
        sys.exit("the parent is gone")
    os.execv(program[0], program)  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    main()
