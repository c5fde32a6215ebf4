"""Simulated venues, for the sandbox and tests alone: no order leaves this machine.

A simulated venue makes its book around a price that it is told, and keeps what was placed in a file
of its own, as somebody else's machine would: so it knows an order again after we have died.
"""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sakk.core.money import divide_up
from sakk.core.order import ChildOrder, Report
from sakk.core.rate import MILLION, SCALE, Price
from sakk.core.router import Book, Level, Side
from sakk.rails.venue import VenueUnavailable

LEVELS = 3


@dataclass(frozen=True, slots=True)
class Character:
    """What a simulated venue is like; see `SimulatedVenue`."""

    name: str
    file: str
    fee_ppm: int
    latency_ms: int
    minimum: int = 1
    depth: int = 10_000


# Those of the sandbox: one is quick and takes more, the other slow, cheap, and takes no small ones.
SANDBOX = (
    Character("simulated_north", "north.jsonl", fee_ppm=500, latency_ms=40),
    Character(
        "simulated_south",
        "south.jsonl",
        fee_ppm=200,
        latency_ms=400,
        minimum=10_000_000,
        depth=50,
    ),
)


@dataclass(slots=True)
class SimulatedVenue:
    """``around``: the market's price of a pair. Each level has ``depth`` whole units, and is
    ``step_ppm`` worse than the one before it. ``is_down``: nobody answers; ``loses_answers``: it
    does what it is asked, and the answer is lost."""

    name: str
    file: Path
    around: Callable[[str, str], Price | None]
    fee_ppm: int = 500
    latency_ms: int = 50
    minimum: int = 1
    depth: int = 10_000
    step_ppm: int = 200
    is_down: bool = False
    loses_answers: bool = False
    livemode: bool = False
    number: int = 1
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def book(self, base: str, quote: str, side: Side, *, base_decimals: int) -> Book | None:
        """Three levels, each worse than the one before it."""
        self._answer()
        price = self.around(base, quote)
        if price is None:
            return None
        first, sign = (price.ask, 1) if side is Side.buy else (price.bid, -1)
        units = self.depth * 10**base_decimals
        levels = tuple(
            Level(first * (MILLION + sign * self.step_ppm * place) // MILLION, units)
            for place in range(1, LEVELS + 1)
        )
        return Book(self.name, levels, self.fee_ppm, self.latency_ms, self.minimum)

    def place(self, child: ChildOrder) -> Report:
        """Fill an order out of the book, once for each id."""
        self._answer()
        with self._lock:
            known = self._read(child.id)
            report = known or self._filled(child)
            if known is None:
                self._write(child.id, report)
        if self.loses_answers:
            raise VenueUnavailable(f"{self.name} did not answer")
        return report

    def find(self, child: ChildOrder) -> Report | None:
        """What was filled of an order."""
        self._answer()
        with self._lock:
            return self._read(child.id)

    def _answer(self) -> None:
        if self.is_down:
            raise VenueUnavailable(f"{self.name} does not answer")

    def _filled(self, child: ChildOrder) -> Report:
        side = Side(child.side)
        book = self.book(child.base, child.quote, side, base_decimals=child.base_decimals)
        filled = worth = 0
        for level in () if book is None else book.levels:
            if level.price > child.price if side is Side.buy else level.price < child.price:
                break
            taken = min(child.units - filled, level.units)
            filled += taken
            worth += taken * level.price * 10**child.quote_decimals
        scale = SCALE * 10**child.base_decimals
        units = divide_up(worth, scale) if side is Side.buy else worth // scale
        return Report(filled, units, units * self.fee_ppm // MILLION)

    def _read(self, identifier: str) -> Report | None:
        if not self.file.exists():
            return None
        for line in self.file.read_text().splitlines():
            found: dict[str, Any] = json.loads(line)
            if found["id"] == identifier:
                return Report(found["filled"], found["quote"], found["fee"])
        return None

    def _write(self, identifier: str, report: Report) -> None:
        line = {
            "id": identifier,
            "filled": report.filled_units,
            "quote": report.quote_units,
            "fee": report.fee_units,
        }
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
