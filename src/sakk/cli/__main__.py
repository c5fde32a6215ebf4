"""``python -m sakk.cli``: the same as ``sakk``."""

from sakk.cli import main

main()
