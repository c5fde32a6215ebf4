"""``sakk demo``."""

import sys


def demo() -> None:
    """Run the main job once on a real local chain, narrated; exit 0 only if everything holds."""
    from sakk.runtime.demo import run_demo

    sys.exit(run_demo())
