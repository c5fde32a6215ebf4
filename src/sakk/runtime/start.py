"""What every process does first: refuse to run unsafely, and set up its logs."""

import sys

from sakk.core.errors import Misconfigured
from sakk.runtime.logging import configure_logging, register_secret
from sakk.runtime.settings import Settings


def begin_process(settings: Settings, *, role: str | None = None) -> None:
    """Raises Misconfigured under ``python -O``, which would remove our own assertions."""
    if sys.flags.optimize:
        raise Misconfigured("Python was started with -O, which removes assertions: start without.")
    configure_logging(level=settings.log_level, form=settings.log_format, role=role)
    if settings.database_url is not None:
        register_secret(settings.database_url.get_secret_value())
