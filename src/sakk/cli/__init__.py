"""The command ``sakk``. What is here reads arguments and prints; the work stands below."""

import sys

from sakk.runtime.supervisor import EXIT_MISCONFIGURED

if sys.flags.optimize:
    sys.stderr.write("sakk: Python was started with -O, which removes assertions: leave it out.\n")
    sys.exit(EXIT_MISCONFIGURED)


def main() -> None:
    """Run the command line; an error of ours is one clear line, not a traceback."""
    from sakk.cli.app import is_known, make_app
    from sakk.runtime.start import run_or_exit

    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    run_or_exit(make_app(asked if is_known(asked) else None))
