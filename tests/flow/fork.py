"""Two branches of a chain that can be swapped at will, the same blocks to the bit each time.

``Chain.reorg`` always makes new blocks, and anvil loses the code of contracts on its way when the
blocks before were many; here it goes back to a snapshot.
"""

from collections.abc import Callable
from datetime import timedelta

from tests.flow.harness import World


class Fork:
    """Branch A holds a transaction, branch B does not, and the chain can be put on either."""

    def __init__(self, world: World, send: Callable[[], str]) -> None:
        self._world, self._rpc = world, world.chain.rpc
        # A minute on, so that the times of both branches lie ahead of the block they fork from.
        world.advance(timedelta(seconds=60))
        self._stamp = int(world.clock().timestamp()) + 100
        self._snapshot = self._rpc.call("evm_snapshot")
        transaction = send()
        self._raw = self._rpc.call("eth_getRawTransactionByHash", transaction)
        self._mine_it()
        self.height = world.chain.height()
        self.hash = world.chain.block_hash(self.height)

    def to_b(self, blocks: int) -> None:
        """The chain without it."""
        self._go_back()
        self._rpc.call("evm_setNextBlockTimestamp", self._stamp + 7)
        self._world.mine(blocks)

    def to_a(self, blocks: int) -> None:
        """The same block as before, to the bit, and more upon it."""
        self._go_back()
        self._rpc.call("eth_sendRawTransaction", self._raw)
        self._mine_it()
        assert self._world.chain.block_hash(self.height) == self.hash
        self._world.mine(blocks - 1)

    def _mine_it(self) -> None:
        self._rpc.call("evm_setNextBlockTimestamp", self._stamp)
        self._rpc.call("anvil_setNextBlockBaseFeePerGas", hex(10**9))
        self._world.mine()

    def _go_back(self) -> None:
        assert self._rpc.call("evm_revert", self._snapshot)
        self._snapshot = self._rpc.call("evm_snapshot")
        self._world.chain.payer.forget_nonce()
