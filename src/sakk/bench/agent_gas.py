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
from itertools import count
from typing import Any, Final

from coincurve import PrivateKey

from sakk.bench.figures import WrongResult, cost
from sakk.core import evm
from sakk.core.caip import chain_id, evm_network
from sakk.core.disperse import TRANSACTION_GAS_MAX
from sakk.core.eip3009 import domain_separator
from sakk.core.escrow import (
    COLLECTOR,
    ESCROW,
    Authorization,
    ChannelConfig,
    Claim,
    channel_id,
    deposit_nonce,
    encode_claim,
    encode_deposit,
    encode_multicall,
    encode_settle,
    voucher_digest,
)
from sakk.rails.sandbox.chain import SandboxChain, deploy, mine_until
from sakk.rails.sandbox.node import start_node
from sakk.rails.sandbox.wallet import Wallet

CHAIN: Final = 31337
CALLS: Final = (1, 100, 10_000)
TOGETHER: Final = 10
PRICE_UNITS: Final = 1
DELAY_SECONDS: Final = 86_400
FOR_EVER: Final = 1 << 40
FUNDS_WEI: Final = 10**20
_RECEIVE_TYPE: Final = evm.keccak256(
    b"ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,"
    b"uint256 validBefore,bytes32 nonce)"
)

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
        self._chain = chain_id(chain.network)
        self._token = chain.usdc.contract.lower()
        self._key = PrivateKey(bytes.fromhex(chain.payer_private_key[2:]))
        self._payer = evm.public_key_address(self._key.public_key.format(compressed=False))
        domain = chain.usdc.eip712
        assert domain is not None
        self._separator = domain_separator(domain.name, domain.version, self._chain, self._token)
        self._salts = count(1)

    def redeem(self, calls: int, channels: int) -> int:
        """Open so many channels, charge so many calls on each, and claim them: the gas of it."""
        units = calls * PRICE_UNITS
        gas, claims = 0, []
        for _ in range(channels):
            config, used = self.open(units)
            gas += used
            claims.append(Claim(config, units, self._voucher(config, units), units))
        settle = encode_settle(self._receiver.address.lower(), self._token)
        gas += self._send(encode_multicall([encode_claim(claims), settle]))
        paid = self._wallet.balance_of(self._token, self._receiver.address)
        if paid != units * channels:
            raise WrongResult(f"{units * channels} units were charged, and {paid} paid")
        swept = self._receiver.transfer(self._token, self._wallet.address, paid)
        mine_until(self._receiver, swept)
        return gas

    def open(self, units: int) -> tuple[ChannelConfig, int]:
        """Open a channel with so many units in it; what that took."""
        config = self._config()
        data = encode_deposit(config, units, self._authorization(config, units))
        return config, self._send(data)

    def _config(self) -> ChannelConfig:
        return ChannelConfig(
            payer=self._payer,
            payer_authorizer=self._payer,
            receiver=self._receiver.address.lower(),
            receiver_authorizer=self._payer,
            token=self._token,
            withdraw_delay=DELAY_SECONDS,
            salt=evm.keccak256(next(self._salts).to_bytes(32, "big")),
        )

    def _voucher(self, config: ChannelConfig, units: int) -> bytes:
        return self._sign(voucher_digest(channel_id(config, self._chain), units, self._chain))

    def _authorization(self, config: ChannelConfig, units: int) -> Authorization:
        salt = secrets.randbits(256)
        words = (
            bytes(12) + bytes.fromhex(self._payer[2:]),
            bytes(12) + bytes.fromhex(COLLECTOR[2:]),
            units.to_bytes(32, "big"),
            bytes(32),
            FOR_EVER.to_bytes(32, "big"),
            deposit_nonce(channel_id(config, self._chain), salt),
        )
        content = evm.keccak256(_RECEIVE_TYPE + b"".join(words))
        signed = self._sign(evm.keccak256(b"\x19\x01" + self._separator + content))
        return Authorization(0, FOR_EVER, salt, signed)

    def _sign(self, digest: bytes) -> bytes:
        compact = self._key.sign_recoverable(digest, hasher=None)
        return compact[:64] + bytes([27 + compact[64]])

    def _send(self, data: bytes) -> int:
        sent = self._wallet.send_data(ESCROW, data, gas_limit=TRANSACTION_GAS_MAX)
        return int(mine_until(self._wallet, sent)["gasUsed"], 16)
