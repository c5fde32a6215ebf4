"""Exchanges at which orders are placed: what is kept of one, and how amounts are written for it.

An exchange has a step for amounts, one for prices, and a least amount and worth. What does not fit
its steps is cut off in the operator's favour: an amount is never more than asked for, a price never
worse than the limit.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final
from urllib.parse import urlsplit

from sakk.core import money
from sakk.core import rate as rates
from sakk.core.errors import ParameterInvalid
from sakk.core.router import FEE_PPM_MAX, Side

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,30}")
SYMBOL: Final = re.compile(r"[A-Za-z0-9._/-]{1,32}")
KEY_LENGTH_MAX: Final = 512
PAIRS_MAX: Final = 50
DEFAULT_ADDRESSES: Final = {
    "binance": "https://api.binance.com",
    "kraken": "https://api.kraken.com",
}


class VenueKind(StrEnum):
    """Whose wire is spoken."""

    binance = "binance"
    kraken = "kraken"


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueAccount:
    """The operator's own account at an exchange. ``secret`` is sealed by the vault.

    ``pairs``: the exchange's symbol by pair (``usdt-usd``). ``fee_ppm``: what it takes of an order
    that is filled at once, for the router; what it took is what it says afterwards. ``number``:
    which account there the name stands for, the first, or one after another key was given.
    """

    name: str
    kind: str
    livemode: bool
    location: str
    key: str
    secret: bytes
    pairs: dict[str, str]
    fee_ppm: int
    enabled: bool
    created: datetime
    updated: datetime
    number: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueKey:
    """A key that a name stood for before, by which its orders are still asked after."""

    name: str
    number: int
    location: str
    key: str
    secret: bytes
    replaced: datetime


def kept(account: VenueAccount, now: datetime) -> VenueKey:
    """What a name stood for until now."""
    return VenueKey(
        name=account.name,
        number=account.number,
        location=account.location,
        key=account.key,
        secret=account.secret,
        replaced=now,
    )


def number_of(
    before: VenueAccount | None,
    former: Sequence[VenueKey],
    *,
    key: str,
    location: str,
    same_account: bool,
) -> int:
    """Which account at the exchange a key is of.

    Another key is of another account there, unless a person says that it is of the same one, or it
    stood here before: what one account knows of an order another one does not.
    """
    if before is None:
        return 1
    if same_account or (before.key, before.location) == (key, location):
        return before.number
    known = {(each.key, each.location): each.number for each in former}
    last = max([before.number, *(each.number for each in former)])
    return known.get((key, location), last + 1)


@dataclass(frozen=True, slots=True)
class PairRules:
    """What an exchange takes of a pair: steps of amounts and prices, and the least of both, in
    whole units of base and quote."""

    lot: Fraction
    tick: Fraction
    least: Fraction
    least_worth: Fraction


def check_account(account: VenueAccount) -> VenueAccount:
    """The account; ParameterInvalid by the field's name."""
    if not NAME.fullmatch(account.name):
        raise ParameterInvalid(
            "A venue's name is lower-case letters, digits and _, such as kraken_main.",
            param="name",
        )
    real = {urlsplit(each).hostname for each in DEFAULT_ADDRESSES.values()}
    if not account.livemode and urlsplit(account.location).hostname in real:
        raise ParameterInvalid(
            "Test orders trade no real money: give the address of the exchange's test network.",
            param="location",
        )
    if not 0 <= account.fee_ppm <= FEE_PPM_MAX:
        raise ParameterInvalid(f"fee_ppm is 0 to {FEE_PPM_MAX}.", param="fee_ppm")
    if not 0 < len(account.key) <= KEY_LENGTH_MAX or not account.key.isascii():
        raise ParameterInvalid("The key is what the exchange shows as API key.", param="key")
    if not 0 < len(account.pairs) <= PAIRS_MAX:
        raise ParameterInvalid(f"Name 1 to {PAIRS_MAX} pairs.", param="pair")
    for pair, symbol in account.pairs.items():
        try:
            rates.pair_of(pair)
        except ValueError as error:
            raise ParameterInvalid(f"{error}.", param="pair") from None
        if not SYMBOL.fullmatch(symbol):
            raise ParameterInvalid(f"{symbol!r} is no symbol of an exchange.", param="pair")
    return account


def read_decimal(text: object) -> Fraction:
    """A number of an exchange, exactly; ValueError for what is none, or no number at all."""
    if not isinstance(text, str) or not re.fullmatch(r"(?a:\d{1,30}(\.\d{1,30})?)", text):
        raise ValueError(f"not an amount: {str(text)[:40]!r}")
    return Fraction(text)


def write_decimal(value: Fraction) -> str:
    """A number of the exchange's own steps as a decimal; each of them is one."""
    digits = 0
    while (value * 10**digits).denominator != 1:
        digits += 1
        if digits > 30:
            raise ValueError(f"{value} has no decimal form")
    return money.format_decimal(int(value * 10**digits), digits)


def lots_of(units: int, decimals: int, rules: PairRules) -> Fraction:
    """As much of so many smallest units as the exchange's step leaves, in whole units."""
    return Fraction(units, 10**decimals) // rules.lot * rules.lot


def limit_of(side: Side, price: int, rules: PairRules) -> Fraction:
    """A price within the limit on the exchange's step: never worse for us."""
    exact = Fraction(price, rates.SCALE)
    steps = exact // rules.tick
    if side is Side.sell and steps * rules.tick < exact:
        steps += 1
    return steps * rules.tick


def refusal(amount: Fraction, price: Fraction, rules: PairRules) -> str | None:
    """Why an exchange would not take an order, in words; None where it would."""
    if amount <= 0 or amount < rules.least:
        return f"{float(amount)} is below its minimum of {float(rules.least)}"
    if price <= 0:
        return "the limit is below its smallest price"
    if amount * price < rules.least_worth:
        return f"it takes no order that is worth less than {float(rules.least_worth)}"
    return None


def minimum_units(rules: PairRules, best: int, *, decimals: int) -> int:
    """The least order in the base's smallest units, at the best price of a book."""
    least = max(rules.least, rules.lot, rules.least_worth * rates.SCALE / best)
    steps = -(-least // rules.lot)
    return -int(-(steps * rules.lot * 10**decimals) // 1)


def units_of(amount: Fraction, decimals: int, *, up: bool = False) -> int:
    """Whole units in the currency's smallest; rounded down, or up."""
    exact = amount * 10**decimals
    return -int(-exact // 1) if up else int(exact // 1)


def public(account: VenueAccount) -> dict[str, Any]:
    """What people see of an account: never its secret."""
    return {
        "name": account.name,
        "kind": account.kind,
        "livemode": account.livemode,
        "location": account.location,
        "key": account.key[:4] + "…",
        "pairs": account.pairs,
        "fee_ppm": account.fee_ppm,
        "enabled": account.enabled,
        "number": account.number,
    }
