"""How a program ends: an error of ours is one clear line and an exit code, not a traceback."""

import sys
from collections.abc import Callable

from sakk.core.errors import Misconfigured, SakkError

EXIT_MISCONFIGURED = 78  # EX_CONFIG of sysexits.h: starting it again cannot help


def run_or_exit(call: Callable[[], object]) -> None:
    """Run a program; what it can not go on with is said on stderr."""
    try:
        call()
    except SakkError as error:
        sys.stderr.write(f"sakk: {error.message}\n")
        sys.exit(EXIT_MISCONFIGURED if isinstance(error, Misconfigured) else 1)
