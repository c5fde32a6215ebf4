"""Events of conversions."""

from typing import Final

from sakk.core.event_type import register

CONVERSION_POSTED: Final = register(
    "conversion", "posted", "A conversion is done: the balance has what its quote promised."
)
CONVERSION_REJECTED: Final = register(
    "conversion", "rejected", "A conversion was not covered by the balance; nothing moved."
)
