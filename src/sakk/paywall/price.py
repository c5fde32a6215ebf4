"""What a call costs: a price in money, and how many atomic units of a coin that is.

A price is written ``"$0.001"`` (dollars, for coins that are worth one), ``"0.001 usdc"`` (one coin)
or several of them, one for each coin. It is turned into units exactly: a price that is finer than
a coin's smallest unit is an error of whoever set it, never rounded.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sakk.paywall.errors import PaywallError

# Which money a coin stands for, where its offer does not say.
PEGS: Final[Mapping[str, str]] = {
    "usdc": "usd",
    "usdt": "usd",
    "pyusd": "usd",
    "usd": "usd",
    "eurc": "eur",
    "eur": "eur",
    "cny": "cny",
}
_SIGNS: Final[Mapping[str, str]] = {"$": "usd", "€": "eur", "¥": "cny"}
_WRITTEN = re.compile(r"([$€¥])?\s*([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*([A-Za-z][A-Za-z0-9]{1,15})?")


@dataclass(frozen=True, slots=True)
class Price:
    """How much of which money: ``{"usd": Decimal("0.001")}``; a coin's own name comes first."""

    amounts: Mapping[str, Decimal]

    def of(self, currency: str) -> Decimal | None:
        """The amount in a coin, or None where the price names neither it nor its peg."""
        amount = self.amounts.get(currency)
        return self.amounts.get(PEGS.get(currency, "")) if amount is None else amount

    def units(self, currency: str, decimals: int) -> int | None:
        """Atomic units of a coin, or None where the price names neither it nor its peg.

        Raises PaywallError where the coin is too coarse for the price.
        """
        amount = self.of(currency)
        if amount is None:
            return None
        units = amount.scaleb(decimals)
        if units != units.to_integral_value():
            raise PaywallError(
                f"price: {amount} can not be paid in {currency}, which has {decimals} decimals."
                " Set a price that is a whole number of its smallest unit."
            )
        return int(units)


@dataclass(frozen=True, slots=True)
class Metered:
    """A price for each unit of what a call uses, up to a number of units that is reserved first.

    What is charged is what the handler reports (`Payment.use`), and all that was reserved when it
    reports nothing.
    """

    per_unit: "str | Iterable[str] | Price"
    units_max: int
    unit: str = "unit"

    def __post_init__(self) -> None:
        if not 0 < self.units_max < 1 << 63:
            raise PaywallError("units_max: must be a positive number of units.")


def parse_price(written: "str | Iterable[str] | Price") -> Price:
    """Read a price; PaywallError says what is wrong with it."""
    if isinstance(written, Price):
        return written
    several = [written] if isinstance(written, str) else list(written)
    amounts: dict[str, Decimal] = {}
    for each in several:
        found = _WRITTEN.fullmatch(each.strip()) if isinstance(each, str) else None
        if found is None or (found[1] is None) == (found[3] is None):
            raise PaywallError(f"price: {each!r} is none. Write it like '$0.001' or '0.001 usdc'.")
        currency = _SIGNS[found[1]] if found[1] else found[3].lower()
        if currency in amounts:
            raise PaywallError(f"price: {currency} is named twice.")
        amounts[currency] = Decimal(found[2])
        if not amounts[currency]:
            raise PaywallError(
                f"price: {each!r} is nothing. Leave the route out, or set its price to None."
            )
    if not amounts:
        raise PaywallError("price: at least one is needed.")
    return Price(amounts)
