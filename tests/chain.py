"""Real chains for the tests: one anvil a run, put back after each test, and more on demand.

``chain`` mines only when asked (``chain.mine(n)``) and forgets everything after the test.
``start_chain`` starts further nodes, for another network, block time or fault.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Protocol

import pytest

from sakk.rails.sandbox.chain import SandboxChain, deploy
from sakk.rails.sandbox.node import HARDFORK, LocalNode, start_node
from sakk.rails.sandbox.rpc import LocalRpc
from sakk.rails.sandbox.wallet import Wallet

NETWORK = "eip155:84532"
# Mined before a test begins, so that `finalized` (four blocks back) is a block of the test's own.
BLOCKS_FIRST = 6
TESTS_PER_NODE = 20


class Chain:
    """A local chain with its contracts, and what a test does to it."""

    def __init__(self, node: LocalNode, contracts: SandboxChain) -> None:
        self.node = node
        self.contracts = contracts
        self.network = node.network
        self.rpc_url = node.url
        self.rpc = LocalRpc(node.url)
        self._wallets: dict[str, Wallet] = {}
        self._miners = 0xA000
        # Blocks up to here belong to what a revert goes back to.
        self._base = self.height()

    @property
    def payer(self) -> Wallet:
        """The wallet that holds native coin, USDC and USDT."""
        return self.wallet(self.contracts.payer_private_key)

    @property
    def issuer(self) -> Wallet:
        """The wallet that owns, mints and governs the tokens."""
        return self.wallet(self.contracts.issuer_private_key)

    def wallet(self, private_key: str) -> Wallet:
        """The one wallet of a key on this chain."""
        if private_key not in self._wallets:
            self._wallets[private_key] = Wallet(self.rpc_url, private_key)
        return self._wallets[private_key]

    def height(self) -> int:
        """The number of the latest block."""
        return int(self.rpc.call("eth_blockNumber"), 16)

    def block_hash(self, number: int) -> str:
        """The hash of the block that stands at a height now."""
        return str(self.rpc.call("eth_getBlockByNumber", hex(number), False)["hash"])

    def mine(self, blocks: int = 1) -> int:
        """Mine blocks, the first with all that waits; the new height."""
        self.rpc.call("anvil_mine", hex(blocks))
        return self.height()

    def set_automine(self, enabled: bool) -> None:
        """Whether each transaction gets a block at once."""
        self.rpc.call("evm_setAutomine", enabled)

    def reorg(self, depth: int, *, again: Sequence[str] = ()) -> None:
        """Replace the last ``depth`` blocks by as many others.

        Their transactions are gone for ever, as far as the node is concerned, except those whose
        hashes are in ``again``: these stand in the first of the new blocks.
        """
        self._check_depth(depth)
        # Another miner: blocks with the same parent, time and transactions would be the old ones.
        self._miners += 1
        self.rpc.call("anvil_setCoinbase", f"0x{self._miners:040x}")
        kept = [[self.rpc.call("eth_getRawTransactionByHash", each), 0] for each in again]
        self.rpc.call("anvil_reorg", depth, kept)
        self._forget_nonces()

    def rollback(self, depth: int) -> None:
        """Take the last ``depth`` blocks away, so that the chain is shorter than before."""
        self._check_depth(depth)
        self.rpc.call("anvil_rollback", depth)
        self._forget_nonces()

    def snapshot(self) -> str:
        """Remember the chain as it is; good for one revert."""
        self._base = self.height()
        return str(self.rpc.call("evm_snapshot"))

    def revert(self, snapshot: str) -> None:
        """Put the chain back, with no transaction waiting and no mining by itself."""
        # Neither the pool nor the way of mining is part of anvil's snapshots.
        self.set_automine(False)
        self.rpc.call("anvil_dropAllTransactions")
        assert self.rpc.call("evm_revert", snapshot), "the chain forgot its snapshot"
        # Its clock went back to that block's time, further with each test.
        self.rpc.call("evm_setTime", int(time.time()))
        self._forget_nonces()

    def close(self) -> None:
        """Close the connections; the node runs on."""
        for wallet in self._wallets.values():
            wallet.close()
        self.rpc.close()

    def _check_depth(self, depth: int) -> None:
        # anvil drops a snapshot whose block is no longer in the chain.
        depth_max = self.height() - self._base
        assert depth <= depth_max, f"only {depth_max} blocks are this test's own: mine more first"

    def _forget_nonces(self) -> None:
        for wallet in self._wallets.values():
            wallet.forget_nonce()


class SharedNode:
    """The run's node, made anew after so many tests: anvil forgets states of long ago."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._chain: Chain | None = None
        self._tests = 0

    def chain(self) -> Chain:
        """The chain for one more test."""
        if self._chain is None or self._tests >= TESTS_PER_NODE:
            self.close()
            node = self._stack.enter_context(start_node(NETWORK))
            self._chain = Chain(node, deploy(node.url, node.network))
            self._stack.callback(self._chain.close)
            self._tests = 0
        self._tests += 1
        return self._chain

    def close(self) -> None:
        self._stack.close()
        self._chain = None


@pytest.fixture(scope="session")
def shared_node() -> Iterator[SharedNode]:
    """The node that tests share one after the other: use ``chain`` instead."""
    shared = SharedNode()
    yield shared
    shared.close()


@pytest.fixture
def chain(shared_node: SharedNode) -> Iterator[Chain]:
    """A chain of this test's own, mined by hand."""
    chain = shared_node.chain()
    snapshot = chain.snapshot()
    chain.mine(BLOCKS_FIRST)
    yield chain
    chain.revert(snapshot)


class StartChain(Protocol):
    """Starts one more chain, which ends with the test."""

    def __call__(
        self,
        network: str = "eip155:31337",
        *,
        block_time_seconds: float | None = None,
        automine: bool = False,
        hardfork: str = HARDFORK,
    ) -> Chain: ...


@pytest.fixture
def start_chain() -> Iterator[StartChain]:
    """Start more chains: ``start_chain("eip155:31337", block_time_seconds=0.2)``."""
    with ExitStack() as stack:

        def start(
            network: str = "eip155:31337",
            *,
            block_time_seconds: float | None = None,
            automine: bool = False,
            hardfork: str = HARDFORK,
        ) -> Chain:
            node = stack.enter_context(
                start_node(
                    network,
                    block_time_seconds=block_time_seconds,
                    automine=automine,
                    hardfork=hardfork,
                )
            )
            started = Chain(node, deploy(node.url, node.network))
            stack.callback(started.close)
            return started

        yield start
