"""Write the next migration: what turns the schema of the last one into the tables in the code."""

import sys

from sakk.runtime.postgres import start_postgres
from sakk.store.migrate import generate, upgrade
from sakk.store.revision import expected_revision


def main() -> None:
    """Run with one argument: what the migration does, in a few words."""
    if len(sys.argv) != 2:
        sys.exit('usage: python scripts/migration.py "what it does"')
    with start_postgres(ephemeral=True) as postgres:
        if expected_revision() is not None:
            upgrade(postgres.url())
        path = generate(postgres.url(), sys.argv[1])
    sys.stderr.write(f"{path}\nRead it before you commit it.\n")


if __name__ == "__main__":
    main()
