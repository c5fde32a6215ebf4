"""Amounts as people read and write them, exact to the last digit.

No library of locales writes them: the usual one cuts after three decimals. Digits are Latin and
grouped by commas in all four languages, as wallets and explorers write them, so that an amount can
be compared with what a wallet shows, and zeros that say nothing go, beyond two decimals.
"""

import unicodedata

from markupsafe import Markup

from sakk.core.money import UNITS_MAX, format_decimal, parse_decimal
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


def read_amount(text: str, decimals: int) -> int:
    """What a person typed, in smallest units: ``12.50``, ``12,50``, ``1,234.50``, ``١٢٫٥``.

    ValueError for nothing, for zero or less, and for what could be meant in two ways: ``1,000`` is
    a thousand to some and one to others, so a lone comma is a point and has as many digits after it
    as the currency at most.
    """
    typed = "".join(_digit(character) for character in text if not character.isspace())
    if "." in typed:
        whole, _, _ = typed.partition(".")
        if "," in whole and not _is_grouped(whole):
            raise ValueError(f"not an amount: {text!r}")
        typed = typed.replace(",", "")
    elif "," in typed:
        if len(typed.rpartition(",")[2]) > decimals:
            raise ValueError(f"not clearly an amount: {text!r}")
        typed = typed.replace(",", ".")
    units = parse_decimal(typed, decimals)
    if not 0 < units <= UNITS_MAX:
        raise ValueError(f"not an amount that can be paid: {text!r}")
    return units


def _digit(character: str) -> str:
    """A digit of any script as a Latin one, and the points of Arabic and full width."""
    value = unicodedata.decimal(character, None)
    if value is not None:
        return str(value)
    return {"\u066b": ".", "\u066c": ",", "\uff0e": ".", "\uff0c": ","}.get(character, character)


def _is_grouped(whole: str) -> bool:
    first, *rest = whole.split(",")
    return 0 < len(first) <= GROUP and all(len(each) == GROUP for each in rest)
