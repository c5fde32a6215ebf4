"""What every venue does: show its book, take an order at once or not at all, and say what became
of one. An adapter of a real exchange implements this protocol; the sandbox has simulated ones."""

from typing import Protocol

from sakk.core.order import ChildOrder, Report
from sakk.core.router import Book, Side


class VenueUnavailable(Exception):
    """It did not answer: whatever was asked of it may have happened, or not."""


class VenueRefused(Exception):
    """It answered that it will not do this, and did nothing."""


class Venue(Protocol):
    """Safe to call from many threads. Orders are known by the id that we give them."""

    @property
    def name(self) -> str: ...

    @property
    def livemode(self) -> bool:
        """Whose orders it takes: those of live money, or those of test money. Never both."""
        ...

    @property
    def number(self) -> int:
        """Which account its orders are placed in now: it knows those of that one, and of no
        other."""
        ...

    def book(self, base: str, quote: str, side: Side, *, base_decimals: int) -> Book | None:
        """What it offers to who buys or sells; None for a pair that it does not have.

        Raises VenueUnavailable."""
        ...

    def place(self, child: ChildOrder) -> Report:
        """Fill what can be filled at once, at the child's price or better, and drop the rest.

        Raises VenueUnavailable, VenueRefused."""
        ...

    def find(self, child: ChildOrder) -> Report | None:
        """How an order ended, by its id; None where it never came and never will.

        Raises VenueUnavailable, also while it may still come or has not ended, and of one that was
        placed in another account (`ChildOrder.venue_number`) which can not be asked any more."""
        ...
