"""What somebody types into a search box: an id, an address, a transaction, an amount, or words."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sakk.core.evm import parse_address
from sakk.core.money import UNITS_MAX, parse_decimal

LENGTH_MAX: Final = 200
_ID = re.compile(r"([a-z]{2,6})_[0-9a-zA-Z]{8,64}")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_PAIR = re.compile(r"([^=:\s]{1,40})\s*[=:]\s*(.{1,150})")
_AMOUNT = re.compile(r"[0-9][0-9,]*(\.[0-9]+)?")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


class SearchKind(StrEnum):
    """What the text looks like."""

    id = "id"
    hash = "hash"
    address = "address"
    pair = "pair"
    amount = "amount"
    email = "email"
    words = "words"


@dataclass(frozen=True, slots=True)
class Search:
    """``name``: the prefix of an id, or a pair's name. ``value``: the rest, as it is stored."""

    kind: SearchKind
    value: str
    name: str = ""


def read_search(text: str) -> Search | None:
    """What is looked for; None for nothing. The most precise reading is the one."""
    text = text.strip()[:LENGTH_MAX]
    if not text:
        return None
    if found := _ID.fullmatch(text):
        return Search(SearchKind.id, text, found[1])
    if _HASH.fullmatch(text):
        return Search(SearchKind.hash, text.lower())
    if text.startswith("0x"):
        try:
            return Search(SearchKind.address, parse_address(text))
        except ValueError:
            return Search(SearchKind.words, text)
    if _AMOUNT.fullmatch(text):
        return Search(SearchKind.amount, text.replace(",", ""))
    if _EMAIL.fullmatch(text):
        return Search(SearchKind.email, text)
    if pair := _PAIR.fullmatch(text):
        return Search(SearchKind.pair, pair[2].strip(), pair[1])
    return Search(SearchKind.words, text)


def as_units(value: str, decimals: int) -> int | None:
    """A typed amount in the smallest unit; None where it has more places, or is absurd."""
    try:
        units = parse_decimal(value, decimals)
    except ValueError:
        return None
    return units if units <= UNITS_MAX else None


def like(text: str) -> str:
    """A pattern of SQL's LIKE that finds a text anywhere, whatever signs stand in it."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
