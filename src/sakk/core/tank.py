"""A network's gas tank: the native coin that pays for what is sent there."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sakk.core.gas_price import Fees

# What a deposit that is swept by its key takes, the dearest of the usual ways.
GAS_EACH = 61_300
# Fewer than so many of these, at the fees of now, are too few.
TRANSACTIONS_MIN = 200
# An address of several that covers fewer than these is given some by another.
SENDER_TRANSACTIONS_MIN = 20
# A key for gas alone pays for the others too, and covers at least so many.
GAS_KEY_TRANSACTIONS_MIN = 200


@dataclass(frozen=True, slots=True)
class Tank:
    """What stood in a network's tank when it was looked at, and whether that is too little.

    ``limited_wei``: what a deposit address was not given, for the day's limit; None while it holds
    nobody back.
    """

    network: str
    wei: int
    low: bool
    checked: datetime
    limited_wei: int | None = None


@dataclass(frozen=True, slots=True)
class Filling:
    """Wei that one treasury address should give another, so that both can send."""

    source: str
    destination: str
    wei: int


def filling(
    held: Mapping[str, int], price: Fees, *, gas_keys: Collection[str] = ()
) -> Filling | None:
    """Which treasury address needs gas of which other, if any; wei held by each address.

    An address that covers fewer than ``SENDER_TRANSACTIONS_MIN`` transactions, a gas key fewer than
    ``GAS_KEY_TRANSACTIONS_MIN``, is given twice that by the one that has most, where that keeps
    enough for itself. A gas key gives none, and comes first.
    """
    each_wei = GAS_EACH * price.max_fee_per_gas
    needed = {
        each: each_wei * (GAS_KEY_TRANSACTIONS_MIN if each in gas_keys else SENDER_TRANSACTIONS_MIN)
        for each in held
    }
    lacking = [each for each in held if held[each] < needed[each]]
    givers = [each for each in held if each not in gas_keys]
    if not lacking or not givers:
        return None
    poorest = min(lacking, key=lambda each: (each not in gas_keys, held[each], each))
    richest = max(givers, key=lambda each: (held[each], each))
    wei = 2 * needed[poorest] - held[poorest]
    if held[richest] - wei < 2 * needed[richest]:
        return None
    return Filling(richest, poorest, wei)


def is_beyond(spent_wei: int, wei: int, *, limit: int | None) -> bool:
    """Would so much more gas for deposit addresses pass the day's limit?"""
    return limit is not None and spent_wei + wei > limit


def is_low(wei: int, price: Fees) -> bool:
    """Does so much native coin cover too few transactions at this price?"""
    return wei < TRANSACTIONS_MIN * GAS_EACH * price.max_fee_per_gas


def public(tank: Tank) -> dict[str, Any]:
    """The operator's object ``gas_tank``."""
    return {
        "id": tank.network,
        "object": "gas_tank",
        "checked": int(tank.checked.timestamp()),
        "limited": tank.limited_wei is not None,
        "low": tank.low,
        "network": tank.network,
        "wei": str(tank.wei),
    }
