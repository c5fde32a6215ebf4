"""The sweeps' half of ``sakk bench gas``: what a deposit costs to collect, by the way it goes.

``key``: a top-up and a transfer by the address's own key. ``hub``: EIP-7702, the first time with
the address's authorization and then without. ``clone``: EIP-1167 clones, where a chain has no
EIP-7702.
"""

from collections.abc import Callable, Sequence
from typing import Any

from eth_account import Account

from sakk.bench.figures import WrongResult, cost
from sakk.core import clone, evm, hub
from sakk.core.hub import Item
from sakk.rails.evm.clone import factory_deployment, factory_of
from sakk.rails.evm.contract import contract_address, deployment
from sakk.rails.evm.hub import delegate_of
from sakk.rails.sandbox.chain import SandboxChain, mine_until
from sakk.rails.sandbox.wallet import Transfer, Wallet

UNITS = 25_000_000
DEPLOY_GAS_LIMIT = 3_000_000
DELAY_SECONDS = 86_400
FUEL_WEI = 10**18

Say = Callable[[str], None]


def measure_sweeps(
    chain: SandboxChain, payer: Wallet, sizes: Sequence[int], *, say: Say
) -> list[dict[str, Any]]:
    """Gas per deposit: by its key, by the hub, and as a clone; of each the first time and later."""
    bench = _Bench(chain, payer)
    say("gas: one deposit by its own key")
    by_key = bench.by_key()
    results = [cost("sweep_key", "gas/deposit", [by_key])]
    for size in sizes:
        for way in ("hub", "clone"):
            say(f"gas: {size} deposits, {way}")
            for when, gas in zip(("first", "again"), bench.collect(way, size), strict=True):
                line = cost(f"sweep_{way}_{size}_{when}", "gas/deposit", [gas / size])
                line |= {"baseline": by_key, "ratio": round(gas / size / by_key, 3)}
                results.append(line)
    return results


class _Bench:
    """A hub with its delegate and a factory; the payer is cold key, collector and recoverer."""

    def __init__(self, chain: SandboxChain, payer: Wallet) -> None:
        self.token = chain.usdc.contract
        self.chain_id = chain.chain_id
        self.rpc_url = chain.rpc_url
        self.payer = payer
        self.treasury = str(Account.create("treasury").address)
        arguments = (self.treasury, payer.address, payer.address, DELAY_SECONDS)
        self.hub = contract_address("Hub", *arguments)
        self.delegate = delegate_of(self.hub)
        self.factory = factory_of(self.hub, payer.address)
        for data in (
            deployment("Hub", *arguments),
            deployment("DepositDelegate", self.hub),
            factory_deployment(self.hub, payer.address),
        ):
            sent = payer.send_data(evm.CREATE2_DEPLOYER, data, gas_limit=DEPLOY_GAS_LIMIT)
            mine_until(payer, sent)
        # A treasury holds the token already.
        mine_until(payer, payer.transfer(self.token, self.treasury, 1))
        self._expected = 1

    def by_key(self) -> int:
        key = "0x" + evm.keccak256(b"sweep by key").hex()
        with Wallet(self.rpc_url, key) as deposit:
            self._fund([deposit.address])
            topup = mine_until(self.payer, self.payer.send_native(deposit.address, FUEL_WEI))
            transfer = mine_until(deposit, deposit.transfer(self.token, self.treasury, UNITS))
        self._check(1)
        return int(topup["gasUsed"], 16) + int(transfer["gasUsed"], 16)

    def collect(self, way: str, size: int) -> tuple[int, int]:
        """Gas of a whole collection of so many deposits, the first and the second time."""
        names = [f"{way} {size} {number}".encode() for number in range(size)]
        keys = ["0x" + evm.keccak256(name).hex() for name in names]
        addresses = [str(Account.from_key(key).address) for key in keys]
        used = []
        for first in (True, False):
            if way == "hub":
                self._fund(addresses)
                used.append(self._by_hub(addresses, keys if first else []))
            else:
                self._fund([clone.clone_of(self.factory, each) for each in addresses])
                used.append(self._by_factory(addresses))
            self._check(size)
        return used[0], used[1]

    def _by_hub(self, deposits: Sequence[str], keys: Sequence[str]) -> int:
        data = hub.encode_sweep([Item(each, self.token, UNITS) for each in deposits])
        if not keys:
            sent = self.payer.send_data(self.hub, data, gas_limit=hub.TRANSACTION_GAS_MAX)
            return int(mine_until(self.payer, sent)["gasUsed"], 16)
        delegate = bytes.fromhex(self.delegate[2:])
        wanted = {"chainId": 0, "address": delegate, "nonce": 0}
        count = self.payer.rpc.call("eth_getTransactionCount", self.payer.address, "pending")
        fields = {
            "type": 4,
            "chainId": self.chain_id,
            "nonce": int(count, 16),
            "maxFeePerGas": 10**11,
            "maxPriorityFeePerGas": 10**9,
            "gas": hub.TRANSACTION_GAS_MAX,
            "to": evm.checksum_address(self.hub),
            "value": 0,
            "data": data,
            "authorizationList": [Account.from_key(key).sign_authorization(wanted) for key in keys],
        }
        raw = Account.from_key(self.payer.private_key).sign_transaction(fields).raw_transaction
        sent = self.payer.rpc.call("eth_sendRawTransaction", "0x" + bytes(raw).hex())
        self.payer.forget_nonce()
        return int(mine_until(self.payer, sent)["gasUsed"], 16)

    def _by_factory(self, key_addresses: Sequence[str]) -> int:
        """What is called is the same each time: what is missing is created."""
        items = [clone.Item(clone.salt_of(each), self.token, UNITS) for each in key_addresses]
        data = clone.encode_sweep(items)
        sent = self.payer.send_data(self.factory, data, gas_limit=hub.TRANSACTION_GAS_MAX)
        return int(mine_until(self.payer, sent)["gasUsed"], 16)

    def _fund(self, deposits: Sequence[str]) -> None:
        transfers = [Transfer(self.token, each, UNITS) for each in deposits]
        for sent in self.payer.transfer_many(transfers):
            mine_until(self.payer, sent)

    def _check(self, deposits: int) -> None:
        self._expected += deposits * UNITS
        if self.payer.balance_of(self.token, self.treasury) != self._expected:
            raise WrongResult("the treasury did not receive what was collected")
