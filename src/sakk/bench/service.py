"""A server that a bench asks: one worker of granian, of an application that is made there."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import httpx2

from sakk.bench.figures import WrongResult

READY_SECONDS_MAX: Final = 60.0
LOOK_SECONDS: Final = 0.05


@contextmanager
def serving(factory: str, environment: Mapping[str, str], *, ready: str) -> Iterator[str]:
    """Its address, until the block ends. ``ready``: the path that answers 200 when it serves."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "granian", "--interface", "asgi", "--factory"),
            *("--host", "127.0.0.1", "--port", str(port), "--no-ws", "--no-log"),
            *("--workers", "1", "--loop", "uvloop"),
            factory,
        ],
        env={**os.environ, **environment},
    )
    try:
        _await_ready(url + ready, process)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(READY_SECONDS_MAX)
        finally:
            process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(url).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(LOOK_SECONDS)
    raise WrongResult("the service did not become ready")
