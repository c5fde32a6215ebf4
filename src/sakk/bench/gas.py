"""``sakk bench gas``: what a payout costs in gas, alone and with others, and what a sweep costs.

On anvil with Circle's FiatToken behind its proxy: a local chain counts gas as every chain does, so
one measurement is exact, whatever else the machine is doing. A recipient is fresh when it never
held the token (its balance is a new word of storage), and used when it holds some.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sakk.bench.figures import WrongResult, cost
from sakk.bench.gas_sweep import measure_sweeps
from sakk.bench.machine import describe_machine
from sakk.core.caip import evm_network
from sakk.core.contract import DISPERSE
from sakk.core.disperse import TRANSACTION_GAS_MAX, Payment, encode_disperse
from sakk.core.evm import keccak256
from sakk.rails.sandbox.chain import SandboxChain, deploy, mine_until
from sakk.rails.sandbox.node import start_node
from sakk.rails.sandbox.wallet import Wallet

CHAIN = 31337
LINES = (1, 10, 100)
UNITS = 25_000_000
UNLIMITED = (1 << 256) - 1

Say = Callable[[str], None]


def run(*, say: Say) -> dict[str, Any]:
    """Measure on a chain of its own; WrongResult if a payment did not arrive."""
    network = evm_network(CHAIN)
    with start_node(network) as node:
        chain = deploy(node.url, network)
        with Wallet(chain.rpc_url, chain.payer_private_key) as treasury:
            results = measure(chain, treasury, LINES, say=say)
            results += measure_sweeps(chain, treasury, LINES, say=say)
    return {"machine": describe_machine(), "results": results}


def measure(
    chain: SandboxChain, treasury: Wallet, sizes: Sequence[int], *, say: Say
) -> list[dict[str, Any]]:
    """Gas per payout: one transfer each, then dispersals of so many lines."""
    recipients = Recipients()
    token = chain.usdc.contract
    single: dict[str, int] = {}
    results: list[dict[str, Any]] = []
    [lone] = recipients.fresh(1)
    for kind in ("fresh", "used"):
        say(f"gas: one transfer to a {kind} recipient")
        single[kind] = _gas(treasury, treasury.transfer(token, lone, UNITS))
        results.append(cost(f"payout_transfer_{kind}", "gas/payout", [single[kind]]))
    _approve(chain, treasury)
    for lines in sizes:
        found = recipients.fresh(lines)
        for kind in ("fresh", "used"):
            say(f"gas: {lines} payouts to {kind} recipients in one transaction")
            each = _disperse(treasury, token, found) / lines
            line = cost(f"payout_disperse_{lines}_{kind}", "gas/payout", [each])
            line |= {"baseline": single[kind], "ratio": round(each / single[kind], 3)}
            results.append(line)
        for recipient in found:
            if treasury.balance_of(token, recipient) != 2 * UNITS:
                raise WrongResult(f"{recipient} was not paid twice")
    return results


class Recipients:
    """Addresses that nobody has used yet; hashes, with as few zero bytes as real ones have."""

    def __init__(self) -> None:
        self._given = 0

    def fresh(self, count: int) -> list[str]:
        numbers = range(self._given, self._given + count)
        self._given += count
        return ["0x" + keccak256(f"recipient {each}".encode())[12:].hex() for each in numbers]


def _approve(chain: SandboxChain, treasury: Wallet) -> None:
    """The standing allowance, given once."""
    token = chain.usdc.contract
    mine_until(
        treasury,
        treasury.call_contract(token, "approve(address,uint256)", DISPERSE.address, UNLIMITED),
    )


def _disperse(treasury: Wallet, token: str, recipients: Sequence[str]) -> int:
    data = encode_disperse(token, [Payment(each, UNITS) for each in recipients])
    return _gas(treasury, treasury.send_data(DISPERSE.address, data, gas_limit=TRANSACTION_GAS_MAX))


def _gas(treasury: Wallet, transaction: str) -> int:
    return int(mine_until(treasury, transaction)["gasUsed"], 16)
