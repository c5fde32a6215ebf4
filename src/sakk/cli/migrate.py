"""``sakk migrate``."""

from sakk.cli.open import begin
from sakk.cli.out import console
from sakk.runtime.place import database_url
from sakk.runtime.serve import prepare_database
from sakk.store.migrate import current_revision


def migrate() -> None:
    """Bring the database to this version's schema; `sakk serve` does the same at its start."""
    url = database_url(begin(log_level="warning"))
    prepare_database(url)
    console.print(f"The database is at revision {current_revision(url)}.")
