"""A cluster of ours as its files tell of it: which address it has while somebody runs it."""

from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

SUPERUSER = "sakk"
DATABASE = "sakk"


def running_url(data_dir: Path, database: str = DATABASE) -> str | None:
    """The address of the cluster that another process runs in ``data_dir``; None if none does."""
    lines = pid_file(data_dir / "cluster")
    if len(lines) < 8 or lines[7].strip() != "ready" or not Path(f"/proc/{lines[0]}").exists():
        return None
    return cluster_url((data_dir / "password").read_text(), database, Path(lines[4]))


def cluster_url(password: str, database: str, socket_dir: Path) -> str:
    return f"postgresql://{SUPERUSER}:{password}@/{database}?host={quote(str(socket_dir))}"


def pid_file(cluster: Path) -> list[str]:
    """The lines of postmaster.pid: pid, folder, start, port, socket folder, …, status."""
    with suppress(FileNotFoundError):
        return (cluster / "postmaster.pid").read_text().splitlines()
    return []
