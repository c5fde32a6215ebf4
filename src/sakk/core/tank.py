"""A network's gas tank: the native coin that pays for what is sent there."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sakk.core.fee import Fees

# What a deposit that is swept by its key takes, the dearest of the usual ways.
GAS_EACH = 61_300
# Fewer than so many of these, at the fees of now, are too few.
TRANSACTIONS_MIN = 200
# An address of several that covers fewer than these is given some by another.
SENDER_TRANSACTIONS_MIN = 20


@dataclass(frozen=True, slots=True)
class Tank:
    """What stood in a network's tank when it was looked at, and whether that is too little."""

    network: str
    wei: int
    low: bool
    checked: datetime


@dataclass(frozen=True, slots=True)
class Filling:
    """Wei that one treasury address should give another, so that both can send."""

    source: str
    destination: str
    wei: int


def filling(held: Mapping[str, int], price: Fees) -> Filling | None:
    """Which treasury address needs gas of which other, if any; wei held by each address.

    An address that covers fewer than ``SENDER_TRANSACTIONS_MIN`` transactions is given twice that
    by the one that has most, where that keeps as much for itself.
    """
    enough = SENDER_TRANSACTIONS_MIN * GAS_EACH * price.max_fee_per_gas
    poorest = min(held, key=lambda each: (held[each], each), default=None)
    richest = max(held, key=lambda each: (held[each], each), default=None)
    if poorest is None or richest is None or held[poorest] >= enough:
        return None
    wei = 2 * enough - held[poorest]
    if held[richest] - wei < 2 * enough:
        return None
    return Filling(richest, poorest, wei)


def is_low(wei: int, price: Fees) -> bool:
    """Does so much native coin cover too few transactions at this price?"""
    return wei < TRANSACTIONS_MIN * GAS_EACH * price.max_fee_per_gas


def public(tank: Tank) -> dict[str, Any]:
    """The operator's object ``gas_tank``."""
    return {
        "id": tank.network,
        "object": "gas_tank",
        "checked": int(tank.checked.timestamp()),
        "low": tank.low,
        "network": tank.network,
        "wei": str(tank.wei),
    }
