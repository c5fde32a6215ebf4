"""A network's gas tank: the native coin that pays for what is sent there."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sakk.core.fee import Fees

# What a deposit that is swept by its key takes, the dearest of the usual ways.
GAS_EACH = 61_300
# Fewer than so many of these, at the fees of now, are too few.
TRANSACTIONS_MIN = 200


@dataclass(frozen=True, slots=True)
class Tank:
    """What stood in a network's tank when it was looked at, and whether that is too little."""

    network: str
    wei: int
    low: bool
    checked: datetime


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
