"""The whole house as one subprocess tree, and what a test does to it: kill, arm, pay, compare.

``sakk sandbox`` runs as a user runs it. Its supervisor starts what is killed again. The payer, the
merchant's client and the webhook's receiver stand outside and live through all of it.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import psycopg

from sakk.rails.sandbox.rpc import LocalRpc
from sakk.rails.sandbox.wallet import Wallet

POLL_SECONDS = 0.02
WAIT_SECONDS_MAX = 120.0
START_SECONDS_MAX = 240.0
STOP_SECONDS_MAX = 30.0
RETRY_SECONDS = 0.05
BLOCK_SECONDS = 0.1
LEASE_SECONDS = 1
WEBHOOK_TIMEOUT_SECONDS = 1
ROLES = ("ledger", "signer", "worker", "watcher", "api")
# Answers after which a client sends the same request again, under the same key.
AGAIN = {409, 429, 500, 502, 503, 504}

T = TypeVar("T")

_keys = count(1)


def await_value(ask: Callable[[], T | None], what: str, seconds_max: float | None = None) -> T:
    """Ask until there is an answer; AssertionError when there is none in time."""
    limit = WAIT_SECONDS_MAX if seconds_max is None else seconds_max
    deadline = time.monotonic() + limit
    while True:
        found = ask()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {limit:g} s for {what}")
        time.sleep(POLL_SECONDS)


def await_true(ask: Callable[[], bool], what: str, seconds_max: float | None = None) -> None:
    """Ask until it is so."""
    await_value(lambda: ask() or None, what, seconds_max)


def is_gone(pid: int) -> bool:
    """No such process, or one that only waits for its exit code to be read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def descendants(pid: int) -> set[int]:
    """Every process below one, in whatever session."""
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for path in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            try:
                children = {int(word) for word in path.read_text().split()}
            except (FileNotFoundError, ProcessLookupError):
                continue
            waiting += children - found
            found |= children
    return found


@dataclass(slots=True)
class Client:
    """A merchant's client: one key for each command, and the same request until it is answered."""

    http: httpx2.Client

    def post(self, path: str, body: Mapping[str, Any], *, key: str | None = None) -> dict[str, Any]:
        """Send a command; again, under the same key, until it is executed once."""
        headers = {"Idempotency-Key": key or f"key-{next(_keys)}"}
        return self._until_answered(lambda: self.http.post(path, json=dict(body), headers=headers))

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        return self._until_answered(lambda: self.http.get(path, params=query))

    def send_once(self, path: str, body: Mapping[str, Any], *, key: str) -> int | None:
        """Send a command one time, as a client that then goes away; None without an answer."""
        try:
            answer = self.http.post(path, json=dict(body), headers={"Idempotency-Key": key})
        except httpx2.TransportError:
            return None
        return answer.status_code

    def _until_answered(self, send: Callable[[], httpx2.Response]) -> dict[str, Any]:
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        said = "nothing"
        while time.monotonic() < deadline:
            try:
                answer = send()
            except httpx2.TransportError as error:
                said = repr(error)
            else:
                if answer.status_code == 200:
                    found: dict[str, Any] = answer.json()
                    return found
                said = f"{answer.status_code}: {answer.text}"
                if answer.status_code not in AGAIN:
                    raise AssertionError(said)
            time.sleep(RETRY_SECONDS)
        raise AssertionError(f"no answer in {WAIT_SECONDS_MAX:g} s, the last was {said}")


