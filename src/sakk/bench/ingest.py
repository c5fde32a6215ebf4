"""``sakk bench ingest``: how many ERC-20 transfers a second one watcher follows.

A local node holds blocks full of Transfer events; a few of them pay one of a million watched
addresses. The same blocks are read by our watcher (blocks, parent hashes, all logs, proof by bloom)
and by web3.py's event filter (``events.Transfer.get_logs`` and a look-up), and both must find the
same payments.
"""

import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from sakk.bench.emitter import EMITTER_CODE, encode_events
from sakk.bench.machine import describe_machine
from sakk.core.errors import Misconfigured, SakkError
from sakk.rails.evm.rpc import Rpc
from sakk.rails.evm.watch import AddressSet, BlockRef, EvmWatcher, Follow
from sakk.rails.sandbox.chain import derive_private_key
from sakk.rails.sandbox.node import LocalNode, start_node
from sakk.rails.sandbox.wallet import Wallet

NETWORK = "eip155:31337"
EMITTER = "0x" + "e1" * 20
ADDRESSES = 1_000_000
TRANSFERS = 96_000
# web3.py needs about a millisecond for each.
BASELINE_TRANSFERS = 8_000
REPEATS = 5
TRANSFERS_PER_TRANSACTION = 1_000
TRANSACTIONS_PER_BLOCK = 4
TRANSFERS_PER_BLOCK = TRANSFERS_PER_TRANSACTION * TRANSACTIONS_PER_BLOCK
# One transfer in this many pays a watched address.
WATCHED_EVERY = 50
GAS_PER_TRANSACTION = 10_000_000
SEED = 8402
RATE_NAME = "ingest_transfers"
MEMORY_NAME = "ingest_memory_peak"

# (transaction hash, log index, units)
Payment = tuple[str, int, int]
Say = Callable[[str], None]

_TRANSFER_ABI = [
    {
        "type": "event",
        "name": "Transfer",
        "anonymous": False,
        "inputs": [
            {"name": "from", "type": "address", "indexed": True},
            {"name": "to", "type": "address", "indexed": True},
            {"name": "value", "type": "uint256", "indexed": False},
        ],
    }
]


class WrongPayments(SakkError):
    """A reader did not find exactly the payments that were made: its speed means nothing."""

    code = "bench_wrong_payments"


@dataclass(frozen=True, slots=True)
class Filled:
    """The blocks that were filled: the one before them, and the units paid to us in each."""

    before: BlockRef
    units: list[list[int]]

    @property
    def last(self) -> int:
        return self.before.number + len(self.units)


