"""Events of settlements."""

from typing import Final

from sakk.core.event_type import register

SETTLEMENT_CREATED: Final = register(
    "settlement", "created", "A period was closed: its lines, and what will be paid, are certain."
)
SETTLEMENT_PAID: Final = register("settlement", "paid", "The payout of a settlement is final.")
SETTLEMENT_FAILED: Final = register(
    "settlement", "failed", "A settlement could not be paid; the next one has what it would have."
)
