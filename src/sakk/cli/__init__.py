"""The command ``sakk``. What is here reads arguments and prints; the work stands below."""

import sys

from sakk.runtime.exit import EXIT_MISCONFIGURED, run_or_exit
from sakk.runtime.garbage import exempt_from_collection, put_off_collection

if sys.flags.optimize:
    sys.stderr.write("sakk: Python was started with -O, which removes assertions: leave it out.\n")
    sys.exit(EXIT_MISCONFIGURED)


def main() -> None:
    """Run the command line; an error of ours is one clear line, not a traceback."""
    from sakk.cli.app import is_known, make_app, make_listing

    # Where the first word is no command, the line ends in help or in an error.
    words = [each for each in sys.argv[1:] if each != "--"]
    named = bool(words) and is_known(words[0])
    put_off_collection()
    app = make_app(words[0]) if named else make_listing()
    exempt_from_collection()
    run_or_exit(app)
