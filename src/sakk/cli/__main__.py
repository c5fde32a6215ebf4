"""``python -m sakk.cli``, as the supervisor starts its roles."""

from sakk.cli import main

main()
