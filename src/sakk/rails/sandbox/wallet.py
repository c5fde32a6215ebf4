"""The other side's wallet on a local chain: signs with eth-account and counts its own nonces.

It is what a payer has, and shares no code with the product's own signing, watching and encoding,
so that the tests have a second source of the truth.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from eth_abi.abi import decode, encode
from eth_account import Account
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from sakk.core.errors import SakkError
from sakk.rails.sandbox.rpc import LocalRpc

# Far above what a local chain asks, so that a queue of transactions outlives a rising base fee.
MAX_FEE_PER_GAS_WEI = 1_000 * 10**9
PRIORITY_FEE_PER_GAS_WEI = 10**9
NATIVE_GAS_LIMIT = 21_000
# The real USDC takes about 62,000 for a first-time holder behind its proxy.
TOKEN_GAS_LIMIT = 150_000
# An estimate on today's state can fall short when an earlier transaction is still waiting.
GAS_MARGIN_PERCENT = 20
WAIT_SECONDS_MAX = 30.0
POLL_SECONDS = 0.01

Receipt = dict[str, Any]


class TransactionReverted(SakkError):
    """The transaction was mined and failed; ``receipt`` is the node's."""

    code = "transaction_reverted"

    def __init__(self, message: str, *, receipt: Receipt) -> None:
        super().__init__(message)
        self.receipt = receipt


@dataclass(frozen=True, slots=True)
class Transfer:
    """An ERC-20 transfer to send: ``units`` are the token's atomic units."""

    token: str
    to: str
    units: int


