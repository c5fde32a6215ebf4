"""Amounts as people read them, exact to the last digit.

No library of locales writes them: the usual one cuts after three decimals. Digits are Latin and
grouped by commas in all four languages, as wallets and explorers write them, so that an amount can
be compared with what a wallet shows, and zeros that say nothing go, beyond two decimals.
"""

from markupsafe import Markup

from sakk.core.money import format_decimal
from sakk.pages.language import RIGHT_TO_LEFT

DECIMALS_SHOWN_MIN = 2
GROUP = 3
MINUS = "\u2212"
# A number and its currency are never parted at the end of a line.
NO_BREAK = "\u00a0"


def number(decimal: str) -> str:
    """Group an exact decimal string: ``number("-1234567.891000") == "−1,234,567.891"``."""
    sign, digits = (MINUS, decimal[1:]) if decimal.startswith("-") else ("", decimal)
    whole, point, fraction = digits.partition(".")
    if not (digits.isascii() and whole.isdigit()) or (point and not fraction.isdigit()):
        raise ValueError(f"not a decimal number: {decimal!r}")
    shown = fraction.rstrip("0").ljust(min(DECIMALS_SHOWN_MIN, len(fraction)), "0")
    return f"{sign}{int(whole):,}{'.' if shown else ''}{shown}"


def count(value: int) -> str:
    """A whole number of things, grouped."""
    return number(str(value))


def amount(decimal: str, currency: str, language: str) -> Markup:
    """An exact decimal string with its currency: after the number as each language reads."""
    direction = "rtl" if language in RIGHT_TO_LEFT else "ltr"
    return Markup('<bdi class="amount" dir="{}"><bdi dir="ltr">{}</bdi>{}{}</bdi>').format(
        direction, number(decimal), NO_BREAK, currency.upper()
    )


def units(value: int, decimals: int, currency: str, language: str) -> Markup:
    """The same of a whole number of smallest units."""
    return amount(format_decimal(value, decimals), currency, language)


def digits(value: int, decimals: int) -> str:
    """Units as a grouped number, where the currency stands beside it."""
    return number(format_decimal(value, decimals))


def plain(decimal: str) -> str:
    """A decimal without groups and needless zeros: for copying, and for files."""
    whole, _, fraction = decimal.partition(".")
    shown = fraction.rstrip("0").ljust(min(DECIMALS_SHOWN_MIN, len(fraction)), "0")
    return f"{whole}.{shown}" if shown else whole
