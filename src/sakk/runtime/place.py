"""Where the parts of a running Sakk are: its database and its sockets."""

from pathlib import Path

from sakk.core.errors import Misconfigured
from sakk.runtime.cluster import running_url
from sakk.runtime.settings import Settings

# In the run folder: where the server that runs there keeps its sockets.
SOCKETS_NAME = "sockets"


def database_url(settings: Settings) -> str:
    """Where the database is: ``DATABASE_URL``, or the embedded one that is running now."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    running = running_url(settings.data_dir / "postgres")
    if running is None:
        raise Misconfigured(
            "No database: set DATABASE_URL, or start `sakk serve`, which runs one of its own.",
            param="DATABASE_URL",
        )
    return running


def socket_dir(settings: Settings) -> Path:
    """The folder of the unix sockets: the one that is set, or that of the server running here."""
    if settings.socket_dir is not None:
        return settings.socket_dir
    told = settings.run_dir / SOCKETS_NAME
    if told.exists():
        return Path(told.read_text())
    raise Misconfigured(
        "SAKK_SOCKET_DIR is not set and no server runs in this data directory: name one folder "
        "for all roles that are started apart.",
        param="SAKK_SOCKET_DIR",
    )


def ledger_address(settings: Settings) -> str:
    """Where the ledger answers, in the form that ``connect_ledger`` takes."""
    if settings.ledger_address is not None:
        return settings.ledger_address.removeprefix("unix:")
    return str(socket_dir(settings) / "ledger.sock")


def signer_socket(settings: Settings) -> Path:
    """The signer's unix socket."""
    if settings.signer_address is not None:
        return Path(settings.signer_address.removeprefix("unix:"))
    return socket_dir(settings) / "signer.sock"