class Wallet:
    """A private key on one chain. Not shared between threads; one wallet a key at a time.

    Nonces are counted here from the first use, so that hundreds of transactions can wait for one
    block; after the chain is rolled back or reverted, call ``forget_nonce()``.
    """

    def __init__(self, rpc_url: str, private_key: str) -> None:
        self.rpc = LocalRpc(rpc_url)
        self.private_key = private_key
        self._account = Account.from_key(private_key)
        self.address: str = self._account.address
        self._chain_id: int | None = None
        self._nonce: int | None = None

    def transfer(self, token: str, to: str, units: int) -> str:
        """Send ERC-20 tokens; the transaction's hash, before it is mined."""
        return self.transfer_many([Transfer(token, to, units)])[0]

    def transfer_many(self, transfers: Sequence[Transfer]) -> list[str]:
        """Send many ERC-20 transfers, one transaction each, in one batch; hashes in order."""
        signed = [
            self._sign(
                to=transfer.token,
                data=encode_call("transfer(address,uint256)", transfer.to, transfer.units),
                gas_limit=TOKEN_GAS_LIMIT,
            )
            for transfer in transfers
        ]
        return self._broadcast(signed)

    def send_native(self, to: str, wei: int) -> str:
        """Send native coin to an address without code; the hash, before it is mined."""
        return self._broadcast([self._sign(to=to, value=wei, gas_limit=NATIVE_GAS_LIMIT)])[0]

    def call_contract(
        self,
        contract: str,
        signature: str,
        *arguments: Any,
        value_wei: int = 0,
        gas_limit: int | None = None,
    ) -> str:
        """Send a call such as ``"approve(address,uint256)"``; the hash, before it is mined.

        Without ``gas_limit`` the node estimates it, and refuses a call that would revert now
        (LocalRpcRefused); with it the call is sent whatever will become of it.
        """
        data = encode_call(signature, *arguments)
        if gas_limit is None:
            gas_limit = self._estimate(to=contract, data=data, value=value_wei)
        return self.send_data(contract, data, value_wei=value_wei, gas_limit=gas_limit)

    def send_data(self, to: str, data: bytes, *, gas_limit: int, value_wei: int = 0) -> str:
        """Send calldata as it is; the hash, before it is mined."""
        signed = self._sign(to=to, data=data, value=value_wei, gas_limit=gas_limit)
        return self._broadcast([signed])[0]

    def create(self, code: bytes) -> str:
        """Create a contract from its bytecode and encoded arguments; the transaction's hash."""
        gas_limit = self._estimate(to=None, data=code, value=0)
        return self._broadcast([self._sign(to=None, data=code, gas_limit=gas_limit)])[0]

    def read(
        self, contract: str, signature: str, *arguments: Any, returns: Sequence[str]
    ) -> tuple[Any, ...]:
        """Ask a contract at the latest block; ``returns`` names the types of the answer."""
        request = {"to": contract, "data": _hex(encode_call(signature, *arguments))}
        answer = bytes.fromhex(self.rpc.call("eth_call", request, "latest")[2:])
        return tuple(decode(list(returns), answer))

    def balance_of(self, token: str, holder: str) -> int:
        """Atomic units of a token that an address holds at the latest block."""
        (units,) = self.read(token, "balanceOf(address)", holder, returns=["uint256"])
        return int(units)

    def native_balance(self, holder: str) -> int:
        """Wei that an address holds at the latest block."""
        return int(self.rpc.call("eth_getBalance", holder, "latest"), 16)

    def wait(
        self,
        transaction_hash: str,
        *,
        must_succeed: bool = True,
        timeout_seconds: float = WAIT_SECONDS_MAX,
    ) -> Receipt:
        """Wait until a transaction is mined and return its receipt; it does not mine.

        TransactionReverted when it failed, unless ``must_succeed`` is false; TimeoutError when no
        block has it in time.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            receipt: Receipt | None = self.rpc.call("eth_getTransactionReceipt", transaction_hash)
            if receipt is not None:
                break
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{transaction_hash} is in no block after {timeout_seconds:g} s; "
                    "does the chain mine?"
                )
            time.sleep(POLL_SECONDS)
        if must_succeed and int(receipt["status"], 16) != 1:
            raise TransactionReverted(f"{transaction_hash} was reverted", receipt=receipt)
        return receipt

    def forget_nonce(self) -> None:
        """Ask the node for the next nonce again."""
        self._nonce = None

    def close(self) -> None:
        """Close the connection."""
        self.rpc.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _sign(
        self, *, to: str | None, gas_limit: int, data: bytes = b"", value: int = 0
    ) -> tuple[str, int]:
        """Sign with the next nonce, counted from here; the raw transaction and its nonce."""
        if self._chain_id is None:
            self._chain_id = int(self.rpc.call("eth_chainId"), 16)
        if self._nonce is None:
            count = self.rpc.call("eth_getTransactionCount", self.address, "pending")
            self._nonce = int(count, 16)
        transaction: dict[str, Any] = {
            "type": 2,
            "chainId": self._chain_id,
            "nonce": self._nonce,
            "maxPriorityFeePerGas": PRIORITY_FEE_PER_GAS_WEI,
            "maxFeePerGas": MAX_FEE_PER_GAS_WEI,
            "gas": gas_limit,
            "value": value,
            "data": data,
        }
        if to is not None:
            transaction["to"] = to_checksum_address(to)
        signed = self._account.sign_transaction(transaction)
        self._nonce += 1
        return _hex(bytes(signed.raw_transaction)), self._nonce - 1

    def _broadcast(self, signed: Sequence[tuple[str, int]]) -> list[str]:
        try:
            return self.rpc.batch([("eth_sendRawTransaction", [raw]) for raw, _ in signed])
        except SakkError:
            # Some may stand in the pool and some not: the node alone knows where to go on.
            self.forget_nonce()
            raise

    def _estimate(self, *, to: str | None, data: bytes, value: int) -> int:
        request = {"from": self.address, "data": _hex(data), "value": hex(value)}
        if to is not None:
            request["to"] = to
        estimate = int(self.rpc.call("eth_estimateGas", request, "pending"), 16)
        return estimate + estimate * GAS_MARGIN_PERCENT // 100


def encode_call(signature: str, *arguments: Any) -> bytes:
    """Calldata of a function by its signature, e.g. ``encode_call("mint(address,uint256)", …)``."""
    match = re.fullmatch(r"\w+\((.*)\)", signature)
    if match is None:
        raise ValueError(f"not a function's signature: {signature!r}")
    return keccak(text=signature)[:4] + encode(_split(match[1]), list(arguments))


def _split(types: str) -> list[str]:
    """Split the types of a signature at its outermost commas."""
    parts, depth, start = [], 0, 0
    for place, character in enumerate(types):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(types[start:place])
            start = place + 1
    return [*parts, types[start:]] if types else []


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
