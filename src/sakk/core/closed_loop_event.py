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
MONEY_REQUEST_CREATED: Final = register(
    "money_request", "created", "An account asks another for money."
)
MONEY_REQUEST_PARTIALLY_PAID: Final = register(
    "money_request", "partially_paid", "A part of what was asked for was paid."
)
MONEY_REQUEST_PAID: Final = register("money_request", "paid", "All that was asked for is paid.")
MONEY_REQUEST_DECLINED: Final = register("money_request", "declined", "Who was asked does not pay.")
MONEY_REQUEST_CANCELED: Final = register("money_request", "canceled", "Who asked called it off.")
MONEY_REQUEST_EXPIRED: Final = register("money_request", "expired", "The request's time is over.")
MONEY_REQUEST_REMINDED: Final = register(
    "money_request", "reminded", "Who asked reminds who was asked."
)
BILL_CREATED: Final = register("bill", "created", "A bill was split: each share is a request.")
BILL_REASSIGNED: Final = register(
    "bill", "reassigned", "What was left of a share was given to somebody else, or taken on."
)
GIFT_CARD_CREATED: Final = register(
    "gift_card", "created", "A gift card was issued and paid for, or replaces another."
)
GIFT_CARD_ACTIVATED: Final = register("gift_card", "activated", "The card may be redeemed.")
GIFT_CARD_FROZEN: Final = register("gift_card", "frozen", "Nothing is redeemed of the card.")
GIFT_CARD_REPLACED: Final = register(
    "gift_card", "replaced", "What is left of a frozen card goes onto another."
)
GIFT_CARD_MOVEMENT_POSTED: Final = register(
    "gift_card_movement", "posted", "Money went onto a gift card, or off it."
)
SHOP_CREATED: Final = register("shop", "created", "A shop was made; the operator looks at it.")
SHOP_UPDATED: Final = register("shop", "updated", "A shop was opened, closed or changed.")
SHOP_REVIEWED: Final = register("shop", "reviewed", "The operator approved a shop, or refused it.")
PRODUCT_CREATED: Final = register("product", "created", "Something was put into a shop.")
PRODUCT_UPDATED: Final = register("product", "updated", "A product, or its stock, was changed.")
PURCHASE_CREATED: Final = register(
    "purchase", "created", "Somebody buys in a shop: the stock is held while it is paid."
)
PURCHASE_PAID: Final = register("purchase", "paid", "A purchase was paid: deliver it.")
PURCHASE_RETURNED: Final = register(
    "purchase", "returned", "Nobody paid a purchase in time: its stock is back."
)
GIFT_CARD_BATCH_POSTED: Final = register(
    "gift_card_batch", "posted", "Many gift cards were issued in one call; their codes are ready."
)
