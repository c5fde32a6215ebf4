"""A payer of escrow channels: what it signs, and what it does on the chain."""

import secrets
from dataclasses import dataclass, field

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_typing import Hash32

from sakk.core.caip import chain_id
from sakk.core.escrow import (
    COLLECTOR,
    ESCROW,
    Authorization,
    ChannelConfig,
    ChannelState,
    channel_id,
    deposit_nonce,
    voucher_digest,
)
from sakk.flow.escrow_channel import Deposit
from sakk.rails.evm.escrow import read_states
from sakk.rails.evm.rpc import Rpc
from sakk.rails.sandbox.chain import mine_until, mint
from sakk.rails.sandbox.wallet import encode_call
from tests.chain import Chain

CONFIG = "(address,address,address,address,address,uint40,bytes32)"
FOR_EVER = 1 << 40
RECEIVE = [
    {"name": "from", "type": "address"},
    {"name": "to", "type": "address"},
    {"name": "value", "type": "uint256"},
    {"name": "validAfter", "type": "uint256"},
    {"name": "validBefore", "type": "uint256"},
    {"name": "nonce", "type": "bytes32"},
]


def sign_digest(account: LocalAccount, digest: bytes) -> bytes:
    return bytes(account.unsafe_sign_hash(Hash32(digest)).signature)


@dataclass
class Payer:
    """A key with USDC, and one channel of it."""

    chain: Chain
    receiver: str
    authorizer: str
    delay: int
    account: LocalAccount = field(
        default_factory=lambda: Account.from_key("0x" + secrets.token_hex(32))
    )
    salt: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    # Whose coins they are, where the key is not their holder's own.
    holder: str | None = None

    def fund(self, units: int) -> "Payer":
        mint(self.chain.contracts, self.chain.contracts.usdc, self.address, units)
        self.chain.rpc.call("anvil_setBalance", self.account.address, hex(10**20))
        return self

    @property
    def address(self) -> str:
        return str(self.account.address).lower()

    @property
    def config(self) -> ChannelConfig:
        return ChannelConfig(
            payer=self.holder or self.address,
            payer_authorizer=self.address,
            receiver=self.receiver,
            receiver_authorizer=self.authorizer,
            token=self.chain.contracts.usdc.contract.lower(),
            withdraw_delay=self.delay,
            salt=self.salt,
        )

    @property
    def channel(self) -> bytes:
        return channel_id(self.config, chain_id(self.chain.network))

    def voucher(self, ceiling: int) -> bytes:
        return sign_digest(
            self.account, voucher_digest(self.channel, ceiling, chain_id(self.chain.network))
        )

    def authorization(self, units: int) -> Authorization:
        salt = secrets.randbits(256)
        domain = {
            "name": "USDC",
            "version": "2",
            "chainId": chain_id(self.chain.network),
            "verifyingContract": self.chain.contracts.usdc.contract,
        }
        message = {
            "from": self.holder or self.account.address,
            "to": COLLECTOR,
            "value": units,
            "validAfter": 0,
            "validBefore": FOR_EVER,
            "nonce": deposit_nonce(self.channel, salt),
        }
        typed = encode_typed_data(domain, {"ReceiveWithAuthorization": RECEIVE}, message)
        signed = Account.sign_message(typed, self.account.key)
        return Authorization(0, FOR_EVER, salt, bytes(signed.signature))

    def deposit(self, units: int, ceiling: int) -> Deposit:
        return Deposit(
            self.config, ceiling, self.voucher(ceiling), units, self.authorization(units)
        )

    def state(self) -> ChannelState:
        rpc = Rpc([self.chain.rpc_url])
        try:
            return read_states(rpc, [self.channel])[0]
        finally:
            rpc.close()

    def withdraw(self, units: int) -> None:
        """Begin the payer's own way out."""
        self.call(encode_call(f"initiateWithdraw({CONFIG},uint128)", self._words, units))

    def finish_withdrawal(self) -> None:
        self.call(encode_call(f"finalizeWithdraw({CONFIG})", self._words))

    @property
    def _words(self) -> tuple[object, ...]:
        config = self.config
        return (
            config.payer,
            config.payer_authorizer,
            config.receiver,
            config.receiver_authorizer,
            config.token,
            config.withdraw_delay,
            config.salt,
        )

    def call(self, data: bytes) -> None:
        wallet = self.chain.wallet(self.account.key.hex())
        mine_until(wallet, wallet.send_data(ESCROW, data, gas_limit=500_000))
