"""Transfers taken up as they stream by, one address's row, and walks over a million and more.

A seeded crowd pays one another: most addresses pay a few, a few are paid by many, one in five
hundred has a label, one in a thousand transfers comes from a labelled address. What is measured is
looked at afterwards: what the crowd holds is what was made less what was spent, every walk's parts
sum to its total, and a smaller crowd gives the reference's answers.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sakk.bench.figures import WrongResult, cost, micros, rate, times
from sakk.core.exposure import PART_CATEGORIES
from sakk.core.exposure_batch import Block, encode
from sakk.screening.exposure_graph import Graph, Limits, make_graph
from sakk.screening.exposure_reference import ReferenceGraph

Say = Callable[[str], None]
Line = dict[str, Any]

SEED = 8402
ADDRESS_BYTES = 20
DECIMALS = 6
BLOCK_ROWS = 20_000
LABELLED_EVERY = 500
# One transfer in so many is sent by a labelled address, so that taint goes about.
FROM_LABELS_EVERY = 100
# Of the rest one transfer in so many goes to one of ten hubs.
HUB_EVERY = 21
UNITS_MAX = 10**11


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured."""

    addresses: int = 2_000_000
    transfers: int = 6_000_000
    small_walk: int = 1_000_000
    large_walk: int = 10_000_000
    repeats: int = 3
    questions: int = 2_000
    compared: int = 3_000


class Crowd:
    """Addresses by number, and payments between them, the same in each run."""

    def __init__(self, addresses: int, transfers: int, *, seed: int = SEED) -> None:
        self.count = addresses
        self.transfers = transfers
        self._random = random.Random(seed)
        raw = self._random.randbytes(addresses * ADDRESS_BYTES)
        self.addresses = [
            raw[place : place + ADDRESS_BYTES] for place in range(0, len(raw), ADDRESS_BYTES)
        ]

    def labels(self) -> dict[bytes, int]:
        """A category for one address in ``LABELLED_EVERY``."""
        return {
            self.addresses[number]: number // LABELLED_EVERY % 12
            for number in range(0, self.count, LABELLED_EVERY)
        }

    def payloads(self) -> Iterator[bytes]:
        """All payments, a block each payload; every address takes part once at least."""
        uniform = self._random.random
        for first in range(0, self.transfers, BLOCK_ROWS):
            rows = []
            for number in range(first, min(first + BLOCK_ROWS, self.transfers)):
                sender = int(self.count * uniform() ** 2)
                if number % FROM_LABELS_EVERY == 0:
                    sender -= sender % LABELLED_EVERY
                # One in three goes to whoever is next, so that everybody is paid.
                receiver = number * self.count // self.transfers
                if number % 3:
                    is_to_hub = number % HUB_EVERY == 1
                    receiver = 1 + int((10 if is_to_hub else self.count - 1) * uniform())
                units = 1 + int(UNITS_MAX * uniform() ** 4)
                rows.append(
                    self.addresses[sender]
                    + self.addresses[receiver]
                    + units.to_bytes(16, "big")
                    + bytes(32)
                    + (number - first).to_bytes(4, "big")
                )
            block = first // BLOCK_ROWS + 1
            yield encode([Block(block, block * 12, b"".join(rows))])


def streaming(say: Say, scale: Scale = Scale()) -> list[Line]:
    """``ingest_streaming`` (transfers/s, with its state in MB) and ``exposure_row`` (µs)."""
    _compare(scale.compared)
    say(f"making {scale.transfers:,} transfers between {scale.addresses:,} addresses")
    crowd = Crowd(scale.addresses, scale.transfers)
    payloads, labels = list(crowd.payloads()), crowd.labels()
    rates, graph = [], make_graph(decimals=DECIMALS)
    for _ in range(scale.repeats):
        graph = make_graph(decimals=DECIMALS)
        started = time.perf_counter()
        for payload in payloads:
            take_up(graph, payload, labels)
        rates.append(scale.transfers / (time.perf_counter() - started))
    check_mass(graph, crowd)
    say(f"{graph.state_bytes / 1e6:.0f} MB of state at {graph.address_count:,} addresses")
    microseconds = []
    for address in random.Random(SEED).choices(crowd.addresses, k=10 * scale.questions):
        started = time.perf_counter()
        held = graph.held(address)
        microseconds.append((time.perf_counter() - started) * 1e6)
        if held is None:
            raise WrongResult("an address that was paid is not known")
    return [
        rate("ingest_streaming", "transfers/s", rates),
        cost("ingest_streaming_state", "MB", [graph.state_bytes / 10**6]),
        micros("exposure_row", microseconds),
    ]


def walks(say: Say, scale: Scale = Scale()) -> list[Line]:
    """``exposure_walk_1m`` and ``exposure_walk_10m`` (ms), back and forth in turn."""
    return [
        _walks(say, "exposure_walk_1m", scale.small_walk, scale),
        _walks(say, "exposure_walk_10m", scale.large_walk, scale),
    ]


def _walks(say: Say, name: str, transfers: int, scale: Scale) -> Line:
    say(f"walking over {transfers:,} transfers")
    crowd = Crowd(max(10, transfers // 5), transfers)
    graph, labels = make_graph(decimals=DECIMALS), crowd.labels()
    for payload in crowd.payloads():
        take_up(graph, payload, labels)
    chooser = random.Random(SEED)
    milliseconds = []
    for number in range(scale.questions):
        address = crowd.addresses[chooser.randrange(crowd.count)]
        started = time.perf_counter()
        trace = graph.walk(address, forward=bool(number % 2), since=0, limits=Limits())
        milliseconds.append((time.perf_counter() - started) * 1000)
        if sum(units for _, units, _ in trace.parts) + trace.unknown != trace.total:
            raise WrongResult(f"{name}: parts and unknown do not sum to the total")
    return times(name, milliseconds, repeats=scale.questions)


def take_up(graph: Graph, payload: bytes, labels: dict[bytes, int]) -> None:
    """As a process catches up with a batch: append, label what is new, and settle."""
    new = graph.append(payload)
    for place in range(0, len(new), ADDRESS_BYTES):
        key = new[place : place + ADDRESS_BYTES]
        label = labels.get(key)
        if label is not None:
            graph.label(key, label)
    graph.settle()


def check_mass(graph: Graph, crowd: Crowd) -> None:
    """Nobody holds more of anything than all that he holds, and all parts are of known kinds."""
    for address in crowd.addresses[:: max(1, crowd.count // 10_000)]:
        held = graph.held(address)
        if held is None:
            continue
        if sum(grains for _, grains in held.parts) > held.grains:
            raise WrongResult("an address holds more tainted than in all")
        if any(place >= len(PART_CATEGORIES) for place, _ in held.parts):
            raise WrongResult("a part is of no category")


def _compare(transfers: int) -> None:
    """A small crowd gives the reference's answers."""
    crowd = Crowd(transfers // 5, transfers)
    mine, theirs, labels = make_graph(decimals=DECIMALS), ReferenceGraph(), crowd.labels()
    for payload in crowd.payloads():
        for graph in (mine, theirs):
            take_up(graph, payload, labels)
    for address in crowd.addresses:
        if mine.held(address) != theirs.held(address):
            raise WrongResult("the graph and its reference differ")
    for address in crowd.addresses[::17]:
        found = [
            graph.walk(address, forward=False, since=0, limits=Limits()) for graph in (mine, theirs)
        ]
        if found[0] != found[1]:
            raise WrongResult("a walk and the reference's differ")
