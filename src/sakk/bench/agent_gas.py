"""Rows of ``sakk bench agent``: what a call costs in gas on channels in the escrow.

On a chain of its own, by the calldata that the facilitator and the redemption stage send: a deposit
by ERC-3009 opens each channel, and what its calls were charged is claimed and paid to the receiver
in one transaction. Gas follows from the transactions alone, so a channel of ten thousand calls is
one voucher over ten thousand prices. A local chain counts gas as every chain does: one measurement
is exact. The receiver was paid before and is empty again, since it is swept; the escrow holds coins
of others. The token is Circle's behind its proxy, the escrow is ours by the public ABI.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from coincurve import PrivateKey

from sakk.bench.escrow_payer import EscrowPayer
from sakk.bench.figures import WrongResult, cost
from sakk.core.caip import chain_id, evm_network
from sakk.core.disperse import TRANSACTION_GAS_MAX
from sakk.core.escrow import (
    ESCROW,
    ChannelConfig,
    Claim,
    encode_claim,
    encode_deposit,
    encode_multicall,
    encode_settle,
)
from sakk.rails.sandbox.chain import SandboxChain, deploy, mine_until
from sakk.rails.sandbox.node import start_node
from sakk.rails.sandbox.wallet import Wallet

CHAIN: Final = 31337
CALLS: Final = (1, 100, 10_000)
TOGETHER: Final = 10
PRICE_UNITS: Final = 1
DELAY_SECONDS: Final = 86_400
FUNDS_WEI: Final = 10**20

Say = Callable[[str], None]


def measure(say: Say, *, calls: Sequence[int] = CALLS) -> list[dict[str, Any]]:
    """The lines of ``results``; WrongResult unless each redemption paid what was charged."""
    with _opened() as till:
        # The first redemption for a receiver writes words of storage that later ones find, and the
        # first coins in the escrow one more.
        till.open(1)
        till.redeem(1, 1)
        results = []
        for number in calls:
            for together, suffix in ((TOGETHER, ""), (1, "_alone")):
                say(f"gas: {number} calls a channel, {together} channels a redemption")
                each = till.redeem(number, together) / (number * together)
                results.append(cost(f"gas_per_call_{number}{suffix}", "gas/call", [each]))
        return results


@contextmanager
def _opened() -> "Iterator[Till]":
    network = evm_network(CHAIN)
    with start_node(network) as node:
        chain = deploy(node.url, network)
        with (
            Wallet(chain.rpc_url, chain.payer_private_key) as wallet,
            Wallet(chain.rpc_url, "0x" + secrets.token_hex(32)) as receiver,
        ):
            receiver.rpc.call("anvil_setBalance", receiver.address, hex(FUNDS_WEI))
            yield Till(chain, wallet, receiver)


class Till:
    """Channels of one payer to one receiver, and whoever sends for both."""

    def __init__(self, chain: SandboxChain, wallet: Wallet, receiver: Wallet) -> None:
        self._wallet, self._receiver = wallet, receiver
        domain = chain.usdc.eip712
        assert domain is not None
        self._payer = EscrowPayer(
            key=PrivateKey(bytes.fromhex(chain.payer_private_key[2:])),
            chain=chain_id(chain.network),
            token=chain.usdc.contract.lower(),
            domain=(domain.name, domain.version),
        )

    def redeem(self, calls: int, channels: int) -> int:
        """Open so many channels, charge so many calls on each, and claim them: the gas of it."""
        units = calls * PRICE_UNITS
        gas, claims = 0, []
        for _ in range(channels):
            config, used = self.open(units)
            gas += used
            claims.append(Claim(config, units, self._payer.voucher(config, units), units))
        settle = encode_settle(self._receiver.address.lower(), self._payer.token)
        gas += self._send(encode_multicall([encode_claim(claims), settle]))
        paid = self._wallet.balance_of(self._payer.token, self._receiver.address)
        if paid != units * channels:
            raise WrongResult(f"{units * channels} units were charged, and {paid} paid")
        swept = self._receiver.transfer(self._payer.token, self._wallet.address, paid)
        mine_until(self._receiver, swept)
        return gas

    def open(self, units: int) -> tuple[ChannelConfig, int]:
        """Open a channel with so many units in it; what that took."""
        config = self._payer.channel(
            receiver=self._receiver.address, authorizer=self._payer.address, delay=DELAY_SECONDS
        )
        data = encode_deposit(config, units, self._payer.authorization(config, units))
        return config, self._send(data)

    def _send(self, data: bytes) -> int:
        sent = self._wallet.send_data(ESCROW, data, gas_limit=TRANSACTION_GAS_MAX)
        return int(mine_until(self._wallet, sent)["gasUsed"], 16)
