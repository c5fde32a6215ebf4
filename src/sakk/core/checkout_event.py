"""Events of the checkout: pages that were paid or not, links, and tills."""

from typing import Final

from sakk.core.event_type import register

CHECKOUT_SESSION_COMPLETED: Final = register(
    "checkout.session", "completed", "What was asked for on a checkout page was paid."
)
CHECKOUT_SESSION_EXPIRED: Final = register(
    "checkout.session", "expired", "A checkout page was called off, or nobody paid in time."
)
PAYMENT_LINK_CREATED: Final = register("payment_link", "created", "A payment link was made.")
PAYMENT_LINK_UPDATED: Final = register("payment_link", "updated", "A payment link was changed.")
POS_DEVICE_PAIRED: Final = register("pos_device", "paired", "A phone became a till.")
