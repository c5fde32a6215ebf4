"""What every process does first: refuse to run unsafely, and set up its logs."""

import getpass
import os
import sys
from datetime import timedelta

from sakk.core.errors import Misconfigured
from sakk.runtime.logging import configure_logging, register_secret
from sakk.runtime.settings import Settings
from sakk.store import actor
from sakk.store.lease_length import set_lease_length


def begin_process(settings: Settings, *, role: str | None = None) -> None:
    """Raises Misconfigured under ``python -O``, which would remove our own assertions."""
    if sys.flags.optimize:
        raise Misconfigured("Python was started with -O, which removes assertions: start without.")
    configure_logging(level=settings.log_level, form=settings.log_format, role=role)
    actor.set_process(f"role:{role}" if role else f"cli:{_user()}")
    set_lease_length(timedelta(seconds=settings.lease_seconds))
    if settings.database_url is not None:
        register_secret(settings.database_url.get_secret_value())


def _user() -> str:
    """Who has the machine: in a container there may be no name for the number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
