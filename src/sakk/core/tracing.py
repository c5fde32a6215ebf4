"""Four ways to say which of an account's money is tainted, and what each carries onward.

All work on transfers in order, in whole atomic units, between addresses. A label makes an address
a source and a sink: what leaves it is of its category, and what reaches it is absorbed. Coins
that an address sends without having received them here are of unknown origin.

- *Poison* (Möser, Böhme and Breuker 2014): one tainted unit taints all that leaves.
- *Haircut* (the same): what leaves carries taint in proportion to what the sender holds.
- *FIFO* (Anderson, Shumailov, Ahmed and Rietmann 2018, after Clayton's case, 1816): what came
  first leaves first.
- *Backward exposure*: what an address ever received, by the shares of those who sent it.

These are the specification: short, slow, on any amount. `screening.exposure_graph` keeps haircuts
and walks by the million.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sakk.core.exposure import ISSUANCE, ZERO_ADDRESS, carry, place_of

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Move:
    """One transfer: ``units`` went from the sender to the receiver."""

    sender: str
    receiver: str
    units: int


@dataclass(slots=True)
class Holding:
    """What an address holds: ``units``, and of them so many of each category."""

    units: int = 0
    parts: dict[str, int] = field(default_factory=dict)

    @property
    def unknown_units(self) -> int:
        return self.units - sum(self.parts.values())


Labels = Mapping[str, str]


def label_of(labels: Labels, address: str) -> str | None:
    """The category that an address stands for; the zero address is the token's issuer."""
    return ISSUANCE if address == ZERO_ADDRESS else labels.get(address)


def moved(parts: Sequence[int], held: int, units: int) -> list[int]:
    """What ``units`` of a holding carry of each of its parts: all of it divided by ``carry``.

    The parts are in the order of `PART_CATEGORIES`, and what is unknown comes last, so that the
    shares with the unknown's sum to ``units`` and no part grows beyond what is held. Rounding each
    share down by itself would leave two parts of one unit on an address that holds one.
    """
    return carry(units, [*parts, held - sum(parts)])[:-1]


def haircut(moves: Iterable[Move], labels: Labels) -> dict[str, Holding]:
    """What every address holds after the moves, mixed in proportion."""
    held: dict[str, Holding] = {}
    for move in _real(moves):
        sender = held.setdefault(move.sender, Holding())
        category = label_of(labels, move.sender)
        if sender.units < move.units:
            sender.units = move.units
        if category is None:
            names = sorted(sender.parts, key=place_of)
            shares = moved([sender.parts[name] for name in names], sender.units, move.units)
            carried = dict(zip(names, shares, strict=True))
            for name, units in carried.items():
                sender.parts[name] -= units
        else:
            carried = {category: move.units}
        sender.units -= move.units
        receiver = held.setdefault(move.receiver, Holding())
        receiver.units += move.units
        if label_of(labels, move.receiver) is None:
            for name, units in carried.items():
                receiver.parts[name] = receiver.parts.get(name, 0) + units
    held.pop(ZERO_ADDRESS, None)
    for address, holding in held.items():
        category = label_of(labels, address)
        parts = holding.parts if category is None else {category: holding.units}
        holding.parts = {name: units for name, units in parts.items() if units}
    return held


def poison(moves: Iterable[Move], labels: Labels) -> dict[str, dict[str, int]]:
    """Of what every address received, how much is tainted by each category.

    Poison is never used up, so one unit counts in several categories and in several places: these
    are no parts of a whole. It is here to be compared with.
    """
    tainted: dict[str, dict[str, int]] = {}
    for move in _real(moves):
        category = label_of(labels, move.sender)
        carried = list(tainted.get(move.sender, ())) if category is None else [category]
        if label_of(labels, move.receiver) is None and carried:
            receiver = tainted.setdefault(move.receiver, {})
            for name in carried:
                receiver[name] = receiver.get(name, 0) + move.units
    return tainted


def fifo(moves: Iterable[Move], labels: Labels) -> dict[str, list[tuple[str, int]]]:
    """What every address without a label holds after the moves: its queue of (category, units).

    The head of the queue came first and leaves first. `UNKNOWN` is a category here.
    """
    queues: dict[str, deque[tuple[str, int]]] = {}
    for move in _real(moves):
        category = label_of(labels, move.sender)
        if category is None:
            carried = _take(queues.setdefault(move.sender, deque()), move.units)
        else:
            carried = [(category, move.units)]
        if label_of(labels, move.receiver) is None:
            queue = queues.setdefault(move.receiver, deque())
            for piece in carried:
                _append(queue, piece)
    return {address: list(queue) for address, queue in queues.items()}


def backward(
    moves: Sequence[Move], labels: Labels, address: str, *, hops_max: int
) -> dict[str, int]:
    """Where all came from that an address ever received, in units of it; `UNKNOWN` among them.

    Each hop divides by the shares of all that the address before it received, whenever that was.
    It stops at labels and after ``hops_max`` transfers.
    """
    received: dict[str, list[Move]] = {}
    for move in _real(moves):
        received.setdefault(move.receiver, []).append(move)
    found: dict[str, int] = {}
    level = {address: sum(move.units for move in received.get(address, ()))}
    for _ in range(hops_max):
        before: dict[str, int] = {}
        for holder, units in level.items():
            arriving = received.get(holder)
            if arriving is None:
                found[UNKNOWN] = found.get(UNKNOWN, 0) + units
                continue
            shares = carry(units, [move.units for move in arriving])
            for move, share in zip(arriving, shares, strict=True):
                category = label_of(labels, move.sender)
                place, name = (before, move.sender) if category is None else (found, category)
                place[name] = place.get(name, 0) + share
        level = before
    found[UNKNOWN] = found.get(UNKNOWN, 0) + sum(level.values())
    return {category: units for category, units in found.items() if units}


def _real(moves: Iterable[Move]) -> Iterable[Move]:
    """Moves that move something to somebody else."""
    return (move for move in moves if move.units > 0 and move.sender != move.receiver)


def _take(queue: deque[tuple[str, int]], units: int) -> list[tuple[str, int]]:
    """Take units from the head; what is lacking came from nowhere that is known."""
    taken: list[tuple[str, int]] = []
    while units and queue:
        category, there = queue.popleft()
        if there > units:
            queue.appendleft((category, there - units))
            there = units
        taken.append((category, there))
        units -= there
    if units:
        taken.append((UNKNOWN, units))
    return taken


def _append(queue: deque[tuple[str, int]], piece: tuple[str, int]) -> None:
    """To the tail; what is of the same kind as the tail becomes one piece with it."""
    category, units = piece
    if queue and queue[-1][0] == category:
        units += queue.pop()[1]
    queue.append((category, units))
