"""The pool: idle balance that an account, or its agent, has parked, and takes back at once.

It bears no interest. What is parked is still the account's, and stands in a ledger account of its
own: nothing is spent from there, so an agent that goes wrong finds less to spend.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core import chart, money
from sakk.core.chart import TransferCode
from sakk.core.posting import Posting

PREFIX: Final = "prk"


class Direction(StrEnum):
    park = "park"
    unpark = "unpark"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolMovement:
    """Money into the pool or out of it. Statuses: requested, posted, rejected.

    ``mandate`` and ``reference``: under which an agent asked, by the agent's own name of it.
    """

    id: str
    account_id: str
    livemode: bool
    mandate: str | None
    reference: str | None
    direction: str
    amount: int
    currency: str
    decimals: int
    status: str
    failure_code: str | None
    created: datetime


def postings(movement: PoolMovement) -> list[Posting]:
    unit = chart.currency_unit(movement.currency, livemode=movement.livemode)
    available = chart.merchant(movement.account_id, "available", unit)
    parked = chart.pool(movement.account_id, unit)
    match Direction(movement.direction):
        case Direction.park:
            return [Posting(available, parked, movement.amount, TransferCode.parked)]
        case Direction.unpark:
            return [Posting(parked, available, movement.amount, TransferCode.unparked)]


def public_movement(movement: PoolMovement) -> dict[str, Any]:
    """The API's object ``pool_movement``."""
    return {
        "id": movement.id,
        "object": "pool_movement",
        "account": movement.account_id,
        "amount": movement.amount,
        "amount_decimal": money.format_decimal(movement.amount, movement.decimals),
        "currency": movement.currency,
        "direction": movement.direction,
        "mandate": movement.mandate,
        "reference": movement.reference,
        "status": movement.status,
        "failure_code": movement.failure_code,
        "metadata": {},
        "created": int(movement.created.timestamp()),
        "livemode": movement.livemode,
    }


def public_pool(
    parked: Mapping[str, int], decimals: Mapping[str, int], *, livemode: bool
) -> dict[str, Any]:
    """The API's object ``pool``: by currency, what the account has parked."""
    return {
        "object": "pool",
        "livemode": livemode,
        "parked": [
            {
                "amount": units,
                "amount_decimal": money.format_decimal(units, decimals[currency]),
                "currency": currency,
            }
            for currency, units in sorted(parked.items())
        ],
    }
