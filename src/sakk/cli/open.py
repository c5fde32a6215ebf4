"""What commands open: the settings, the database, and the parts that act on it."""

from collections.abc import Iterator
from contextlib import contextmanager

from sakk.runtime.place import database_url
from sakk.runtime.settings import Settings, load_settings
from sakk.runtime.start import begin_process
from sakk.store.database import Database, open_database


def begin(**overrides: object) -> Settings:
    """Settings from the environment and the command's options, with logs set up."""
    chosen = {name: value for name, value in overrides.items() if value is not None}
    settings = load_settings(**chosen)
    begin_process(settings)
    return settings


@contextmanager
def opened_database() -> Iterator[Database]:
    """The database that ``DATABASE_URL`` or the running server names."""
    database = open_database(database_url(begin(log_level="warning")))
    try:
        yield database
    finally:
        database.close()
