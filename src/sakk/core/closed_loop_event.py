"""Events of money that stays here: names of accounts, and transfers that wait."""

from typing import Final

from sakk.core.event_type import register

ALIAS_CREATED: Final = register(
    "alias", "created", "An account asked for a name; an e-mail address has to be proved."
)
ALIAS_ACTIVATED: Final = register("alias", "activated", "The account can be paid by this name.")
ALIAS_RELEASED: Final = register("alias", "released", "The account gave the name up.")
ALIAS_FREED: Final = register(
    "alias", "freed", "The operator lets other accounts have a name that was given up.", "operator"
)
TRANSFER_PENDING: Final = register(
    "transfer", "pending", "The money waits until an account has the e-mail address."
)
TRANSFER_RETURNED: Final = register(
    "transfer", "returned", "Nobody claimed the money in time, or it was called off: it is back."
)
