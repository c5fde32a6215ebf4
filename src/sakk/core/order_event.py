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
