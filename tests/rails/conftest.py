"""Clients of the EVM rail on the test's own chain, and a node that lies."""

from collections.abc import Callable, Iterator

import pytest

from sakk.rails.evm.rpc import Rpc
from tests.chain import Chain
from tests.rails.lying_node import LyingNode, lying_node

OpenRpc = Callable[..., Rpc]


def no_sleep(_seconds: float) -> None:
    """Back off in no time."""


@pytest.fixture
def open_rpc() -> Iterator[OpenRpc]:
    """Open clients that back off without waiting, and close them all at the end."""
    opened: list[Rpc] = []

    def open_one(*urls: str, timeout_seconds: float = 10.0) -> Rpc:
        opened.append(Rpc(urls, timeout_seconds=timeout_seconds, sleep=no_sleep))
        return opened[-1]

    yield open_one
    for rpc in opened:
        rpc.close()


@pytest.fixture
def rpc(chain: Chain, open_rpc: OpenRpc) -> Rpc:
    """A client of this test's chain."""
    return open_rpc(chain.rpc_url)


@pytest.fixture
def liar(chain: Chain) -> Iterator[LyingNode]:
    """A node in front of this test's chain that lies when told to."""
    with lying_node(chain.rpc_url) as node:
        yield node
