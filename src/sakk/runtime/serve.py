"""``sakk serve``: one process tree, or one role of it."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from sakk.core.errors import Misconfigured
from sakk.runtime import metrics, nursery
from sakk.runtime.nursery import Nursery
from sakk.runtime.place import SOCKETS_NAME
from sakk.runtime.postgres import Postgres, start_postgres
from sakk.runtime.restore import look_before_start
from sakk.runtime.role import RoleName
from sakk.runtime.settings import Settings
from sakk.runtime.supervisor import Change, Role, Supervisor
from sakk.runtime.vault import make_vault
from sakk.store.database import open_database
from sakk.store.migrate import upgrade
from sakk.store.seed import seed_currencies, seed_policy

ALL_ROLES: tuple[RoleName, ...] = (
    RoleName.ledger,
    RoleName.signer,
    RoleName.worker,
    RoleName.watcher,
    RoleName.api,
)


def prepare_database(url: str) -> None:
    """Bring the tables up to date, and put in what every Sakk has."""
    upgrade(url)
    database = open_database(url)
    try:
        with database.begin() as connection:
            seed_currencies(connection)
            seed_policy(connection)
    finally:
        database.close()


def serve(settings: Settings, *, on_ready: Callable[[], None] | None = None) -> int:
    """Run every role under a supervisor until SIGTERM; returns the exit code."""
    if not (settings.keystore.exists() or settings.token.exists()):
        raise Misconfigured(
            f"There is no keystore at {settings.keystore}: make one with `sakk keys init`."
        )
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    postgres: Postgres | None = None
    if settings.database_url is None:
        postgres = start_postgres(settings.data_dir / "postgres")
        url = postgres.url()
    else:
        url = settings.database_url.get_secret_value()
    return run_tree(settings, url=url, postgres=postgres, on_ready=on_ready)


def run_tree(
    settings: Settings,
    *,
    url: str,
    postgres: Postgres | None,
    on_ready: Callable[[], None] | None = None,
    on_change: Callable[[Change], None] | None = None,
    roles: Sequence[RoleName] = ALL_ROLES,
) -> int:
    """Supervise the roles on a database that is running."""
    sockets = settings.socket_dir or Path(tempfile.mkdtemp(prefix="sakk-"))
    sockets.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    told = settings.run_dir / SOCKETS_NAME
    told.write_text(str(sockets))
    environment = {
        **_environment(settings),
        "DATABASE_URL": url,
        "SAKK_SOCKET_DIR": str(sockets),
        **metrics.prepare_folder(settings.data_dir / "metrics"),
    }
    # It reads its modules while the database is made ready.
    kept = Nursery(environment).start() if nursery.is_possible() else None
    try:
        prepare_database(url)
        make_vault(settings)
        look_before_start(settings, url)
        supervisor = Supervisor(
            [_role(role, settings, environment) for role in roles],
            run_dir=settings.run_dir,
            postgres=postgres,
            nursery=kept,
            on_change=on_change,
        )
        return supervisor.run(on_ready)
    finally:
        if kept is not None:
            kept.stop()
        told.unlink(missing_ok=True)
        if settings.socket_dir is None:
            shutil.rmtree(sockets, ignore_errors=True)
        if postgres is not None:
            postgres.stop()


def _role(role: RoleName, settings: Settings, environment: dict[str, str]) -> Role:
    """The signer has a process that never held anything else, and is told its PIN alone."""
    argv = [sys.executable, "-m", "sakk.runtime", role.value]
    if role is not RoleName.signer:
        return Role(role.value, argv, environment, is_forked=True)
    if settings.token_pin is not None:
        environment = {**environment, "SAKK_TOKEN_PIN": settings.token_pin.get_secret_value()}
    return Role(role.value, argv, environment)


def _environment(settings: Settings) -> dict[str, str]:
    """What a command's options changed, for the children, who read only the environment."""
    values = {
        "SAKK_DATA_DIR": str(settings.data_dir),
        "SAKK_HOST": settings.host,
        "SAKK_PORT": str(settings.port),
        "SAKK_API_WORKERS": str(settings.api_workers),
        "SAKK_API_RATE_LIMIT_PER_SECOND": str(settings.api_rate_limit_per_second),
        "SAKK_LEDGER_PORT": "" if settings.ledger_port is None else str(settings.ledger_port),
        "SAKK_LOG_LEVEL": settings.log_level,
        "SAKK_LOG_FORMAT": settings.log_format,
        "SAKK_SANDBOX": str(settings.sandbox).lower(),
        "SAKK_WEBHOOK_ALLOW_LOOPBACK": str(settings.webhook_allow_loopback).lower(),
        "PYTHONUNBUFFERED": "1",
    }
    if settings.keystore_passphrase_file is not None:
        values["SAKK_KEYSTORE_PASSPHRASE_FILE"] = str(settings.keystore_passphrase_file)
    if settings.vault_key_file is not None:
        values["SAKK_VAULT_KEY_FILE"] = str(settings.vault_key_file)
    if "PATH" in os.environ:
        values["PATH"] = os.environ["PATH"]
    return values
