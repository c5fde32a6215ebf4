"""Events of orders at venues, the operator's alone."""

from typing import Final

from sakk.core.event_type import register

ORDER_CREATED: Final = register(
    "order", "created", "A position is to be closed; above its limit two people say so.", "operator"
)
ORDER_DONE: Final = register(
    "order",
    "done",
    "All venues of an order have answered, and what they filled is booked.",
    "operator",
)
ORDER_CANCELED: Final = register(
    "order", "canceled", "Somebody called an order off before it was sent.", "operator"
)
ORDER_EXPIRED: Final = register(
    "order",
    "expired",
    "An order waited for people too long; what is still open is ordered anew.",
    "operator",
)
