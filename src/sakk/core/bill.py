"""Split bills: who paid asks each of the others for a share; the shares sum to the bill exactly.

A share is a request for money. Who declines changes nobody else's share: what is left of it stays
open until who paid the bill gives it to somebody else, or takes it on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sakk.core import money
from sakk.core.errors import ParameterInvalid
from sakk.core.fee import allocate
from sakk.core.money_request import MoneyRequest

PREFIX: Final = "bill"
SHARES_MAX: Final = 100
# With those that were given to somebody else: a bill is shown whole.
SHARES_EVER_MAX: Final = 500
WEIGHT_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What somebody paid for all. ``own_share``: what they bear of it themselves."""

    id: str
    account_id: str
    livemode: bool
    amount: int
    own_share: int
    currency: str
    decimals: int
    note: str | None
    metadata: dict[str, str]
    created: datetime


@dataclass(frozen=True, slots=True)
class Share:
    """One person's part, as it is asked for: so much, or by weight of what amounts leave."""

    payer: str
    amount: int | None = None
    weight: int = 1


def shares_of(
    amount: int, shares: Sequence[Share], *, own_amount: int | None, own_weight: int
) -> tuple[int, list[int]]:
    """What the payer of the bill bears, and what each of the others owes: in all the bill.

    What amounts leave is divided by weights, by largest remainder; the payer of the bill is first.
    ParameterInvalid where the amounts are more than the bill, or less and nobody has the rest.
    """
    given = [own_amount, *(each.amount for each in shares)]
    rest = amount - sum(each for each in given if each is not None)
    weights = [own_weight, *(each.weight for each in shares)]
    open_weights = [
        0 if fixed is not None else weight for fixed, weight in zip(given, weights, strict=True)
    ]
    if rest < 0 or (rest > 0 and not any(open_weights)):
        raise ParameterInvalid(
            "The shares' amounts come to another sum than the bill's: leave one of them out, or"
            " correct them.",
            param="shares",
        )
    parts = allocate(rest, open_weights) if any(open_weights) else [0] * len(given)
    own, *others = [
        part if fixed is None else fixed for fixed, part in zip(given, parts, strict=True)
    ]
    for place, each in enumerate(others):
        if each <= 0:
            raise ParameterInvalid(
                "Nothing is left of the bill for this share.", param=f"shares[{place}]"
            )
    return own, others


def public(bill: Bill, shares: Sequence[MoneyRequest]) -> dict[str, Any]:
    """The API's object ``bill``: who has paid, and what is open."""
    paid = sum(each.amount_paid for each in shares)
    return {
        "id": bill.id,
        "object": "bill",
        "account": bill.account_id,
        "amount": bill.amount,
        "amount_decimal": money.format_decimal(bill.amount, bill.decimals),
        "amount_open": bill.amount - bill.own_share - paid,
        "amount_paid": paid,
        "created": int(bill.created.timestamp()),
        "currency": bill.currency,
        "livemode": bill.livemode,
        "metadata": bill.metadata,
        "note": bill.note,
        "own_share": bill.own_share,
        "shares": [
            {
                "amount": each.amount,
                "amount_paid": each.amount_paid,
                "amount_released": each.released,
                "money_request": each.id,
                "payer": each.payer,
                "recipient": each.recipient,
                "status": each.status,
            }
            for each in shares
        ],
    }
