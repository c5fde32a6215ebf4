"""The command ``sakk``. What is here reads arguments and prints; the work stands below."""

import sys

from sakk.core.errors import SakkError
from sakk.runtime.supervisor import EXIT_MISCONFIGURED

if sys.flags.optimize:
    sys.stderr.write("sakk: Python was started with -O, which removes assertions: leave it out.\n")
    sys.exit(EXIT_MISCONFIGURED)


def main() -> None:
    """Run the command line; an error of ours is one clear line, not a traceback."""
    from sakk.cli.app import app

    try:
        app()
    except SakkError as error:
        sys.stderr.write(f"sakk: {error.message}\n")
        sys.exit(EXIT_MISCONFIGURED if error.code == "misconfigured" else 1)