def run(
    *,
    transfers: int = TRANSFERS,
    baseline_transfers: int = BASELINE_TRANSFERS,
    addresses: int = ADDRESSES,
    repeats: int = REPEATS,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Measure and compare; the result is an object of ``sakk bench``'s shape.

    Rates are transfers a second, memory is MB (10**6 bytes) of this process at its peak while it
    followed. ``p99`` is what 99 of 100 repeats reach, so with few repeats the slowest.
    Misconfigured without web3.py (``pip install 'sakk[dev]'``) or anvil.
    """
    machine = describe_machine()
    blocks = -(-transfers // TRANSFERS_PER_BLOCK)
    baseline_blocks = min(blocks, -(-baseline_transfers // TRANSFERS_PER_BLOCK))
    with start_node(NETWORK) as node:
        rpc = Rpc([node.url], timeout_seconds=60)
        try:
            say(f"watching {addresses:,} addresses")
            watched = AddressSet(_addresses(addresses))
            say(f"filling {blocks} blocks with {TRANSFERS_PER_BLOCK:,} transfers each")
            filled = _fill(node, rpc, blocks, addresses)
            say(f"following them {repeats} times")
            ours = [_follow(rpc, watched, filled) for _ in range(repeats)]
            peak_mb = _peak_bytes() // 10**6
            say(f"reading {baseline_blocks} of them with web3.py {repeats} times")
            theirs = [
                _read_with_web3(node.url, watched, filled, baseline_blocks) for _ in range(repeats)
            ]
        finally:
            rpc.close()
    rate, baseline = median(ours), median(theirs)
    return {
        "machine": machine,
        "results": [
            {
                "name": RATE_NAME,
                "unit": "transfers/s",
                "median": round(rate),
                "p99": round(min(ours)),
                "repeats": repeats,
                "baseline": round(baseline),
                "ratio": round(rate / baseline, 1),
            },
            {
                "name": MEMORY_NAME,
                "unit": "MB",
                "median": peak_mb,
                "p99": peak_mb,
                "repeats": 1,
                "baseline": None,
                "ratio": None,
            },
        ],
    }


def _addresses(count: int) -> Iterator[str]:
    """The same addresses in each run, made one by one."""
    generator = random.Random(SEED)
    return (f"0x{generator.getrandbits(160):040x}" for _ in range(count))


def _fill(node: LocalNode, rpc: Rpc, blocks: int, addresses: int) -> Filled:
    """Mine blocks of Transfer events, one in WATCHED_EVERY to a watched address."""
    generator = random.Random(SEED + 1)
    receivers = list(zip(_addresses(min(addresses, 10_000)), range(10_000), strict=False))
    units: list[list[int]] = []
    with Wallet(node.url, derive_private_key(0)) as wallet:
        wallet.rpc.call("anvil_setCode", EMITTER, EMITTER_CODE)
        wallet.rpc.call("anvil_mine", "0x1")
        before = EvmWatcher(NETWORK, rpc, AddressSet()).head()
        for _ in range(blocks):
            paid: list[int] = []
            for _ in range(TRANSACTIONS_PER_BLOCK):
                events = []
                for place in range(TRANSFERS_PER_TRANSACTION):
                    amount = generator.randrange(1, 10**12)
                    receiver = f"0x{generator.getrandbits(160):040x}"
                    if place % WATCHED_EVERY == 0:
                        receiver = generator.choice(receivers)[0]
                        paid.append(amount)
                    events.append((wallet.address, receiver, amount))
                wallet.send_data(EMITTER, encode_events(events), gas_limit=GAS_PER_TRANSACTION)
            wallet.rpc.call("anvil_mine", "0x1")
            units.append(paid)
    return Filled(before=before, units=units)


def _follow(rpc: Rpc, watched: AddressSet, filled: Filled) -> float:
    """Follow the blocks as the watcher role does; transfers a second."""
    watcher = EvmWatcher(NETWORK, rpc, watched)
    cursor = filled.before
    found: list[int] = []
    started = time.perf_counter()
    while (
        step := watcher.next(
            cursor, until=filled.last, blocks_max=len(filled.units), known_hash=lambda _: None
        )
    ) != Follow():
        for block in step.blocks:
            found.extend(seen.units for seen in block.transfers)
            cursor = block.ref
    seconds = time.perf_counter() - started
    _check("the watcher", found, filled.units)
    return len(filled.units) * TRANSFERS_PER_BLOCK / seconds


def _read_with_web3(url: str, watched: AddressSet, filled: Filled, blocks: int) -> float:
    """Read some of the blocks as web3.py's manual shows; transfers a second."""
    try:
        from web3 import HTTPProvider, Web3
    except ImportError as error:
        raise Misconfigured("the baseline needs web3.py: pip install 'sakk[dev]'") from error
    web3 = Web3(HTTPProvider(url))
    contract = web3.eth.contract(address=web3.to_checksum_address(EMITTER), abi=_TRANSFER_ABI)
    first = filled.before.number + 1
    found: list[int] = []
    started = time.perf_counter()
    for number in range(first, first + blocks):
        for event in contract.events.Transfer().get_logs(from_block=number, to_block=number):
            if watched.contains(event["args"]["to"]):
                found.append(event["args"]["value"])
    seconds = time.perf_counter() - started
    _check("web3.py", found, filled.units[:blocks])
    return blocks * TRANSFERS_PER_BLOCK / seconds


def _check(reader: str, found: list[int], paid: list[list[int]]) -> None:
    expected = [units for block in paid for units in block]
    if found != expected:
        raise WrongPayments(f"{reader} found {len(found)} payments, {len(expected)} were made")


def _peak_bytes() -> int:
    """The most memory that this process has held (ru_maxrss is KiB, on macOS bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