class Miner:
    """Blocks for the networks where something is going on, and for no other.

    Following a chain costs the house CPU time, and a node that mines by itself goes on while a
    test takes blocks away.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._nodes = [LocalRpc(url) for url in urls]
        self._busy: set[int] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._mine, name="miner")
        self._thread.start()

    @contextmanager
    def at(self, index: int) -> Iterator[None]:
        """Blocks for a network until the end of this; none is under way afterwards."""
        with self._lock:
            self._busy.add(index)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(index)

    @contextmanager
    def away_from(self, index: int) -> Iterator[None]:
        """No blocks for a network that has them all the time, until the end of this."""
        with self._lock:
            self._busy.discard(index)
        try:
            yield
        finally:
            with self._lock:
                self._busy.add(index)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for node in self._nodes:
            node.close()

    def _mine(self) -> None:
        while not self._stop.wait(BLOCK_SECONDS):
            with self._lock:
                for index in self._busy:
                    self._nodes[index].call("evm_mine")


@dataclass(slots=True)
class House:
    """A running sandbox."""

    process: subprocess.Popen[str]
    description: dict[str, Any]
    failpoints: Path
    stderr: Path
    sockets: Path
    environment: dict[str, str]
    miner: Miner
    _clients: list[httpx2.Client] = field(default_factory=list)
    _connection: psycopg.Connection[tuple[Any, ...]] | None = None

    @property
    def run_dir(self) -> Path:
        return Path(self.description["data_dir"]) / "run"

    @property
    def database_url(self) -> str:
        return str(self.description["database_url"])

    def network(self, index: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.description["networks"][index]
        return found

    def token(self, currency: str = "usdc", index: int = 0) -> str:
        """A token's contract, as the chain spells it."""
        tokens = self.network(index)["tokens"]
        return str(next(each["contract"] for each in tokens if each["currency"] == currency))

    @contextmanager
    def payer(self, index: int = 0) -> Iterator[Wallet]:
        network = self.network(index)
        with Wallet(network["rpc"], network["payer_private_key"]) as wallet:
            yield wallet

    def client(self, secret_key: str, *, account: str | None = None) -> Client:
        """A client of the API; ``account``: for which the operator's key acts."""
        headers = {"Authorization": f"Bearer {secret_key}"}
        if account is not None:
            headers["Stripe-Account"] = account
        http = httpx2.Client(base_url=self.description["api"], headers=headers, timeout=30)
        self._clients.append(http)
        return Client(http)

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]] | None:
        """What the database says; None while it is down.

        One connection as long as it lives: tests ask often, and each costs PostgreSQL a process.
        """
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self.database_url, autocommit=True)
            return self._connection.execute(statement, values).fetchall()
        except psycopg.OperationalError:
            self._hang_up()
            return None

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # Processes

    def pid(self, role: str) -> int | None:
        """The process of a role that is ready; None while it starts."""
        ending = "pid" if role == "postgres" else "ready"
        try:
            return int((self.run_dir / f"{role}.{ending}").read_text())
        except FileNotFoundError:
            return None

    def await_role(self, role: str, *, other_than: int | None = None) -> int:
        """Wait until a role is ready, as another process than the one that was killed."""

        def look() -> int | None:
            pid = self.pid(role)
            return None if pid == other_than or pid is None or is_gone(pid) else pid

        return await_value(look, f"the role {role} to be back")

    def kill(self, role: str) -> int:
        """SIGKILL a role; its process number."""
        pid = self.await_role(role)
        os.kill(pid, signal.SIGKILL)
        return pid

    def await_all(self) -> None:
        for role in ROLES:
            self.await_role(role)

    # Failpoints

    def arm(self, *names: str) -> None:
        """Let the next process that passes each place die there."""
        for name in names:
            (self.failpoints / f"{name}.fired").unlink(missing_ok=True)
            scratch = self.failpoints / f".{name}"
            scratch.write_text("kill")
            scratch.rename(self.failpoints / name)

    def await_fired(self, name: str) -> None:
        fired = self.failpoints / f"{name}.fired"
        await_true(fired.exists, f"the failpoint {name} to be passed")

    def disarm(self) -> None:
        for path in self.failpoints.iterdir():
            path.unlink(missing_ok=True)

    # Commands

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A ``sakk`` command beside the running house, with its ``DATABASE_URL``."""
        return subprocess.run(
            [sys.executable, "-m", "sakk.cli", *arguments],
            env={
                **self.environment,
                "DATABASE_URL": self.database_url,
                "SAKK_DATA_DIR": str(self.description["data_dir"]),
                "SAKK_KEYSTORE_PASSPHRASE_FILE": f"{self.description['data_dir']}/passphrase",
            },
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS_MAX,
            check=False,
        )

    def close(self) -> int:
        """SIGTERM, and the exit code."""
        self.miner.close()
        for client in self._clients:
            client.close()
        self._clients.clear()
        self._hang_up()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS_MAX)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()

    def said(self) -> str:
        return self.stderr.read_text("utf-8", "replace")[-8_000:]


def open_house(folder: Path, *, networks: int = 2) -> House:
    """Start a sandbox with quick leases, failpoints that a file arms, and blocks by ``miner``."""
    failpoints, sockets = folder / "failpoints", folder / "s"
    for path in (failpoints, sockets):
        path.mkdir(parents=True)
    environment = {
        **os.environ,
        "SAKK_FAILPOINT_DIR": str(failpoints),
        "SAKK_SOCKET_DIR": str(sockets),
        "SAKK_LEASE_SECONDS": str(LEASE_SECONDS),
        "SAKK_WEBHOOK_TIMEOUT_SECONDS": str(WEBHOOK_TIMEOUT_SECONDS),
        "SAKK_LOG_FORMAT": "json",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    environment.pop("DATABASE_URL", None)
    stderr = folder / "stderr"
    with stderr.open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "sakk.cli", "sandbox", "--json"),
                *("--networks", str(networks), "--block-time", "0"),
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_SECONDS_MAX)
    line = process.stdout.readline() if readable else ""
    if not line:
        process.kill()
        process.wait()
        process.stdout.close()
        raise AssertionError(f"the sandbox did not start: {stderr.read_text()[-8_000:]}")
    description = json.loads(line)
    miner = Miner([network["rpc"] for network in description["networks"]])
    return House(process, description, failpoints, stderr, sockets, environment, miner)
