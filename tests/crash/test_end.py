"""The end of the tree: killed, nothing of it stays. How it goes when it is asked to: `conftest`."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.crash.house import (
    ROLES,
    STOP_SECONDS_MAX,
    House,
    await_true,
    descendants,
    is_gone,
    open_house,
)

# The supervisor's own roles, PostgreSQL, a node.
PROCESSES_MIN = len(ROLES) + 2


@pytest.fixture
def own_house(short_folder: Path) -> Iterator[House]:
    """A sandbox that ends in the test."""
    opened = open_house(short_folder, networks=1)
    try:
        yield opened
    finally:
        opened.close()


def _ports(house: House) -> list[int]:
    urls = [house.description["api"], house.network()["rpc"]]
    return [port for url in urls if (port := urlsplit(url).port) is not None]


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _is_forked(house: House, role: str) -> bool:
    """Is it the nursery's child, and not the supervisor's own?"""
    status = Path(f"/proc/{house.pid(role)}/stat").read_text()
    return int(status.rpartition(")")[2].split()[1]) != house.process.pid


def test_with_the_sandbox_that_is_killed_all_its_processes_end(own_house: House) -> None:
    processes = descendants(own_house.process.pid)
    assert len(processes) >= PROCESSES_MIN
    assert {own_house.pid(role) for role in ROLES} <= processes
    assert [_is_forked(own_house, role) for role in ROLES] == [role != "signer" for role in ROLES]
    assert all(_answers(port) for port in _ports(own_house))
    os.kill(own_house.process.pid, signal.SIGKILL)
    code = own_house.process.wait(STOP_SECONDS_MAX)
    assert code == -signal.SIGKILL, own_house.said()
    await_true(lambda: all(map(is_gone, processes)), "the kernel to end the orphans", 10)
    ports = _ports(own_house)
    await_true(lambda: not any(map(_answers, ports)), "the kernel to give the ports back", 10)
