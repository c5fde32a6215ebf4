"""Money is a whole number of a currency's smallest unit; a float never appears.

Rates are exact ratios of two whole numbers. Every division here says how it rounds.
"""

from dataclasses import dataclass

UNITS_MAX = (1 << 128) - 1
DECIMALS_MAX = 38


@dataclass(frozen=True, slots=True)
class Rate:
    """How many smallest units of one currency ``numerator/denominator`` units of another buy."""

    numerator: int
    denominator: int

    def __post_init__(self) -> None:
        if self.numerator <= 0 or self.denominator <= 0:
            raise ValueError("a rate is a ratio of two whole numbers above zero")


def format_decimal(units: int, decimals: int) -> str:
    """Write units as an exact decimal string: ``format_decimal(2500, 2) == "25.00"``."""
    sign, digits = ("-", str(-units)) if units < 0 else ("", str(units))
    if decimals == 0:
        return sign + digits
    digits = digits.rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"


def parse_decimal(text: str, decimals: int) -> int:
    """Read an exact decimal string into units; ValueError if it has more places than units do."""
    sign, body = (-1, text[1:]) if text.startswith("-") else (1, text)
    whole, point, fraction = body.partition(".")
    if not (whole.isascii() and whole.isdigit()) or (
        point and not (fraction.isascii() and fraction.isdigit())
    ):
        raise ValueError(f"not a decimal number: {text!r}")
    if len(fraction) > decimals and fraction[decimals:].strip("0"):
        raise ValueError(f"more than {decimals} decimal places: {text!r}")
    return sign * int(whole + fraction[:decimals].ljust(decimals, "0"))


def divide_up(numerator: int, denominator: int) -> int:
    """Divide whole numbers, rounding towards positive infinity."""
    return -(-numerator // denominator)


def convert_down(units: int, rate: Rate) -> int:
    """Convert by a rate, rounding down: for the question "what is it worth"."""
    return units * rate.numerator // rate.denominator


def convert_up(units: int, rate: Rate) -> int:
    """Convert by the inverse of a rate, rounding up: for the question "how much is asked"."""
    return divide_up(units * rate.denominator, rate.numerator)


def rescale(units: int, *, from_decimals: int, to_decimals: int) -> tuple[int, int]:
    """Move units between scales: the result rounded down, and the remainder in the old scale."""
    if to_decimals >= from_decimals:
        return units * 10 ** (to_decimals - from_decimals), 0
    scale: int = 10 ** (from_decimals - to_decimals)
    return divmod(units, scale)
