"""A local EVM node: anvil on a free loopback port, which keeps no state and outlives no parent."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from sakk.core import caip
from sakk.core.errors import Misconfigured, Unavailable
from sakk.rails.sandbox.rpc import LocalRpc, LocalRpcRefused

# Twelve words made for this sandbox alone, from SHA-256("sakk sandbox"): everyone knows the keys.
MNEMONIC = "pear fence panda extend wing maximum wing close inject zebra spring know"
# package.json's; its lock file holds the binary of one platform.
ANVIL_VERSION = "1.7.1"
LOCKED_PLATFORM = "linux-amd64"
ACCOUNTS = 10
NATIVE_COINS_EACH = 1_000_000_000
# EIP-7825, EIP-7702 and the rest of what Ethereum runs since December 2025.
HARDFORK = "osaka"
# `finalized` is two epochs behind the head, `safe` one: four blocks and two.
SLOTS_IN_AN_EPOCH = 2
BLOCK_GAS_LIMIT = 60_000_000
READY_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 5.0
POLL_SECONDS = 0.01
LOG_CHARACTERS_IN_ERROR = 2_000

_REPOSITORY = Path(__file__).resolve().parents[4]
_LEASH = Path(__file__).with_name("leash.py")
_LISTENING = "Listening on "


@dataclass
class LocalNode:
    """A running node; ``stop()`` ends it and removes what it wrote."""

    url: str
    network: str
    process: subprocess.Popen[bytes]
    directory: Path

    def log(self) -> str:
        """What the node has printed so far."""
        return _read(self.directory)

    def stop(self) -> None:
        """End the process and forget its files; safe to call again."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start_node(
    network: str,
    *,
    port: int = 0,
    block_time_seconds: float | None = None,
    automine: bool = False,
    log_calls: bool = False,
    hardfork: str = HARDFORK,
    block_gas_limit: int = BLOCK_GAS_LIMIT,
) -> LocalNode:
    """Start a node for an EVM network and wait until it answers.

    Blocks come every ``block_time_seconds`` (a fraction is allowed); without it, after each
    transaction when ``automine``, and otherwise only when asked (``anvil_mine``). ``port`` 0 is
    any free one. The node is killed when the calling thread ends, so start it from one that lives
    as long as the node shall. Misconfigured when there is no anvil or the network is not EVM's;
    Unavailable when it does not start.
    """
    if block_time_seconds is not None and automine:
        raise ValueError("automine and block_time_seconds exclude each other")
    binary = find_anvil()
    directory = Path(tempfile.mkdtemp(prefix="sakk-anvil-"))
    arguments = [
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--chain-id", str(_chain_id(network)), "--hardfork", hardfork),
        *("--mnemonic", MNEMONIC, "--accounts", str(ACCOUNTS)),
        *("--balance", str(NATIVE_COINS_EACH)),
        *("--slots-in-an-epoch", str(SLOTS_IN_AN_EPOCH)),
        *("--gas-limit", str(block_gas_limit)),
        *("--cache-path", str(directory / "cache"), "--no-request-size-limit"),
    ]
    if block_time_seconds is not None:
        arguments += ["--block-time", str(block_time_seconds)]
    elif not automine:
        arguments.append("--no-mining")
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), str(binary), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    node = LocalNode(url="", network=network, process=process, directory=directory)
    try:
        node.url = _await_ready(node)
        if not log_calls:
            with LocalRpc(node.url) as rpc:
                rpc.call("anvil_setLoggingEnabled", False)
    except BaseException:
        node.stop()
        raise
    return node


def find_anvil() -> Path:
    """The anvil binary: SAKK_ANVIL, else the npm package of this platform, else PATH."""
    named = os.environ.get("SAKK_ANVIL")
    if named is not None:
        if not os.access(named, os.X_OK):
            raise Misconfigured(f"SAKK_ANVIL names no program that can run: {named}")
        return Path(named)
    package = _REPOSITORY / "node_modules" / "@foundry-rs" / f"anvil-{_platform()}"
    bundled = package / "bin" / ("anvil.exe" if sys.platform == "win32" else "anvil")
    if os.access(bundled, os.X_OK):
        return bundled
    on_path = shutil.which("anvil")
    if on_path is not None:
        return Path(on_path)
    raise Misconfigured(
        f"the local chain needs anvil: run `{_install_command()}` in {_REPOSITORY}, "
        "or put anvil on PATH, or name its binary in SAKK_ANVIL"
    )


def _install_command() -> str:
    if _platform() == LOCKED_PLATFORM:
        return "npm ci"
    return f"npm install --no-save @foundry-rs/anvil-{_platform()}@{ANVIL_VERSION}"


def _platform() -> str:
    """The npm package's name for this machine, e.g. linux-amd64."""
    machine = platform.machine().lower()
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    return f"{sys.platform}-{architecture}"


def _chain_id(network: str) -> int:
    try:
        return caip.chain_id(network)
    except ValueError as error:
        raise Misconfigured(f"a local node needs an EVM network: {error}") from error


def _await_ready(node: LocalNode) -> str:
    """Wait for the port in the log, then for an answer with the right chain id."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        if node.process.poll() is not None:
            raise Unavailable(f"anvil ended with {node.process.returncode}: {_tail(node)}")
        url = _url(node.log())
        if url is not None and _answers(url, node.network):
            return url
        time.sleep(POLL_SECONDS)
    raise Unavailable(f"anvil did not answer within {READY_SECONDS_MAX:g} s: {_tail(node)}")


def _url(log: str) -> str | None:
    for line in log.splitlines(keepends=True):
        if line.startswith(_LISTENING) and line.endswith("\n"):
            return f"http://{line.removeprefix(_LISTENING).strip()}"
    return None


def _answers(url: str, network: str) -> bool:
    with LocalRpc(url) as rpc:
        try:
            chain_id = int(rpc.call("eth_chainId"), 16)
        except (Unavailable, LocalRpcRefused):
            return False
    return caip.evm_network(chain_id) == network


def _tail(node: LocalNode) -> str:
    return node.log()[-LOG_CHARACTERS_IN_ERROR:].strip() or "it printed nothing"


def _read(directory: Path) -> str:
    try:
        return (directory / "log").read_text(errors="replace")
    except FileNotFoundError:
        return ""
