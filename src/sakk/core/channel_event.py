"""Events of channels: on this Sakk, with what was given back and disputed, and in x402's escrow."""

from typing import Final

from sakk.core.event_type import register

CHANNEL_OPENED: Final = register("channel", "opened", "A channel was opened and money put in.")
CHANNEL_RAISED: Final = register("channel", "raised", "More money was put into a channel.")
CHANNEL_CLOSED: Final = register(
    "channel", "closed", "A channel ended; what was not charged went back to the payer."
)
CHARGE_REFUNDED: Final = register(
    "charge_refund", "posted", "A charge, or a part of one, was given back."
)
CHARGE_REFUND_FAILED: Final = register(
    "charge_refund",
    "failed",
    "A charge that was given back to its payer's address did not arrive: it is on the balance"
    " again, and its dispute is open again.",
)
CHANNEL_DISPUTE_OPENED: Final = register(
    "channel_dispute", "opened", "A payer disputes a charge; the amount is held where it can be."
)
CHANNEL_DISPUTE_ENDED: Final = register(
    "channel_dispute", "ended", "A dispute was refunded, rejected or withdrawn."
)
ESCROW_REFUND_SUCCEEDED: Final = register(
    "escrow_refund", "succeeded", "What was not charged on a channel in escrow is with its payer."
)
ESCROW_REFUND_FAILED: Final = register(
    "escrow_refund",
    "failed",
    "It could not be given back, and is in the channel again: ask again, or have its payer take it"
    " by its own way out.",
)
