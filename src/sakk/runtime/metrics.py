"""Prometheus metrics of all processes, read at the API's ``/metrics``.

Any floor declares its counters with ``prometheus_client`` where it counts. The supervisor names
one folder in ``PROMETHEUS_MULTIPROC_DIR`` for all its children; each writes its numbers there in
memory-mapped files, and whichever process is asked adds them up. The client reads the variable
when it is imported, so it must stand in the environment before the interpreter starts.
"""

import os
import shutil
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Gauge
from prometheus_client import generate_latest as _generate
from prometheus_client.multiprocess import MultiProcessCollector

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_restarts = Gauge(
    "sakk_role_restarts",
    "How often the supervisor had to start this role again.",
    ["role"],
    multiprocess_mode="mostrecent",
)


def prepare_folder(folder: Path) -> dict[str, str]:
    """An empty folder for this run's numbers; returns what children need in their environment."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    return {VARIABLE: str(folder)}


def announce_role(role: str) -> None:
    """Called once by each role at its start."""
    _restarts.labels(role).set(int(os.environ.get("SAKK_RESTARTS", "0")))


def exposition() -> bytes:
    """The numbers of all processes of this run, in Prometheus's text format."""
    if VARIABLE not in os.environ:
        return _generate(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return _generate(registry)
