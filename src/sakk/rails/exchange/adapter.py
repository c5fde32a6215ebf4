"""What both adapters do alike: books by the exchange's steps, and when an order never came.

An order is signed for a few seconds, after which the exchange does not take it any more. So an
order that it does not know may still be on its way for so long, and never came after that.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from sakk.core import rate as rates
from sakk.core import venue as rules
from sakk.core.order import ChildOrder, Report
from sakk.core.router import LEVELS_MAX, Book, Level, Side
from sakk.core.venue import PairRules
from sakk.rails.exchange.call import Caller
from sakk.rails.venue import VenueRefused, VenueUnavailable

# An order is taken so long after it was signed, and no longer.
VALID_SECONDS: Final = 5
# Until then it may still become visible.
SETTLE_SECONDS: Final = 30.0
RULES_SECONDS: Final = 600.0
ORDERS_KEPT: Final = 1_000


@dataclass(slots=True)
class Adapter:
    """An account at an exchange. ``pairs``: its symbol by pair."""

    name: str
    livemode: bool
    key: str
    secret: str = field(repr=False)
    pairs: dict[str, str]
    fee_ppm: int
    caller: Caller
    clock: Callable[[], float] = time.time
    # A venue that is given no more orders is still asked what became of those that it had.
    enabled: bool = True
    number: int = 1
    # The accounts that the name stood for before, by their numbers.
    former: Mapping[int, "Adapter"] = field(default_factory=dict)
    _rules: dict[str, tuple[float, PairRules]] = field(default_factory=dict)
    # When an order was signed, by its id and how often it was given. One that another process
    # signed may be as young as the first question after it.
    _signed: dict[tuple[str, int], float] = field(default_factory=dict)

    def book(self, base: str, quote: str, side: Side, *, base_decimals: int) -> Book | None:
        """See `sakk.rails.venue.Venue`."""
        symbol = self.pairs.get(f"{base}-{quote}")
        if symbol is None or not self.enabled:
            return None
        try:
            with readable(self.name):
                pair = self.rules_of(symbol)
                if pair is None:
                    return None
                offered = self.levels(symbol, side)[:LEVELS_MAX]
        except VenueRefused as refused:
            raise VenueUnavailable(str(refused)) from refused
        levels = tuple(
            Level(price, units)
            for at, amount in offered
            if (price := int(at * rates.SCALE)) > 0
            and (units := rules.units_of(amount, base_decimals)) > 0
        )
        if not levels:
            return None
        least = rules.minimum_units(pair, levels[0].price, decimals=base_decimals)
        return Book(self.name, levels, self.fee_ppm, self.caller.latency_ms, least)

    def place(self, child: ChildOrder) -> Report:
        """See `sakk.rails.venue.Venue`."""
        symbol, pair = self._known(child)
        amount = rules.lots_of(child.units, child.base_decimals, pair)
        price = rules.limit_of(Side(child.side), child.price, pair)
        why_not = rules.refusal(amount, price, pair)
        if why_not is not None:
            raise VenueRefused(why_not)
        self._note(child, self.caller.monotonic())
        with readable(self.name):
            return self.send(child, symbol, rules.write_decimal(amount), rules.write_decimal(price))

    def find(self, child: ChildOrder) -> Report | None:
        """See `sakk.rails.venue.Venue`."""
        symbol = self.pairs.get(f"{child.base}-{child.quote}")
        if symbol is None:
            raise VenueUnavailable(f"{self.name} has no pair {child.base}-{child.quote} any more")
        if child.venue_number not in (None, self.number):
            return self._found_elsewhere(child, symbol)
        asked = self.caller.monotonic()
        report = self.looked(child, symbol)
        if report is not None:
            return report
        since = self._signed.get((child.id, child.attempt))
        if since is None:
            self._note(child, since := asked)
        if asked - since < SETTLE_SECONDS:
            raise VenueUnavailable(f"{self.name} does not know the order, and may yet")
        return None

    def _found_elsewhere(self, child: ChildOrder, symbol: str) -> Report | None:
        """The same of an order that was placed by another key.

        That the account which is asked now does not know it says nothing, if it is another one.
        """
        report = self.looked(child, symbol)
        if report is not None:
            return report
        number = child.venue_number or 0
        former = self.former.get(number)
        why = f"{self.name} does not know the order, which account {number} was given"
        if former is None:
            raise VenueUnavailable(f"{why}, and its key is not here any more")
        try:
            return former.find(child)
        except VenueUnavailable as error:
            raise VenueUnavailable(f"{why}, and that one is not heard: {error}") from error

    def looked(self, child: ChildOrder, symbol: str) -> Report | None:
        """The same; a question that is refused says nothing of the order."""
        try:
            with readable(self.name):
                return self.look(child, symbol)
        except VenueRefused as refused:
            raise VenueUnavailable(str(refused)) from refused

    def rules_of(self, symbol: str) -> PairRules | None:
        """The exchange's steps of a pair, asked for every ten minutes; None while it is halted."""
        until, found = self._rules.get(symbol, (0.0, None))
        now = self.caller.monotonic()
        if found is None or now >= until:
            found = self.read_rules(symbol)
            if found is None:
                return None
            self._rules[symbol] = (now + RULES_SECONDS, found)
        return found

    def levels(self, symbol: str, side: Side) -> Sequence[tuple[Fraction, Fraction]]:
        """Prices and amounts that are offered to who buys or sells, best first."""
        raise NotImplementedError

    def read_rules(self, symbol: str) -> PairRules | None:
        """Ask for the steps of a pair."""
        raise NotImplementedError

    def send(self, child: ChildOrder, symbol: str, amount: str, price: str) -> Report:
        """Place a limit order that is filled at once or dropped."""
        raise NotImplementedError

    def look(self, child: ChildOrder, symbol: str) -> Report | None:
        """How an order ended, by our id; None where it is not known."""
        raise NotImplementedError

    def _known(self, child: ChildOrder) -> tuple[str, PairRules]:
        symbol = self.pairs.get(f"{child.base}-{child.quote}")
        if symbol is None or not self.enabled:
            raise VenueRefused(f"{self.name} takes no order of {child.base}-{child.quote}")
        with readable(self.name):
            pair = self.rules_of(symbol)
        if pair is None:
            raise VenueRefused(f"{symbol} is not traded now")
        return symbol, pair

    def _note(self, child: ChildOrder, at: float) -> None:
        while len(self._signed) >= ORDERS_KEPT:
            del self._signed[next(iter(self._signed))]
        self._signed[child.id, child.attempt] = at


class readable:
    """What an exchange says that can not be read is no answer."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, _trace: Any) -> None:
        if isinstance(error, KeyError | TypeError | ValueError | IndexError | AttributeError):
            raise VenueUnavailable(f"{self._name} answers what can not be read: {error}") from error


def report_of(
    child: ChildOrder,
    *,
    amount: Fraction,
    worth: Fraction,
    fee: Fraction = Fraction(0),
    base_fee: Fraction = Fraction(0),
) -> Report:
    """What was filled, in our units: what is taken is rounded up, what is given down."""
    buys = child.side == Side.buy
    return Report(
        filled_units=rules.units_of(amount, child.base_decimals, up=not buys),
        quote_units=rules.units_of(worth, child.quote_decimals, up=buys),
        fee_units=rules.units_of(fee, child.quote_decimals, up=True),
        base_fee_units=rules.units_of(base_fee, child.base_decimals, up=True),
    )
