"""Refills: a rule that keeps a channel funded while its agent sleeps.

A voucher is a ceiling that the agent has signed; what is funded of it stands in the ledger. A rule
funds the next step of what is signed already, never more: it can not sign. So the payer risks the
unspent step, the agent's signature bounds the sum, and the mandate bounds both.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core.errors import ParameterInvalid

PREFIX: Final = "rfl"


class RefillStatus(StrEnum):
    """``exhausted``: the mandate, or the balance, has no more for it."""

    active = "active"
    exhausted = "exhausted"
    ended = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refill:
    """One rule of one channel: below ``below`` left, fund it up to ``up_to`` left."""

    id: str
    account_id: str
    livemode: bool
    channel: str
    mandate: str
    below: int
    up_to: int
    status: str
    failure_code: str | None
    failures: int
    retry_at: datetime | None
    created: datetime


def check(below: int, up_to: int) -> None:
    """A rule that would fund again at once, or nothing, is none; ParameterInvalid."""
    if not 0 < below <= up_to:
        raise ParameterInvalid(
            "A channel is refilled below `below` units left, up to `up_to`, which is no less.",
            param="up_to",
        )


def wanted(refill: Refill, *, ceiling: int, funded: int, left: int) -> int | None:
    """To how much, in all, the channel is to be funded now; None where there is nothing to do.

    ``ceiling``: what the agent has signed, and ``funded``: what was put in, both since the channel
    was opened; ``left``: what of it can still be charged.
    """
    if left >= refill.below:
        return None
    target = min(ceiling, funded + refill.up_to - left)
    return target if target > funded else None


def public_refill(refill: Refill) -> dict[str, Any]:
    """The API's object ``refill``."""
    return {
        "id": refill.id,
        "object": "refill",
        "account": refill.account_id,
        "channel": refill.channel,
        "mandate": refill.mandate,
        "below": refill.below,
        "up_to": refill.up_to,
        "status": refill.status,
        "failure_code": refill.failure_code,
        "metadata": {},
        "created": int(refill.created.timestamp()),
        "livemode": refill.livemode,
    }
