"""What every process does first: refuse to run unsafely, and set up its logs."""

import getpass
import os
import sys
from collections.abc import Callable
from datetime import timedelta

from sakk.core.errors import Misconfigured, SakkError
from sakk.runtime.logging import configure_logging, register_secret
from sakk.runtime.settings import Settings
from sakk.runtime.supervisor import EXIT_MISCONFIGURED
from sakk.store import actor, lease


def begin_process(settings: Settings, *, role: str | None = None) -> None:
    """Raises Misconfigured under ``python -O``, which would remove our own assertions."""
    if sys.flags.optimize:
        raise Misconfigured("Python was started with -O, which removes assertions: start without.")
    configure_logging(level=settings.log_level, form=settings.log_format, role=role)
    actor.set_process(f"role:{role}" if role else f"cli:{_user()}")
    lease.set_lease_length(timedelta(seconds=settings.lease_seconds))
    if settings.database_url is not None:
        register_secret(settings.database_url.get_secret_value())


def _user() -> str:
    """Who has the machine: in a container there may be no name for the number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def run_or_exit(call: Callable[[], object]) -> None:
    """Run a program; an error of ours is one clear line and an exit code, not a traceback."""
    try:
        call()
    except SakkError as error:
        sys.stderr.write(f"sakk: {error.message}\n")
        sys.exit(EXIT_MISCONFIGURED if isinstance(error, Misconfigured) else 1)
