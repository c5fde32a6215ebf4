"""Events of platforms: who acts for whom, and what was taken for it."""

from typing import Final

from sakk.core.event_type import register

CONNECTED_ACCOUNT_REQUESTED: Final = register(
    "connected_account", "requested", "A platform asks to act for an account."
)
CONNECTED_ACCOUNT_ACTIVE: Final = register(
    "connected_account", "active", "The account agreed: the platform acts for it."
)
CONNECTED_ACCOUNT_ENDED: Final = register(
    "connected_account", "ended", "One side refused, withdrew or revoked: nobody acts any more."
)
APPLICATION_FEE_CREATED: Final = register(
    "application_fee", "created", "A platform took its fee, or it was undone."
)
APPLICATION_FEE_REFUNDED: Final = register(
    "application_fee", "refunded", "A part of a fee went back to the account with a refund."
)
